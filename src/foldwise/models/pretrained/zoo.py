"""The facts of every pretrained network, from zoo.csv, read without importing Keras.

parameters: with a classifier of 1,000 classes. side, min_side: in pixels. top1, top5: ImageNet accuracy in %, of
the weights that are fetched. talk_top1, talk_top5: of the talk's table. file, url: of Keras' own weights without
the classifier.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Entry:
    name: str
    builder: str  # the function of foldwise.models
    parameters: int
    features: int  # channels of the last feature map
    side: int
    min_side: int
    preparation: Any  # of values of 0..255: see assemble.Preparation
    top1: float | None
    top5: float | None
    source: str
    talk_top1: float | None
    talk_top5: float | None
    file: str
    url: str


@cache
def entries() -> dict[str, Entry]:
    """Return the networks by name."""
    integers, reals = ("parameters", "features", "side", "min_side"), ("top1", "top5", "talk_top1", "talk_top5")
    found = {}
    with Path(__file__).with_name("zoo.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            values: dict[str, Any] = dict(row)
            values |= {key: int(row[key]) for key in integers}
            values |= {key: float(row[key]) if row[key] else None for key in reals}
            found[row["name"]] = Entry(**values)
    return found
