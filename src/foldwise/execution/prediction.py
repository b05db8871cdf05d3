"""One trained fit to predict new samples with, and the function that does so, in whatever process it is called."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from foldwise.data.dataset import read, read_split
from foldwise.execution.task import FoldTask, Report, held_out_rows
from foldwise.runs import store
from foldwise.storage import written_aside


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


def predict_one(task: PredictionTask, report: Report) -> None:
    """Predict the new samples by the models of one fit, and write `task.result`.

    On the same backend and CPU the predictions of the original test samples are those of the training, bit for bit.
    """
    # Keras is loaded by the processes that compute, not by the one that starts them
    from foldwise.training.features import can_be_stored, new_features
    from foldwise.training.fit import predict_fold

    started = time.perf_counter()
    dataset = replace(read(task.prepared), test=read_split(task.new, "test"))
    report("images", task.n_images)
    recipe = replace(task.recipe, fit=replace(task.recipe.fit, n_seeds=task.n_seeds))
    stored = can_be_stored(recipe) and not recipe.pseudo.runs
    weights = store.weight_files(task.run, task.fold_number)
    recipe = replace(recipe, model=replace(recipe.model, options=_without_weights(recipe.model.options)))
    features = new_features(recipe, dataset, task.new, weights[0]) if stored else None
    predictions = predict_fold(recipe, dataset, held_out_rows(task, dataset), weights, features)
    with written_aside(task.result) as aside:
        store.test_table(dataset.test.table["id"], predictions, dataset.targets).to_parquet(aside, index=False)
    seconds = time.perf_counter() - started
    report("done", task.n_images / seconds, seconds)


def _without_weights(options: dict[str, Any]) -> dict[str, Any]:
    """Return a model's options without the weights to start from: a fit's own are whole, and need no other ones."""
    result = options | ({"weights": None} if "weights" in options else {})
    if options.get("backbone_options"):
        result["backbone_options"] = _without_weights(options["backbone_options"])
    return result
