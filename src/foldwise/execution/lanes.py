"""Folds of one architecture that train together as lanes of one program."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from foldwise.augment.pipelines import ranges_of
from foldwise.devices import usable_gpus
from foldwise.errors import ConfigError
from foldwise.execution.task import FoldTask, Report, read_task, seldom, train_one, write_result
from foldwise.runs.recipe import Recipe, stores_features, without_seeds
from foldwise.runs.store import Run
from foldwise.settings import ExecutionSettings, plain
from foldwise.storage import content_key
from foldwise.training import backend

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LaneTask:
    """Several folds, of one run or of several, that train together.

    most: lanes at once, a lane for each fold and seed. None: as many as the memory takes.
    """

    tasks: tuple[FoldTask, ...]
    most: int | None

    @property
    def recipe(self) -> Recipe:
        """The recipe of the first fold; the others differ from it in rates and seeds at most."""
        return self.tasks[0].recipe

    @property
    def run(self) -> Run:
        """The run of the first fold."""
        return self.tasks[0].run

    @property
    def name(self) -> str:
        """The name of the first fold, and how many train with it, for messages."""
        return self.tasks[0].name + (f" and {len(self.tasks) - 1} more" if len(self.tasks) > 1 else "")

    @property
    def n_images(self) -> int:
        """About how many images its folds train on."""
        return sum(task.n_images for task in self.tasks)


Queued = Any  # a FoldTask, of training or of prediction, or a LaneTask


def grouped(tasks: Sequence[FoldTask], execution: ExecutionSettings) -> list[Queued]:
    """Return the tasks, those that can train together as one LaneTask for each GPU.

    Raises ConfigError where a number of lanes is set and another backend than jax trains.
    """
    lanes = execution.lanes
    if isinstance(lanes, int) and any(task.recipe.backend != "jax" for task in tasks):
        raise ConfigError(f"execution.lanes={lanes}: lanes need execution.backend=jax, or execution.lanes=off")
    gpus = usable_gpus(execution)
    wanted = isinstance(lanes, int) or (lanes == "auto" and gpus)
    if not wanted or lanes == "off":
        return list(tasks)
    groups: dict[str, list[FoldTask]] = {}
    alone: list[FoldTask] = []
    for task in tasks:
        reason = why_not(task.recipe)
        if reason is None:
            groups.setdefault(program_key(task), []).append(task)
        else:
            if task.recipe.backend == "jax":
                log.info("%s: trains fold by fold, with batches from the CPU: %s", task.name, reason)
            alone.append(task)
    if any(task.held_out_loss for group in groups.values() for task in group):
        log.info("execution.held_out_loss=true: folds in lanes do not record it; execution.lanes=off trains one by one")
    most = lanes if isinstance(lanes, int) else None
    n_gpus = max(len(gpus), 1)
    parts = [tuple(group[gpu::n_gpus]) for group in groups.values() for gpu in range(min(n_gpus, len(group)))]
    return [*(LaneTask(part, most) for part in parts), *alone]


def why_not(recipe: Recipe) -> str | None:
    """Return why a recipe cannot train in lanes; None where it can."""
    if recipe.backend != "jax":
        return f"its backend is {recipe.backend}"
    if recipe.finetune.mode != "none":
        return None if stores_features(recipe) else f"finetune.mode={recipe.finetune.mode} without stored features"
    if ranges_of(recipe.augment.name, recipe.augment.options) is None:
        return f"augment={recipe.augment.name} has no form for the device"
    return None


def program_key(task: FoldTask) -> str:
    """Return a hash of what all lanes of a program share: all but folds, seeds, learning rate and weight decay."""
    fit = replace(without_seeds(task.recipe.fit), learning_rate=1.0, weight_decay=0.0)
    recipe = replace(task.recipe, fit=fit)
    return content_key([plain(recipe), str(task.prepared), str(task.folds)])


def train_any(task: Queued, report: Report) -> None:
    """Train a fold, or folds together, and write their folders; not those that another process wrote meanwhile."""
    missing = tuple(one for one in task.tasks if not one.run.fold_path(one.fold_number).is_dir())
    if isinstance(task, LaneTask) and missing:
        train_together(replace(task, tasks=missing), report)
    elif missing:
        train_one(task, report)


def train_together(task: LaneTask, report: Report) -> None:
    """Train the folds of a task as lanes, and write the folder of each as soon as its last lane is trained.

    Lanes that train together end together. Where memory runs out, half as many are tried.
    """
    from foldwise.training.fold_data import fold_data
    from foldwise.training.lanes import Lane

    started = time.perf_counter()
    read_ins = [read_task(one) for one in task.tasks]
    data = [fold_data(one.recipe, one.dataset, one.held_out, one.features, one.pseudo_labels) for one in read_ins]
    report("images", total := sum(one.n_images for one in read_ins))
    lanes = [
        (number, Lane(read_ins[number].recipe, data[number], (one.recipe.fit.seed + seed, one.number)))
        for number, one in enumerate(task.tasks)
        for seed in range(one.n_seeds)
    ]
    lanes.sort(key=lambda pair: pair[1].n_steps)  # stable: the seeds of a fold stay together
    found: dict[int, list[Any]] = {}
    for part, trained, seconds in _trained(lanes, task.most, seldom(report)):
        n_images = sum(lane.n_rows * lane.recipe.fit.epochs for _, lane in part)
        for (number, _), result in zip(part, trained, strict=True):
            found.setdefault(number, []).append(result)
        for number in dict.fromkeys(number for number, _ in part):
            if len(found[number]) == task.tasks[number].n_seeds:
                results = found.pop(number)
                predictions = [pair for result in results for pair in result.predictions]
                models = [model for result in results for model in result.models]
                whole = data[number].result(predictions, [result.history for result in results], models)
                elapsed = time.perf_counter() - started
                write_result(task.tasks[number], read_ins[number], whole, elapsed, n_images / seconds)
    seconds = time.perf_counter() - started
    report("done", total / seconds, seconds)


def _trained(
    lanes: list[Any], most: int | None, report: Callable[[int, int, float], None]
) -> Iterator[tuple[list[Any], list[Any], float]]:
    """Yield (lanes, what they give, seconds of training) of as many lanes at once as go together and fit.

    report: is called after an epoch with its number, the images that all lanes have seen, and the mean loss.
    """
    from foldwise.training.lanes import train_lanes

    size, before = most or len(lanes), 0
    while lanes:
        n_steps = lanes[0][1].n_steps
        part = [pair for pair in lanes[:size] if pair[1].n_steps == n_steps]
        n_rows = sum(lane.n_rows for _, lane in part)

        def report_epoch(epoch: int, loss: float, n_rows: int = n_rows, before: int = before) -> None:
            report(epoch, before + (epoch + 1) * n_rows, loss)

        try:
            trained = train_lanes([lane for _, lane in part], report_epoch)
        except Exception as error:
            if len(part) == 1 or not backend.is_out_of_memory(error):
                raise
            size = len(part) // 2
            log.info("memory ran out with %d lanes; trying %d", len(part), size)
            continue
        yield part, trained, sum(float(one.history["seconds"].sum()) for one in trained[:1])
        before += n_rows * part[0][1].recipe.fit.epochs
        lanes = lanes[len(part) :]
