"""A run's folder: one recipe, one folder a fold, and the pooled out-of-fold predictions."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import yaml

from foldwise.data import checksums
from foldwise.errors import Damaged, FoldwiseError
from foldwise.runs.check_files import parse_recipe, wrong_predictions, wrong_report
from foldwise.runs.recipe import Recipe, run_name
from foldwise.settings import Task, plain
from foldwise.storage import read_json, readable, sha256, write_json, written_aside

log = logging.getLogger(__name__)

OTHER = "other"  # the split key of imported predictions that were made on folds of their own
CHANGED = "was changed since foldwise wrote it"
T = TypeVar("T")
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
        """The stored recipe as plain values; raises Damaged where it is none, or was changed."""
        path = self.path / "recipe.yaml"
        with readable(path, remake_run(self)):
            text = path.read_text(encoding="utf-8")
            loaded = parse_recipe(text)
        if checksums.of_file(path) not in (None, hashlib.sha256(text.encode()).hexdigest()):
            raise Damaged(path, CHANGED, remake_run(self))
        return loaded

    @property
    def report(self) -> dict[str, Any]:
        """The `run.json` of a scored run; raises Damaged where it is none, or was changed."""
        path = self.path / "run.json"
        again = f"`rm {path}` removes it, and `foldwise score` computes it again"
        loaded = read_json(path, again)
        if checksums.of_file(path) not in (None, sha256(path)):
            raise Damaged(path, CHANGED, again)
        if found := wrong_report(loaded, self.name):
            raise Damaged(path, found, again)
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


def remake_run(run: Run) -> str:
    """Return how a damaged run is removed and made again, for messages."""
    return f"`rm -r {run.path}` removes that run, and `foldwise train` with its settings makes it again"


def remake_fit(run: Run, fit: int) -> str:
    """Return how a damaged fit of a run is removed and made again, for messages."""
    again = "import" if "imported" in run.recipe else "train"
    return (
        f"`rm -r {run.fold_path(fit)}` removes it, and `foldwise {again}` with the settings of the run makes it again"
    )


def open_run(runs_dir: Path, recipe: Recipe) -> Run:
    """Return the run of a recipe, writing `recipe.yaml` where it is new."""
    run = Run(runs_dir / run_name(recipe))
    if not (run.path / "recipe.yaml").is_file():
        write_recipe(run, plain(recipe))
    return run


def write_recipe(run: Run, recipe: Any) -> None:
    """Write the `recipe.yaml` of a run, and its checksum."""
    text = yaml.safe_dump(recipe, sort_keys=False)
    with written_aside(run.path / "recipe.yaml") as aside:
        aside.write_text(text, encoding="utf-8")
        checksums.write_one(run.path / "recipe.yaml", sha256(aside))


def take_folds(run: Run, other: Run) -> None:
    """Copy the finished folds of a run of the same recipe without its refit, instead of training them again."""
    for fit in range(run.n_fits):
        if not run.fold_path(fit).is_dir() and other.path.joinpath(f"fold_{fit}").is_dir():
            check_owner(other, fit)
            with written_aside(run.fold_path(fit)) as aside:
                shutil.copytree(other.path / f"fold_{fit}", aside)
                if (listed := aside / f"{checksums.NAME}.json").is_file():
                    write_json(listed, checksums.stored(listed) | {"of": _owner(run, fit)})


def all_runs(runs_dir: Path) -> list[Run]:
    """Every run of a competition, finished or not, by name; those whose recipe is damaged are left out with a line."""
    found = [Run(path.parent) for path in sorted(runs_dir.glob("*/recipe.yaml")) if path.is_file()]
    return [run for run, _ in each_undamaged(found, lambda run: run.recipe)]


def each_undamaged(runs: Iterable[Run], use: Callable[[Run], T]) -> list[tuple[Run, T]]:
    """Return runs with what a function makes of each; those of which a file is damaged are left out with a line."""
    found = []
    for run in runs:
        try:
            found.append((run, use(run)))
        except Damaged as error:
            log.warning("%s is left out: %s", run.name, error)
    return found


def finished_runs(runs_dir: Path, split_key: str) -> list[Run]:
    """The finished runs that share a split: those that may be compared and blended."""
    return [run for run in all_runs(runs_dir) if run.recipe.get("split_key") == split_key and run.is_finished()]


def check_owner(run: Run, fit: int) -> None:
    """Raise Damaged where the folder of a fit was written for another run or fold, as its checksums say."""
    listed = run.fold_path(fit) / f"{checksums.NAME}.json"
    if listed.is_file() and (owner := checksums.stored(listed).get("of")) not in (None, _owner(run, fit)):
        raise Damaged(run.fold_path(fit), f"is a copy of {owner}", remake_fit(run, fit))


def _owner(run: Run, fit: int) -> str:
    return f"{run.name}/{fit_name(fit)}"


def held_out(run: Run, folds: pd.DataFrame) -> pd.DataFrame:
    """Return the held-out predictions, a row for each row of `folds` (id, repeat, fold), in its order.

    Raises Damaged unless they are a partition: every sample predicted once in every repeat, by the model of the fold
    that held it out.
    """
    keys = ["id", "repeat", "fold"]
    parts = [_predictions(run, fit, "held_out", keys) for fit in range(run.n_fits)]
    pooled = pd.concat(parts, ignore_index=True)
    if run.is_approximate:
        folds = pooled
    if pooled.duplicated(["id", "repeat"]).any() or len(pooled) != len(folds):
        raise _no_partition(run, f"{len(pooled)} predictions for {len(folds)} held-out rows")
    joined = folds[keys].merge(pooled, on=keys, how="left")  # one to one: neither has a row twice
    lost = joined[joined.isna().any(axis=1)]
    if len(lost):
        raise _no_partition(run, f"{lost['id'].iloc[0]!r} was not predicted by the fold that held it out")
    return joined


def out_of_fold(
    run: Run,
    folds: pd.DataFrame,
    ids: pd.Series,
    targets: list[str],
    task: Task | None = None,
    every: pd.DataFrame | None = None,
) -> np.ndarray:
    """Return the out-of-fold probabilities (n, k) in the order of `ids`, averaged over repeats.

    every: what `held_out` returns, where it was read before.
    task: of the data; each prediction must be one of it. None: nothing is known.
    Raises Damaged where predictions are not what this data and these folds have.
    """
    every = held_out(run, folds) if every is None else every
    _check_targets(every, targets, run, "held_out.parquet", task)
    once = run.recipe["split"]["repeats"] == 1  # nothing to average
    means = every.set_index("id")[targets] if once else every.groupby("id")[targets].mean()
    if run.is_approximate:  # on folds of its own it may hold out more rows
        means = means[means.index.isin(ids)]
    return aligned(means, ids, run.name)


def test_predictions(
    run: Run,
    ids: pd.Series,
    targets: list[str],
    fits: Iterable[int] | None = None,
    folder: Path | None = None,
    task: Task | None = None,
) -> np.ndarray:
    """Return the test probabilities (n_test, k) in the order of `ids`: the mean of some fits'.

    fits: by default those of `Run.predicting`.
    folder: where the predictions of the fits are, if not in the run's own folder.
    task: of the data; each prediction must be one of it. None: nothing is known.
    Raises Damaged where predictions are not what this data has.
    """
    fits = run.predicting if fits is None else fits
    parts = []
    for fit in fits:
        part = _predictions(run, fit, "test", ["id"], folder)
        _check_targets(part, targets, run, f"{fit_name(fit)}/test.parquet", task)
        parts.append(aligned(part.set_index("id")[targets], ids, run.name))
    return np.asarray(np.mean(parts, axis=0))


def _predictions(run: Run, fit: int, name: str, keys: list[str], folder: Path | None = None) -> pd.DataFrame:
    """Read a parquet of the predictions of a fit, which must have some columns; raise Damaged where it has not."""
    path = (folder / fit_name(fit) if folder else run.fold_path(fit)) / f"{name}.parquet"
    if not folder:
        check_owner(run, fit)
    with readable(path, remake_fit(run, fit)):
        if not path.is_file():
            raise FileNotFoundError(path)
        table = pd.read_parquet(path)
        if absent := [key for key in keys if key not in table]:
            raise ValueError(f"the column {absent[0]!r} is missing")
    return table


def _check_targets(table: pd.DataFrame, targets: list[str], run: Run, name: str, task: Task | None) -> None:
    """Raise Damaged unless a table of predictions has the targets, with values that the task may have."""
    if found := wrong_predictions(table, targets, task):
        raise Damaged(run.path / name, found, remake_run(run))


def aligned(predictions: pd.DataFrame, ids: pd.Series, name: str) -> np.ndarray:
    """Return the predictions (indexed by id) in the order of `ids`; raise Damaged unless the ids agree."""
    if predictions.index.is_unique and len(predictions) == len(ids):
        places = predictions.index.get_indexer(pd.Index(ids))  # isin would go through a list of strings
        if (places >= 0).all():
            return predictions.to_numpy(np.float64)[places]
    raise Damaged(
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
    test: pd.DataFrame | bytes,
    history: pd.DataFrame,
    models: list[Any],
    about: dict[str, Any],
) -> None:
    """Write the folder of a finished fold, whole or not at all.

    fold_number: as in `Run.fold_path`.
    held_out, test: as `held_out_table` and `test_table` make them; a refit has no `held_out`. Several folds of the same
        test predictions may give them as the bytes of their parquet.
    history: a row for each seed and epoch, see `foldwise.training.fold_data.FoldResult`.
    models: Keras models, whose weights are written.
    about: what `fold.json` holds: seconds, images_per_second, device, versions, and where they are known
        pseudo_images and target_scale (mean and sd of a regression, by which outputs of the models become values).
    """
    with written_aside(run.fold_path(fold_number)) as aside:
        aside.mkdir()
        if held_out is not None:
            held_out.to_parquet(aside / "held_out.parquet", index=False)
        (aside / "test.parquet").write_bytes(test if isinstance(test, bytes) else test.to_parquet(index=False))
        history.to_csv(aside / "history.csv", index=False)
        for number, model in enumerate(models):
            model.save_weights(aside / f"model{f'_{number}' if number else ''}.weights.h5")
        write_json(aside / "fold.json", about)
        checksums.write(aside, of=_owner(run, fold_number))


def fold_reports(run: Run, *keys: str) -> Iterator[dict[str, Any]]:
    """The `fold.json` of every finished fit, which must have some keys: seconds, images_per_second, device.

    Raises Damaged where one has not.
    """
    for fit in run.fits:
        path, again = run.fold_path(fit) / "fold.json", remake_fit(run, fit)
        about = read_json(path, again)
        with readable(path, again):
            if absent := [key for key in keys if key not in about]:
                raise ValueError(f"{absent[0]!r} is missing")
        yield about


def _no_partition(run: Run, what: str) -> Damaged:
    return Damaged(run.path, f"holds held-out predictions that are no partition of the data: {what}", remake_run(run))
