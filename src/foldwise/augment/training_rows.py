"""The rows that a model is trained on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from foldwise.data.structure import Batch, Structure


@dataclass(frozen=True)
class TrainingRows:
    """The m training rows among n images: what batches are made from, and what an augmentation may know.

    images: (n, [v,] h, w, c) of v views, or stored features (n, v, d) of v views. An array, or anything that an
        array of positions selects from.
    inputs: the other model inputs of the n images, by name; see `foldwise.data.batch`.
    labels: float32 (m, k), of the training rows.
    positions: (m,) of the training rows among the n images.
    weights: float32 (m,) of the training rows in the loss. None: all count the same.
    structure: what views and categories mean to each other.
    """

    images: Any
    inputs: Batch
    labels: np.ndarray
    positions: np.ndarray
    weights: np.ndarray | None = None
    structure: Structure = field(default_factory=Structure)
