"""The runs that a blend is made of, and their predictions as rows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise.data.dataset import Dataset, Split
from foldwise.data.folds import first_folds
from foldwise.errors import Damaged, FoldwiseError, choices
from foldwise.runs import store
from foldwise.runs.store import Run
from foldwise.scoring.rows import Problem, Rows, make_rows
from foldwise.settings import EnsembleSettings

log = logging.getLogger(__name__)

IN_MEMORY = 1e9  # bytes of predictions in float64; more are kept in a file, in float32


def choose(candidates: list[Run], settings: EnsembleSettings) -> list[Run]:
    """Return the members by name (a run's, or a model's: all its runs), all by default."""
    if settings.members == "all":
        return candidates
    chosen = []
    for name in settings.members:
        matching = [run for run in candidates if name in (run.name, run.recipe["model"]["name"])]
        if not matching:
            raise FoldwiseError(
                f"ensemble.members={name}: no such finished run; {choices(name, [r.name for r in candidates])}"
            )
        chosen += [run for run in matching if run not in chosen]
    return chosen


def stacked(
    members: list[Run],
    dataset: Dataset,
    folds: pd.DataFrame,
    folder: Path,
    predictions: Callable[[Run, pd.Series, list[str]], np.ndarray] | None = None,
    damaged: list[Run] | None = None,
) -> tuple[Rows, Rows, Problem]:
    """Return the training and the test rows of all members and the problem; large ones lie in files in `folder`.

    predictions: return those of a run for test ids and targets, (n_test, k); None: those that were written in training.
    damaged: takes the members whose predictions cannot be used, which are left out with a line; None: they are errors.

    Raises Damaged for such a member, or where none is left.
    """
    targets, splits, task = dataset.targets, (dataset.train, dataset.test), dataset.task
    sizes = [len(split.table) * len(targets) * len(members) * 8 for split in splits]
    kind = np.float64 if dataset.task == "regression" else np.float32  # values may be large, and differ by little
    stacks = [
        np.empty((len(members), len(split.table), len(targets)))
        if sum(sizes) <= IN_MEMORY
        else np.lib.format.open_memmap(folder / f"{i}.npy", "w+", kind, (len(members), len(split.table), len(targets)))
        for i, split in enumerate(splits)
    ]
    n = 0
    for run in members:
        try:
            stacks[0][n] = store.out_of_fold(run, folds, dataset.train.table["id"], targets, task)
            if predictions is None:
                stacks[1][n] = store.test_predictions(run, dataset.test.table["id"], targets, task=task)
            else:
                stacks[1][n] = predictions(run, dataset.test.table["id"], targets)
            n += 1
        except Damaged as error:
            if damaged is None or len(damaged) + 1 == len(members):
                raise
            log.warning("%s is left out: %s", run.name, error)
            damaged.append(run)
    fold_of = first_folds(folds, dataset.train.table["id"])
    train = make_rows(stacks[0][:n], inputs_of(dataset.train, targets), dataset.labels, fold_of)
    test = make_rows(stacks[1][:n], inputs_of(dataset.test, targets))
    column = next(iter(dataset.auxiliary), "group" if "group" in dataset.train.table else None)
    return train, test, Problem(dataset.task, test=test.scored_rows(), column=column)


def inputs_of(split: Split, targets: list[str]) -> pd.DataFrame:
    """Return the table without the labels: what methods may use of a row."""
    return split.table[[name for name in split.table if name not in targets]]


def labelling_runs(runs_dir: Path, names: Iterable[str], split_key: str) -> list[Run]:
    """Return the runs of those names, whose models label test rows for a run of that split.

    Raises FoldwiseError unless each is finished, was trained here, and shares the split.
    """
    found = [Run(runs_dir / name) for name in names]
    for source in found:
        if not (source.path / "recipe.yaml").is_file():
            valid = [one.name for one in store.finished_runs(runs_dir, split_key) if "imported" not in one.recipe]
            raise FoldwiseError(f"pseudo.runs={source.name}: no such run; {choices(source.name, valid)}")
        if "imported" in source.recipe:
            raise FoldwiseError(
                f"pseudo.runs={source.name}: it was imported, and its test predictions may come from models that saw "
                "the held-out rows; name a run that was trained here"
            )
        if source.recipe.get("split_key") != split_key:
            raise FoldwiseError(
                f"pseudo.runs={source.name}: its split is {source.recipe['split_key']}, expected {split_key}: on "
                "other folds its models saw rows that are held out here"
            )
        if not source.is_finished():
            raise FoldwiseError(
                f"pseudo.runs={source.name}: it is not finished: {len(source.missing())} folds are missing; "
                "`foldwise train` with its settings finishes it"
            )
    return found


def runs_of(runs_dir: Path, reports: Iterable[dict[str, Any]]) -> list[Run]:
    """Return the runs whose `run.json` the reports are."""
    return [Run(runs_dir / f"{report['model']}-{report['run_key']}") for report in reports]
