"""One trained fit to explain some of its held-out rows by, and the function that does so, in whatever process."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from foldwise.data.batch import by_image, images_of, structure_of
from foldwise.data.dataset import read
from foldwise.data.structure import Batch
from foldwise.execution.prediction import without_weights
from foldwise.execution.task import FoldTask, Report, held_out_rows
from foldwise.runs import store
from foldwise.storage import written_aside

KNOWN = 5_000  # training images that neighbours are looked for among, at most
ROWS = 16  # images whose maps are computed at once


@dataclass(frozen=True)
class ExplanationTask(FoldTask):
    """A trained fit, and rows that it held out.

    rows: positions of the rows in the training table, hardest first.
    outputs, signs: which output of each row is looked at, of the k of a row, and for (1) or against (-1) it.
    heat, occlusion: so many of the rows get a map.
    neighbours: of the training images that are shown for each row.
    result: file of the arrays `heat` and `occlusion` (m, [v,] h', w') and `neighbours` (m, k), positions of images.
        An array is missing where it was not asked for or the model has no convolutions.
    """

    rows: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    signs: tuple[int, ...] = ()
    heat: int = 0
    occlusion: int = 0
    neighbours: int = 0
    result: Path = Path()

    @property
    def n_images(self) -> int:
        """How many images its models see, roughly."""
        return len(self.rows) + (min(self.n_train, KNOWN) if self.neighbours else 0)


def explain_one(task: ExplanationTask, report: Report) -> None:
    """Compute the maps and the neighbours of the rows of a task by the models of its fit; write `task.result`.

    Maps are means over the models of the fit; neighbours are those in the features of the first of them.
    """
    # Keras is loaded by the processes that compute, not by the one that starts them
    from foldwise.training import explain
    from foldwise.training.inputs import model_inputs

    started = time.perf_counter()
    report("images", task.n_images)
    given = read(task.prepared)
    n_rows, dataset = given.structure.rows_per_image, by_image(given)
    options = without_weights(task.recipe.model.options)
    recipe = replace(task.recipe, model=replace(task.recipe.model, options=options))
    training = np.flatnonzero(~images_of(held_out_rows(task, given), n_rows))
    inputs, _ = model_inputs(dataset, options.get("auxiliary", ()), training)
    structure = structure_of(dataset)
    rows = np.asarray(task.rows)
    evidence = explain.Evidence(np.asarray(task.outputs) + rows % n_rows * len(given.targets), np.asarray(task.signs))

    def parts(positions: np.ndarray) -> Iterator[tuple[np.ndarray, Batch]]:
        for start in range(0, len(positions), ROWS):
            part = positions[start : start + ROWS]
            batch = {"images": dataset.train.images[part].astype(np.float32)}
            yield (
                np.arange(start, start + len(part)),
                batch | {name: values[part] for name, values in inputs.items()},
            )

    images = rows // n_rows
    paths = store.weight_files(task.run, task.fold_number)
    models = [explain.trained_model(recipe, dataset, path) for path in paths]
    arrays: dict[str, np.ndarray] = {}
    if task.heat and explain.has_convolutions(models[0], structure):
        arrays["heat"] = _mean(
            [explain.grad_cam(model, batch, evidence.of(at), structure) for at, batch in parts(images[: task.heat])]
            for model in models
        )
    if task.occlusion:
        arrays["occlusion"] = _mean(
            [occlusion(batch, evidence.of(at)) for at, batch in parts(images[: task.occlusion])]
            for occlusion in map(explain.occluder, models)
        )
    if task.neighbours:
        known = training[np.unique(np.linspace(0, len(training) - 1, min(len(training), KNOWN)).astype(int))]
        features = explain.feature_model(models[0])
        found, others = (np.concatenate([features(one) for _, one in parts(which)]) for which in (images, known))
        arrays["neighbours"] = known[explain.nearest(found, others, task.neighbours)]
    task.result.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(task.result) as aside, aside.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's own stubs take no arrays by name
    seconds = time.perf_counter() - started
    report("done", task.n_images / seconds, seconds)


def _mean(maps: Iterable[list[np.ndarray]]) -> np.ndarray:
    """Return the mean over models of maps that were computed in parts."""
    return np.asarray(np.mean([np.concatenate(parts) for parts in maps], axis=0), np.float32)
