"""Samples as models take them: one image, what stands beside it, and what it answers.

A batch is a dict of arrays by the names of the models' inputs: `images` (n, [v,] h, w, c), `auxiliary` (n, 2 a),
`categories` int32 (n, number of categories, each counted from 1) and `angles` float32 (n, v), the view of each
slot in degrees, NaN where the slot is empty.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from foldwise.data.structure import Structure
from foldwise.errors import FoldwiseError

if TYPE_CHECKING:
    from foldwise.data.dataset import Dataset, Split

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts


Batch = dict[str, np.ndarray]


def structure_of(dataset: Dataset) -> Structure:
    """Return the structure of a dataset's samples; categories tell rows apart, so several rows have none."""
    categories = {} if dataset.rows_per_image > 1 else dataset.categories
    return Structure(categories, dataset.mirror, dataset.regions, angles(dataset.train) is not None)


def angles(split: Split) -> np.ndarray | None:
    """Return the columns `angle_0`, `angle_1`, ... of the views' angles, float32 (n, v); None without them."""
    views = split.images.shape[1] if split.images.ndim == 5 else 0
    names = [f"angle_{i}" for i in range(views)]
    if not names or not set(names) <= set(split.table):
        return None
    return split.table[names].to_numpy(np.float32)


def beside(dataset: Dataset, split: Split, auxiliary: np.ndarray | None) -> Batch:
    """Return what stands beside the images of a split, by name."""
    found: dict[str, np.ndarray | None] = {"auxiliary": auxiliary, "angles": angles(split)}
    categories = list(structure_of(dataset).categories)
    if categories:
        found["categories"] = split.table[categories].to_numpy(np.int32)
    return {name: values for name, values in found.items() if values is not None}


def present(beside: Batch) -> np.ndarray | None:
    """Return which slots hold a view: bool (n, v); None where all do."""
    return np.isfinite(beside["angles"]) if "angles" in beside else None


def rows_at_once(images: np.ndarray, n_images: int) -> int:
    """Return how many of the samples (n, [v,] h, w, c) hold at most `n_images` views; 1 at least."""
    return max(1, n_images // images.shape[1]) if images.ndim == 5 else n_images


def by_image(dataset: Dataset) -> Dataset:
    """Return the data with one row an image: r rows of k targets become a row of r k targets, row by row.

    A dataset whose images answer one row each is returned as it is. The new task is multilabel, the columns of
    the new table are those of an image's first row.

    Raises FoldwiseError for a multiclass task, whose rows' probabilities sum to 1.
    """
    r = dataset.rows_per_image
    if r == 1:
        return dataset
    if dataset.task == "multiclass":
        raise FoldwiseError(
            f"one image answers {r} rows of a multiclass task; expected a binary or a multilabel task, "
            "or images that answer one row each"
        )
    import pandas as pd  # not above: models and augmentations are looked up where an error must come in a second

    from foldwise.data.dataset import Split

    targets = [f"{target}_{row}" for row in range(r) for target in dataset.targets]
    labels = pd.DataFrame(dataset.labels.reshape(-1, len(targets)), columns=targets)
    train, test = (split.table[::r].reset_index(drop=True) for split in (dataset.train, dataset.test))
    train = pd.concat([train.drop(columns=dataset.targets), labels], axis=1)
    return replace(
        dataset,
        train=Split(dataset.train.images, train),
        test=Split(dataset.test.images, test),
        task="multilabel",
        targets=targets,
        rows_per_image=1,
        categories={},
    )


def images_of(rows: np.ndarray, rows_per_image: int) -> np.ndarray:
    """Return which images hold the rows of a mask (n,): bool (n / rows_per_image,).

    Raises FoldwiseError where the mask holds some rows of an image and not the others.
    """
    parts = rows.reshape(-1, rows_per_image)
    cut = np.flatnonzero(parts.any(axis=1) != parts.all(axis=1))
    if len(cut):
        raise FoldwiseError(
            f"the fold holds {parts[cut[0]].sum()} of the {rows_per_image} rows of image {cut[0]}; a fold must hold "
            "all rows that one image answers, or none: say split=stratified_group, with groups of whole images"
        )
    return np.asarray(parts[:, 0])


def mirrored(batch: Batch, structure: Structure) -> Batch:
    """Return the batch seen in a mirror: each view flipped left to right and moved to its partner's slot.

    An angle becomes 360 minus itself, a category its partner's number. Twice is the identity.
    """
    law = structure.mirror
    assert law is not None
    result = dict(batch)
    images = batch["images"][..., ::-1, :]
    result["images"] = images[:, law["slots"]] if images.ndim == 5 else images
    if "angles" in batch:
        result["angles"] = (360 - batch["angles"][:, law["slots"]]) % 360
    for column, name in enumerate(structure.categories):
        partners = np.asarray(law["categories"][name], np.int32)
        result["categories"] = result["categories"].copy()
        result["categories"][:, column] = partners[batch["categories"][:, column] - 1]
    return result
