"""JAX and PyTorch compute what TensorFlow computes, from the same files of weights, without importing it."""

import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from helpers import other_backend
from helpers.other_backend import CASES
from helpers.shared import made_once

from foldwise.training.snapshots import with_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder of random weights of every case, moving averages and scales included, with their logits."""

    def make(folder):
        np.savez(folder / "logits.npz", **make_weights(folder))

    folder = made_once(tmp_path_factory, "weights", make)
    return folder, dict(np.load(folder / "logits.npz"))


def make_weights(folder):
    logits, rng = {}, np.random.default_rng(5)
    for case in CASES:
        model = other_backend.model_of(case)
        spread = [
            value if value.dtype.kind != "f" else value + rng.uniform(0.1, 0.3, value.shape)
            for value in model.get_weights()
        ]
        model = with_weights(model, spread)
        model.save_weights(folder / f"{case}.weights.h5")
        logits[case] = other_backend.logits_of(case, model)
    return logits


@pytest.fixture(scope="module", params=["jax", "torch"])
def computed(request, weights, tmp_path_factory):
    name = request.param
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed")

    def make(folder):
        command = [sys.executable, other_backend.__file__, name, str(weights[0]), str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    folder = made_once(tmp_path_factory, name, make)
    return name, folder, dict(np.load(folder / "computed.npz"))


@pytest.mark.parametrize("case", CASES)
def test_the_same_weights_give_the_same_logits(case, computed, weights):
    assert computed[2][case] == pytest.approx(weights[1][case], abs=1e-5, rel=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_weights_written_by_another_backend_load(case, computed, weights):
    _, logits = weights
    model = other_backend.model_of(case)
    model.load_weights(computed[1] / f"{case}.weights.h5")
    model = with_weights(model, model.get_weights())
    assert (other_backend.logits_of(case, model) == logits[case]).all()


def test_training_reaches_the_same_log_loss(computed):
    """Within two standard errors of the difference of the means over seeds."""
    own, other = other_backend.log_losses(), computed[2]["log losses"]
    error = np.sqrt((np.var(own, ddof=1) + np.var(other, ddof=1)) / len(own))
    assert np.mean(own) < np.log(2)
    assert abs(np.mean(own) - np.mean(other)) < 2 * error + 0.01


def test_a_fold_trained_again_predicts_the_same(computed):
    once, again = computed[2]["again"]
    assert (once == again).all()


def test_nothing_imports_tensorflow(computed):
    assert computed[0] in computed[2]["loaded"]
    assert "tensorflow" not in computed[2]["loaded"]
