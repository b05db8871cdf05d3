"""What the tests of lanes train, in a process on JAX: python in_lanes.py FOLDER, where computed.npz is written.

At its end the process kills itself among lanes.
"""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

HERE = Path(__file__).parents[1]
HEAD = "efficientnet_lite0"  # whose head trains, on stored features
CASES = {
    "mlp": ("mlp", {}, {"dropout": 0.0}, {}),
    # moved by whole pixels, so that the CPU's pipeline gives the same bits
    "augmented, ema, decay, snapshots": (
        "small_cnn",
        {"name": "radar", "options": {"gain": 1.0, "quarter_turns": True}, "mixup": 0.3, "cutmix": 0.5},
        {"auxiliary": ("angle",)},
        {"ema": 0.9, "weight_decay": 0.01, "decayed": "matrices", "snapshots": 2, "warmup_epochs": 0.5},
    ),
    "class weights": ("mlp", {}, {"dropout": 0.0}, {"class_weights": True, "schedule": "constant", "optimizer": "sgd"}),
    "smoothing": ("logistic_regression", {}, {}, {"label_smoothing": 0.1, "loss": "focal", "accumulate": 2}),
    "head": (HEAD, {}, {}, {}),
}
# interpolated, and noise of another generator than the CPU's
NOISE = {"name": "radar", "options": {"rotate": 10.0, "zoom": 0.1, "noise": 0.5}}


def recipe_of(case, folder):
    """The recipe of a case; a fine-tuned one takes weights from a file in the folder."""
    from foldwise.settings import AugmentSettings, FinetuneSettings
    from helpers.data import make_recipe

    model, augment, options, fit = CASES.get(case, ("logistic_regression", NOISE, {}, {}))
    augment = AugmentSettings(**{"name": "none"} | augment)
    if model == HEAD:
        options = {"side": 32, "weights": weights_of_a_short_net(folder), "bands": "difference"}
        options |= {"values": (-35.0, 0.0), "dropout": 0.0}
    made = make_recipe(model, options, augment, epochs=3, batch_size=35, **fit)
    return replace(made, finetune=FinetuneSettings("head")) if model == HEAD else made


def weights_of_a_short_net(folder):
    """Take most blocks out of the network, and return a file of weights for what is left."""
    import importlib

    from foldwise import models

    stages = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 1), (5, 2, 6, 40, 1))
    importlib.import_module(f"foldwise.models.pretrained.{HEAD}").STAGES = stages
    path = folder / "short.weights.h5"
    if not path.is_file():
        net = models.efficientnet_lite0((10, 10, 2), 1, weights=None, side=32, bands="difference", dropout=0.0)
        network = net.get_layer("backbone")
        for layer in network.layers:  # else random weights let everything fade out
            layer.momentum = 0.0
        network(np.random.default_rng(0).normal(size=(16, 32, 32, 3)), training=True)
        network.save_weights(path)
    return str(path)


def lanes_of(case, dataset, folder):
    """Two seeds of fold 0, and fold 1 at another rate; each has 48 rows, and the last batch 13 of 35."""
    from foldwise.training.features import features
    from foldwise.training.fold_data import fold_data
    from foldwise.training.lanes import Lane
    from helpers.data import N

    recipe = recipe_of(case, folder)
    other = replace(recipe, fit=replace(recipe.fit, learning_rate=0.003, weight_decay=recipe.fit.weight_decay * 3))
    stored = features(recipe, dataset) if recipe.finetune.mode == "head" else None
    held_out = [np.arange(N) % 5 == fold for fold in range(2)]
    data = [fold_data(recipe, dataset, one, stored) for one in held_out]
    return [Lane(recipe, data[0], (0, 0)), Lane(recipe, data[0], (1, 0)), Lane(other, data[1], (0, 1))], held_out[1]


def result_of(trained):
    return np.stack([np.concatenate(pair) for pair in trained.predictions])


def main(folder):
    from foldwise.training import backend

    os.environ.update(backend.environment("jax"))
    backend.start(1, "jax")
    from foldwise.training.fit import train_fold
    from foldwise.training.lanes import train_lanes
    from helpers.data import HELD_OUT, make_dataset

    computed = {}
    for case in [*CASES, "noise"]:
        dataset = replace(make_dataset(), path=folder)
        lanes, held_out = lanes_of(case, dataset, folder)
        together = train_lanes(lanes)
        alone = train_lanes(lanes[2:])[0]
        computed[f"{case}: together"] = result_of(together[2])
        computed[f"{case}: alone"] = result_of(alone)
        computed[f"{case}: seeds differ"] = np.array((result_of(together[0]) != result_of(together[1])).any())
        if case == "noise":
            continue
        plain = train_fold(lanes[2].recipe, dataset, held_out, 1)
        computed[f"{case}: plain"] = np.concatenate([plain.held_out, plain.test])
        computed[f"{case}: losses"] = np.stack([together[2].history["loss"], plain.history["loss"]])
        computed[f"{case}: rates"] = np.stack([one.history["learning_rate"] for one in (together[2], plain)])
    dataset = make_dataset()
    honest = train_lanes(lanes_of("class weights", dataset, folder)[0][:2])
    dataset.train.images[HELD_OUT] = np.nan
    dataset.train.table.loc[HELD_OUT, "t0"] = np.nan
    misled = train_lanes(lanes_of("class weights", dataset, folder)[0][:2])
    computed["leak"] = np.stack([[one.predictions[0][1] for one in each] for each in (honest, misled)])
    np.savez(folder / "computed.npz", **computed)
    train_folds_together(folder)


def train_folds_together(folder):
    """Train three recipes of two folds by one task of lanes, after fold 1 of the first was trained alone."""
    from foldwise.execution.lanes import grouped, train_any
    from foldwise.execution.task import FoldTask
    from foldwise.runs import store
    from foldwise.settings import ExecutionSettings
    from helpers.tiny import IDS, make_recipe, write_data

    data, tasks = write_data(folder / "data"), []
    for fit in ({"n_seeds": 2}, {"learning_rate": 0.01}, {"refit": True, "refit_seeds": 2}):
        recipe = replace(make_recipe("mlp", **fit), backend="jax")
        run = store.open_run(folder / "runs", recipe)
        tasks += [FoldTask(run, recipe, fold, len(IDS), data, data / "folds.parquet") for fold in run.missing()]
    train_any(tasks[1], lambda *_: None)
    queued = grouped(
        [task for task in tasks if not task.run.fold_path(task.fold_number).is_dir()], ExecutionSettings(lanes=3)
    )
    assert len(queued) == 1
    reports = []
    train_any(queued[0], lambda *report: reports.append(report))
    (folder / "reports.txt").write_text("\n".join(" ".join(map(str, report)) for report in reports))
    be_killed_among_lanes(queued[0], folder / "killed")


def be_killed_among_lanes(task, runs_dir):
    """Train the same lanes into other folders, two at a time, and be killed when the second folder is renamed."""
    from foldwise.execution.lanes import train_together
    from foldwise.runs import store

    tasks = [replace(one, run=store.open_run(runs_dir, one.recipe)) for one in task.tasks]
    renames, rename = [], Path.replace

    def counted(self, target):
        if Path(target).name.startswith(("fold_", "refit")):
            renames.append(target)
            if len(renames) == 2:
                os.kill(os.getpid(), signal.SIGKILL)
        return rename(self, target)

    Path.replace = counted
    train_together(replace(task, tasks=tuple(tasks), most=2), lambda *_: None)


if __name__ == "__main__":
    sys.path[:0] = [str(HERE), str(HERE.parent / "src")]
    main(Path(sys.argv[1]))
