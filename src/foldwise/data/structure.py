"""What views, rows and categories mean to each other in data where one image answers many questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from foldwise.errors import ConfigError, FoldwiseError

if TYPE_CHECKING:
    import pandas as pd

    from foldwise.data.records import Records


def check(records: Records, shape: tuple[int, ...]) -> None:
    """Check what `records` says of its images, which have `shape` ([v,] h, w, c).

    Mirroring an image flips each view left to right and reorders the views: new[i] = old[mirror["slots"][i]].
    The rows that it answers are reordered likewise by mirror["outputs"] (only where rows_per_image > 1), and
    a number k of a category becomes mirror["categories"][name][k - 1]. A second mirroring undoes the first.
    regions[name] has the views ("slots") and the rows of an image ("outputs"), counted from 0, of a part.

    Raises FoldwiseError where a number is no view, row or category, or where mirroring twice is not nothing.
    """
    views, rows = shape[0] if len(shape) == 4 else 1, records.rows_per_image
    mirror = records.mirror or {}
    orders = [("mirror.slots", mirror.get("slots"), range(views))]
    orders += [("mirror.outputs", mirror.get("outputs"), range(rows))] if rows > 1 or "outputs" in mirror else []
    for name, count in records.categories.items():
        orders.append((f"mirror.categories.{name}", mirror.get("categories", {}).get(name), range(1, count + 1)))
    for name, order, valid in orders if records.mirror is not None else []:
        if order is None or sorted(order) != [*valid] or [order[k - valid[0]] for k in order] != [*valid]:
            raise FoldwiseError(
                f"{name}: expected an order of the numbers {valid[0]} to {valid[-1]} that undoes itself when it is "
                f"applied twice, received {order}"
            )
    for name, region in records.regions.items():
        for part, count in (("slots", views), ("outputs", rows)):
            given = region.get(part, [])
            if not given or not set(given) <= {*range(count)} or len(set(given)) < len(given):
                raise FoldwiseError(
                    f"regions.{name}.{part}: expected different numbers of 0 to {count - 1}, received {given}"
                )
    outputs = sorted(output for region in records.regions.values() for output in region["outputs"])
    if outputs and outputs != [*range(rows)]:
        raise FoldwiseError(f"regions: expected each output of 0 to {rows - 1} in one region, received {outputs}")


def check_categories(categories: dict[str, int], tables: dict[str, pd.DataFrame]) -> None:
    """Raise FoldwiseError, naming the row, where a category's column is missing or holds another number."""
    for name, count in categories.items():
        for split, table in tables.items():
            if name not in table:
                raise FoldwiseError(f"{split}: the category {name!r} is missing; the columns are {', '.join(table)}")
            wrong = ~table[name].isin(range(1, count + 1))
            if wrong.any():
                row = table[wrong].iloc[0]
                raise FoldwiseError(f"{split}: {name} of {row['id']!r} is {row[name]}, expected 1 to {count}")


@dataclass(frozen=True)
class Structure:
    """What a builder or an augmentation may ask about samples beside the shape of their images."""

    categories: Mapping[str, int] = field(default_factory=dict)  # these three as in records.Records
    mirror: Mapping[str, Any] | None = None
    regions: Mapping[str, Mapping[str, list[int]]] = field(default_factory=dict)
    angles: bool = False  # slots have angles, and a slot without one is empty


def mirrored_outputs(structure: Structure, n_outputs: int) -> np.ndarray:
    """Return which output of a sample's mirror image answers each of its outputs: int (n_outputs,), its own inverse."""
    assert structure.mirror is not None
    rows = np.asarray(structure.mirror.get("outputs", [0]))
    return (rows[:, None] * (n_outputs // len(rows)) + np.arange(n_outputs // len(rows))).ravel()


def check_mirror(structure: Structure, auxiliary: tuple[str, ...], key: str) -> None:
    """Raise ConfigError unless the data say what mirroring does and the auxiliary columns are not part of it."""
    if structure.mirror is None:
        raise ConfigError(f"{key}: the data do not say what left-right mirroring does to them; choose another one")
    moved = [name for name in auxiliary if name in structure.categories or name.startswith("angle_")]
    if moved:
        raise ConfigError(
            f"model.options.auxiliary={list(auxiliary)}: {key} changes {moved[0]!r}; leave it out: a multi-view model "
            "gets categories and angles as inputs of their own"
        )
