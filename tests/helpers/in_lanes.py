"""What the tests of lanes train, in a process on JAX: python in_lanes.py FOLDER, where computed.npz is written."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

HERE = Path(__file__).parents[1]
CASES = {
    "mlp": ("mlp", {}, {"dropout": 0.0}, {}),
    "ema, decay, snapshots": (
        "small_cnn",
        {"mixup": 0.3, "cutmix": 0.5},
        {"auxiliary": ("angle",)},
        {"ema": 0.9, "weight_decay": 0.01, "snapshots": 2, "warmup_epochs": 0.5},
    ),
    "class weights": ("mlp", {}, {"dropout": 0.0}, {"class_weights": True, "schedule": "constant", "optimizer": "sgd"}),
    "smoothing": ("logistic_regression", {}, {}, {"label_smoothing": 0.1, "loss": "focal"}),
}


def lanes_of(case, dataset):
    """Two seeds of fold 0, and fold 1 at another rate; each has 48 rows, and the last batch 13 of 35."""
    from foldwise.settings import AugmentSettings
    from foldwise.training.fold_data import fold_data
    from foldwise.training.lanes import Lane
    from helpers.data import N, make_recipe

    model, augment, options, fit = CASES[case]
    recipe = make_recipe(model, options, AugmentSettings("none", **augment), epochs=3, batch_size=35, **fit)
    other = replace(recipe, fit=replace(recipe.fit, learning_rate=0.003, weight_decay=fit.get("weight_decay", 0) * 3))
    held_out = [np.arange(N) % 5 == fold for fold in range(2)]
    data = [fold_data(recipe, dataset, one) for one in held_out]
    return [Lane(recipe, data[0], (0, 0)), Lane(recipe, data[0], (1, 0)), Lane(other, data[1], (0, 1))], held_out


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
    for case in CASES:
        dataset = make_dataset()
        lanes, held_out = lanes_of(case, dataset)
        together = train_lanes(lanes)
        alone = train_lanes(lanes[2:])[0]
        plain = train_fold(lanes[2].recipe, dataset, held_out[1], 1)
        computed[f"{case}: together"] = result_of(together[2])
        computed[f"{case}: alone"] = result_of(alone)
        computed[f"{case}: plain"] = np.concatenate([plain.held_out, plain.test])
        computed[f"{case}: losses"] = np.stack([together[2].history["loss"], plain.history["loss"]])
        computed[f"{case}: rates"] = np.stack([one.history["learning_rate"] for one in (together[2], plain)])
        computed[f"{case}: seeds differ"] = np.array((result_of(together[0]) != result_of(together[1])).any())
    dataset = make_dataset()
    honest = train_lanes(lanes_of("mlp", dataset)[0][:2])
    dataset.train.images[HELD_OUT] = np.nan
    dataset.train.table.loc[HELD_OUT, "t0"] = np.nan
    misled = train_lanes(lanes_of("mlp", dataset)[0][:2])
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


if __name__ == "__main__":
    sys.path[:0] = [str(HERE), str(HERE.parent / "src")]
    main(Path(sys.argv[1]))
