"""What a competition's reader yields: one record a sample."""

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
    """One sample as a reader yields it; `where` names its place in the raw files for a person."""

    id: str
    image: np.ndarray | None  # ([v,] h, w, c); None for a row that the image of a row before it answers
    columns: dict[str, Any]  # targets (train), group, scored, auxiliary columns
    where: str


@dataclass
class Records:
    """What a competition's `read` returns: lazy samples, so that memory stays flat as files grow."""

    task: Task
    targets: list[str]
    train: Iterable[Record]
    test: Iterable[Record]
    auxiliary: list[str] = field(default_factory=list)
    sample_submission: Path | None = None
    pictures: list[Path] = field(default_factory=list)  # for the eye, kept beside the data
    structure: Structure = field(default_factory=Structure)
