"""A network that was compiled for another fold, seed or file of weights computes what a new one computes."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.data import HELD_OUT, N, make_dataset, make_recipe

from foldwise.settings import AugmentSettings, FinetuneSettings
from foldwise.training import fit, network

OTHER = np.arange(N) % 3 == 1
SHORT = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 1))  # stages of a network that would be traced too long
LITE = {"weights": None, "side": 32, "bands": "difference", "values": (-35.0, 0.0)}
CASES = {
    "dropout, batch norm, snapshots, average": make_recipe(
        "small_cnn", {"dropout": 0.4, "auxiliary": ("angle",)}, epochs=4, snapshots=2, ema=0.9
    ),
    "two seeds": make_recipe("mlp", {"dropout": 0.3}, AugmentSettings("flips"), n_seeds=2, weight_decay=0.1),
    "phases": replace(
        make_recipe("efficientnet_lite0", LITE, epochs=3, learning_rate=0.01),
        finetune=FinetuneSettings("last_block", head_epochs=1),
    ),
}


@pytest.fixture
def n_traced(monkeypatch):
    """Count the training steps that are traced."""
    traced = []
    original = network.traced_step
    monkeypatch.setattr(network, "traced_step", lambda *given: traced.append(1) or original(*given))
    return lambda: len(traced)


def trained(recipe, held_out, fold):
    result = fit.train_fold(recipe, make_dataset(), held_out, fold)
    losses = result.history["loss"].to_numpy()
    return [result.held_out, result.test, losses, *(array for model in result.models for array in model.weights)]


@pytest.mark.parametrize("case", CASES)
def test_a_second_fold_has_the_bits_of_a_new_process(case, n_traced, monkeypatch):
    monkeypatch.setattr("foldwise.models.pretrained.efficientnet_lite0.STAGES", SHORT)
    recipe = CASES[case]
    alone = trained(recipe, OTHER, 1)
    phases = n_traced()
    network.forget()
    trained(recipe, HELD_OUT, 0)
    second = trained(recipe, OTHER, 1)
    assert n_traced() == 2 * phases  # none for the second fold
    assert all((a == b).all() for a, b in zip(alone, second, strict=True))
    assert np.isfinite(second[0]).all()
