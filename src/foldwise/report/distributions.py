"""Training against test data: how columns and the brightness of images are distributed in both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from foldwise.data.dataset import Dataset, Split
from foldwise.report.curves import rounded

BINS = 24
IMAGES = 500  # of each split, evenly spaced, whose brightness is measured
CHANNELS = 4  # that have figures of their own, at most
VALUES = 20  # of a category, at most
ROWS = 50_000  # of a column, evenly spaced
CRITICAL = 1.628  # of the Kolmogorov-Smirnov statistic at a level of 1 %, times sqrt((n + m) / (n m))


def distributions(dataset: Dataset) -> list[dict[str, Any]]:
    """Return what is distributed how in training and test rows, what differs most first; empty without test rows.

    Each has name and distance. Numbers have low, high and the shares `train` and `test` in 24 bins, which leave out a
    hundredth at both ends, `differs` and, as `missing`, the shares without a value. Categories have `values`: rows of
    a value and its two shares.
    """
    if not len(dataset.test.table) or not len(dataset.test.images):
        return []
    train, test = dataset.train.table, dataset.test.table
    found = [numbers(_thinned(train[name]), _thinned(test[name]), name) for name in _columns(dataset)]
    for name, (one, other) in brightness(dataset).items():
        found.append(numbers(one, other, name))
    known = [one for one in found if one is not None]
    known += [categories(dataset, name) for name in dataset.structure.categories if name in test]
    return sorted(known, key=lambda one: -one["distance"])


def numbers(train: np.ndarray, test: np.ndarray, name: str) -> dict[str, Any] | None:
    """Return the distributions of numbers (n,) and (m,), NaN for missing ones; None where a side has no number.

    distance: the Kolmogorov-Smirnov statistic, the largest difference of the shares below any value.
    differs: whether chance explains a distance as large in less than one case of a hundred.

    >>> numbers(np.array([0.0, 1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0, 5.0]), "x")["distance"]
    0.5
    """
    one, other = (values[np.isfinite(values)] for values in (train, test))
    if not len(one) or not len(other):
        return None
    every = np.sort(np.concatenate([one, other]))
    below = [np.searchsorted(np.sort(values), every, side="right") / len(values) for values in (one, other)]
    distance = float(np.abs(below[0] - below[1]).max())
    low, high = np.percentile(every, [1, 99])
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    shares = [
        rounded(np.histogram(np.clip(values, low, high), BINS, (low, high))[0] / len(values)) for values in (one, other)
    ]
    return {
        "name": name,
        "distance": distance,
        "differs": bool(distance > CRITICAL * np.sqrt((len(one) + len(other)) / (len(one) * len(other)))),
        "low": rounded(np.array([low]))[0],
        "high": rounded(np.array([high]))[0],
        "train": shares[0],
        "test": shares[1],
        "missing": [float(np.isnan(values).mean()) for values in (train, test)],
    }


def categories(dataset: Dataset, name: str) -> dict[str, Any]:
    """Return the shares of the values of a category in both splits; distance: half the sum of their differences."""
    shares = [split.table[name].value_counts(normalize=True) for split in _splits(dataset)]
    both = pd.concat(shares, axis=1, keys=["train", "test"]).fillna(0).sort_index()
    rows = [[str(value), *rounded(line)] for value, line in zip(both.index, both.to_numpy(), strict=True)]
    distance = float((both["train"] - both["test"]).abs().sum() / 2)
    return {"name": name, "distance": distance, "values": rows[:VALUES], "n_values": len(rows)}


def brightness(dataset: Dataset) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the mean and the standard deviation of each channel of some images of both splits, by name."""
    n_channels = dataset.train.images.shape[-1]
    measured = [_measured(split.images) for split in _splits(dataset)]
    found = {}
    for channel in range(min(n_channels, CHANNELS)):
        of = "" if n_channels == 1 else f" of channel {channel + 1}"
        for at, name in enumerate(("mean pixel", "spread of pixels")):
            found[f"{name}{of}"] = (measured[0][at][:, channel], measured[1][at][:, channel])
    return found


def _measured(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    kept = np.unique(np.linspace(0, len(images) - 1, min(IMAGES, len(images))).astype(int))
    parts = [np.asarray(images[i], np.float64).reshape(-1, images.shape[-1]) for i in kept]
    return np.stack([part.mean(axis=0) for part in parts]), np.stack([part.std(axis=0) for part in parts])


def slot_angles(dataset: Dataset) -> set[str]:
    """Return the columns of the angle of each view of a sample, which say little by themselves."""
    n_views = dataset.train.images.shape[1] if dataset.train.images.ndim == 5 else 0
    return {f"angle_{view}" for view in range(n_views)}


def _columns(dataset: Dataset) -> list[str]:
    return [
        name for name in dataset.auxiliary if name in dataset.test.table and name not in dataset.structure.categories
    ]


def _splits(dataset: Dataset) -> tuple[Split, Split]:
    return dataset.train, dataset.test


def _thinned(values: pd.Series) -> np.ndarray:
    kept = np.unique(np.linspace(0, len(values) - 1, min(ROWS, len(values))).astype(int))
    return values.to_numpy(np.float64)[kept]
