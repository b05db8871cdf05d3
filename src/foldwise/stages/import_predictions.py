"""Stage `import`: take predictions made elsewhere (CSV or parquet) as runs, once they are known to fit the data."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise.data.dataset import Dataset
from foldwise.data.fold_files import read_fold_file
from foldwise.data.folds import counted_split, first_folds, held_out_part, split_key, write_folds
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.runs.prediction_files import SUFFIXES, read_predictions
from foldwise.runs.report import write_report
from foldwise.runs.store import OTHER, Run, write_fold, write_recipe
from foldwise.scoring.metrics import METRICS, as_text, usual_metric
from foldwise.settings import ImportsSettings, Settings, plain
from foldwise.stages.prepare import prepare
from foldwise.storage import content_key

log = logging.getLogger(__name__)


def import_predictions(settings: Settings) -> list[dict[str, Any]]:
    """Import `oof=` with `test=`, two files or two folders of files of the same names; return their `run.json`.

    oof: id, a column for each target, and `fold`, where `folds=FILE` (id, fold) does not give the folds; they must be
    those of the split. With split=other they may be any: all scores that use the run are approximate.
    test: id and the targets; rows in any order. A binary target's column may have any name if it is the only one.

    Raises FoldwiseError for unknown, missing and duplicate ids, NaN, probabilities outside [0, 1] and another split,
    before anything is written.
    """
    if settings.imports.oof is None or settings.imports.test is None:
        raise ConfigError(
            "import: expected oof=FILE and test=FILE, or two folders; test predictions without out-of-fold ones cannot "
            "be scored, but `foldwise ensemble ensemble=files ensemble.options.folder=FOLDER` blends them"
        )
    pairs = _pairs(Path(settings.imports.oof), Path(settings.imports.test), settings.imports.name)
    dataset = prepare(settings)
    other = settings.split.kind == "other"
    folds = None if other else write_folds(dataset, settings.split)
    if folds is not None:
        settings = replace(settings, split=counted_split(settings.split, folds))
    scored = dataset if folds is None else held_out_part(dataset, folds)
    checked = [(name, *_checked(oof, test, dataset, scored, folds, settings.imports)) for name, oof, test in pairs]
    reports = []
    for name, held_out, test in checked:
        run = _write(settings, dataset, name, held_out, test)
        # predictions on whatever folds are scored on those
        own_folds = held_out[["id", "repeat", "fold"]] if folds is None else folds
        reports.append(write_report(run, scored, own_folds, held_out))
        metric = usual_metric(dataset.task)
        score, approximate = reports[-1][metric], " (approximate)" if other else ""
        log.info("imported %s: %s %s%s", run.name, METRICS[metric].label, as_text(score), approximate)
    return reports


def show(reports: list[dict[str, Any]], width: int) -> str:
    """Return the table of the imported runs."""
    from foldwise.stages import score

    return score.show(reports, width)


def _pairs(oof: Path, test: Path, name: str | None) -> list[tuple[str, Path, Path]]:
    """Return (name, out-of-fold file, test file) of two files, or of two folders whose files have the same names."""
    for path in (oof, test):
        if not path.exists():
            raise FoldwiseError(f"{path}: no such file or folder")
    if oof.is_dir() != test.is_dir():
        raise FoldwiseError(f"oof={oof} test={test}: expected two files or two folders")
    if not oof.is_dir():
        return [(name or oof.stem, oof, test)]
    if name is not None:
        raise ConfigError(f"name={name}: the files of a folder keep their own names")
    left, right = ({p.stem: p for p in sorted(d.iterdir()) if p.suffix in SUFFIXES} for d in (oof, test))
    alone = sorted(left.keys() ^ right.keys())
    if alone or not left:
        what = f"{alone[0]!r} is in one of them only" if alone else "they hold no .csv and no .parquet"
        raise FoldwiseError(f"oof={oof} test={test}: expected files of the same names in both folders; {what}")
    return [(stem, path, right[stem]) for stem, path in left.items()]


def _checked(
    oof: Path,
    test: Path,
    dataset: Dataset,
    held_out_data: Dataset,
    folds: pd.DataFrame | None,
    imports: ImportsSettings,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the held-out predictions (id, targets, repeat, fold) and the test predictions of a pair of files."""
    ids = dataset.train.table["id"]
    scored = held_out_data.train.table["id"]
    never = frozenset(ids.to_list()) - frozenset(scored.to_list()) if len(scored) < len(ids) else frozenset()
    held_out = read_predictions(oof, scored, dataset.targets, dataset.task, repair=imports.ids, never_held_out=never)
    outside = read_predictions(test, dataset.test.table["id"], dataset.targets, dataset.task, repair=imports.ids)
    if folds is None:
        return held_out.assign(repeat=np.int8(0), fold=np.int8(0)), outside
    if imports.folds is not None:
        theirs = read_fold_file(Path(imports.folds), ids, key="imports.folds")
        held_out["fold"] = first_folds(theirs, held_out["id"])
    elif "fold" not in held_out:
        raise FoldwiseError(
            f"{oof}: on which folds was it made? Add a column fold, or give folds=FILE (id, fold); split=other takes "
            "predictions of any folds, and labels every score that uses them approximate"
        )
    if folds["repeat"].max() > 0:
        raise FoldwiseError(f"{oof}: split.repeats={folds['repeat'].max() + 1}: import into a split without repeats")
    ours = folds.set_index("id")["fold"].loc[held_out["id"]].to_numpy()
    both = pd.DataFrame({"ours": ours, "theirs": held_out["fold"].to_numpy()})
    if (
        both["theirs"].isna().any()
        or (both.groupby("theirs")["ours"].nunique() > 1).any()
        or (both.groupby("ours")["theirs"].nunique() > 1).any()
    ):
        raise FoldwiseError(
            f"{oof}: its folds are not those of this split; choose the split it was made on (split=, split.n_folds=, "
            "split.seed=), or split=other, which labels every score that uses it approximate"
        )
    return held_out.assign(repeat=np.int8(0), fold=ours), outside


def _write(settings: Settings, dataset: Dataset, name: str, held_out: pd.DataFrame, test: pd.DataFrame) -> Run:
    """Write a run's folder like that of a trained one."""
    columns = ["id", *dataset.targets]
    hashed = [pd.util.hash_pandas_object(table[columns], index=False).sum().item() for table in (held_out, test)]
    other = settings.split.kind == "other"
    split = plain(settings.split) | ({"n_folds": 1, "repeats": 1} if other else {})
    key = OTHER if other else split_key(dataset, settings.split)
    recipe = {
        "competition": {"name": settings.competition.name},
        "data_key": dataset.data_key,
        "ids_key": dataset.ids_key,
        "split_key": key,
        "split": split,
        "model": {"name": name, "options": {}},
        "imported": {"oof": settings.imports.oof, "test": settings.imports.test},
    }
    run = Run(settings.runs_dir / f"{name}-{content_key([name, key, dataset.ids_key, hashed])}")
    tests, history = test[columns].to_parquet(index=False), pd.DataFrame({"epoch": []})
    for fold in np.unique(held_out["fold"]):
        about = {"seconds": 0.0, "images_per_second": 0.0, "device": "imported", "versions": {}}
        part = held_out[held_out["fold"] == fold][["id", *dataset.targets, "repeat", "fold"]]
        write_fold(run, int(fold), part, tests, history, [], about)
    write_recipe(run, recipe)
    return run
