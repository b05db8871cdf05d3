"""Every pretrained network: the start of a second fold, and whether JAX gives the logits that TensorFlow gives.

Random weights, with the moving statistics of a batch, and two images of the smallest side from 64 pixels on that the
network takes. "again": seconds to build a model of the same recipe once more and to copy its variables, which is what a
second fold pays before its first step. "apart": the largest difference between the features of both backends, from the
same file of weights, as a share of the largest feature. `--quick`: three networks. FOLDWISE_NETWORKS names some.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import child, table

SIDE = 64


def run(quick: bool) -> None:
    """Print a row for each network."""
    from foldwise.models.pretrained.zoo import entries

    some = ["MobileNetV2", "DenseNet121", "EfficientNetB0"] if quick else list(entries())
    names = os.environ.get("FOLDWISE_NETWORKS", ",".join(some)).split(",")
    rows = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            ours = child(__name__, "tensorflow", name, folder).said
            child(__name__, "jax", name, folder)
            one, other = (np.load(Path(folder) / f"{backend}.npy") for backend in ("tensorflow", "jax"))
        apart = float(np.abs(one - other).max() / np.abs(one).max())
        rows.append([name, f"{ours['parameters'] / 1e6:.0f}", f"{ours['again']:.1f}", f"{apart:.0e}"])
        print("  " + "  ".join(rows[-1]), file=sys.stderr, flush=True)
    table(["", "million parameters", "again s", "apart"], rows)


def build(name: str) -> Any:
    """Return the network on images of a small side, with random weights."""
    from foldwise import models
    from foldwise.models.pretrained.zoo import entries

    entry = entries()[name]
    builder: Callable[..., Any] = getattr(models, entry.builder)
    named = {"name": name} if entry.builder == "application" else {}
    side = entry.side if name.startswith("NASNet") else max(SIDE, entry.min_side)
    return builder((side, side, 3), 1, weights=None, side=side, **named)


def features(name: str, folder: str, backend_name: str) -> dict[str, Any]:
    """Write the weights, or read them, and write the features of two images."""
    import keras

    from foldwise.models import common
    from foldwise.training.backend import traced_predict
    from foldwise.training.network import _copy_variables

    model, path = build(name), Path(folder) / "network.weights.h5"
    size = model.inputs[0].shape[1]
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (2, size, size, 3)).astype(np.float32)
    again = 0.0
    if backend_name == "tensorflow":
        began = time.perf_counter()
        _copy_variables(build(name), model)
        again = time.perf_counter() - began
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):  # else random weights let everything fade out
                layer.momentum = 0.0
        model(rng.uniform(0, 255, (8, size, size, 3)).astype(np.float32), training=True)
        model.save_weights(path)
    else:
        model.load_weights(path)
    last = keras.Model(model.inputs, model.get_layer(common.FEATURES).output)
    np.save(Path(folder) / f"{backend_name}.npy", traced_predict(last)(images))
    return {"parameters": model.count_params(), "again": again}


if __name__ == "__main__":
    from foldwise.training import backend

    os.environ.update(backend.environment(sys.argv[1]))
    backend.start(os.cpu_count() or 1, sys.argv[1])
    print(json.dumps(features(sys.argv[2], sys.argv[3], sys.argv[1])))
