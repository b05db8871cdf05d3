"""Stage `predict`: answer new data with the runs and the weights of a finished blend."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise.blends.nested import blend, nested
from foldwise.config.check import checked_options
from foldwise.data import dataset as datasets
from foldwise.data.dataset import Dataset
from foldwise.data.folds import held_out_part, read_table
from foldwise.data.image_statistics import with_image_statistics
from foldwise.data.records import Record, Records
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.execution.budget import MARGIN, seconds_of
from foldwise.plugins import competition_module, function_named
from foldwise.runs import store, submission
from foldwise.runs.members import stacked
from foldwise.runs.packing import run_name
from foldwise.runs.recipe import Recipe, recipe_from
from foldwise.runs.store import Run
from foldwise.scoring import decisions
from foldwise.scoring.metrics import as_text
from foldwise.scoring.objective import score_of
from foldwise.settings import EnsembleSettings, Settings
from foldwise.stages.predict_bundle import bundled
from foldwise.stages.predict_members import NewData, predict_members
from foldwise.stages.prepare import prepared
from foldwise.storage import content_key

log = logging.getLogger(__name__)


def predict(settings: Settings) -> dict[str, Any]:
    """Predict new samples by the blend of a submission (the newest, or `submission=FILE`), and write them.

    The blend is learned again from the out-of-fold predictions of its members, as `foldwise ensemble` did, and the
    weights of their fits predict the new samples: on the same backend and CPU, the original test samples get the
    same predictions bit for bit. Returns the file, the number of samples and the name of the blend.

    With `budget` further fits of a member, and then members, are left out where all would take longer; the blend is
    then learned from the members that are left, and `nested_score` is theirs.

    Raises FoldwiseError where a member has no weights, or the new data do not fit those that were trained on.
    """
    started = time.monotonic()
    until = None if settings.predict.budget is None else started + (1 - MARGIN) * seconds_of(settings.predict.budget)
    if settings.predict.bundle is not None:
        settings, known, name, about, runs = bundled(settings)
        work = Path(settings.root)
        work.mkdir(parents=True, exist_ok=True)
    else:
        known = prepared(settings)
        path, about = submission.chosen(settings, with_csv=False, data_key=known.data_key)
        name, runs = path.stem, members(settings, path, about)
        work = settings.prepared_dir  # on the disk of the data, which is large
    recipes = {run: recipe_of(run) for run in runs if run.predicting}
    folds = known.path / f"folds_{about['split_key']}.parquet"
    with tempfile.TemporaryDirectory(dir=work, prefix=".new-") as folder:
        new = Path(folder)
        records = replace(_as_known(known), test=new_records(settings, known))
        datasets.write_test(records, new, np.empty(known.train.images.shape[1:], known.train.images.dtype))
        data = replace(known, test=datasets.read_split(new, "test"))
        reader, options = competition_module(settings.competition.reader), settings.competition.options
        sample = _sample(settings)
        as_new = replace(records, sample_submission=sample, test_ids=list(data.test.table["id"]))
        submission.try_layout(reader, as_new, options)
        log.info("%d new rows read in %.0f s", len(data.test.table), time.monotonic() - started)
        parts = NewData(known, folds, new, len(data.test.images))
        left = predict_members(recipes, parts, settings.execution, about["metric"], until)
        is_other = len(left) < len(recipes)
        if not is_other:  # those without weight are members too, of whose predictions none is needed
            done = {run.name: run for run in left}
            left = [done.get(run.name, run) for run in runs]
        predictions, learned = _blended(about, left, data, folds, new, is_other)
        file = _write(settings, known, predictions, sample, name, about | learned)
    result = {"file": str(file), "n_rows": len(predictions), "blend": name, "seconds": time.monotonic() - started}
    if learned:
        result |= {"members": [run.name for run in left], "nested_score": learned["nested_score"]}
    return result


def show(result: dict[str, Any], width: int) -> str:
    """Return what was predicted, and the file."""
    speed = f"{result['seconds']:.0f} s ({result['n_rows'] / max(result['seconds'], 1e-9):.1f} rows/s)"
    line = f"{result['n_rows']} rows predicted by {result['blend']} in {speed}: {result['file']}"
    if "members" in result:
        line += f"\nin the budget: {', '.join(result['members'])}; nested score {as_text(result['nested_score'])}"
    return line


def members(settings: Settings, path: Path, about: dict[str, Any]) -> list[Run]:
    """Return the runs of a blend; those that it gives no weight predict by none of their fits.

    Raises FoldwiseError where a run is gone or has no weights of its model.
    """
    runs = [
        Run(settings.runs_dir / run_name(member)) for member in about.get("members", []) if isinstance(member, dict)
    ]
    if not runs:
        raise FoldwiseError(f"{path}: it is made of files of predictions, and no model can answer new data for them")
    runs = [
        replace(run, kept=()) if no_weight else run for run, no_weight in zip(runs, _weightless(about), strict=True)
    ]
    for run in runs:
        if not (run.path / "recipe.yaml").is_file():
            raise FoldwiseError(f"{run.path} is missing, a member of {path.stem}; train it again")
        if "imported" in run.recipe and run.kept is None:
            raise FoldwiseError(
                f"{run.name}: it was imported, so that no weights of it are here; blend without it: "
                f"ensemble.members=[{','.join(one.name for one in runs if 'imported' not in one.recipe)}]"
            )
    return runs


def _weightless(about: dict[str, Any]) -> list[bool]:
    """Return for each member whether the blend is the same whatever it predicts: its weight is 0 for all outputs."""
    if "weights" in about.get("learned", {}):  # each output has its own
        return [False] * len(about["members"])
    return [one.get("weight") == 0 for one in about["members"]]


def recipe_of(run: Run) -> Recipe:
    """Return the recipe of a run, with options of the types that their functions take."""
    recipe = recipe_from(run.recipe)
    builder = function_named("models", recipe.model.name, "model.name")
    options = checked_options(builder, recipe.model.options, f"{run.name}: model.options")
    return replace(recipe, model=replace(recipe.model, options=options))


def _as_known(known: Dataset) -> Records:
    """Return records of the task, the targets and the structure of known data."""
    return Records(known.task, known.targets, [], [], known.auxiliary, structure=known.structure)


def new_records(settings: Settings, known: Dataset) -> Iterator[Record]:
    """Return the records of the new samples as the competition's reader reads them."""
    given, options = settings.predict, settings.competition.options
    if (given.images is None) == (given.raw is None):
        raise ConfigError(
            "predict: expected images=FOLDER (a folder of images) or raw=FOLDER (files in the competition's own "
            "format), one of them"
        )
    named = [Path(one) for one in (given.images, given.raw, given.sample) if one is not None]
    absent = [one for one in named if not one.exists()]
    if absent:
        raise ConfigError(f"predict: {absent[0]} does not exist")
    reader = competition_module(settings.competition.reader)
    read_new = getattr(reader, "read_new", None)
    sample = None if given.sample is None else Path(given.sample).resolve()
    if read_new is not None:
        folder, images = (Path(given.raw), None) if given.raw else (Path(str(given.images)), ".")
        records: Iterator[Record] = read_new(
            folder,
            new_images=images,
            new_sample=sample,
            targets=known.targets,
            category_names=known.category_names,
            **options,
        )
        return records
    if given.raw is None:
        raise ConfigError(f"images={given.images}: {settings.competition.name} reads its own format; give raw=FOLDER")
    return iter(reader.read(Path(given.raw), **options).test)


