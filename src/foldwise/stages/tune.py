"""Stage `tune`: search for a good recipe with Optuna; what is trained is a run as any other.

The study is a file next to the runs. One process at a time writes it. A command that was killed leaves its trials
unfinished: the next one asks for the same recipes first, of which finished folds are not trained again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise.config.search_space import Choice, SearchSpace, number
from foldwise.data.folds import read_scored
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.execution.local import parallelism
from foldwise.runs.recipe import installed_version
from foldwise.runs.report import score_of
from foldwise.runs.store import Run
from foldwise.runs.studies import ENOUGH, importance, open_study
from foldwise.scoring.metrics import METRICS, as_text
from foldwise.scoring.objective import cost, cost_in_sample
from foldwise.scoring.rows import Problem
from foldwise.settings import Settings
from foldwise.stages import sweep
from foldwise.stages.experiment import write_experiment
from foldwise.stages.prepare import prepare
from foldwise.stages.train import Trained, train_some
from foldwise.storage import content_key, one_at_a_time

log = logging.getLogger(__name__)

BATCH = 4  # recipes that are trained together, at least
MEDIAN_OF = 4  # scored recipes before the first is stopped early


def tune(space: SearchSpace) -> dict[str, Any]:
    """Search for the recipe of lowest cost, and write it as an experiment.

    Returns `trials` (number, state, score, run and values of each, best first), `best`, `experiment` (its file),
    `study` (the file of the search), `importance` (of each key, where it can be told) and `nested`: the score where
    the folds choose the best for each other, which the choice among many does not flatter.

    Raises ConfigError where Optuna is not installed; FoldwiseError where no recipe of a batch could be trained.
    """
    if installed_version("optuna") is None:
        raise ConfigError("foldwise tune needs the package optuna; pip install 'foldwise[tune]'")
    settings = space.settings(space.first())
    prepare(settings)
    path = settings.runs_dir / f"{settings.tune.name or 'tune'}_{_key(space)}.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(path):
        study = open_study(path)
        _restart_stale(study)
        while (n := _n_done(study)) < settings.tune.trials:
            _one_batch(study, space, settings, min(settings.tune.trials - n, _batch_size(settings)))
    return _result(study, space, settings, path)


def _key(space: SearchSpace) -> str:
    """Return a hash of what is searched: how long, with what sampler, and where it is computed, may change."""
    free = ("tune.", "execution", "root", "format", "tracker")
    fixed = sorted(word for word in space.fixed if not word.startswith(free))
    return content_key([fixed, {key: repr(one) for key, one in space.keys.items()}])


def _restart_stale(study: Any) -> None:
    """Give up the trials that a killed command left running, and queue their values again."""
    from optuna.trial import TrialState

    for trial in study.get_trials(states=[TrialState.RUNNING]):
        study.tell(trial.number, state=TrialState.FAIL)
        if trial.params:
            study.enqueue_trial(trial.params, user_attrs={"again": trial.number})


def _n_done(study: Any) -> int:
    from optuna.trial import TrialState

    return len(study.get_trials(deepcopy=False, states=[TrialState.COMPLETE, TrialState.PRUNED]))


def _n_failed(study: Any) -> int:
    """Return how many trials could not be trained; those that were interrupted are not among them."""
    return sum("failed" in trial.user_attrs for trial in study.get_trials(deepcopy=False))


def _batch_size(settings: Settings) -> int:
    """Return how many recipes are trained together: enough for every core to be busy to the last fold."""
    return settings.tune.batch or max(BATCH, parallelism(settings.execution, settings.split.n_folds * BATCH)[0])


def _one_batch(study: Any, space: SearchSpace, settings: Settings, size: int) -> None:
    """Ask for recipes, train them in one queue and tell their scores."""
    import optuna
    from optuna.trial import TrialState

    # of each batch: a command that goes on samples what the interrupted one would have
    seed = settings.tune.seed + _n_done(study) + _n_failed(study)
    kinds: dict[str, Any] = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}
    study.sampler = kinds[settings.tune.sampler](seed=seed)
    trials = [study.ask() for _ in range(size)]
    recipes = [space.settings(_suggested(trial, space)) for trial in trials]
    alive = list(range(size))
    if settings.tune.prune != "off":
        partly = train_some(recipes, settings.tune.prune)
        alive = [i for i in alive if not _is_pruned(study, trials[i], recipes[i], partly.runs[i])]
    trained = train_some([recipes[i] for i in alive]) if alive else Trained([], {}, None)
    metric, told = settings.competition.metric, size - len(alive)
    for i, run in zip(alive, trained.runs, strict=True):
        trials[i].set_user_attr("run", run.name)
        if run in trained.reports:
            study.tell(trials[i], cost(metric, score_of(trained.reports[run])))
            told += 1
        else:
            trials[i].set_user_attr("failed", True)
            study.tell(trials[i], state=TrialState.FAIL)
    if not told and (not _n_done(study) or _n_failed(study) > settings.tune.trials):
        raise trained.error or FoldwiseError("no recipe of the search could be trained")


def _suggested(trial: Any, space: SearchSpace) -> dict[str, Any]:
    """Return the values that the sampler suggests for a trial."""
    values: dict[str, Any] = {}
    for key, one in space.keys.items():
        if isinstance(one, Choice):
            values[key] = trial.suggest_categorical(key, list(one.values))
        elif one.whole:
            values[key] = trial.suggest_int(key, round(one.low), round(one.high), log=one.log)
        else:
            values[key] = number(trial.suggest_float(key, one.low, one.high, log=one.log), one)
    return values


def _is_pruned(study: Any, trial: Any, settings: Settings, run: Run) -> bool:
    """Stop a trial whose score on its first folds is worse than the median of the others on as many folds.

    Stopped trials have no score: that of the best comes from recipes of which all folds were trained.
    """
    from optuna.trial import TrialState

    step = int(settings.tune.prune)
    if run.is_finished() or any(not run.fold_path(fit).is_dir() for fit in range(step)):
        return False  # it costs nothing any more, or it failed, as its training will say again
    found = _cost_of_folds(run, settings, range(step))
    trial.set_user_attr("run", run.name)
    before = [one.intermediate_values[step] for one in study.get_trials(deepcopy=False) if one.intermediate_values]
    trial.report(found, step)
    if len(before) < MEDIAN_OF or found <= float(np.median(before)):
        return False
    study.tell(trial, state=TrialState.PRUNED)
    log.info("%s: stopped after %d of %d folds", run.name, step, run.n_fits)
    return True


def _cost_of_folds(run: Run, settings: Settings, fits: Sequence[int]) -> float:
    """Return the cost of the held-out rows of some folds."""
    data, _ = read_scored(prepare(settings), settings.split)
    table = pd.concat([pd.read_parquet(run.fold_path(fit) / "held_out.parquet") for fit in fits])
    places = pd.Index(data.train.table["id"]).get_indexer(pd.Index(table["id"]))
    problem = Problem(data.task, metric=settings.competition.metric)
    return cost_in_sample(problem, data.labels[places], table[data.targets].to_numpy(np.float64))


def _result(study: Any, space: SearchSpace, settings: Settings, path: Path) -> dict[str, Any]:
    from optuna.trial import TrialState

    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    if not complete:
        raise FoldwiseError(f"{path}: no recipe of this search is scored; lower tune.prune or raise tune.trials")
    metric = settings.competition.metric
    trials = [
        {
            "number": one.number,
            "state": one.state.name.lower(),
            "score": cost(metric, one.value) if one.state == TrialState.COMPLETE else None,  # Optuna gives both one
            "run": one.user_attrs.get("run"),
            "values": _written(one.params, space),
        }
        for one in study.get_trials(deepcopy=False)
        if one.state in (TrialState.COMPLETE, TrialState.PRUNED)
    ]
    trials.sort(key=lambda one: np.inf if one["score"] is None else cost(metric, one["score"]))
    best = space.settings(trials[0]["values"])
    runs = [
        Run(settings.runs_dir / name)
        for name in dict.fromkeys(one["run"] for one in trials if one["score"] is not None)
    ]
    compared = sweep.compared(best, runs)
    return {
        "metric": metric,
        "study": str(path),
        "trials": trials,
        "best": trials[0],
        "nested": None if compared is None else compared["nested"],
        "importance": importance(study),
        "experiment": str(write_experiment(best, settings.tune.name or f"tuned_{settings.competition.name}", space)),
    }


def _written(values: dict[str, Any], space: SearchSpace) -> dict[str, Any]:
    """Return the values of a trial as they were given to its recipe."""
    kinds = space.keys
    return {
        key: value if isinstance(one := kinds[key], Choice) else number(float(value), one)
        for key, value in values.items()
    }


def show(result: dict[str, Any], width: int) -> str:
    """Return the best trials, what matters among the keys, and the file of the best as text."""
    label = METRICS[result["metric"]].label
    keys = list(result["best"]["values"])
    rows = [(str(one["number"]), _score_cell(one), one["values"], one["run"] or "-") for one in result["trials"][:10]]
    lines = [f"{'trial':>5}  {label:>9}  run and values"]
    for name, score, values, run in rows:
        lines.append(f"{name:>5}  {score:>9}  {run}")
        lines.append(f"{'':>18}{' '.join(f'{key}={values[key]}' for key in keys)}")
    if len(result["trials"]) > len(rows):
        lines.append(f"and {len(result['trials']) - len(rows)} more")
    if result["nested"] is not None:
        lines.append(
            f"best {as_text(result['best']['score'])}; where the folds choose it for each other "
            f"{as_text(result['nested'])}"
        )
    if result["importance"]:
        shares = ", ".join(f"{key} {share:.0%}" for key, share in result["importance"].items())
        lines.append(f"importance: {shares}")
    elif len(keys) > 1:
        lines.append(f"importance of the keys: from {ENOUGH} scored recipes on")
    name = Path(result["experiment"]).stem
    lines.append(f"written to {result['experiment']}: foldwise train experiment={name}")
    return "\n".join(lines) + "\n"


def _score_cell(trial: dict[str, Any]) -> str:
    return "stopped" if trial["score"] is None else as_text(trial["score"])
