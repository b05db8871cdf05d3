"""The page: what the stage collected, laid out by the template beside this file, as one HTML file.

The values of a run travel as JSON, and its charts are made by page.js when the run is opened: a page of two hundred
runs starts as fast as one of two. The browser itself is told to load nothing and to run no other script, by the policy
in the head of the page.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from foldwise import __version__
from foldwise.report import recipes
from foldwise.scoring.metrics import as_text

FOLDER = Path(__file__).parent


def render(about: dict[str, Any]) -> str:
    """Return the page as HTML. Everything in `about` is escaped: names, ids and messages are shown, never run."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"score": score_text, "time": time_text}
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    script, style = ((FOLDER / name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html.j2").render(
        about,
        version=__version__,
        script=Markup(script),
        style=Markup(style),
        script_hash=digest,
        lines=leaderboard_lines(about),
        islands=islands(about),
    )


def leaderboard_lines(about: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the table of runs with their places on the strip of scores, and the words to filter by.

    The constant prediction is a row of its own, at its place in the order.
    """
    board = about["leaderboard"]
    rows, constant = board["rows"], board["constant"]
    low, high = strip(rows, constant)
    varying = varying_settings(about["recipes"])

    def place(value: float | None) -> float | None:
        if value is None:
            return None
        return round(float(np.clip((value - low) / (high - low), 0, 1)) * 100, 2)

    lines = [
        {
            **row,
            "rank": rank + 1,
            "run": rank if rank < len(about["runs"]) else None,
            "places": [place(row[name]) for name in ("low", "score", "high")],
            "search": " ".join([row["name"], *words]).lower(),
            "is_constant": False,
        }
        for rank, (row, words) in enumerate(zip(rows, varying, strict=True))
    ]
    if constant is not None:
        sign = 1 if about["metric"]["lower_is_better"] else -1
        at = sum(sign * row["score"] <= sign * constant for row in rows)
        lines.insert(at, {"is_constant": True, "score": constant, "places": [None, place(constant), None]})
    return lines


def strip(rows: list[dict[str, Any]], constant: float | None) -> tuple[float, float]:
    """Return the ends of the strip on which intervals are drawn; a few runs far off do not squeeze all others."""
    ends = [row[name] for row in rows for name in ("low", "high")]
    inner = np.percentile(ends, [10, 90])
    margin = 2 * (inner[1] - inner[0])
    values = [*np.clip(ends, inner[0] - margin, inner[1] + margin), *([] if constant is None else [constant])]
    low, high = float(min(values)), float(max(values))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def varying_settings(all_recipes: list[dict[str, str]]) -> list[list[str]]:
    """Return, for each recipe, the settings in which the recipes differ, as name=value.

    >>> varying_settings([{"fit.epochs": "3", "fit.seed": "0"}, {"fit.epochs": "4", "fit.seed": "0"}])
    [['fit.epochs=3'], ['fit.epochs=4']]
    """
    seen: dict[str, set[str | None]] = {}
    for name in {name for recipe in all_recipes for name in recipe}:
        seen[name] = {recipe.get(name) for recipe in all_recipes}
    return [[f"{name}={value}" for name, value in one.items() if len(seen[name]) > 1] for one in all_recipes]


def islands(about: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the JSON of each run that has details: those, its figures, and how its recipe differs from that above."""
    board, all_recipes = about["leaderboard"], about["recipes"]
    found = []
    for rank, one in enumerate(about["runs"]):
        row = board["rows"][rank]
        above = None
        if rank:
            changes = recipes.difference(all_recipes[rank - 1], all_recipes[rank])
            above = {"name": board["rows"][rank - 1]["name"], "difference": changes}
        figures = [[board["label"], score_text(row["score"])]]
        figures.append(["95 % interval", f"{score_text(row['low'])} to {score_text(row['high'])}"])
        figures += [[name, score_text(value)] for name, value in zip(board["others"], row["others"], strict=True)]
        figures.append(["training time", time_text(row["seconds"])])
        found.append({"name": row["name"], "rank": rank + 1, "figures": figures, "above": above, **one})
    return found


def score_text(value: float | None) -> str:
    """Return a score for a table, a dash where there is none.

    >>> score_text(0.25), score_text(None)
    ('0.2500', '-')
    """
    return "-" if value is None else as_text(value)


def time_text(seconds: float) -> str:
    """Return a time in the unit that suits it.

    >>> time_text(9.24), time_text(750), time_text(9000)
    ('9.2 s', '12.5 min', '2.5 h')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
