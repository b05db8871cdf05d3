"""What foldwise adds to a training step: its batches, its watching and its loop, over the bare step.

One process with the thread settings of a worker trains the four-convolution net of `benchmarks.training` at batch 32,
without augmentation and with `augment=radar`, by `foldwise.fit.train_fold`, with progress reports, several times over.
Before and after each training a twin of the model (same builder, optimizer, loss) takes bare steps: Keras' training
step, compiled, over one constant batch that is in memory as a tensor, no callbacks, no shuffling. An epoch of foldwise
is all the time from the end of one epoch to that of the next; the first of a training, which traces the graph, is left
out.

The claim is the median over epochs of the ratio of their seconds to those of the bare steps before and after their
training. CPU seconds count the work of all threads, so they hold what is done beside the step while a core is free,
and they stay meaningful where other programs take turns with this one. The ratio depends on the net: the overhead
takes about the same time a step for all, and this net's step is a long one; and on what else runs on the machine,
which the quartiles show.
"""

from __future__ import annotations

import json
import sys
import tempfile
from typing import Any

import numpy as np

from benchmarks.measure import child, clocks, elapsed, table
from benchmarks.training import settings

BATCH = 32


def run(quick: bool) -> None:
    """Print the time of a step of foldwise and of a bare one, and their ratio."""
    from foldwise.stages.prepare import prepare

    steps, epochs, trainings = (4, 3, 1) if quick else (40, 5, 3)
    with tempfile.TemporaryDirectory() as root:
        prepare(settings(root, steps * BATCH + 20, epochs))
        for augment in ("none", "radar"):
            said = child(__name__, root, str(steps), str(epochs), str(trainings), augment).said
            _print_table(said, steps, augment)


def _print_table(said: dict[str, list[list[float]]], steps: int, augment: str) -> None:
    ours, bare = np.array(said["foldwise"]) / steps, np.array(said["bare"]) / steps  # (epochs, 2)
    rows = []
    print(f"  augment={augment}: the bare step is {100 * np.median(bare[:, 0] / ours[:, 0]):.0f} % of foldwise's")
    for i, clock in enumerate(("seconds", "CPU seconds")):
        pair = {
            f"foldwise, ms of {clock} a step": 1000 * ours[:, i],
            f"bare, ms of {clock} a step": 1000 * bare[:, i],
            f"overhead in {clock}, %": 100 * (ours[:, i] / bare[:, i] - 1),
        }
        rows += [[name, *(f"{q:.2f}" for q in np.percentile(v, [25, 50, 75]))] for name, v in pair.items()]
    print(f"  {len(ours)} epochs of {steps} steps at batch {BATCH}, and as many bare steps before and after trainings")
    table(["", "lower quartile", "median", "upper quartile"], rows)


def alternate(root: str, steps: int, epochs: int, trainings: int, augment: str) -> dict[str, list[list[float]]]:
    """Return [seconds, CPU seconds] of the epochs of `steps` batches, and of the bare steps around each."""
    from foldwise.execution import local
    from foldwise.training import backend

    recipe_settings = settings(root, steps * BATCH + 20, epochs, f"augment={augment}")
    threads = local.parallelism(recipe_settings.execution, 5)[1]
    backend.start(threads)
    import tensorflow as tf

    from foldwise.runs.recipe import make_recipe
    from foldwise.stages.prepare import prepare
    from foldwise.training import build, fit, optimizer

    data = prepare(recipe_settings)
    recipe = make_recipe(recipe_settings, data.data_key, "benchmark")
    held_out = np.arange(len(data.train.images)) >= steps * BATCH

    def bare_steps(number: int) -> Any:
        import keras

        model = build.build_model(recipe, data)
        build.set_scale(model, data.train.images, np.arange(BATCH))
        model.compile(optimizer.optimizer(recipe.fit, number), keras.losses.BinaryCrossentropy(from_logits=True))
        batch = tf.constant(data.train.images[:BATCH]), tf.constant(data.labels[:BATCH])
        step = tf.function(lambda: model.train_step(batch))

        def timed() -> list[float]:
            started = clocks()
            for _ in range(number):
                logs = step()
            float(logs["loss"])
            return elapsed(started)

        return timed

    bare = bare_steps(steps)
    found: dict[str, list[list[float]]] = {"foldwise": [], "bare": []}
    bare()
    before = bare()
    for training in range(trainings):
        ends: dict[int, np.ndarray] = {}

        def report(epoch: int, images: int, loss: float, ends: Any = ends) -> None:
            ends[epoch] = np.array(clocks())

        fit.train_fold(recipe, data, held_out, training, report)
        after = bare()
        taken = np.diff(list(ends.values()), axis=0)  # (epochs - 1, 2)
        found["foldwise"] += taken.tolist()
        found["bare"] += [np.mean([before, after], axis=0).tolist()] * len(taken)
        before = after
    return found


if __name__ == "__main__":
    import os

    from foldwise.training import backend

    os.environ.update(backend.environment())
    given_steps, given_epochs, given_trainings = map(int, sys.argv[2:5])
    print(json.dumps(alternate(sys.argv[1], given_steps, given_epochs, given_trainings, sys.argv[5])))
