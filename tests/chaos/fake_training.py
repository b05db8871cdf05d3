"""Folds that are trained in a moment, in real worker processes of the real queue; no backend is loaded."""

import ctypes
import os
import resource
import signal
import threading
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.data import dataset
from foldwise.execution import local
from foldwise.execution.task import held_out_rows
from foldwise.processes import die_with_parent
from foldwise.runs import store

FAULT = "FOLDWISE_CHAOS_WORKER"  # "FOLD MOMENT": where a worker ends or fails
MOMENTS = ("start", "before", "memory", "last report", *(f"change {i}" for i in range(1, 31)))


class Model:
    """In place of a Keras model."""

    def save_weights(self, path):
        path.write_bytes(bytes(range(256)))


def start(reports, own_gpus, threads, name):
    """Start a worker without a backend, in place of `local._start`."""
    local._reports = reports
    threading.Thread(target=die_with_parent, daemon=True).start()
    if os.environ.get(FAULT, "").endswith("start"):
        os.kill(os.getpid(), signal.SIGKILL)


def train(task, report):
    """Write a fold whose probabilities depend on its number alone; fail where the environment says so."""
    fold, _, moment = os.environ.get(FAULT, "-1 ").partition(" ")
    moment = moment if int(fold) == task.fold_number else ""
    data = dataset.read(task.prepared)
    report("images", 2)
    if moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    if moment == "memory":
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**24, resource.RLIM_INFINITY))
        np.ones(2**28)
    if moment.startswith("change"):
        root = str(task.run.path).encode()
        ctypes.CDLL(None).chaos_arm(root, int(moment.split()[1]), signal.SIGKILL, 0, 0)
    write(task.run, task.fold_number, data, held_out_rows(task, data), task.recipe.split.n_folds)
    report("done", 1.0, 1.0)
    if moment == "last report":
        os.kill(os.getpid(), signal.SIGKILL)


def write(run, number, data, rows, n_folds):
    """Write the folder of a fold; rows: bool (n,), those that it holds out."""
    rng = np.random.default_rng(number)
    about = {"seconds": 1.0, "images_per_second": 1.0, "device": "CPU", "versions": {}}

    def guess(ids):
        p = rng.random((len(ids), len(data.targets)))
        return (p / p.sum(axis=1, keepdims=True)).astype(np.float32)

    ids, test = data.train.table["id"][rows], data.test.table["id"]
    repeat, fold = divmod(number, n_folds)
    held_out = store.held_out_table(ids, guess(ids), data.targets, repeat, fold)
    history = pd.DataFrame({"epoch": [1], "loss": [0.5], "learning_rate": [0.1], "seconds": [1.0], "seed": [0]})
    store.write_fold(
        run, number, held_out, store.test_table(test, guess(test), data.targets), history, [Model()], about
    )
