"""More from the same recipe: snapshots, refit, pseudo-labels and distillation, each beside the recipe without it.

Real digits of 8 x 8 pixels, 300 to train on and 1,400 to predict, five folds; the whole is repeated on other draws of
the 300. Out of fold a pair is compared row by row over all draws, with a bootstrap interval; on test the true loss
says what the test predictions are worth, which for a refit is not what the folds say. The distilled network is an mlp
that learns from three runs of small_cnn, beside the same mlp that learns from the labels alone; the time is that of
predicting the test rows, with the batches of foldwise, by all networks of a side. With the test rows an epoch is about
five times as long: such recipes have a fifth of the epochs, so that all take as many steps.
"""

from __future__ import annotations

import tempfile
import time
from typing import Any

import numpy as np

from benchmarks.finetuning import row_losses
from benchmarks.measure import table
from foldwise.runs.recipe import make_recipe

DATA = ["competition=digits_8x8", "source.n_train=300", "source.n_test=1400"]
CNN = ["model=small_cnn", "model.options.filters=[16,32]", "augment=small_digits", "fit.learning_rate=3e-3"]
MLP = ["model=mlp", "model.options.hidden=[64]", "augment=small_digits", "fit.learning_rate=3e-3"]


def run(quick: bool) -> None:
    """Print log loss out of fold and on test for every way, and the difference to the recipe without it."""
    compare(*((10, 1) if quick else (120, 3)))


def compare(epochs: int, draws: int) -> None:
    """Train every way on so many draws of the data, and print the table."""
    oof: dict[str, list[np.ndarray]] = {}
    test: dict[str, list[np.ndarray]] = {}
    seconds: dict[str, float] = {}
    for draw in range(draws):
        with tempfile.TemporaryDirectory() as root:
            for name, finished, settings in _runs(root, draw, epochs):
                losses = _losses(finished, settings)
                oof.setdefault(name, []).append(losses[0])
                test.setdefault(name, []).append(losses[1])
                print(f"  draw {draw}, {name}: {losses[0].mean():.4f}, test {losses[1].mean():.4f}", flush=True)
                if draw == 0:
                    seconds[name] = _predict_seconds(finished, settings)
    from foldwise.scoring.compare_runs import difference

    rows = []
    for name in oof:
        base = "mlp" if name.startswith("mlp") else "plain"
        row = [name]
        for losses in (oof, test):
            ours, its = (np.concatenate(losses[one]) for one in (name, base))
            apart = difference(ours, its)
            low, high = apart["interval"]
            gap = "" if name == base else f"{apart['difference']:+.4f} ({low:+.4f} to {high:+.4f})"
            row += [f"{ours.mean():.4f}", gap]
        rows.append([*row, f"{seconds[name]:.2f}"])
    table(["", "out of fold", "difference, 95 %", "test", "difference, 95 %", "s to predict"], rows)


def _runs(root: str, draw: int, epochs: int) -> Any:
    """Train one way after another."""
    more = [f"root={root}", f"source.seed={draw}", f"fit.epochs={epochs}"]
    joined = [f"fit.epochs={epochs // 5}"]
    ways = {
        "plain": CNN,
        "snapshots=2": [*CNN, "fit.snapshots=2"],
        "refit, 1 seed": [*CNN, "fit.refit=true", "fit.refit_seeds=1"],
        "refit, 5 seeds": [*CNN, "fit.refit=true", "fit.refit_seeds=5"],
        "confident": [*CNN, *joined, "pseudo=confident", "pseudo.runs=[{plain}]"],
        "soft": [*CNN, *joined, "pseudo=distill", "pseudo.runs=[{plain}]"],
        "mlp": MLP,
        "mlp, distilled": [*MLP, *joined, "pseudo=distill", "pseudo.runs=[{plain},{snapshots=2},{confident}]"],
        "mlp, distilled, refit": [
            *MLP,
            *joined,
            "pseudo=distill",
            "pseudo.runs=[{plain},{snapshots=2},{confident}]",
            "fit.refit=true",
            "fit.refit_seeds=1",
        ],
    }
    names: dict[str, str] = {}
    for name, words in ways.items():
        finished, settings = _train([*DATA, *more, *(_filled(word, names) for word in words)])
        names[name] = finished.name
        yield name, finished, settings


def _filled(word: str, names: dict[str, str]) -> str:
    for way, name in names.items():
        word = word.replace(f"{{{way}}}", name)
    return word


def _train(words: list[str]) -> tuple[Any, Any]:
    from foldwise.config.compose import compose_all
    from foldwise.stages.train import train

    settings = next(compose_all(words))
    return train(settings), settings


def _losses(finished: Any, settings: Any) -> tuple[np.ndarray, np.ndarray]:
    """The losses of the training rows, out of fold, and of the test rows."""
    import pandas as pd

    from foldwise.data.folds import read_folds
    from foldwise.plugins import competition_module
    from foldwise.runs import store
    from foldwise.scoring import metrics
    from foldwise.stages.prepare import prepare

    data = prepare(settings)
    solution = pd.read_csv(settings.raw_dir / "solution.csv", dtype=str).set_index("ImageId", drop=False)
    reader = competition_module(settings.competition.reader)
    truth = reader.truth(solution.loc[data.test.table["id"]], data.targets, **settings.competition.options)
    predicted = store.test_predictions(finished, data.test.table["id"], data.targets)
    return row_losses(finished, data, read_folds(data, settings.split)), metrics.row_losses(truth, predicted, data.task)


def _predict_seconds(finished: Any, settings: Any) -> float:
    """Time the prediction of the test rows by all networks that make the run's test predictions."""
    from foldwise.runs import store
    from foldwise.stages.prepare import prepare
    from foldwise.training import build
    from foldwise.training.predict import Predictor

    data = prepare(settings)
    recipe = make_recipe(settings, data.data_key, finished.recipe["split_key"])
    fits = [store.REFIT] if finished.refits else range(finished.n_fits)
    total = 0.0
    for path in (path for number in fits for path in sorted(finished.fold_path(number).glob("*.h5"))):
        model = build.build_model(recipe, data)
        model.load_weights(path)
        predict = Predictor(model, data.task, settings.augment.test_views)
        predict(data.test.images, None, np.arange(256))  # traces
        started = time.perf_counter()
        predict(data.test.images, None, np.arange(len(data.test.images)))
        total += time.perf_counter() - started
    return total
