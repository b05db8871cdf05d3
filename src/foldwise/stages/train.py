"""Stage `train`: train the folds of a recipe that are not finished yet."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise.augment.by_name import try_transforms
from foldwise.data.dataset import Dataset
from foldwise.data.folds import counted_split, folds_path, held_out_part, write_folds
from foldwise.errors import FoldwiseError
from foldwise.execution.queue import train_folds
from foldwise.execution.task import FoldTask
from foldwise.runs.members import labelling_runs
from foldwise.runs.recipe import make_recipe, run_name
from foldwise.runs.report import effect_line, full_report, score_of, usual_metric_of, write_report
from foldwise.runs.store import Run, open_run, take_folds
from foldwise.scoring.metrics import METRICS, as_text
from foldwise.scoring.objective import cost
from foldwise.settings import Settings
from foldwise.stages.prepare import prepare
from foldwise.stages.sweep import write
from foldwise.trackers.tracker import Tracker, tracking

log = logging.getLogger(__name__)

TRIED = 4  # images that transforms are tried on before workers start


def train(settings: Settings) -> Run:
    """Train one recipe over its folds and score it; what is finished is not trained again."""
    return next(iter(train_runs([settings])))


def train_all(sweep: list[Settings]) -> list[dict[str, Any]]:
    """Train several recipes and return their reports, best first."""
    metric = sweep[0].competition.metric
    reports = sorted(train_runs(sweep).values(), key=lambda report: cost(metric, score_of(report)))
    if len(reports) > 1:
        write(sweep[0], reports)
    return reports


def train_runs(sweep: list[Settings]) -> dict[Run, dict[str, Any]]:
    """Train several recipes; their folds share one queue, so that no worker waits for the end of a recipe.

    Returns the runs, without repetitions, and the report of each.
    """
    trained = train_some(sweep)
    if trained.error is not None:
        raise trained.error
    return {run: trained.reports[run] for run in trained.runs}


@dataclass(frozen=True)
class Trained:
    """What became of several recipes.

    runs: of each, in their order; one run stands twice where two recipes are the same.
    reports: of those that are finished.
    error: where a fold failed.
    """

    runs: list[Run]
    reports: dict[Run, dict[str, Any]]
    error: FoldwiseError | None


def train_some(sweep: list[Settings], first: int | None = None) -> Trained:
    """Train several recipes as `train_runs` does, and return what was finished where folds fail.

    first: train the first folds of each alone, so many. None: all.
    """
    with tracking(sweep[0].tracker, Path(sweep[0].root)) as tracker:
        return _train_tracked(sweep, tracker, first)


def _train_tracked(sweep: list[Settings], tracker: Tracker, first: int | None) -> Trained:
    """Do what `train_some` does, and log to a tracker what is finished already, and each fold and run as it is."""
    reports: dict[Run, dict[str, Any]] = {}
    runs: dict[Run, tuple[Settings, Dataset, pd.DataFrame]] = {}
    tasks: list[FoldTask] = []
    every: list[Run] = []
    for settings in sweep:
        dataset = prepare(settings)
        folds = write_folds(dataset, settings.split)
        path = folds_path(dataset, settings.split)
        settings = replace(settings, split=counted_split(settings.split, folds))
        recipe = make_recipe(settings, dataset.data_key, path.stem.removeprefix("folds_"))
        labelling_runs(settings.runs_dir, recipe.pseudo.runs or [], recipe.split_key)
        if recipe.augment.name == "transforms":
            try_transforms(recipe.augment.options, np.array(dataset.train.images[:TRIED]))
        run = open_run(settings.runs_dir, recipe)
        every.append(run)
        if run in runs:
            continue
        runs[run] = settings, held_out_part(dataset, folds), folds
        if recipe.fit.refit:
            take_folds(run, Run(settings.runs_dir / run_name(replace(recipe, fit=replace(recipe.fit, refit=False)))))
        missing = run.missing()
        if missing:
            (run.path / "run.json").unlink(missing_ok=True)  # it may hold the score of folds that are gone
        about = (len(dataset.train.images), dataset.path, path)
        shown = settings.execution.held_out_loss
        wanted = [fit for fit in missing if first is None or 0 <= fit < first]
        tasks += [FoldTask(run, recipe, fit, *about, held_out_loss=shown) for fit in wanted]
        for fit in run.fits:
            if fit not in missing:
                tracker.log_fit(run, fit)
        done = len(run.fits) - len(missing)
        if done:
            log.info(
                "%s: %d of %d folds%s are trained already%s",
                run.name,
                done,
                len(run.fits),
                " (one is the refit)" if run.refits else "",
                "" if missing else ": nothing to do",
            )

    def score(run: Run) -> None:
        settings, scored, folds = runs[run]
        write_report(run, scored, folds)
        reports[run] = report = full_report(run, scored, folds, settings)
        usual = usual_metric_of(report)
        shown = [(METRICS[usual].label, report[usual], *report[f"{usual}_interval"])]
        if settings.competition.metric != usual:
            shown.insert(0, (METRICS[settings.competition.metric].label, report["score"], *report["score_interval"]))
        scores = ("{} {} (95 % interval {} to {})".format(label, *map(as_text, numbers)) for label, *numbers in shown)
        log.info("%s: out-of-fold %s", run.name, ", ".join(scores))
        tracker.log_scores(run, report)
        if "pseudo" in report:
            log.info(effect_line(report))

    for run in runs:
        if run.is_finished():
            score(run)
    error = None
    if tasks:
        try:
            train_folds(tasks, sweep[0].execution, score, tracker.log_fit)
        except FoldwiseError as failed:
            error = failed
    return Trained(every, reports, error)
