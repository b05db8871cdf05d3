"""What weight decay pulls to 0."""

from dataclasses import replace
from typing import get_args

import keras
import numpy as np
import pytest

from foldwise.errors import FoldwiseError
from foldwise.models.small_cnn import small_cnn
from foldwise.settings import FitSettings, Optimizer
from foldwise.training.optimizer import optimizer


@pytest.mark.parametrize("name", ["adamw", "sgd"])
@pytest.mark.parametrize(("decayed", "pulled"), [("all", 12), ("matrices", 4)])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_what_weight_decay_pulls_to_0(name, decayed, pulled, share):
    model = small_cnn((12, 12, 2), 1, filters=(3, 4), dense=(5,))
    variables = model.trainable_variables
    for variable in variables:
        variable.assign(np.full(variable.shape, 2.0))
    fit = FitSettings(optimizer=name, learning_rate=0.1, schedule="constant", weight_decay=0.5, decayed=decayed)
    shares = {id(one): share for one in variables} if share < 1 else {}
    made = optimizer(fit, 1, variables, shares)
    made.build(variables)
    made.apply([keras.ops.zeros_like(one) for one in variables], variables)
    for variable in variables:
        is_pulled = decayed == "all" or variable.path.endswith("kernel")
        assert np.asarray(variable) == pytest.approx(2 * (1 - 0.1 * 0.5 * share) if is_pulled else 2), variable.path
    assert sum(decayed == "all" or len(one.shape) > 1 for one in variables) == pulled


def test_variables_are_needed_to_leave_some_out():
    with pytest.raises(ValueError, match=r"fit.decayed=matrices: weight decay leaves out some of the variables"):
        optimizer(FitSettings(weight_decay=0.5, decayed="matrices"), 1)


@pytest.mark.parametrize(
    ("name", "settings"),
    [*((name, {"ema": 0.5, "warmup_epochs": 1.0}) for name in get_args(Optimizer)), ("adamw", {"snapshots": 2})],
    ids=str,
)
def test_accumulated_batches_are_the_step_of_a_large_one(name, settings):
    """Four batches of two rows against one of eight, over four epochs of two steps."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 3)).astype(np.float32), rng.normal(size=(16, 2)).astype(np.float32)
    common = FitSettings(
        epochs=4, optimizer=name, learning_rate=0.05, weight_decay=0.0 if name == "adagrad" else 0.5, **settings
    )
    small = trained(replace(common, batch_size=2, accumulate=4), x, y)
    large = trained(replace(common, batch_size=8), x, y)
    if "ema" in settings:  # the last step counts once, and not four times, in the average of small batches
        reached, average = large
        momentum = 0.5 ** (1 / 4)
        before = [(mean - 0.5 * last) / 0.5 for mean, last in zip(average, reached, strict=True)]
        expected = [momentum * b + (1 - momentum) * r for b, r in zip(before, reached, strict=True)]
        large = reached, expected
    for parts in zip(small, large, strict=True):
        for one, other in zip(*parts, strict=True):
            assert one == pytest.approx(other, abs=2e-5)


def trained(fit, x, y):
    """Return the weights of a layer after its training, and their averages."""
    layer = keras.layers.Dense(2, kernel_initializer=keras.initializers.GlorotUniform(0))
    model = keras.Sequential([keras.Input((3,)), layer])
    steps = len(x) // fit.batch_size
    model.compile(optimizer(fit, steps, model.trainable_variables), "mse", run_eagerly=True)
    for _ in range(fit.epochs):
        for number in range(steps):
            part = slice(number * fit.batch_size, (number + 1) * fit.batch_size)
            model.train_on_batch(x[part], y[part])
    reached = model.get_weights()
    model.optimizer.finalize_variable_values(model.trainable_variables)
    return reached, model.get_weights()


def test_a_training_without_a_step_is_refused():
    with pytest.raises(FoldwiseError, match=r"^fit.accumulate=9: expected at most the 8 batches of the training"):
        optimizer(FitSettings(epochs=4, accumulate=9), 2)
