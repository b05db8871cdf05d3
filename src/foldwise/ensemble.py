"""Stage `ensemble`: blend finished runs, score the blend honestly, and write the submission."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise import breakdown, compare, decisions, files, metrics, nested, objective, runs, submission
from foldwise.blends.neighbours import group_folds
from foldwise.blends.rows import Problem, Rows, make_rows
from foldwise.config import EnsembleSettings, Settings, plain
from foldwise.dataset import Dataset, Split
from foldwise.errors import ConfigError, FoldwiseError, choices
from foldwise.folds import first_folds, read_folds, split_key
from foldwise.prepare import prepare
from foldwise.runs import Run
from foldwise.score import of, score
from foldwise.storage import content_key

log = logging.getLogger(__name__)

IN_MEMORY = 1e9  # bytes of predictions in float64; more are kept in a file, in float32


def ensemble(settings: Settings) -> dict[str, Any]:
    """Blend the chosen finished runs of this data and split; write a checked submission with a JSON beside it.

    Returns what the JSON holds (nested_score and its interval, members with weights and scores) and the file.
    """
    if settings.ensemble.name == "files":
        if settings.by is not None:
            raise ConfigError(f"by={settings.by}: ensemble=files blends what has no known score; leave it out")
        return files.ensemble(settings)
    reports = score(settings)
    dataset = prepare(settings)
    folds = read_folds(dataset, settings.split)
    members = choose(runs.reported(settings.runs_dir, reports), settings.ensemble)
    with tempfile.TemporaryDirectory() as folder:
        train, test, problem = stacked(members, dataset, folds, Path(folder))
        problem = replace(problem, metric=settings.competition.metric)
        return _ensemble(settings, dataset, members, reports, train, test, problem)


def _ensemble(
    settings: Settings,
    dataset: Dataset,
    members: list[Run],
    reports: list[dict[str, Any]],
    train: Rows,
    test: Rows,
    problem: Problem,
) -> dict[str, Any]:
    how = settings.ensemble
    beside_it: dict[str, Any] = {}
    if how.name == "compare":
        how, beside_it["compared"] = compare.compare(problem, train, how, **how.options)
        log.info("chosen: %s", next(r["method"] for r in beside_it["compared"] if r["chosen"]))
    predicted = nested.nested(problem, train, how)
    scored = objective.scored(problem, train, predicted)
    blended = nested.blend(replace(problem, test=None), train, test, how)
    if how.name == "neighbours":
        beside_it["beside"] = beside(problem, train, how)
    if problem.metric in decisions.COUNTED:  # for the test set: those of all rows, as the weights are
        beside_it["thresholds"] = decisions.learn(problem.metric, train.y, predicted, problem.task)
    if how.name in compare.RISKY:
        log.warning(compare.RISK, how.name)
    scores = {f"{r['model']}-{r['run_key']}": {"log_loss": r["log_loss"], "score": of(r)} for r in reports}
    weights = [None] * len(members) if blended.weights is None else [float(weight) for weight in blended.weights]
    if settings.by is not None:
        losses = metrics.row_losses(dataset.labels, predicted, dataset.task)
        parts = breakdown.breakdown(dataset.train.table, settings.by, dataset.labels, losses, dataset.task)
        beside_it |= {"by": settings.by, "log_loss_by": parts}
    about: dict[str, Any] = {
        "competition": settings.competition.name,
        "metric": problem.metric,
        "nested_score": scored.value,
        "nested_score_interval": objective.interval(scored),
        "n_rows": len(train),
        "approximate": any(run.is_approximate for run in members),
        "ensemble": plain(how),
        "members": [
            {"run": run.name, "weight": weight, **scores[run.name]}
            for run, weight in zip(members, weights, strict=True)
        ],
        "learned": blended.about,
        **beside_it,
        "split_key": split_key(dataset, settings.split),
        "data_key": dataset.data_key,
        "ids_key": dataset.ids_key,
        "source": settings.source.kind,
    }
    chosen = [sorted(run.name for run in members), plain(settings.ensemble), dataset.data_key]
    key = content_key(chosen if problem.metric == "log_loss" else [*chosen, problem.metric])[:8]
    stem = f"{settings.competition.name}_{about['nested_score']:.5f}_{key}"
    predictions = pd.DataFrame(blended.probabilities, columns=dataset.targets)
    predictions.insert(0, "id", dataset.test.table["id"])
    path = submission.write(settings, dataset, predictions, stem, about)
    return {"file": str(path), **about}


def show(result: dict[str, Any], width: int) -> str:
    """Return the members with their weights, the nested score, and the file."""
    if "correlations" in result:
        return files.show(result, width)
    low, high = result["nested_score_interval"]
    how = result["ensemble"]
    lines = [
        f"  {_weight(member['weight'])}  {member['run']} ({member['score']:.4f})"
        for member in result["members"]
        if member["weight"] != 0
    ]
    absent = len(result["members"]) - len(lines)
    if absent:
        lines.append(f"  and {absent} without weight")
    compared = compare.table(result["compared"]) if "compared" in result else []
    label = objective.LABELS[result["metric"]]
    beside = [f"  {score['score']:.4f}  {name}" for name, score in result.get("beside", {}).items()]
    return "\n".join(
        [
            *([f"nested {label} of every method; * is the chosen one:", *compared] if compared else []),
            f"blend of {len(result['members'])} runs ({how['name']}, {how['average']} mean), weight and {label}:",
            *lines,
            f"nested {label} {result['nested_score']:.4f} (95 % interval {low:.4f} to {high:.4f})"
            + (", approximate: a member was made on other folds" if result["approximate"] else ""),
            *(["beside it, nested too:", *beside] if beside else []),
            *([breakdown.show(result["by"], {"nested": result["log_loss_by"]}, width)] if "by" in result else []),
            f"submission: {result['file']}",
        ]
    )


def _weight(weight: float | None) -> str:
    return "  -  " if weight is None else f"{weight:.3f}"


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


def stacked(members: list[Run], dataset: Dataset, folds: pd.DataFrame, folder: Path) -> tuple[Rows, Rows, Problem]:
    """Return the training and the test rows of all members and the problem; large ones lie in files in `folder`."""
    targets, splits = dataset.targets, (dataset.train, dataset.test)
    sizes = [len(split.table) * len(targets) * len(members) * 8 for split in splits]
    stacks = [
        np.empty((len(members), len(split.table), len(targets)))
        if sum(sizes) <= IN_MEMORY
        else np.lib.format.open_memmap(
            folder / f"{i}.npy", "w+", np.float32, (len(members), len(split.table), len(targets))
        )
        for i, split in enumerate(splits)
    ]
    for j, run in enumerate(members):
        stacks[0][j] = runs.out_of_fold(run, folds, dataset.train.table["id"], targets)
        stacks[1][j] = runs.test_predictions(run, dataset.test.table["id"], targets)
    fold_of = first_folds(folds, dataset.train.table["id"])
    train = make_rows(stacks[0], described(dataset.train, targets), dataset.labels, fold_of)
    test = make_rows(stacks[1], described(dataset.test, targets))
    column = next(iter(dataset.auxiliary), "group" if "group" in dataset.train.table else None)
    return train, test, Problem(dataset.task, test=test.scored(), column=column)


def described(split: Split, targets: list[str]) -> pd.DataFrame:
    """Return the table without the labels: what methods may know of a row."""
    return split.table[[name for name in split.table if name not in targets]]


def beside(problem: Problem, rows: Rows, settings: EnsembleSettings) -> dict[str, Any]:
    """Score the second level without its column, and with all rows of equal value in one fold: skill and leak."""
    column = settings.options["column"] or problem.column
    assert column is not None  # or the second level would have refused
    named = column if isinstance(column, str) else " and ".join(column)
    predicted = {
        "without the column (logit mean)": nested.nested(problem, rows, replace(settings, name="mean", options={})),
        f"on group folds ({named})": nested.nested(problem, replace(rows, fold=group_folds(rows, column)), settings),
    }
    scores = {name: objective.scored(problem, rows, p) for name, p in predicted.items()}
    return {name: {"score": one.value, "score_interval": objective.interval(one)} for name, one in scores.items()}
