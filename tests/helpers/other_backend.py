"""What tests compute on another backend of Keras, in a process of its own.

python other_backend.py NAME WEIGHTS FOLDER: the weights of `CASES` are in one folder; what was computed from them is
written into the other: computed.npz, and the weights again.
"""

import os
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parents[1]
CASES = {
    "logistic_regression": {},
    "mlp": {},
    "small_cnn": {},
    "small_cnn max": {"pooling": "max", "activation": "leaky_relu", "dense": (8,), "kernel_sizes": (3, 5)},
    "small_cnn valid": {"padding": "valid", "batch_norm": False, "global_pooling": "max", "auxiliary": ("angle",)},
}
SEEDS = (0, 1, 2)
ROWS = 200


def model_of(name):
    from foldwise.training.build import build_model
    from helpers.data import make_dataset, make_recipe

    return build_model(make_recipe(name.split()[0], CASES[name]), make_dataset())


def logits_of(name, model):
    from foldwise.training.backend import traced_predict

    rng = np.random.default_rng(7)
    images = rng.normal(-20, 2, (20, 10, 10, 2)).astype(np.float32)
    inputs = [images, rng.normal(size=(20, 2)).astype(np.float32)][: len(model.inputs)]
    predict = traced_predict(model)
    return np.concatenate([predict(*(one[:13] for one in inputs)), predict(*(one[13:] for one in inputs))])


def log_losses():
    """The out-of-fold log losses of three seeds on 200 rows with labels that no model can be sure of."""
    import pandas as pd

    from foldwise.data.dataset import Dataset, Split
    from foldwise.training.fit import train_fold
    from helpers.data import make_recipe

    rng = np.random.default_rng(3)
    y = (np.arange(ROWS) % 2).astype(float)
    images = rng.normal(0, 1, (ROWS, 10, 10, 2)).astype(np.float32)
    images[:, :5] += 0.15 * (2 * y[:, None, None, None] - 1)
    table = pd.DataFrame({"t0": y, "id": [f"r{i}" for i in range(ROWS)]})
    data = Dataset(Split(images, table), Split(images[:2], table[:2]), "binary", ["t0"], [], None, "data", "ids")
    held_out = np.arange(ROWS) % 4 < 2
    losses = []
    for seed in SEEDS:
        recipe = make_recipe("small_cnn", epochs=4, learning_rate=0.003, seed=seed, weight_decay=0.01, ema=0.9)
        p = train_fold(recipe, data, held_out, 0).held_out[:, 0].clip(1e-6, 1 - 1e-6)
        losses.append(-np.mean(np.where(y[held_out] > 0, np.log(p), np.log(1 - p))))
    return losses


def of_dropout():
    """The predictions of a fold whose model drops out."""
    from foldwise.training.fit import train_fold
    from helpers.data import HELD_OUT, make_dataset, make_recipe

    return train_fold(make_recipe("mlp", {"dropout": 0.5}, epochs=2), make_dataset(), HELD_OUT, 0).test


def main(name, weights, folder):
    from foldwise.training import backend

    os.environ.update(backend.environment(name))
    backend.start(1, name)
    from foldwise.training.snapshots import with_weights

    computed = {}
    for case in CASES:
        model = model_of(case)
        model.load_weights(weights / f"{case}.weights.h5")
        computed[case] = logits_of(case, with_weights(model, model.get_weights()))
        model.save_weights(folder / f"{case}.weights.h5")
    computed["log losses"] = np.array(log_losses())
    computed["again"] = np.stack([of_dropout() for _ in range(2)])
    computed["loaded"] = np.array([one for one in ("tensorflow", "jax", "torch") if sys.modules.get(one)])
    np.savez(folder / "computed.npz", **computed)


if __name__ == "__main__":
    sys.path[:0] = [str(HERE), str(HERE.parent / "src")]
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
