"""Runs that were never trained: data and predictions of every task on the disk, for a page about them."""

import json

import numpy as np
import pandas as pd
import yaml

from foldwise.data import dataset, records
from foldwise.data.folds import read_folds, read_scored, split_key
from foldwise.runs.report import report_of, score_of
from foldwise.runs.store import Run, held_out_table
from foldwise.stages.report import collect

HOSTILE = "</script><img src=x onerror=window.hit=1><script>window.hit=1</script>"
VERSIONS = {"foldwise": "0.1.0", "keras": "3.15.1"}


def make_data(folder, task="binary", k=1, n=60, prefix="r", targets=None):
    """Images of 4 x 4 in two bands, with an angle and a group of three persons."""
    rng = np.random.default_rng(0)
    targets = targets or [f"t{i}" for i in range(k)]
    if task in ("multiclass", "ordinal"):
        y = np.eye(k)[np.arange(n) % k]
    elif task == "regression":
        y = rng.normal(size=(n, k)).round(3)
    else:
        y = (np.arange(n)[:, None] // (1 + np.arange(k)) % 2).astype(float)

    def record(name, i, columns):
        more = {"angle": float(rng.integers(20, 60)), "group": f"person {i % 3}"}
        return records.Record(name, rng.normal(-20, 5, (4, 4, 2)).astype(np.float32), columns | more, name)

    train = [record(f"{prefix}{i}", i, dict(zip(targets, y[i].tolist(), strict=True))) for i in range(n)]
    test = [record(f"test{i}", i, {}) for i in range(6)]
    ids = [one.id for one in test]
    folder.parent.mkdir(parents=True, exist_ok=True)
    dataset.write(records.Records(task, targets, train, test, ["angle"], test_ids=ids), folder, "data")
    return dataset.read(folder)


def predictions(labels, task, noise, seed=0):
    """Predictions of labels (n, k) that see them through noise."""
    rng = np.random.default_rng(seed)
    if task == "regression":
        return labels + noise * rng.normal(size=labels.shape)
    logits = 3 * (labels - 0.5) + noise * rng.normal(size=labels.shape)
    if task in ("multiclass", "ordinal"):
        p = np.exp(logits)
        return p / p.sum(axis=1, keepdims=True)
    return 1 / (1 + np.exp(-logits))


def make_run(runs_dir, data, split, name, p, held_out_loss=False, **fit):
    """A finished run of given out-of-fold predictions (n, k), whose loss falls as 1 / epoch."""
    run, folds = Run(runs_dir / name), read_folds(data, split)
    recipe = {
        "competition": {"name": runs_dir.name},
        "data_key": data.data_key,
        "split_key": split_key(data, split),
        "split": {"n_folds": split.n_folds, "repeats": 1},
        "model": {"name": name.rpartition("-")[0], "options": {}},
        "fit": {"epochs": 3} | fit,
    }
    run.path.mkdir(parents=True)
    (run.path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    ids = data.train.table["id"]
    for fold in range(split.n_folds):
        rows = np.flatnonzero((folds["fold"] == fold).to_numpy())
        run.fold_path(fold).mkdir()
        held_out_table(ids[rows], p[rows], data.targets, 0, fold).to_parquet(run.fold_path(fold) / "held_out.parquet")
        history = pd.DataFrame({"epoch": [1, 2, 3], "loss": [1, 1 / 2, 1 / 3], "learning_rate": 0.1, "seed": 0})
        history = history.assign(held_out_loss=[1.2, 0.9, 0.8]) if held_out_loss else history
        history.to_csv(run.fold_path(fold) / "history.csv", index=False)
        about = {"seconds": 1.0, "device": "CPU", "versions": VERSIONS}
        (run.fold_path(fold) / "fold.json").write_text(json.dumps(about))
    return run


def make_study(path, run, scores, name="small_cnn"):
    """A search of a rate and one name: trials with these scores, at rates that equal them, and one that was stopped."""
    from optuna import distributions, trial

    from foldwise.runs.studies import open_study

    path.parent.mkdir(parents=True, exist_ok=True)
    study = open_study(path)
    space = {
        "fit.learning_rate": distributions.FloatDistribution(0, 1),
        "model.name": distributions.CategoricalDistribution([name, "mlp"]),
    }

    def add(score, **about):
        values = {"fit.learning_rate": float(score), "model.name": name}
        study.add_trial(trial.create_trial(params=values, distributions=space, user_attrs={"run": run}, **about))

    for score in scores:
        add(score, value=float(score))
    add(1.0, state=trial.TrialState.PRUNED)


def collected(settings, data):
    """What the page shows of all runs of these data."""
    scored, folds = read_scored(data, settings.split)
    runs = [Run(path.parent) for path in sorted(settings.runs_dir.glob("*/recipe.yaml"))]
    reports = sorted((report_of(run, scored, folds) for run in runs), key=score_of)
    return collect(settings, data, reports)


def made(settings, task="binary", k=1, noises=(1.0, 4.0), **about):
    """What the page shows of made runs; settings: of a competition whose folders are empty yet."""
    data = make_data(settings.prepared_dir / "data", task, k, **about)
    for i, noise in enumerate(noises):
        p = predictions(data.labels.astype(float), task, noise, seed=i)
        make_run(settings.runs_dir, data, settings.split, f"net{i}-{i:012x}", p, held_out_loss=i == 0, seed=i)
    return collected(settings, data)
