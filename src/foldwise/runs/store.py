"""A run's folder: one recipe, one folder a fold, and the pooled out-of-fold predictions."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from foldwise.errors import FoldwiseError
from foldwise.runs.recipe import Recipe, run_name
from foldwise.settings import (
    plain,
)
from foldwise.storage import write_json, written_aside

log = logging.getLogger(__name__)

OTHER = "other"  # the split key of imported predictions that were made on folds of their own
REFIT = -1  # the number of the fit on all rows, among those of the folds


@dataclass(frozen=True)
class Run:
    """A folder `runs/<competition>/<model>-<run key>`; a fold's folder that exists is finished.

    kept: the fits whose weights are there, where a bundle holds some alone. None: those of all.
    """

    path: Path
    kept: tuple[int, ...] | None = None

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """The stored recipe as plain values."""
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast
        loaded: dict[str, Any] = yaml.load((self.path / "recipe.yaml").read_text(), loader)
        return loaded

    @property
    def report(self) -> dict[str, Any]:
        """The `run.json` of a scored run."""
        loaded: dict[str, Any] = json.loads((self.path / "run.json").read_text())
        return loaded

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def n_fits(self) -> int:
        return int(self.recipe["split"]["n_folds"] * self.recipe["split"]["repeats"])

    @property
    def refits(self) -> bool:
        """Whether one more fit, on all rows, makes the test predictions."""
        return bool(self.recipe.get("fit", {}).get("refit"))

    @property
    def fits(self) -> list[int]:
        """The numbers of all fits: those of the folds, and REFIT where the run refits."""
        return [*range(self.n_fits), *([REFIT] if self.refits else [])]

    @property
    def predicting(self) -> list[int]:
        """The numbers of the fits that predict test rows: the refit alone, or all folds where there is none."""
        if self.kept is not None:
            return [*self.kept]
        return [REFIT] if self.refits else [*range(self.n_fits)]

    def fold_path(self, fit: int) -> Path:
        """The folder of one fit: `fold_<k>`, where k counts on over repeats, or `refit`."""
        return self.path / fit_name(fit)

    def missing(self) -> list[int]:
        """The fits that are not finished."""
        return [fit for fit in self.fits if not self.fold_path(fit).is_dir()]

    def is_finished(self) -> bool:
        return not self.missing()

    @property
    def is_approximate(self) -> bool:
        """Whether it was imported with folds of its own, so that scores and weights compare roughly."""
        return bool(self.recipe.get("split_key") == OTHER)


def fit_name(fit: int) -> str:
    """Return the name of the folder of one fit.

    >>> fit_name(3), fit_name(REFIT)
    ('fold_3', 'refit')
    """
    return "refit" if fit == REFIT else f"fold_{fit}"


def weight_files(run: Run, fit: int) -> list[Path]:
    """Return the files of weights of one fit, in the order in which its models were trained.

    Raises FoldwiseError where there are none.
    """
    found = sorted(run.fold_path(fit).glob("model*.weights.h5"), key=lambda path: (len(path.name), path.name))
    if not found:
        raise FoldwiseError(f"{run.fold_path(fit)}: there are no weights: remove that folder and train again")
    return found


def open_run(runs_dir: Path, recipe: Recipe) -> Run:
    """Return the run of a recipe, writing `recipe.yaml` where it is new."""
    run = Run(runs_dir / run_name(recipe))
    if not (run.path / "recipe.yaml").is_file():
        with written_aside(run.path / "recipe.yaml") as aside:
            aside.write_text(yaml.safe_dump(plain(recipe), sort_keys=False))
    return run


def take_folds(run: Run, other: Run) -> None:
    """Copy the finished folds of a run of the same recipe without its refit, instead of training them again."""
    for fit in range(run.n_fits):
        if not run.fold_path(fit).is_dir() and other.path.joinpath(f"fold_{fit}").is_dir():
            with written_aside(run.fold_path(fit)) as aside:
                shutil.copytree(other.path / f"fold_{fit}", aside)


def all_runs(runs_dir: Path) -> list[Run]:
    """Every run of a competition, finished or not, by name."""
    return [Run(path.parent) for path in sorted(runs_dir.glob("*/recipe.yaml"))]


def finished_runs(runs_dir: Path, split_key: str) -> list[Run]:
    """The finished runs that share a split: those that may be compared and blended."""
    return [run for run in all_runs(runs_dir) if run.recipe["split_key"] == split_key and run.is_finished()]


def held_out(run: Run, folds: pd.DataFrame) -> pd.DataFrame:
    """Return the held-out predictions, a row for each row of `folds` (id, repeat, fold), in its order.

    Raises FoldwiseError unless they are a partition: every sample predicted once in every repeat, by the
    model of the fold that held it out.
    """
    parts = [pd.read_parquet(run.fold_path(fit) / "held_out.parquet") for fit in range(run.n_fits)]
    pooled = pd.concat(parts, ignore_index=True)
    keys = ["id", "repeat", "fold"]
    if run.is_approximate:
        folds = pooled
    if pooled.duplicated(["id", "repeat"]).any() or len(pooled) != len(folds):
        raise FoldwiseError(_no_partition(run, f"{len(pooled)} predictions for {len(folds)} held-out rows"))
    joined = folds[keys].merge(pooled, on=keys, how="left")  # one to one: neither has a row twice
    lost = joined[joined.isna().any(axis=1)]
    if len(lost):
        raise FoldwiseError(
            _no_partition(run, f"{lost['id'].iloc[0]!r} was not predicted by the fold that held it out")
        )
    return joined


def out_of_fold(run: Run, folds: pd.DataFrame, ids: pd.Series, targets: list[str]) -> np.ndarray:
    """Return the out-of-fold probabilities (n, k) in the order of `ids`, averaged over repeats."""
    every = held_out(run, folds)
    once = run.recipe["split"]["repeats"] == 1  # nothing to average
    means = every.set_index("id")[targets] if once else every.groupby("id")[targets].mean()
    if run.is_approximate:  # on folds of its own it may hold out more rows
        means = means[means.index.isin(ids)]
    return aligned(means, ids, run.name)


def test_predictions(
    run: Run, ids: pd.Series, targets: list[str], fits: Iterable[int] | None = None, folder: Path | None = None
) -> np.ndarray:
    """Return the test probabilities (n_test, k) in the order of `ids`: the mean of some fits'.

    fits: by default those of `Run.predicting`.
    folder: where the predictions of the fits are, if not in the run's own folder.
    """
    folder, fits = folder or run.path, run.predicting if fits is None else fits
    parts = [pd.read_parquet(folder / fit_name(fit) / "test.parquet").set_index("id") for fit in fits]
    return np.asarray(np.mean([aligned(part[targets], ids, run.name) for part in parts], axis=0))


def aligned(predictions: pd.DataFrame, ids: pd.Series, name: str) -> np.ndarray:
    """Return the predictions (indexed by id) in the order of `ids`; raise FoldwiseError unless the ids agree."""
    if predictions.index.is_unique and len(predictions) == len(ids):
        places = predictions.index.get_indexer(pd.Index(ids))  # isin would go through a list of strings
        if (places >= 0).all():
            return predictions.to_numpy(np.float64)[places]
    raise FoldwiseError(
        f"{name}: its predictions are for {len(predictions)} ids, which are not the {len(ids)} ids of the data; "
        "was it trained on other data?"
    )


def held_out_table(ids: pd.Series, p: np.ndarray, targets: list[str], repeat: int, fold: int) -> pd.DataFrame:
    """Return the table of the held-out probabilities (n_f, k) of a fold, as `held_out.parquet` has it.

    ids: (n_f,) of the rows that the fold holds out in that repeat.
    """
    return test_table(ids, p, targets).assign(repeat=np.int8(repeat), fold=np.int8(fold))


def test_table(ids: pd.Series, p: np.ndarray, targets: list[str]) -> pd.DataFrame:
    """Return the table of test probabilities (n_test, k), as `test.parquet` has it."""
    table = pd.DataFrame(p, columns=targets)
    table.insert(0, "id", ids.to_numpy())
    return table


def write_fold(
    run: Run,
    fold_number: int,
    held_out: pd.DataFrame | None,
    test: pd.DataFrame,
    history: pd.DataFrame,
    models: list[Any],
    about: dict[str, Any],
) -> None:
    """Write the folder of a finished fold, whole or not at all.

    fold_number: as in `Run.fold_path`.
    held_out, test: as `held_out_table` and `test_table` make them; a refit has no `held_out`.
    history: a row for each seed and epoch, see `foldwise.training.fold_data.FoldResult`.
    models: Keras models, whose weights are written.
    about: what `fold.json` holds: seconds, images_per_second, device, versions, and where they are known
        pseudo_images and target_scale (mean and sd of a regression, by which outputs of the models become values).
    """
    with written_aside(run.fold_path(fold_number)) as aside:
        aside.mkdir()
        if held_out is not None:
            held_out.to_parquet(aside / "held_out.parquet", index=False)
        test.to_parquet(aside / "test.parquet", index=False)
        history.to_csv(aside / "history.csv", index=False)
        for number, model in enumerate(models):
            model.save_weights(aside / f"model{f'_{number}' if number else ''}.weights.h5")
        write_json(aside / "fold.json", about)


def fold_reports(run: Run) -> Iterator[dict[str, Any]]:
    """The `fold.json` of every finished fit: seconds, images_per_second, device."""
    for fit in run.fits:
        yield json.loads((run.fold_path(fit) / "fold.json").read_text())


def _no_partition(run: Run, what: str) -> str:
    return (
        f"{run.path}: the held-out predictions are no partition of the data: {what}. Remove that folder and train again"
    )
