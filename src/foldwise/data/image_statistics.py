"""Statistics of each image as columns of its rows: image_mean_0, image_sd_0, ... of channel 0, for second levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from foldwise.data.batch import rows_at_once
from foldwise.data.dataset import Dataset, Split

STATISTICS = ("mean", "sd", "min", "median", "max")
PREFIX = "image_"
AT_ONCE = 256  # images, or views, that are read together


def with_image_statistics(dataset: Dataset, columns: Sequence[str]) -> Dataset:
    """Return the data with the statistics of all channels as columns, where one of `columns` begins with `image_`.

    They are those of all pixels of an image, and of all its views; rows that one image answers have the same. A table
    that has the columns, as that of a bundle has, which holds no images, is left as it is.
    """
    if not any(name.startswith(PREFIX) for name in columns):
        return dataset
    rows = dataset.structure.rows_per_image
    return replace(dataset, train=_with(dataset.train, rows), test=_with(dataset.test, rows))


def _with(split: Split, rows_per_image: int) -> Split:
    if set(_names(split.images)) <= set(split.table):
        return split
    found = pd.DataFrame(np.repeat(statistics(split.images), rows_per_image, axis=0), columns=_names(split.images))
    return replace(split, table=pd.concat([split.table, found], axis=1))


def _names(images: np.ndarray) -> list[str]:
    return [f"{PREFIX}{name}_{channel}" for channel in range(images.shape[-1]) for name in STATISTICS]


def statistics(images: np.ndarray) -> np.ndarray:
    """Return the statistics of images (n, [v,] h, w, c): float64 (n, 5 c), those of the first channel first.

    >>> statistics(np.array([[[[1], [2]], [[3], [6]]]])).round(3).tolist()
    [[3.0, 1.871, 1.0, 2.5, 6.0]]
    """
    functions = (np.mean, np.std, np.min, np.median, np.max)
    step, found = rows_at_once(images, AT_ONCE), [np.empty((0, len(functions) * images.shape[-1]))]
    for start in range(0, len(images), step):
        part = images[start : start + step].astype(np.float64)
        part = np.moveaxis(part, -1, 1).reshape(len(part), images.shape[-1], -1)
        found.append(np.stack([function(part, axis=2) for function in functions], axis=2).reshape(len(part), -1))
    return np.concatenate(found)
