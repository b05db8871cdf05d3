"""Stage `grade`: where the truth is known, the score that the leaderboard would give."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise.data.csv_files import read_csv
from foldwise.data.dataset import Dataset, Split
from foldwise.errors import FoldwiseError
from foldwise.kaggle.leaderboard import place, read_leaderboard
from foldwise.plugins import competition_module
from foldwise.runs import submission
from foldwise.runs.report import usual_metric_of
from foldwise.scoring import breakdown, decisions, metrics, objective
from foldwise.scoring.metrics import METRICS, as_text
from foldwise.settings import Metric, Settings
from foldwise.stages.prepare import prepared
from foldwise.stages.simulate import found_files
from foldwise.storage import check_widths, clear_csv_errors

log = logging.getLogger(__name__)

SOLUTIONS = ("solution.csv", "private/test.csv")  # the true labels in a raw folder: foldwise's, and MLE-bench's


def grade(settings: Settings) -> dict[str, Any]:
    """Score a submission (the newest, or `submission=FILE`) against `solution.csv` or grade.solution.

    Only rows whose `Usage` is Public or Private count; without that column all rows do. Returns the file,
    n_scored, log_loss with its interval, public_score, private_score, accuracy, and the nested score. Where the
    objective is not log loss, those scores are its values, and `metric`, `score` and `score_interval` are added. In a
    regression rmse replaces log_loss, and mae and r2 accuracy.
    Decisions are made at the thresholds in the JSON of the submission, or at one half. With
    `by=COLUMN` also `by` and `log_loss_by`, the `breakdown` by that column. With grade.leaderboard also `leaderboard`,
    the `place` of the objective's value among its teams; where there is no solution, that of the nested score.

    Raises FoldwiseError where there is no solution, or where its ids are not the submission's.
    """
    if (file := _solution(settings)) is None:
        return _nested_alone(settings)
    dataset = prepared(settings)
    path, about = submission.chosen(settings, ids_key=dataset.ids_key)
    reader = competition_module(settings.competition.reader)
    solution, _ = read_csv(file)
    if settings.grade.solution is None:
        found_files(settings)  # they are still those of this source: another command may replace them
    try:
        truth = reader.truth(solution, dataset.targets, **settings.competition.options)  # (n, k)
    except ValueError as error:
        raise FoldwiseError(f"{file.name}: {error}") from None
    except KeyError as error:
        raise FoldwiseError(f"{file.name}: the column {error} is missing; it has {', '.join(solution)}") from None
    predicted = _predictions(path, dataset, solution.iloc[:, 0], file.name)
    usage = solution["Usage"].to_numpy() if "Usage" in solution else np.full(len(solution), "Private")
    counts = np.isin(usage, ["Public", "Private"])
    if not counts.any():
        raise FoldwiseError(f"{file.name}: no row's Usage is Public or Private, so that nothing is scored")
    groups = _groups(dataset.test, solution.iloc[:, 0])
    metric, task = settings.competition.metric, dataset.task
    answers = predicted
    if METRICS[metric].counts_decisions:
        thresholds = about.get("thresholds", decisions.untuned(metric, len(dataset.targets), task))
        answers = decisions.decide(predicted, thresholds, task)

    def score_rows(rows: np.ndarray, name: Metric, given: np.ndarray) -> objective.Score:
        return objective.score_answers(name, truth[rows], given[rows], task, None if groups is None else groups[rows])

    def score_part(name: str) -> float | None:
        rows = usage == name
        return objective.value_or_none(metric, truth[rows], answers[rows], task) if rows.any() else None

    usual = metrics.usual_metric(task)
    usual_score = score_rows(counts, usual, predicted)
    more: dict[str, Any] = {}
    if metric != usual:
        if about.get("metric", metric) != metric:
            log.warning("the nested score of %s is its %s, not its %s", path, about["metric"], metric)
        ours = score_rows(counts, metric, answers)
        more = {"metric": metric, "score": ours.value, "score_interval": objective.interval(ours)}
    if settings.by is not None:
        table = dataset.test.table.set_index("id", drop=False).loc[solution.iloc[:, 0]][counts]
        losses = metrics.usual_losses(truth[counts], predicted[counts], task)
        parts = breakdown.breakdown(table, settings.by, truth[counts], losses, task)
        more |= {"by": settings.by, f"{usual}_by": parts}
    if settings.grade.leaderboard is not None:
        best = ours if metric != usual else usual_score
        more["leaderboard"] = _placed(settings, best.value, objective.interval(best), f"true {METRICS[metric].label}")
    for_humans = objective.for_humans(truth[counts], predicted[counts], task)
    return {
        "file": str(path),
        "n_scored": int(counts.sum()),
        usual: usual_score.value,
        f"{usual}_interval": objective.interval(usual_score),
        **more,
        "public_score": score_part("Public"),
        "private_score": score_part("Private"),
        **{name: value for name, value in for_humans.items() if name in ("accuracy", "mae", "r2")},
        "nested_score": about.get("nested_score"),
        "nested_score_interval": about.get("nested_score_interval"),
    }


def _solution(settings: Settings) -> Path | None:
    """Return the file of the true labels; None where there is none, and a leaderboard alone is given.

    Raises FoldwiseError where there is neither.
    """
    if settings.grade.solution is not None:
        given = Path(settings.grade.solution)
        if not given.is_file():
            raise FoldwiseError(f"solution={given}: no such file")
        return given
    raw_dir = found_files(settings)
    found = next((raw_dir / name for name in SOLUTIONS if (raw_dir / name).is_file()), None)
    if found is None and settings.grade.leaderboard is None:
        raise FoldwiseError(
            f"{raw_dir / 'solution.csv'} is missing: only simulated, embedded or held-back labels can be graded; "
            "solution=FILE names another file of them, and leaderboard=FILE ranks the nested score without them"
        )
    return found


def _nested_alone(settings: Settings) -> dict[str, Any]:
    """Return the place of a submission's nested score in a leaderboard, where the true labels are not known."""
    path, about = submission.chosen(settings, with_csv=False)
    if about.get("nested_score") is None:
        raise FoldwiseError(f"{path}: its nested score is not known, and there are no true labels to grade it by")
    metric = settings.competition.metric
    if about.get("metric", metric) != metric:
        raise FoldwiseError(
            f"the nested score of {path} is its {about['metric']}, not its {metric}: set competition.metric="
            f"{about['metric']}"
        )
    nested, interval = about["nested_score"], about.get("nested_score_interval")
    placed = _placed(settings, nested, interval, f"nested {METRICS[metric].label}")
    known = {"nested_score": nested, "nested_score_interval": interval}
    return {"file": str(path), "n_scored": 0, **known, "leaderboard": placed}


