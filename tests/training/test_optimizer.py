"""What weight decay pulls to 0."""

import keras
import numpy as np
import pytest

from foldwise.models.small_cnn import small_cnn
from foldwise.settings import FitSettings
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
