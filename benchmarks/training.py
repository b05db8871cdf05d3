"""Five folds of one net: foldwise's worker processes against a Keras loop as its author would write it.

Both train the same four-convolution net (3x3 filters 64-128-128-64, each max-pooled 2x2, dense 512-256) on
75 x 75 x 2 pixels, with Adam, batches of 32, no augmentation, and predict the held-out and the test rows.
foldwise: the stage `train`, one worker a core, on data that is prepared and split. The loop: arrays in
memory, StratifiedKFold, build, compile, fit, predict, one fold after the other, TensorFlow's defaults
untouched. Each runs in a fresh process.

TensorFlow switches oneDNN on by default on a CPU with AVX-512 and off on one without; foldwise always
switches it on. So the loop runs twice, with oneDNN and without: one is this machine's default, the other
that of other machines. foldwise runs a second time with `fit.mixed_precision=true`, an option: on CPUs with
AVX512_BF16 its 16-bit floats are computed in hardware.

"start" is the time until the first model can be built (the interpreter, TensorFlow's import; for foldwise
also its settings and its workers, until the first one is ready), "folds" all that follows. "images/s" counts
the training images of all folds in the seconds of "folds"; "of one fit" is the median over folds of the
rate inside `fit`, the tracing of its graph included. With twelve epochs of 512 images, start-up is some tenth
of the whole; real recipes train for longer, and their ratio goes towards that of "folds". "log loss" is out of fold:
what is faster must not be worse (folds differ between foldwise and the loop, and some hundred rows tell .02 apart).

The ratios depend on AVX-512, on what else runs, and on the number of cores (two train five folds in three rounds).
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Measured, child, cpu_has, table

if TYPE_CHECKING:
    from foldwise.settings import Settings

FOLDS = 5
NET = [
    "model=small_cnn",
    "model.options.filters=[64,128,128,64]",
    "model.options.padding=valid",
    "model.options.pooling=max",
    "model.options.batch_norm=false",
    "model.options.batch_norm_input=false",
    "model.options.global_pooling=none",
    "model.options.dense=[512,256]",
    "model.options.dense_dropout=0",
    "augment=none",
    "fit.optimizer=adam",
    "fit.schedule=constant",
    "fit.learning_rate=1e-3",
    "fit.weight_decay=0",
    "fit.batch_size=32",
]


def settings(root: str, n_train: int, epochs: int, *more: str) -> Settings:
    """Compose the settings of the net on a simulated competition."""
    from foldwise.config.compose import compose_all

    source = [f"source.n_train={n_train}", "source.n_test=10"]
    return next(compose_all([f"root={root}", *source, *NET, f"fit.epochs={epochs}", *more]))


def run(quick: bool) -> None:
    """Print seconds and images/s of foldwise and of both loops, and the ratios."""
    from foldwise.processes import cores
    from foldwise.stages.folds import folds

    n, epochs = (96, 1) if quick else (640, 12)
    with tempfile.TemporaryDirectory() as root:
        folds(settings(root, n, epochs))
        arguments = (root, str(n), str(epochs))
        found = {
            "foldwise": child(__name__, "foldwise", *arguments),
            "foldwise, 16 bits": child(__name__, "foldwise", *arguments, "fit.mixed_precision=true"),
        }
        for name, value in (("loop, oneDNN", "1"), ("loop, no oneDNN", "0")):
            found[name] = child(__name__, "loop", *arguments, TF_ENABLE_ONEDNN_OPTS=value, TF_CPP_MIN_LOG_LEVEL="3")
    print(f"  {FOLDS} folds of {n} rows, {epochs} epochs, {cores()} cores")
    _print_table(found, n * (FOLDS - 1) * epochs)
    default, other = ("on", "off") if cpu_has("avx512f") else ("off", "on")
    has = "has" if default == "on" else "lacks"
    print(f"  this CPU {has} AVX-512: TensorFlow's default here is oneDNN {default}; on other CPUs it is {other}")
    print(f"  16-bit floats (fit.mixed_precision): in hardware {'here' if cpu_has('avx512_bf16') else 'on other CPUs'}")


def _print_table(found: dict[str, Measured], n_images: int) -> None:
    columns = {}
    for name, m in found.items():
        folds_seconds = m.said["folds"]
        seconds = [m.seconds, m.cpu_seconds, m.seconds - folds_seconds, folds_seconds]
        columns[name] = [*seconds, n_images / folds_seconds, statistics.median(m.said["rates"])]
    rows = [
        [name, *(f"{v:.1f}" for v in values), f"{found[name].said['loss']:.3f}"] for name, values in columns.items()
    ]
    for our_name in ("foldwise", "foldwise, 16 bits"):
        for name in ("loop, oneDNN", "loop, no oneDNN"):
            pairs = zip(columns[name], columns[our_name], strict=True)
            ahead = [t / o if i < 4 else o / t for i, (t, o) in enumerate(pairs)]
            rows.append([f"{our_name} ahead of {name}, times", *(f"{ratio:.2f}" for ratio in ahead), ""])
    table(["", "whole s", "CPU s", "start s", "folds s", "images/s", "of one fit", "log loss"], rows)


def train_foldwise(root: str, n: int, epochs: int, *more: str) -> dict[str, Any]:
    """Train as `foldwise train` does."""
    from foldwise import progress
    from foldwise.execution import queue
    from foldwise.runs import store
    from foldwise.stages import train

    class Watched(progress.Progress):
        ready = 0.0

        def update(self, kind: str, *values: Any) -> None:
            if kind == "device" and not Watched.ready:
                Watched.ready = time.perf_counter()
            super().update(kind, *values)

    queue.Progress = Watched  # to see when the first worker is ready
    finished = train.train(settings(root, n, epochs, *more))
    rates = [fold["images_per_second"] for fold in store.fold_reports(finished)]
    seconds = time.perf_counter() - Watched.ready
    return {"folds": seconds, "rates": rates, "loss": finished.report["log_loss"]}


def train_loop(root: str, n: int, epochs: int) -> dict[str, Any]:
    """Train as a hand-written script does; foldwise is used only to find the data."""
    from foldwise.stages.prepare import prepare

    data = prepare(settings(root, n, epochs))
    x, y, x_test = data.train.images[:], data.labels[:, 0], data.test.images[:]

    import keras
    import numpy as np
    from keras import layers
    from sklearn.metrics import log_loss
    from sklearn.model_selection import StratifiedKFold

    started = time.perf_counter()
    x, x_test = ((images - x.mean((0, 1, 2))) / x.std((0, 1, 2)) for images in (x, x_test))
    held_out, test, rates = np.zeros(n), np.zeros(len(x_test)), []
    for fit, rest in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(x, y):
        model = keras.Sequential([keras.Input((75, 75, 2))])
        for filters in (64, 128, 128, 64):
            model.add(layers.Conv2D(filters, 3, activation="relu"))
            model.add(layers.MaxPooling2D(2))
        model.add(layers.Flatten())
        model.add(layers.Dense(512, activation="relu"))
        model.add(layers.Dense(256, activation="relu"))
        model.add(layers.Dense(1, activation="sigmoid"))
        model.compile("adam", "binary_crossentropy")
        before = time.perf_counter()
        model.fit(x[fit], y[fit], batch_size=32, epochs=epochs, verbose=0)
        rates.append(len(fit) * epochs / (time.perf_counter() - before))
        held_out[rest] = model.predict(x[rest], verbose=0)[:, 0]
        test += model.predict(x_test, verbose=0)[:, 0] / FOLDS
    return {"folds": time.perf_counter() - started, "rates": rates, "loss": log_loss(y, held_out)}


if __name__ == "__main__":
    train_function = {"foldwise": train_foldwise, "loop": train_loop}[sys.argv[1]]
    print(json.dumps(train_function(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:])))
