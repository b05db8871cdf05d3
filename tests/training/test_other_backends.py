"""JAX and PyTorch compute what TensorFlow computes, from the same files of weights, without importing it."""

import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from helpers import other_backend
from helpers.other_backend import CASES

from foldwise.training.snapshots import with_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder of random weights of every case, moving averages and scales included, with their logits."""
    folder, logits = tmp_path_factory.mktemp("weights"), {}
    rng = np.random.default_rng(5)
    for case in CASES:
        model = other_backend.model_of(case)
        spread = [
            value if value.dtype.kind != "f" else value + rng.uniform(0.1, 0.3, value.shape)
            for value in model.get_weights()
        ]
        model = with_weights(model, spread)
        model.save_weights(folder / f"{case}.weights.h5")
        logits[case] = other_backend.logits_of(case, model)
    return folder, logits


@pytest.fixture(scope="module", params=["jax", "torch"])
def computed(request, weights):
    if find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    command = [sys.executable, other_backend.__file__, request.param, str(weights[0])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return request.param, dict(np.load(weights[0] / "computed.npz"))


@pytest.mark.parametrize("case", CASES)
def test_the_same_weights_give_the_same_logits(case, computed, weights):
    assert computed[1][case] == pytest.approx(weights[1][case], abs=1e-5, rel=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_weights_written_by_another_backend_load(case, computed, weights):
    folder, logits = weights
    model = other_backend.model_of(case)
    model.load_weights(folder / f"{case}_{computed[0]}.weights.h5")
    model = with_weights(model, model.get_weights())
    assert (other_backend.logits_of(case, model) == logits[case]).all()


def test_training_reaches_the_same_log_loss(computed):
    """Within two standard errors of the difference of the means over seeds."""
    own, other = other_backend.log_losses(), computed[1]["log losses"]
    error = np.sqrt((np.var(own, ddof=1) + np.var(other, ddof=1)) / len(own))
    assert np.mean(own) < np.log(2)
    assert abs(np.mean(own) - np.mean(other)) < 2 * error + 0.01


def test_nothing_imports_tensorflow(computed):
    assert computed[0] in computed[1]["loaded"]
    assert "tensorflow" not in computed[1]["loaded"]
