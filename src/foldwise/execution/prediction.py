"""One trained fit to predict new samples with, and the functions that do so, in whatever process they are called."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foldwise.data.dataset import Dataset, read, read_split
from foldwise.execution.task import FoldTask, Report, held_out_rows, seldom
from foldwise.runs import store
from foldwise.runs.recipe import stores_features
from foldwise.storage import write_json, written_aside

if TYPE_CHECKING:
    from foldwise.runs.recipe import Recipe

TIMED_BATCHES = 3  # of a trial; the first one, which compiles the model, counts to the start


@dataclass(frozen=True)
class PredictionTask(FoldTask):
    """A trained fit and new samples, of which it predicts all.

    new: the folder of the new samples, as `foldwise.data.dataset.write_test` writes them.
    n_new: images of them.
    """

    new: Path = Path()
    n_new: int = 0

    @property
    def n_images(self) -> int:
        """How many images its models see."""
        return self.n_new * self.n_seeds * self.recipe.fit.snapshots

    @property
    def result(self) -> Path:
        """The file of the predictions: a table as `foldwise.runs.store.test_table` makes it."""
        return self.new / self.run.name / store.fit_name(self.fold_number) / "test.parquet"

    @property
    def seconds(self) -> float:
        """How long the fit will take, as `time_one` measured it."""
        found: dict[str, float] = json.loads(self._timing.read_text())
        return found["start"] + self.n_images * found["image"]

    @property
    def _timing(self) -> Path:
        return self.new / self.run.name / "timing.json"


def predict_one(task: PredictionTask, report: Report) -> None:
    """Predict the new samples by the models of one fit, and write `task.result`.

    On the same backend and CPU the predictions of the original test samples are those of the training, bit for bit.
    """
    # Keras is loaded by the processes that compute, not by the one that starts them
    from foldwise.training.features import new_features
    from foldwise.training.fit import predict_fold

    started = time.perf_counter()
    dataset, recipe = _opened(task)
    report("images", task.n_images)
    stored = stores_features(task.recipe)
    weights = store.weight_files(task.run, task.fold_number)
    features = new_features(recipe, dataset, task.result.parent.parent, weights[0]) if stored else None
    held_out, done = held_out_rows(task, dataset), _counted(seldom(report))
    predictions = predict_fold(recipe, dataset, held_out, weights, features, done)
    with written_aside(task.result) as aside:
        store.test_table(dataset.test.table["id"], predictions, dataset.targets).to_parquet(aside, index=False)
    seconds = time.perf_counter() - started
    report("done", task.n_images / seconds, seconds)


def time_one(task: PredictionTask, report: Report) -> None:
    """Predict a few batches of the new samples by a model of one fit, and write down how long they take.

    Where features are stored, the backbone is measured too, although further fits of the member do not need it.
    """
    from foldwise.training.fit import predict_fold

    started = time.perf_counter()
    dataset, recipe = _opened(task)
    report("images", task.n_new)
    ends: list[tuple[float, int]] = []  # when each batch was done, and its images

    def done(n: int) -> None:
        ends.append((time.perf_counter(), n))
        if len(ends) == TIMED_BATCHES:
            raise _Timed

    weights = store.weight_files(task.run, task.fold_number)[:1]
    with contextlib.suppress(_Timed):
        predict_fold(recipe, dataset, held_out_rows(task, dataset), weights, None, done)
    found = timing(started, ends)
    write_json(task._timing, found)
    report("done", 1 / found["image"], time.perf_counter() - started)


class _Timed(Exception):
    """Enough batches were predicted."""


def timing(started: float, ends: list[tuple[float, int]]) -> dict[str, float]:
    """Return the seconds of the start of a fit, and those of an image after it.

    ends: when each batch was done, and how many images it had. The first one belongs to the start, unless it is alone.

    >>> timing(0.0, [(4.0, 256), (5.0, 256), (6.0, 256)]) == {"start": 3.0, "image": 1 / 256}
    True
    """
    first, n_first = ends[0]
    image = (first - started) / n_first
    if len(ends) > 1:
        image = (ends[-1][0] - first) / sum(n for _, n in ends[1:])
    return {"start": max(0.0, first - started - n_first * image), "image": image}


def _opened(task: PredictionTask) -> tuple[Dataset, Recipe]:
    """Return the data with the new samples as its test rows, and the recipe of the fit."""
    dataset = replace(read(task.prepared), test=read_split(task.new, "test"))
    fit = replace(task.recipe.fit, n_seeds=task.n_seeds)
    model = replace(task.recipe.model, options=without_weights(task.recipe.model.options))
    return dataset, replace(task.recipe, fit=fit, model=model)


def without_weights(options: dict[str, Any]) -> dict[str, Any]:
    """Return a model's options without the weights to start from: a fit's own are whole, and need no other ones."""
    result = options | ({"weights": None} if "weights" in options else {})
    if options.get("backbone_options"):
        result["backbone_options"] = without_weights(options["backbone_options"])
    return result


def _counted(report: Callable[[int, int, float], None]) -> Callable[[int], None]:
    """Return a function of the images of a batch that reports those of all batches so far."""
    n_seen = 0

    def done(n: int) -> None:
        nonlocal n_seen
        n_seen += n
        report(0, n_seen, float("nan"))

    return done
