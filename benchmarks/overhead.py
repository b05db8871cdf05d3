"""What foldwise adds to a training step: its batches, its watching and Keras' fit, over the bare step.

One process with the thread settings of a worker trains the four-convolution net of `benchmarks.training` at
batch 32 by `foldwise.fit.train_fold`, with progress reports. After each epoch a twin of the model (same
builder, optimizer, loss) takes as many bare steps: Keras' compiled train function over one constant batch
that is in memory as a tensor, no callbacks, no shuffling. So epochs of foldwise and of bare steps alternate
and a machine that slows down slows both. An epoch of foldwise is all the time from the end of the bare steps
to their next beginning; the first epoch, which traces the graph, is left out.

The claim is the median over epochs of the ratio of their seconds. CPU seconds count the work of all threads,
so they hold what is done beside the step while a core is free, and they stay meaningful where other programs
take turns with this one. The ratio depends on the net: the overhead takes about the same time a step for all,
and this net's step is a long one; and on what else runs on the machine, which the quartiles show.
"""

from __future__ import annotations

import json
import queue
import sys
import tempfile
from typing import Any

import numpy as np

from benchmarks.measure import child, clocks, elapsed, table
from benchmarks.training import settings

BATCH = 32


def run(quick: bool) -> None:
    """Print the time of a step of foldwise and of a bare one, and their ratio."""
    from foldwise.prepare import prepare

    steps, epochs = (4, 4) if quick else (40, 16)
    with tempfile.TemporaryDirectory() as root:
        prepare(settings(root, steps * BATCH + 20, epochs))
        said = child(__name__, root, str(steps), str(epochs)).said
    ours, bare = np.array(said["foldwise"]) / steps, np.array(said["bare"]) / steps  # (epochs, 2)
    rows = []
    for i, clock in enumerate(("seconds", "CPU seconds")):
        pair = {
            f"foldwise, ms of {clock} a step": 1000 * ours[:, i],
            f"bare, ms of {clock} a step": 1000 * bare[:, i],
            f"overhead in {clock}, %": 100 * (ours[:, i] / bare[:, i] - 1),
        }
        rows += [[name, *(f"{q:.2f}" for q in np.percentile(v, [25, 50, 75]))] for name, v in pair.items()]
    print(f"  {len(ours)} pairs of epochs of {steps} steps at batch {BATCH}")
    table(["", "lower quartile", "median", "upper quartile"], rows)


def alternate(root: str, steps: int, epochs: int) -> dict[str, list[list[float]]]:
    """Return [seconds, CPU seconds] of all epochs but the first of a fold of `steps` batches, and of the bare steps."""
    from foldwise import workers

    recipe_settings = settings(root, steps * BATCH + 20, epochs)
    threads = workers.parallelism(recipe_settings.execution, 5)[1]
    workers._start(queue.SimpleQueue(), threads, False)
    import tensorflow as tf

    from foldwise import fit
    from foldwise.prepare import prepare
    from foldwise.runs import make_recipe

    data = prepare(recipe_settings)
    recipe = make_recipe(recipe_settings, data.data_key, "benchmark")
    found: dict[str, list[list[float]]] = {"foldwise": [], "bare": []}

    class Alternating(fit._Watch):
        bare: Any = None
        ended = clocks()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            super().on_epoch_end(epoch, logs)
            taken = elapsed(self.ended)
            if self.bare is None:
                self.bare = bare_steps(steps)
                self.bare()
            else:
                found["foldwise"].append(taken)
                found["bare"].append(self.bare())
            self.ended = clocks()

    def bare_steps(number: int) -> Any:
        import keras

        model = fit.build_model(recipe, data)
        fit._set_scale(model, data.train.images, np.arange(BATCH))
        model.compile(fit.optimizer(recipe.fit, number), keras.losses.BinaryCrossentropy(from_logits=True))
        batch = tf.constant(data.train.images[:BATCH]), tf.constant(data.labels[:BATCH])
        iterator = iter(tf.data.Dataset.from_tensors(batch).repeat())
        model.make_train_function()
        step = model.train_function

        def timed() -> list[float]:
            started = clocks()
            for _ in range(number):
                logs = step(iterator)
            float(logs["loss"])
            return elapsed(started)

        return timed

    fit._Watch = Alternating
    held_out = np.arange(len(data.train.images)) >= steps * BATCH
    fit.train_fold(recipe, data, held_out, 0, lambda epoch, images, loss: None)
    return found


if __name__ == "__main__":
    import os

    from foldwise import workers

    os.environ.update(workers._environment())
    print(json.dumps(alternate(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
