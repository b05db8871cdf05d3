"""A shard of raw files as a task of an executor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from foldwise.execution.task import Report


@dataclass
class Shard:
    """Some files to read. What was read comes into `results`, in the process that gave the task to an executor.

    function: is called with each file.
    """

    name: str
    function: Callable[[Any], Any]
    files: Sequence[Any]
    results: list[Any] | None = field(default=None, compare=False)


def read_shard(shard: Shard, report: Report) -> list[Any]:
    """Return what the function of a shard returns for each file, in a process of a worker."""
    return [shard.function(file) for file in shard.files]
