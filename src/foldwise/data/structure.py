"""What the views, rows and categories of an image mean to each other, and what mirroring does to them.

A batch is a dict of arrays by the names of the models' inputs: `images` (n, [v,] h, w, c), `auxiliary` (n, 2 a),
`categories` int32 (n, number of categories, each counted from 1) and `angles` float32 (n, v), the view of each
slot in degrees, NaN where the slot is empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from foldwise.errors import ConfigError, FoldwiseError

if TYPE_CHECKING:
    import pandas as pd

Batch = dict[str, np.ndarray]


@dataclass(frozen=True)
class Mirror:
    """What mirroring an image left to right does, apart from flipping each of its views; twice is the identity.

    slots: new view i is the old view slots[i].
    outputs: the same of the rows that an image answers; None where it answers one.
    categories: a number k of the category `name` becomes categories[name][k - 1].
    """

    slots: Sequence[int] | None = None
    outputs: Sequence[int] | None = None
    categories: Mapping[str, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Structure:
    """What readers declare and builders and augmentations need to know of images, apart from their shape.

    rows_per_image: consecutive rows that one image answers; the first of them carries it.
    categories: columns that a model may embed, with n for numbers of 1 to n.
    mirror: None where mirroring is not known.
    regions: by the name of a part of the image, its views ("slots") and its rows ("outputs"), counted from 0.
    angles: whether slots have angles, and a slot without one is empty.
    """

    rows_per_image: int = 1
    categories: Mapping[str, int] = field(default_factory=dict)
    mirror: Mirror | None = None
    regions: Mapping[str, Mapping[str, Sequence[int]]] = field(default_factory=dict)
    angles: bool = False


def structure_from(values: Mapping[str, Any]) -> Structure:
    """Return the structure of plain values as `dataset.json` has them: those that are there, the others by default.

    >>> structure_from({"mirror": {"slots": [1, 0]}, "task": "binary"}).mirror
    Mirror(slots=[1, 0], outputs=None, categories={})
    """
    given = {name: values[name] for name in ("rows_per_image", "categories", "regions") if name in values}
    mirror = values.get("mirror")
    return Structure(**given, mirror=None if mirror is None else Mirror(**mirror))


def as_values(structure: Structure) -> dict[str, Any]:
    """Return a structure as the plain values that `structure_from` takes, without what is at its default.

    >>> as_values(Structure(rows_per_image=2, mirror=Mirror(slots=[1, 0])))
    {'rows_per_image': 2, 'mirror': {'slots': [1, 0]}}
    """
    mirror = structure.mirror
    values = {
        "rows_per_image": structure.rows_per_image,
        "categories": dict(structure.categories),
        "mirror": None if mirror is None else {name: value for name, value in vars(mirror).items() if value},
        "regions": dict(structure.regions),
    }
    return {name: value for name, value in values.items() if value not in (1, {}, None)}


def check(structure: Structure, shape: tuple[int, ...]) -> None:
    """Check the structure of images that have `shape` ([v,] h, w, c).

    Raises FoldwiseError where a number is no view, row or category, or mirroring twice does not restore the original.
    """
    views, rows = shape[0] if len(shape) == 4 else 1, structure.rows_per_image
    for name, order, valid in _orders(structure, views):
        if order is None or sorted(order) != [*valid] or [order[k - valid[0]] for k in order] != [*valid]:
            raise FoldwiseError(
                f"{name}: expected an order of the numbers {valid[0]} to {valid[-1]} that undoes itself when it is "
                f"applied twice, received {order}"
            )
    for name, region in structure.regions.items():
        for part, count in (("slots", views), ("outputs", rows)):
            given = region.get(part, [])
            if not given or not set(given) <= {*range(count)} or len(set(given)) < len(given):
                raise FoldwiseError(
                    f"regions.{name}.{part}: expected different numbers of 0 to {count - 1}, received {given}"
                )
    outputs = sorted(output for region in structure.regions.values() for output in region["outputs"])
    if outputs and outputs != [*range(rows)]:
        raise FoldwiseError(f"regions: expected each output of 0 to {rows - 1} in one region, received {outputs}")


def _orders(structure: Structure, views: int) -> Iterator[tuple[str, Sequence[int] | None, range]]:
    """Yield the name, the order and the valid numbers of all that mirroring reorders."""
    mirror, rows = structure.mirror, structure.rows_per_image
    if mirror is None:
        return
    yield "mirror.slots", mirror.slots, range(views)
    if rows > 1 or mirror.outputs is not None:
        yield "mirror.outputs", mirror.outputs, range(rows)
    for name, count in structure.categories.items():
        yield f"mirror.categories.{name}", mirror.categories.get(name), range(1, count + 1)


def check_categories(categories: Mapping[str, int], tables: dict[str, pd.DataFrame]) -> None:
    """Raise FoldwiseError, naming the row, where a category's column is missing or holds another number."""
    for name, count in categories.items():
        for split, table in tables.items():
            if name not in table:
                raise FoldwiseError(f"{split}: the category {name!r} is missing; the columns are {', '.join(table)}")
            wrong = ~table[name].isin(range(1, count + 1))
            if wrong.any():
                row = table[wrong].iloc[0]
                raise FoldwiseError(f"{split}: {name} of {row['id']!r} is {row[name]}, expected 1 to {count}")


def check_mirror(structure: Structure, auxiliary: tuple[str, ...], key: str) -> None:
    """Raise ConfigError unless mirroring is known and changes none of the auxiliary columns."""
    if structure.mirror is None:
        raise ConfigError(f"{key}: the data does not define what left-right mirroring does to it; choose another one")
    moved = [name for name in auxiliary if name in structure.categories or name.startswith("angle_")]
    if moved:
        raise ConfigError(
            f"model.options.auxiliary={list(auxiliary)}: {key} changes {moved[0]!r}; leave it out: a multi-view model "
            "gets categories and angles as inputs of their own"
        )


def mirrored(batch: Batch, structure: Structure) -> Batch:
    """Return the mirror image of a batch: each view flipped left to right and moved to its partner's slot.

    An angle becomes 360 minus itself, a category its partner's number. Twice is the identity.
    """
    mirror = structure.mirror
    assert mirror is not None
    result = dict(batch)
    images = batch["images"][..., ::-1, :]
    result["images"] = images[:, mirror.slots] if images.ndim == 5 else images
    if "angles" in batch:
        result["angles"] = (360 - batch["angles"][:, mirror.slots]) % 360
    for column, name in enumerate(structure.categories):
        partners = np.asarray(mirror.categories[name], np.int32)
        result["categories"] = result["categories"].copy()
        result["categories"][:, column] = partners[batch["categories"][:, column] - 1]
    return result


def mirrored_outputs(structure: Structure, n_outputs: int) -> np.ndarray:
    """Return which output for a sample's mirror image is that of each of its outputs: int (n_outputs,).

    The order is its own inverse.

    >>> mirrored_outputs(Structure(rows_per_image=2, mirror=Mirror([0], [1, 0])), 4).tolist()
    [2, 3, 0, 1]
    """
    assert structure.mirror is not None
    rows = np.asarray([0] if structure.mirror.outputs is None else structure.mirror.outputs)
    return (rows[:, None] * (n_outputs // len(rows)) + np.arange(n_outputs // len(rows))).ravel()
