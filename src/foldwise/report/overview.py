"""What the page shows of all runs and blends together, as plain values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from foldwise.data.dataset import Dataset
from foldwise.errors import FoldwiseError
from foldwise.kaggle import ledger
from foldwise.runs import store
from foldwise.runs.report import score_of, usual_metric_of
from foldwise.runs.submission import read_about
from foldwise.scoring import compare_runs, objective, rank_correlation
from foldwise.scoring.metrics import METRICS, as_text
from foldwise.scoring.rows import Problem, Rows
from foldwise.settings import Metric

CORRELATED = 30  # best runs whose predictions are compared with each other
MORE = {"accuracy": "accuracy", "f1": "F1", "auc": "AUC", "mae": "MAE", "r2": "R2"}


def leaderboard(reports: list[dict[str, Any]], metric: Metric) -> dict[str, Any]:
    """Return the names of the columns of the table of runs, and a row of values for each run, best first.

    Each value of a row is a number or None. The first column is the objective.
    """
    usual = usual_metric_of(reports[0])
    others: dict[str, str] = {} if metric == usual else {METRICS[usual].label: usual}
    for name, label in MORE.items():
        if name in reports[0] and name != metric:
            others[label] = name
    rows = []
    for report in reports:
        low, high = report["score_interval" if "score_interval" in report else f"{usual}_interval"]
        folds = report[f"fold_{usual}"]
        rows.append(
            {
                "name": f"{report['model']}-{report['run_key']}",
                "score": score_of(report),
                "low": low,
                "high": high,
                "sd": float(np.std(folds, ddof=1)) if len(folds) > 1 else None,
                "others": [report.get("metrics", {}).get(name, report.get(name)) for name in others.values()],
                "seconds": report["seconds"],
                "approximate": report.get("split_key") == store.OTHER,
            }
        )
    return {"label": METRICS[metric].label, "others": list(others), "rows": rows}


def constant_score(rows: Rows, problem: Problem) -> float | None:
    """Return what the best constant scores on labelled rows: their frequencies, or the mean of a regression.

    None where the objective is not defined for it.
    """
    constant = np.broadcast_to(rows.y.mean(axis=0), rows.y.shape)
    try:
        value = objective.score_of(problem, rows, constant).value
    except FoldwiseError:
        return None
    return value if np.isfinite(value) else None


def correlation(names: list[str], rows: Rows, problem: Problem) -> dict[str, Any]:
    """Return the correlations (m, m) of the logits of runs, or of the values of a regression; None where undefined."""
    matrix = compare_runs.correlations(rows, problem)
    cells = [[float(value) if np.isfinite(value) else None for value in line] for line in matrix]
    return {"names": names, "matrix": cells, "scale": "values" if problem.task == "regression" else "logits"}


def blends(folder: Path, competition: str, dataset: Dataset) -> list[dict[str, Any]]:
    """Return the blends of these data in the folder of submissions, the newest first.

    Each has file, nested_score and its interval, method, members with weights, and compared methods where there are.
    """
    files = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    found = [(path, read_about(path)) for path in files]
    return [
        _blend(path, about)
        for path, about in found
        if about.get("competition") == competition
        and about.get("ids_key") == dataset.ids_key
        and about.get("nested_score") is not None
    ]


def _blend(path: Path, about: dict[str, Any]) -> dict[str, Any]:
    metric: Metric = about.get("metric", "log_loss")
    method = about.get("ensemble", {})
    members = [member for member in about.get("members", []) if member.get("weight") != 0]
    low, high = about.get("nested_score_interval") or (None, None)
    return {
        "file": path.stem,
        "label": METRICS[metric].label,
        "score": about["nested_score"],
        "low": low,
        "high": high,
        "method": method.get("name", "-"),
        "average": method.get("average", "-"),
        "calibrate": method.get("calibrate", "none"),
        "members": sorted(members, key=lambda member: -_size(member.get("weight"))),
        "n_members": len(about.get("members", [])),
        "compared": about.get("compared", []),
        "approximate": bool(about.get("approximate")),
    }


def _size(weight: float | None) -> float:
    return 0.0 if weight is None else abs(weight)


def submitted(log: Path, slug: str, competition: str) -> dict[str, Any]:
    """Return the submissions in the log, with numbers, and how their nested scores rank them against the others.

    slug: the competition's name on Kaggle, by which the log names it.
    """
    rows = [row for row in ledger.read_of(log, slug) if row["competition"] or row["file"].startswith(competition)]
    entries = [
        {"file": Path(row["file"]).stem or row["kernel"], "status": row["status"], "message": row["message"]}
        | {name: _number(row[f"{name}_score"]) for name in ("nested", "public", "private")}
        | {"sent": row["submitted_at"][:16].replace("T", " ")}
        for row in rows
    ]
    return {"entries": entries, "trust": [_trust(entries, name) for name in ("public", "private")]}


def _trust(entries: list[dict[str, Any]], name: str) -> dict[str, Any]:
    pairs = [(one["nested"], one[name]) for one in entries if one["nested"] is not None and one[name] is not None]
    x, y = np.array(pairs, np.float64).reshape(-1, 2).T
    rho = rank_correlation.spearman(x, y)
    bounds = None if rho is None else rank_correlation.interval(rho, len(pairs))
    return {
        "name": name,
        "n": len(pairs),
        "spearman": None if rho is None else as_text(rho, decimals=2),
        "meaning": rank_correlation.meaning(name, rho, bounds, len(pairs)),
    }


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None
