"""Where models look: the tasks that explain the samples on the page, and their results by sample."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foldwise.data.dataset import Dataset
from foldwise.execution.explanation import ExplanationTask
from foldwise.execution.queue import explain_fits
from foldwise.runs.recipe import Recipe
from foldwise.runs.store import Run
from foldwise.settings import ONE_CLASS, ExecutionSettings, ReportSettings, Task

log = logging.getLogger(__name__)

Looks = dict[
    str, np.ndarray
]  # heat, occlusion ([v,] h', w') and neighbours (k,) of one sample, as far as there are any


@dataclass(frozen=True)
class Shown:
    """A run whose samples are shown.

    recipe: None where it has no weights: it was imported.
    rows: the samples, hardest first: positions in the rows that are held out. positions: the same in all rows.
    folds: which fold holds out each of the samples, in the first repeat.
    outputs, signs: what is asked of each, see `evidence`.
    """

    run: Run
    recipe: Recipe | None
    rows: list[int]
    positions: np.ndarray
    folds: np.ndarray
    outputs: np.ndarray
    signs: np.ndarray


def evidence(y: np.ndarray, p: np.ndarray, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Return the output that is looked at for each sample, and 1 or -1: for or against it; int (m,) both.

    It is the class that was decided; of several labels the one that is most wrong. y, p: (m, k).

    >>> evidence(np.array([[1.0], [1.0]]), np.array([[0.9], [0.2]]), "binary")[1].tolist()
    [1, -1]
    """
    if task in ONE_CLASS:
        return p.argmax(axis=1), np.ones(len(p), int)
    worst = np.abs(y - p).argmax(axis=1)
    if task == "regression":
        return worst, np.ones(len(p), int)
    return worst, np.where(p[np.arange(len(p)), worst] >= 0.5, 1, -1)


def is_wanted(given: ReportSettings) -> bool:
    """Return whether anything is to be computed by trained models."""
    return bool(given.images and given.illustrated and (given.heat or given.occlusion or given.neighbours))


def explain(
    shown: list[Shown], dataset: Dataset, folds: Path, given: ReportSettings, execution: ExecutionSettings
) -> list[dict[int, Looks]]:
    """Return for each run what its own held-out models say of its samples, by their rows.

    folds: file of the folds.

    Raises FoldwiseError where weights are missing.
    """
    with tempfile.TemporaryDirectory() as folder:
        tasks: list[tuple[int, list[int], ExplanationTask]] = []
        for number, one in enumerate(shown):
            if one.recipe is None:
                log.info(
                    "%s: it was imported without weights, so that nothing is known of where it looks", one.run.name
                )
                continue
            for fold in np.unique(one.folds).tolist():
                at = np.flatnonzero(one.folds == fold)
                task = ExplanationTask(
                    one.run,
                    one.recipe,
                    fold,
                    len(dataset.train.images),
                    dataset.path,
                    folds,
                    rows=tuple(one.positions[at].tolist()),
                    outputs=tuple(one.outputs[at].tolist()),
                    signs=tuple(one.signs[at].tolist()),
                    heat=int((at < given.heat).sum()),
                    occlusion=int((at < given.occlusion).sum()),
                    neighbours=given.neighbours,
                    result=Path(folder) / one.run.name / f"{fold}.npz",
                )
                tasks.append((number, [one.rows[i] for i in at], task))
        if tasks:
            explain_fits([task for *_, task in tasks], execution)
        found: list[dict[int, Looks]] = [{} for _ in shown]
        for number, rows, task in tasks:
            arrays: Any = np.load(task.result)
            for name in arrays.files:
                for row, values in zip(rows, arrays[name], strict=False):  # maps are of the hardest rows alone
                    found[number].setdefault(row, {})[name] = values
    return found
