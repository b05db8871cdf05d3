"""Training on whatever device is found, against plain Keras and PyTorch loops in the same run; five minutes on a GPU.

Small net: small_cnn on simulated Statoil (75 x 75 x 2, batch 32, flips and shifts of up to 4 pixels), five folds.
foldwise's lanes, several numbers of them; Keras' `fit` on JAX with Keras' augmentation layers; a PyTorch loop with a
DataLoader and albumentations. Log losses are out of fold, of equal epochs, schedule, rate and weight decay: they should
differ by noise alone. Large net: EfficientNetB0 with random weights, all layers, 224 x 224 x 3 in bytes, 16-bit floats
where the device has them, by foldwise's `train_fold` and by Keras' `fit`.

Start and compilation are left out everywhere: of epochs that are timed the first is not. Each row is a process of its
own. Memory: of the GPU where there is one, else of the process. What is not installed is left out, and named.
`--quick`, for a CPU: few images and epochs, lanes of 1 and 5, and EfficientNetB0 at 32 pixels.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import child, peak_memory, table

FOLDS, BATCH, RATE, DECAY, SHIFT = 5, 32, 0.003, 0.01, 4
FILTERS = (16, 32, 64, 96)
NEEDS = {"lanes": ("jax",), "keras": ("jax",), "torch": ("torch", "albumentations"), "large": ("jax",)}


def run(quick: bool) -> None:
    """Print both tables."""
    rows, epochs, lanes, side = (240, 2, (1, 5), 32) if quick else (1604, 10, (1, 5, 20, 100), 224)
    with tempfile.TemporaryDirectory() as folder:
        save_data(Path(folder) / "data.npz", rows)

        def measured(part: str, *arguments: object) -> dict[str, Any] | None:
            missing = [name for name in NEEDS[part] if find_spec(name) is None]
            if missing:
                print(f"  left out: {part}, for which {', '.join(missing)} is not installed")
                return None
            return child(__name__, part, folder, *map(str, arguments), KERAS_BACKEND="jax").said

        found = {f"lanes: {n}": measured("lanes", n, epochs) for n in lanes}
        found |= {"Keras fit, fold by fold": measured("keras", epochs), "PyTorch loop": measured("torch", epochs)}
        known = {name: one for name, one in found.items() if one}
        if known:
            print(f"{next(iter(known.values()))['device']}: {rows} images of 75 x 75 x 2, {epochs} epochs")
        others = [name for name in known if not name.startswith("lanes")]
        cells = [
            [
                name,
                f"{one['rate']:,.0f}",
                *(f"{one['rate'] / known[other]['rate']:.1f}" for other in others),
                "-" if one["loss"] is None else f"{one['loss']:.3f}",
                f"{one['megabytes']:,.0f}",
            ]
            for name, one in known.items()
        ]
        table(["", "images/s", *(f"x {name}" for name in others), "log loss", "MB"], cells)
        n = 64 if quick else 768
        large = {name: measured("large", how, side, n) for name, how in (("foldwise", "fold"), ("Keras fit", "fit"))}
        known = {name: one for name, one in large.items() if one}
        print(f"\nEfficientNetB0, {n} images of {side} x {side} x 3")
        table(
            ["", "images/s", "MB"],
            [[name, f"{one['rate']:,.0f}", f"{one['megabytes']:,.0f}"] for name, one in known.items()],
        )


def save_data(path: Path, rows: int) -> None:
    """Simulate Statoil's training rows."""
    from foldwise.config.compose import compose_all
    from foldwise.stages.prepare import prepare

    words = [f"root={path.parent}", "competition=statoil", f"source.n_train={rows}", "source.n_test=10"]
    data = prepare(next(compose_all(words)))
    np.savez(path, images=data.train.images[:], y=data.labels[:, 0].astype(np.float32))


