"""From a dataset to what models take: one row an image, and the inputs other than images (see data/structure.py)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from foldwise.data.dataset import Dataset, Split
from foldwise.data.structure import Batch, Structure
from foldwise.errors import FoldwiseError
from foldwise.settings import ONE_CLASS

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts


def structure_of(dataset: Dataset) -> Structure:
    """Return the structure of a dataset's samples as builders and augmentations take it.

    Categories distinguish the rows of an image, so that an image that answers several rows has none.
    """
    categories = {} if dataset.structure.rows_per_image > 1 else dataset.structure.categories
    return replace(dataset.structure, categories=categories, angles=dataset.train.angles is not None)


def side_inputs(dataset: Dataset, split: Split, auxiliary: np.ndarray | None) -> Batch:
    """Return the model inputs of a split other than its images, by name."""
    found: dict[str, np.ndarray | None] = {"auxiliary": auxiliary, "angles": split.angles}
    categories = list(structure_of(dataset).categories)
    if categories:
        found["categories"] = split.table[categories].to_numpy(np.int32)
    return {name: values for name, values in found.items() if values is not None}


def present(inputs: Batch) -> np.ndarray | None:
    """Return which slots hold a view: bool (n, v); None where all do."""
    return np.isfinite(inputs["angles"]) if "angles" in inputs else None


def rows_at_once(images: np.ndarray, n_images: int) -> int:
    """Return how many samples of (n, [v,] h, w, c) hold at most `n_images` views, at least 1.

    >>> rows_at_once(np.empty((100, 16, 2, 2, 1)), 256)
    16
    """
    return max(1, n_images // images.shape[1]) if images.ndim == 5 else n_images


def by_image(dataset: Dataset) -> Dataset:
    """Return the data with one row an image: r rows of k targets become a row of r k targets, row by row.

    A dataset whose images answer one row each is returned as it is. The new task is multilabel, or regression as
    before; the columns of the new table are those of an image's first row.

    Raises FoldwiseError for a multiclass or an ordinal task, whose rows' probabilities sum to 1.
    """
    r = dataset.structure.rows_per_image
    if r == 1:
        return dataset
    if dataset.task in ONE_CLASS:
        raise FoldwiseError(
            f"one image answers {r} rows of {'an' if dataset.task == 'ordinal' else 'a'} {dataset.task} task; expected "
            "a binary, a multilabel or a regression task, or images that answer one row each"
        )
    targets = [f"{target}_{row}" for row in range(r) for target in dataset.targets]
    labels = pd.DataFrame(dataset.labels.reshape(-1, len(targets)), columns=targets)
    train, test = (split.table[::r].reset_index(drop=True) for split in (dataset.train, dataset.test))
    train = pd.concat([train.drop(columns=dataset.targets), labels], axis=1)
    return replace(
        dataset,
        train=Split(dataset.train.images, train),
        test=Split(dataset.test.images, test),
        task="regression" if dataset.task == "regression" else "multilabel",
        targets=targets,
        structure=replace(dataset.structure, rows_per_image=1, categories={}),
    )


def images_of(rows: np.ndarray, rows_per_image: int) -> np.ndarray:
    """Return which images hold the rows of a mask (n,): bool (n / rows_per_image,).

    Raises FoldwiseError if the mask holds some rows of an image and not the others.

    >>> images_of(np.array([False, False, True, True]), 2).tolist()
    [False, True]
    """
    parts = rows.reshape(-1, rows_per_image)
    cut = np.flatnonzero(parts.any(axis=1) != parts.all(axis=1))
    if len(cut):
        raise FoldwiseError(
            f"the fold holds {parts[cut[0]].sum()} of the {rows_per_image} rows of image {cut[0]}; a fold must hold "
            "all rows that one image answers, or none: choose split=stratified_group, with groups of whole images"
        )
    return np.asarray(parts[:, 0])
