"""Data of a regression: images whose brightness tells the targets, in memory or as prepared data on the disk."""

import numpy as np
import pandas as pd

from foldwise.data import dataset, records
from foldwise.data.dataset import Dataset, Split

N, N_TEST = 40, 9
HELD_OUT = np.arange(N) % 5 == 0


def brightness():
    """A number in [0, 2] for each of the training and the test images, in no order."""
    return np.random.default_rng(0).permutation(np.linspace(0, 2, N + N_TEST))


def make_values(slopes=((3.0, 2.0),), shape=(4, 4, 1), noise=0.0, **columns):
    """Images of one brightness x each; the targets are a x + b for the pairs (a, b) of `slopes`."""
    x = brightness()
    images = np.broadcast_to(x[:, None, None, None], (len(x), *shape)).astype(np.float32)
    images = images + np.random.default_rng(1).normal(0, noise, images.shape).astype(np.float32)
    targets = [f"y{i}" for i in range(len(slopes))]
    table = pd.DataFrame({"id": [f"r{i}" for i in range(len(x))]})
    for target, (a, b) in zip(targets, slopes, strict=True):
        table[target] = a * x + b
    train = table[:N].assign(**columns)
    test = table[N:].reset_index(drop=True)
    return Dataset(Split(images[:N], train), Split(images[N:], test), "regression", targets, [], None, "data", "ids")


def write_values(folder, data_key="data", targets=("y",), weighted=False):
    """Prepared data with folds of the rows in turn, a sample submission, and y = 3 x + 2."""
    x = brightness()
    folder.mkdir(parents=True)

    def record(i, columns):
        return records.Record(f"r{i}", np.full((4, 4, 1), x[i], np.float32), columns, f"row {i}")

    def columns_of(i):
        weight = {"weight": 1.0 + i % 3} if weighted else {}
        return {target: 3 * x[i] + 2 + 10 * place for place, target in enumerate(targets)} | weight

    training = [record(i, columns_of(i)) for i in range(N)]
    test = [record(i, {}) for i in range(N, N + N_TEST)]
    sample = folder.parent / "sample.csv"
    lines = [",".join(["id", *targets]), *(",".join([f"r{i}", *("0" for _ in targets)]) for i in range(N, N + N_TEST))]
    sample.write_text("".join(f"{line}\n" for line in lines))
    made = records.Records("regression", list(targets), training, test, sample_submission=sample)
    dataset.write(made, folder, data_key)
    ids = [f"r{i}" for i in range(N)]
    pd.DataFrame({"id": ids, "repeat": np.int8(0), "fold": (np.arange(N) % 2).astype(np.int8)}).to_parquet(
        folder / "folds.parquet"
    )
    return folder