def lanes(folder: str, n: str, epochs: str) -> dict[str, Any]:
    """Train so many lanes: fold after fold of seed after seed."""
    from foldwise.runs.recipe import Recipe
    from foldwise.settings import AugmentSettings, FitSettings, ModelSettings, SplitSettings
    from foldwise.training.fold_data import fold_data
    from foldwise.training.lanes import Lane, train_lanes

    images, y = read(folder)
    fit = FitSettings(epochs=int(epochs), batch_size=BATCH, learning_rate=RATE, weight_decay=DECAY, warmup_epochs=0)
    augment = AugmentSettings("radar", {"shift": SHIFT})
    recipe = Recipe(
        {}, "", "", SplitSettings(n_folds=FOLDS), ModelSettings("small_cnn", {"filters": FILTERS}), "", augment, fit
    )
    data = [fold_data(recipe, dataset(images, y), held_out(len(y), fold)) for fold in range(min(int(n), FOLDS))]
    trained = train_lanes([Lane(recipe, data[i % FOLDS], (i // FOLDS, i % FOLDS)) for i in range(int(n))])
    seen = sum(len(data[i % FOLDS].rows.positions) for i in range(int(n))) * int(epochs)
    out_of_fold = [one.predictions[0][0][:, 0] for one in trained[:FOLDS]] if int(n) >= FOLDS else None
    return result(seen / trained[0].history["seconds"].sum(), out_of_fold, y)


def keras(folder: str, epochs: str) -> dict[str, Any]:
    """Train fold by fold as an author of Keras would."""
    from keras import Input, Model, layers, losses, optimizers

    from foldwise.models.small_cnn import small_cnn

    images, y = read(folder)
    predictions, seen, seconds = [], 0, 0.0
    for fold in range(FOLDS):
        out = held_out(len(y), fold)
        inputs = Input(images.shape[1:])
        x = layers.RandomFlip("horizontal_and_vertical")(inputs)
        x = layers.RandomTranslation(SHIFT / 75, SHIFT / 75, fill_mode="reflect")(x)
        net = small_cnn(images.shape[1:], 1, filters=FILTERS)
        net.get_layer("scale").adapt(images[~out])
        model = Model(inputs, net(x))
        steps = -(-int((~out).sum()) // BATCH) * int(epochs)
        rate = optimizers.schedules.CosineDecay(RATE, steps)
        model.compile(optimizers.AdamW(rate, weight_decay=DECAY), losses.BinaryCrossentropy(from_logits=True))
        clock = Clock()
        from keras.callbacks import LambdaCallback

        watch = LambdaCallback(on_epoch_end=lambda *_, clock=clock: clock.tick())
        model.fit(images[~out], y[~out], batch_size=BATCH, epochs=int(epochs), verbose=0, callbacks=[watch])
        seen, seconds = seen + int((~out).sum()) * (int(epochs) - 1), seconds + clock.seconds
        predictions.append(1 / (1 + np.exp(-model.predict(images[out], verbose=0)[:, 0])))
    return result(seen / seconds, predictions, y)


def torch(folder: str, epochs: str) -> dict[str, Any]:
    """Train fold by fold in a loop of PyTorch, with a DataLoader of several processes and albumentations."""
    import albumentations as A
    import cv2
    import torch
    from torch import nn

    device = "cuda" if torch.cuda.is_available() else "cpu"
    images, y = read(folder)
    shift = {"x": (-SHIFT, SHIFT), "y": (-SHIFT, SHIFT)}
    moved = A.Affine(translate_px=shift, border_mode=cv2.BORDER_REFLECT_101, p=1)
    pipeline = A.Compose([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5), moved])

    class Rows(torch.utils.data.Dataset):  # type: ignore[misc]
        def __init__(self, x: np.ndarray, labels: np.ndarray) -> None:
            self.x, self.labels = x, labels

        def __len__(self) -> int:
            return len(self.x)

        def __getitem__(self, i: int) -> tuple[Any, Any]:
            image = pipeline(image=self.x[i])["image"]
            return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))), self.labels[i]

    predictions, seen, seconds = [], 0, 0.0
    for fold in range(FOLDS):
        out = held_out(len(y), fold)
        mean, sd = images[~out].mean((0, 1, 2)), images[~out].std((0, 1, 2))
        x = (images - mean) / sd
        blocks, before = list[nn.Module](), 2
        for width in FILTERS:
            conv = nn.Conv2d(before, width, 3, padding=1, bias=False)
            blocks, before = [*blocks, conv, nn.BatchNorm2d(width), nn.ReLU(), nn.AvgPool2d(2)], width
        model = nn.Sequential(
            *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(FILTERS[-1], 1)
        ).to(device)
        optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=DECAY)
        rows = Rows(x[~out], y[~out])
        processes = min(4, os.cpu_count() or 1)
        loader = torch.utils.data.DataLoader(
            rows, BATCH, shuffle=True, num_workers=processes, persistent_workers=True, pin_memory=device == "cuda"
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(loader) * int(epochs))
        clock = Clock()
        for _ in range(int(epochs)):
            for batch, labels in loader:
                optimizer.zero_grad()
                logits = model(batch.to(device, non_blocking=True))[:, 0]
                loss = nn.functional.binary_cross_entropy_with_logits(logits, labels.to(device, non_blocking=True))
                loss.backward()
                optimizer.step()
                schedule.step()
            loss.item()
            clock.tick()
        seen, seconds = seen + len(rows) * (int(epochs) - 1), seconds + clock.seconds
        model.eval()
        with torch.no_grad():
            logits = model(torch.from_numpy(x[out].transpose(0, 3, 1, 2).copy()).to(device))[:, 0]
        predictions.append(torch.sigmoid(logits).cpu().numpy())
    return result(seen / seconds, predictions, y)


