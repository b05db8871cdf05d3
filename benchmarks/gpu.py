"""Images per second of training by lanes, on whatever device JAX finds, against plain loops in the same run.

Prints the speed of small_cnn on 75 x 75 x 2 random images, batch 32, without augmentation: of foldwise's lanes, of
Keras' `fit` on JAX, one fold at a time, and of a plain PyTorch loop where PyTorch is installed. The start and the
compilation are left out everywhere: lanes are timed after they are compiled, the others after a first epoch.
`--quick`, for a CPU: 320 images, 2 epochs, 1 and 2 lanes; else 1,604 images, 3 epochs, and 1, 5, 20 and 100 lanes.
"""

import os
import sys
import time
from importlib.util import find_spec

import numpy as np
import pandas as pd

SIDE, BATCH = 75, 32


def run(quick: bool) -> None:
    """Print the table."""
    rows, epochs, lanes = (320, 2, (1, 2)) if quick else (1604, 3, (1, 5, 20, 100))
    from foldwise.training import backend

    if find_spec("jax") is None:
        print("JAX is not installed: pip install 'foldwise[jax]', or jax[cuda12]==0.10.2 for a GPU")
        return
    if "keras" in sys.modules:  # of another benchmark, on another backend
        print("run it alone: python -m benchmarks gpu")
        return
    os.environ.update(backend.environment("jax"))
    backend.start(os.cpu_count() or 1, "jax")
    rng = np.random.default_rng(0)
    y = (np.arange(rows) % 2).astype(np.float32)
    images = rng.normal(-20, 3, (rows, SIDE, SIDE, 2)).astype(np.float32) + 2 * y[:, None, None, None]
    print(f"{backend.device_name()}: {rows} images of {SIDE} x {SIDE} x 2, batch {BATCH}, {epochs} epochs")
    plain = by_keras(images, y, epochs)
    print(f"Keras fit on JAX, one fold: {plain:.0f} images/s")
    if find_spec("torch") is None:
        print("PyTorch: not installed, left out")
    else:
        print(f"PyTorch loop: {by_torch(images, y, epochs):.0f} images/s")
    for n in lanes:
        speed = by_lanes(images, y, epochs, n)
        print(f"{n} lanes: {speed:.0f} images/s, {speed / plain:.2f} times Keras fit", flush=True)


def by_lanes(images, y, epochs, n):
    from foldwise.data.dataset import Dataset, Split
    from foldwise.runs.recipe import Recipe
    from foldwise.settings import AugmentSettings, FitSettings, ModelSettings, SplitSettings
    from foldwise.training.fold_data import fold_data
    from foldwise.training.lanes import Lane, train_lanes

    table = pd.DataFrame({"t0": y, "id": [f"r{i}" for i in range(len(y))]})
    data = Dataset(Split(images, table), Split(images[:2], table[:2]), "binary", ["t0"], [], None, "data", "ids")
    fit, model = FitSettings(epochs=epochs, batch_size=BATCH, learning_rate=0.003), ModelSettings("small_cnn")
    recipe = Recipe({}, "", "", SplitSettings(n_folds=5), model, "", AugmentSettings("none"), fit)
    folds = [fold_data(recipe, data, np.arange(len(y)) % 5 == fold) for fold in range(min(n, 5))]
    trained = train_lanes([Lane(recipe, folds[i % 5], (i // 5, i % 5)) for i in range(n)])
    seen = sum(len(folds[i % 5].rows.positions) for i in range(n)) * epochs
    return seen / trained[0].history["seconds"].sum()


def by_keras(images, y, epochs):
    import keras

    from foldwise.models.small_cnn import small_cnn

    model = small_cnn((SIDE, SIDE, 2), 1)
    model.compile(keras.optimizers.AdamW(0.003), keras.losses.BinaryCrossentropy(from_logits=True))
    model.fit(images, y, batch_size=BATCH, verbose=0)
    started = time.perf_counter()
    model.fit(images, y, batch_size=BATCH, epochs=epochs, verbose=0)
    return len(y) * epochs / (time.perf_counter() - started)


def by_torch(images, y, epochs):
    import torch
    from torch import nn

    device = "cuda" if torch.cuda.is_available() else "cpu"
    layers, before = [nn.BatchNorm2d(2)], 2
    for width in (16, 32, 64, 96):
        block = [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.AvgPool2d(2)]
        layers, before = [*layers, *block], width
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(96, 1)).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), 0.003)
    data = torch.utils.data.TensorDataset(torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(y))
    loader = torch.utils.data.DataLoader(data, BATCH, shuffle=True)
    started = 0.0
    for epoch in range(epochs + 1):
        if epoch == 1:
            started = time.perf_counter()
        for x, labels in loader:
            optimizer.zero_grad()
            loss = nn.functional.binary_cross_entropy_with_logits(model(x.to(device))[:, 0], labels.to(device))
            loss.backward()
            optimizer.step()
    loss.item()
    return len(y) * epochs / (time.perf_counter() - started)