def _placed(settings: Settings, value: float, interval: list[float] | None, label: str) -> dict[str, Any]:
    """Return the place of a score in the leaderboard, and what score it is."""
    lower = METRICS[settings.competition.metric].lower_is_better
    file = Path(str(settings.grade.leaderboard))
    scores, decimals = read_leaderboard(file, lower)
    return {"file": str(file), "label": label, **place(value, interval, scores, decimals, lower)}


def _predictions(path: Path, dataset: Dataset, ids: pd.Series, solution: str) -> np.ndarray:
    """Return the probabilities (n, k) of the submission, or of the file written with it, in the order of `ids`."""
    companion = path.with_name(f"{path.stem}_probabilities.csv")
    file = companion if companion.is_file() else path
    with clear_csv_errors(str(file)):
        table = pd.read_csv(file, converters={0: str})  # an id is text, be it 007 or NA
    check_widths(table, str(file))
    table = table.set_index(table.columns[0])
    absent = [target for target in dataset.targets if target not in table]
    if absent:
        raise FoldwiseError(
            f"{file}: expected the probabilities of {', '.join(dataset.targets)}, received the columns "
            f"{', '.join(table)}; only submissions written by foldwise come with a file of probabilities"
        )
    if sorted(table.index) != sorted(ids):
        raise FoldwiseError(f"{path}: its ids are not those of {solution}; was it made from other data?")
    table[dataset.targets] = table[dataset.targets].apply(pd.to_numeric, errors="coerce")
    submission.check_probabilities(table.reset_index(names="id"), dataset)
    return table.loc[ids, dataset.targets].to_numpy(np.float64)


def show(result: dict[str, Any], width: int) -> str:
    """Return the grade as a line for each score."""
    if not result["n_scored"]:
        lines = [f"no true labels of {result['file']} are here"]
        return "\n".join([*lines, *_place_lines(result["leaderboard"])])
    lines = [f"graded {result['file']}: {result['n_scored']} rows are scored"]
    ours = f"true {METRICS[result['metric']].label}" if "metric" in result else ""
    usual = usual_metric_of(result)
    label = f"true {METRICS[usual].label}"
    for name, key in ((ours, "score"), (label, usual), ("nested score", "nested_score")):
        if result.get(key) is not None:
            low, high = result[f"{key}_interval"]
            lines.append(f"  {name:<15}{as_text(result[key])}  (95 % interval {as_text(low)} to {as_text(high)})")
    for name in ("public_score", "private_score", "accuracy", "mae", "r2"):
        if result.get(name) is not None:
            lines.append(f"  {name.replace('_', ' '):<15}{as_text(result[name])}")
    if "leaderboard" in result:
        lines += _place_lines(result["leaderboard"])
    if "by" in result:
        lines.append(breakdown.show(result["by"], {label: result[f"{usual}_by"]}, width))
    return "\n".join(lines)


def _place_lines(placed: dict[str, Any]) -> list[str]:
    """Return the place in a leaderboard, in lines."""
    interval = placed["rank_interval"]
    between = "" if interval is None else f"  (95 % interval {interval[0]} to {interval[1]})"
    lines = [
        f"{placed['label']} in {placed['file']}, {placed['n_teams']} teams:",
        f"  rank           {placed['rank']}{between}, top {100 * placed['share']:.1f} %",
        f"  medal          {placed['medal'] or 'none'}",
    ]
    for name, score in placed["lines"].items():
        up_to = f"  (to place {placed['places'][name]})" if name in placed["places"] else ""
        lines.append(f"  {name + ' line' if up_to else name:<15}{score:g}{up_to}")
    return lines


def _groups(test: Split, ids: pd.Series) -> np.ndarray | None:
    """Return the groups of the test rows in the order of `ids`."""
    return None if test.groups is None else pd.Series(test.groups, test.table["id"]).loc[ids].to_numpy()