def large(folder: str, how: str, side: str, n: str) -> dict[str, Any]:
    """Train all layers of EfficientNetB0 for three epochs, as a fold or by Keras' `fit`."""
    from foldwise.training import backend

    rng = np.random.default_rng(0)
    images, y = rng.integers(0, 256, (int(n), int(side), int(side), 3), np.uint8), np.arange(int(n)) % 2.0
    images[0, 0, :2] = [[0] * 3, [255] * 3]
    half = backend.has_gpu()  # on a CPU 16-bit floats are slow
    if how == "fold":
        from foldwise.runs.recipe import Recipe
        from foldwise.settings import AugmentSettings, FinetuneSettings, FitSettings, ModelSettings, SplitSettings
        from foldwise.training.fit import train_fold

        options = {"name": "EfficientNetB0", "weights": None, "side": int(side)}
        fit = FitSettings(epochs=3, batch_size=BATCH, mixed_precision=half)
        tuned = FinetuneSettings("all", head_epochs=0)
        parts = (SplitSettings(n_folds=2), ModelSettings("application", options), "", AugmentSettings("flips"), fit)
        recipe = Recipe({}, "", "", *parts, tuned)
        none = np.zeros(int(n), bool)
        history = train_fold(recipe, dataset(images, y), none, 0).history
        return result(2 * int(n) / history["seconds"][1:].sum(), None, y)
    import keras

    if half:
        keras.config.set_dtype_policy(backend.half_floats())
    inputs = keras.Input((int(side), int(side), 3))
    x = keras.layers.RandomFlip("horizontal_and_vertical")(inputs)
    net = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(int(side), int(side), 3))
    x = keras.layers.GlobalAveragePooling2D()(net(x))
    model = keras.Model(inputs, keras.layers.Dense(1, dtype="float32")(keras.layers.Dropout(0.2)(x)))
    model.compile(keras.optimizers.AdamW(1e-4), keras.losses.BinaryCrossentropy(from_logits=True))
    clock = Clock()
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: clock.tick())
    model.fit(images, y, batch_size=BATCH, epochs=3, verbose=0, callbacks=[watch])
    return result(2 * int(n) / clock.seconds, None, y)


class Clock:
    """Seconds from the end of the first epoch to that of the last."""

    def __init__(self) -> None:
        self.first, self.seconds = 0.0, 0.0

    def tick(self) -> None:
        """End an epoch."""
        now = time.perf_counter()
        self.first = self.first or now
        self.seconds = now - self.first


def read(folder: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the images and the labels."""
    data = np.load(Path(folder) / "data.npz")
    return data["images"], data["y"]


def held_out(n: int, fold: int) -> np.ndarray:
    """Return which rows a fold holds out: bool (n,)."""
    mask: np.ndarray = np.arange(n) % FOLDS == fold
    return mask


def dataset(images: np.ndarray, y: np.ndarray) -> Any:
    """Return a dataset of the rows, which tests on the first two."""
    import pandas as pd

    from foldwise.data.dataset import Dataset, Split

    rows = pd.DataFrame({"t0": y, "id": [f"r{i}" for i in range(len(y))]})
    return Dataset(Split(images, rows), Split(images[:2], rows[:2]), "binary", ["t0"], [], None, "data", "ids")


def result(rate: float, out_of_fold: list[np.ndarray] | None, y: np.ndarray) -> dict[str, Any]:
    """Return what a row of the tables shows; out_of_fold: the probabilities of the rows that each fold held out."""
    loss = None
    if out_of_fold is not None:
        p = np.empty(len(y))
        for fold, values in enumerate(out_of_fold):
            p[held_out(len(y), fold)] = np.clip(values, 1e-6, 1 - 1e-6)
        loss = float(-np.mean(np.where(y > 0, np.log(p), np.log(1 - p))))
    device, used = "CPU", peak_memory()
    if "torch" in sys.modules and sys.argv[1] == "torch":
        import torch

        if torch.cuda.is_available():
            device, used = torch.cuda.get_device_name(), torch.cuda.max_memory_allocated()
    elif "jax" in sys.modules:
        from foldwise.training import backend

        if backend.has_gpu():
            import jax

            device, used = backend.device_name(), jax.local_devices()[0].memory_stats()["peak_bytes_in_use"]
    return {"rate": rate, "loss": loss, "megabytes": used / 1e6, "device": device}


PARTS: dict[str, Callable[..., dict[str, Any]]] = {"lanes": lanes, "keras": keras, "torch": torch, "large": large}

if __name__ == "__main__":
    if sys.argv[1] != "torch":
        from foldwise.training import backend

        os.environ.update(backend.environment("jax"))
        backend.start(os.cpu_count() or 1, "jax")
    print(json.dumps(PARTS[sys.argv[1]](*sys.argv[2:])))
