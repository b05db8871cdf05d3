"""What a competition's reader returns: one record for each sample."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from foldwise.data.structure import Structure
from foldwise.settings import Task


@dataclass
class Record:
    """One sample as a reader yields it; `where` is its place in the raw files, for messages."""

    id: str
    image: np.ndarray | None  # ([v,] h, w, c); None for a row that the image of a row before it answers
    columns: dict[str, Any]  # targets and weight (train), group, scored, auxiliary columns
    where: str


@dataclass
class Records:
    """What a competition's `read` returns: lazy samples, so that memory does not grow with the files.

    sample_submission: the host's sample; None: there is none.
    test_ids: ids of the test rows, where they are known before any image is read; None: the ids of the sample.
        Empty: there is no test set.
    category_names: by the name of a category, what its numbers from 1 on stand for.
    The other fields are as in `dataset.Dataset`.
    """

    task: Task
    targets: list[str]
    train: Iterable[Record]
    test: Iterable[Record]
    auxiliary: list[str] = field(default_factory=list)
    sample_submission: Path | None = None
    pictures: list[Path] = field(default_factory=list)  # to be looked at; copied into the folder of the data
    structure: Structure = field(default_factory=Structure)
    test_ids: list[str] | None = None
    category_names: dict[str, list[str]] = field(default_factory=dict)
    ordered: bool = True