def _blended(
    about: dict[str, Any], runs: list[Run], data: Dataset, folds: Path, new: Path, is_other: bool
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Blend the members' predictions of the new samples as the blend did: id and the targets.

    is_other: whether members are left out; then the nested score, and the thresholds of decisions, are learned too.
    """

    def predictions(run: Run, ids: pd.Series, targets: list[str]) -> np.ndarray:
        if not run.predicting:  # it has no weight, so that any predictions do
            return np.full((len(ids), len(targets)), 1 / max(2, len(targets)))
        return store.test_predictions(run, ids, targets, folder=new / run.name)

    table, how = read_table(folds), EnsembleSettings(**about["ensemble"])
    data = with_image_statistics(data, how.options.get("columns", []))
    train, test, problem = stacked(runs, held_out_part(data, table), table, new, predictions)
    problem = replace(problem, metric=about["metric"], test=None)
    blended = blend(problem, train, test, how)
    learned: dict[str, Any] = {}
    if is_other:
        out_of_fold = nested(problem, train, how)
        learned["nested_score"] = score_of(problem, train, out_of_fold).value
        if "thresholds" in about:
            learned["thresholds"] = decisions.learn(problem.metric, train.y, out_of_fold, problem.task)
    return store.test_table(data.test.table["id"], blended.probabilities, data.targets), learned


def _write(
    settings: Settings,
    known: Dataset,
    predictions: pd.DataFrame,
    sample: Path | None,
    blend: str,
    about: dict[str, Any],
) -> Path:
    """Write the predictions in the layout of a sample submission, or with a column for each target."""
    given = settings.predict
    source = Path(str(given.raw or given.images)).resolve()
    stem = f"{blend}_{source.name}_{content_key([str(source), *predictions['id']])[:6]}"
    described: dict[str, Any] = {
        **{name: about[name] for name in ("competition", "metric", "thresholds", "nested_score") if name in about},
        "predicted_by": blend,
        "new_data": str(source),
    }
    return submission.write_like(sample, settings, known, predictions, stem, described)


def _sample(settings: Settings) -> Path | None:
    """Return the sample submission of the new data, where there is one."""
    given = settings.predict
    if given.sample is not None:
        return Path(given.sample)
    named = settings.competition.options.get("sample", "*sample_submission.csv")
    return min(Path(given.raw).rglob(named), default=None) if given.raw else None
