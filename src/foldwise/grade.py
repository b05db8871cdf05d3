"""Stage `grade`: where the truth is known, the score that the leaderboard would give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from foldwise import metrics, submission
from foldwise.config import Settings, competition_module
from foldwise.errors import FoldwiseError
from foldwise.prepare import prepare
from foldwise.simulate import raw_files


def grade(settings: Settings) -> dict[str, Any]:
    """Score a submission (the newest, or `submission=FILE`) against `solution.csv`.

    Only rows whose `Usage` is Public or Private count; without that column all rows do. Returns the file,
    n_scored, log_loss with its interval, public_score, private_score, accuracy, and the nested score.

    Raises FoldwiseError where there is no solution, or where its ids are not the submission's.
    """
    path, about = submission.chosen(settings)
    raw_dir = raw_files(settings)
    if not (raw_dir / "solution.csv").is_file():
        raise FoldwiseError(
            f"{raw_dir / 'solution.csv'} is missing: only simulated, embedded or held-back labels can be graded"
        )
    dataset = prepare(settings)
    reader = competition_module(settings.competition.reader)
    solution = pd.read_csv(raw_dir / "solution.csv", dtype={0: str})
    solution.iloc[:, 0] = solution.iloc[:, 0].astype(str)
    truth = reader.truth(solution, dataset.targets, **settings.competition.options)  # (n, k)
    beside = path.with_name(f"{path.stem}_probabilities.csv")
    predictions = pd.read_csv(beside if beside.is_file() else path)
    ids = predictions.columns[0]
    predictions = predictions.assign(**{ids: predictions[ids].astype(str)}).set_index(ids)
    if not predictions.index.is_unique or set(predictions.index) != set(solution.iloc[:, 0]):
        raise FoldwiseError(f"{path}: its ids are not those of solution.csv; was it made from other data?")
    predicted = predictions.loc[solution.iloc[:, 0]].to_numpy(np.float64)
    usage = solution["Usage"].to_numpy() if "Usage" in solution else np.full(len(solution), "Private")
    losses = metrics.row_losses(truth, predicted, dataset.task)
    scored = np.isin(usage, ["Public", "Private"])
    return {
        "file": str(path),
        "n_scored": int(scored.sum()),
        "log_loss": float(losses[scored].mean()),
        "log_loss_interval": metrics.bootstrap_interval(losses[scored]),
        "public_score": _mean(losses[usage == "Public"]),
        "private_score": _mean(losses[usage == "Private"]),
        "accuracy": metrics.for_humans(truth[scored], predicted[scored], dataset.task)["accuracy"],
        "nested_score": about.get("nested_score"),
        "nested_score_interval": about.get("nested_score_interval"),
    }


def show(result: dict[str, Any], width: int) -> str:
    """Return the grade as a line for each score."""
    lines = [f"graded {result['file']}: {result['n_scored']} rows are scored"]
    for name, key in (("true log loss", "log_loss"), ("nested score", "nested_score")):
        if result[key] is not None:
            low, high = result[f"{key}_interval"]
            lines.append(f"  {name:<15}{result[key]:.4f}  (95 % interval {low:.4f} to {high:.4f})")
    for name in ("public_score", "private_score", "accuracy"):
        if result[name] is not None:
            lines.append(f"  {name.replace('_', ' '):<15}{result[name]:.4f}")
    return "\n".join(lines)


def _mean(losses: np.ndarray) -> float | None:
    return float(losses.mean()) if len(losses) else None
