"""Read raw files in shards: by processes of this machine, or by the machines of a cluster of Ray."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TypeVar

from foldwise.execution.executors import start_pool
from foldwise.execution.shards import Shard, read_shard
from foldwise.processes import spread_here
from foldwise.settings import ExecutionSettings

SIZE = 8  # files of a shard: its start costs little then, and little is read again where a machine is lost
AHEAD = 4  # shards for each core of the cluster that are queued, or wait for those before them

T = TypeVar("T")
R = TypeVar("R")


def in_shards(execution: ExecutionSettings, function: Callable[[T], R], tasks: Sequence[T], here: bool) -> Iterator[R]:
    """Yield function(task) in the order of the tasks, see `foldwise.processes.Spread`; of `ray`, from its workers.

    A shard whose machine dies is read again elsewhere; one that is finished is not. The workers must see the files.

    Raises what the function raises, as a FoldwiseError.
    """
    if here or execution.executor != "ray":
        yield from spread_here(function, tasks, here)
        return
    parts = [tasks[start : start + SIZE] for start in range(0, len(tasks), SIZE)]
    shards = [Shard(f"files {SIZE * i + 1} to {SIZE * i + len(part)}", function, part) for i, part in enumerate(parts)]
    # one core reads a shard, and its results come back whatever folders the machines share
    of_shard = replace(execution, threads_per_fold=1, gpus_per_fold=0.0, storage="shared")
    with start_pool(of_shard, len(shards), read_shard, None) as pool:
        waiting, unqueued = deque(shards), enumerate(shards)
        for number, shard in islice(unqueued, AHEAD * pool.workers):
            pool.submit(number, shard)
        for _, error in pool.as_completed(lambda *_: None):
            if error is not None:
                raise error
            while waiting and (results := waiting[0].results) is not None:
                waiting.popleft()
                for number, shard in islice(unqueued, 1):
                    pool.submit(number, shard)
                yield from results
                results.clear()
