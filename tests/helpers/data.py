"""A small data set and recipes for it."""

import numpy as np
import pandas as pd

from foldwise.data.dataset import Dataset, Split
from foldwise.runs.recipe import Recipe
from foldwise.settings import AugmentSettings, FitSettings, ModelSettings, SplitSettings

N, N_TEST = 60, 11


def make_dataset(task="binary", k=1, seed=0, shape=(10, 10, 2)):
    """Noise with a bright stripe whose height tells the class."""
    rng = np.random.default_rng(seed)
    classes = np.arange(N + N_TEST) % max(k, 2)
    images = rng.normal(-20, 2, size=(N + N_TEST, *shape)).astype(np.float32)
    for image, place in zip(images, classes, strict=True):
        image[: place * 4] += 12
    y = classes[:, None] if k == 1 else np.eye(k)[classes]
    targets = [f"t{i}" for i in range(k)]
    table = pd.DataFrame(y, columns=targets).assign(id=[f"r{i}" for i in range(len(y))], angle=rng.normal(size=len(y)))
    table.loc[3, "angle"] = np.nan
    train, test = Split(images[:N], table[:N]), Split(images[N:], table[N:].reset_index(drop=True))
    return Dataset(train, test, task, targets, ["angle"], None, "data", "ids")


def make_recipe(model="logistic_regression", options=None, augment=None, **fit):
    fit = FitSettings(**{"epochs": 3, "batch_size": 16, "learning_rate": 0.01} | fit)
    augment = augment or AugmentSettings("none")
    usual = {"mlp": {"dropout": 0.0}, "small_cnn": {"filters": (4, 8), "dense_dropout": 0.0}}
    options = usual.get(model, {}) | (options or {})
    return Recipe({}, "data", "split", SplitSettings(n_folds=5), ModelSettings(model, options), "code", augment, fit)


HELD_OUT = np.arange(N) % 5 == 0  # every class on both sides
