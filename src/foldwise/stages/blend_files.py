"""`ensemble=files`: blend files of test predictions that have no out-of-fold ones, with no score to trust."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from foldwise.blends.files import files
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.runs import submission
from foldwise.runs.members import choose, runs_of
from foldwise.runs.prediction_files import SUFFIXES, read_predictions
from foldwise.runs.store import Run, each_undamaged, test_predictions, test_table
from foldwise.scoring.compare_runs import correlations
from foldwise.scoring.rows import Problem, make_rows
from foldwise.settings import Settings, plain
from foldwise.stages.prepare import prepare
from foldwise.stages.score import score
from foldwise.storage import content_key

log = logging.getLogger(__name__)


def ensemble(settings: Settings) -> dict[str, Any]:
    """Blend the submissions in a folder, and finished runs if `runs` is set; write a checked submission, not scored.

    rank: the mean of ranks, mapped to the mean of the sorted predictions, so that it stays a probability, or a value.
    Returns the file, its members and the correlations of their logits, or values of a regression.
    """
    folder, how = settings.ensemble.options["folder"], settings.ensemble.options["how"]
    if folder is None:
        raise ConfigError("ensemble.options.folder: not set; name a folder of test predictions, CSV or parquet")
    paths = sorted(p for p in Path(folder).glob("*") if p.suffix in SUFFIXES)
    runs = _runs(settings) if settings.ensemble.options["runs"] else []
    if not paths or len(paths) + len(runs) < 2:
        raise FoldwiseError(
            f"{folder}: expected at least two .csv or .parquet files, found {len(paths)}; with "
            f"ensemble.options.runs=true one is enough, as finished runs join it (found {len(runs)})"
        )
    dataset = prepare(settings)
    ids, targets = dataset.test.table["id"], dataset.targets
    repair = {"repair": settings.ensemble.options["ids"], "repair_key": "ensemble.options.ids"}
    tables = [read_predictions(path, ids, targets, dataset.task, **repair) for path in paths]

    def answers(run: Run) -> np.ndarray:
        return test_predictions(run, ids, targets, task=dataset.task)

    are_named = settings.ensemble.members != "all"  # then a damaged one is an error
    read = [(run, answers(run)) for run in runs] if are_named else each_undamaged(runs, answers)
    stack = np.stack([*(table[targets].to_numpy() for table in tables), *(p for _, p in read)])
    names = [*(path.name for path in paths), *(run.name for run, _ in read)]
    rows, problem = make_rows(stack, dataset.test.table), Problem(dataset.task)
    p = files(problem, rows, rows, how=how).probabilities
    related = correlations(rows.scored_rows(), problem)
    about: dict[str, Any] = {
        "competition": settings.competition.name,
        "nested_score": None,
        "nested_score_interval": None,
        "ensemble": plain(settings.ensemble),
        "members": names,
        "correlations": [[None if np.isnan(c) else float(c) for c in line] for line in related],
        "data_key": dataset.data_key,
        "ids_key": dataset.ids_key,
        "source": settings.source.kind,
        "scale": "values" if dataset.task == "regression" else "logits",  # of the correlations
    }
    predictions = test_table(ids, p, targets)
    key = content_key([names, how, stack.sum(axis=1).tolist(), dataset.data_key])[:8]
    path = submission.write(settings, dataset, predictions, f"{settings.competition.name}_unscored_{key}", about)
    return {"file": str(path), **about}


def _runs(settings: Settings) -> list[Run]:
    """Return the finished runs of this data and split that `ensemble.members` names."""
    return choose(runs_of(settings.runs_dir, score(settings)), settings.ensemble)


def show(result: dict[str, Any], width: int) -> str:
    """Return the correlations of the files, and the submission."""
    names = result["members"]
    lines = [
        f"  {i + 1:>3} {name:<32} {' '.join('  -  ' if c is None else f'{c:.3f}' for c in line)}"
        for i, (name, line) in enumerate(zip(names, result["correlations"], strict=True))
    ]
    how = result["ensemble"]["options"]["how"]
    return "\n".join(
        [
            f"{how} of {len(names)} members; correlations of their {result['scale']}:",
            *lines,
            "files have no out-of-fold predictions, so there is no nested score",
            f"submission: {result['file']}",
        ]
    )
