"""A root with prepared data and two scored runs of given predictions: nothing is trained."""

import atexit
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pandas as pd

from foldwise.config.compose import configure
from foldwise.data.folds import counted_split, split_key, write_folds
from foldwise.runs import store
from foldwise.runs.report import write_report
from foldwise.runs.store import Run
from foldwise.settings import plain
from foldwise.stages.prepare import prepare

DATA = "competition=digits_8x8 source.n_train=50 source.n_test=10"
WORDS = f"{DATA} split.n_folds=2"
NAMES = ("mlp-aaaaaaaaaaaa", "small_cnn-bbbbbbbbbbbb")
RUNS = "runs/digits_8x8"


def make_root(root: Path) -> Path:
    """Write raw files, prepared data, folds and two finished runs with a model's weights below `root`."""
    shutil.copytree(_template(), root, dirs_exist_ok=True)
    return root


@cache
def _template() -> Path:
    root = Path(mkdtemp(prefix="foldwise-made-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    settings = configure(*WORDS.split(), f"root={root}")
    data = prepare(settings)
    folds = write_folds(data, settings.split)
    for seed, name in enumerate(NAMES):
        _write_run(settings, data, folds, name, np.random.default_rng(seed))
    return root


class Model:
    """In place of a Keras model."""

    def save_weights(self, path: Path) -> None:
        path.write_bytes(bytes(range(200)))


def _write_run(settings, data, folds, name, rng) -> None:
    run = Run(settings.runs_dir / name)
    split = counted_split(settings.split, folds)
    about = {"name": settings.competition.name}
    keys = {"data_key": data.data_key, "split_key": split_key(data, settings.split)}
    model = {"name": name.split("-")[0], "options": {}}
    store.write_recipe(run, {"competition": about, **keys, "split": plain(split), "model": model})

    def guess(labels):
        p = 0.2 * np.asarray(labels, np.float64) + rng.random(labels.shape)
        return (p / p.sum(axis=1, keepdims=True)).astype(np.float32)

    for fold in range(split.n_folds):
        rows = (folds["fold"] == fold).to_numpy()
        held_out = store.held_out_table(data.train.table["id"][rows], guess(data.labels[rows]), data.targets, 0, fold)
        test = store.test_table(data.test.table["id"], guess(np.zeros((10, len(data.targets)))), data.targets)
        about = {"seconds": 1.0, "images_per_second": 1.0, "device": "CPU", "versions": {}}
        history = pd.DataFrame({"epoch": [1], "loss": [0.5], "learning_rate": [0.1], "seconds": [1.0], "seed": [0]})
        store.write_fold(run, fold, held_out, test, history, [Model()], about)
    write_report(run, data, folds)
