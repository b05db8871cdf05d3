"""Each backend is known in modules of its own, and a process imports one of them."""

import ast
from pathlib import Path

import keras
import numpy as np
import pytest

import foldwise
from foldwise.training import backend

SOURCE = Path(foldwise.__file__).parent


def imports_backend(source: str, backend: str = "tensorflow") -> bool:
    """Whether a module imports a backend, at its top, inside a function or by importlib."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            names = [str(node.args[0].value)] if called in ("import_module", "__import__") else []
        else:
            continue
        if any(name.split(".")[0] == backend for name in names):
            return True
    return False


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import tensorflow", True),
        ("import numpy, tensorflow as tf", True),
        ("from tensorflow import nest", True),
        ("def f():\n    from tensorflow.python.eager import context", True),
        ("importlib.import_module('tensorflow.nest')", True),
        ("import tensorflow_datasets", False),
        ("from foldwise.training.backend import start", False),
        ("names = {'tensorflow': 1}", False),
    ],
)
def test_every_way_to_import_tensorflow_is_seen(source, expected):
    assert imports_backend(source) is expected


@pytest.mark.parametrize("name", ["tensorflow", "jax", "torch"])
def test_only_its_own_modules_import_a_backend(name):
    found = [
        path.relative_to(SOURCE) for path in sorted(SOURCE.rglob("*.py")) if imports_backend(path.read_text(), name)
    ]
    assert found
    assert all(path.match(f"training/backends/*on_{name}.py") for path in found)


def test_a_traced_model_predicts_batches_of_any_length_as_at_test_time():
    inputs = [keras.Input((2,)), keras.Input((1,))]
    x = keras.layers.Dropout(0.5)(keras.layers.Concatenate()(inputs))
    predict = backend.traced_predict(keras.Model(inputs, keras.layers.Dense(1, kernel_initializer="ones")(x)))
    for n in (3, 1):
        assert predict(np.ones((n, 2), np.float32), np.full((n, 1), 2, np.float32)).tolist() == [[4.0]] * n


def test_a_traced_step_returns_the_mean_loss_of_the_epoch_and_the_rate_of_the_next_step():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="zeros", use_bias=False)])
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.5, 0.25])
    model.compile(keras.optimizers.SGD(schedule), keras.losses.MeanSquaredError())
    model.optimizer.build(model.trainable_variables)
    batch = np.ones((2, 1), np.float32), np.full((2, 1), 2, np.float32)
    step = backend.traced_step(model, batch)
    loss, rate = step(*batch)
    assert (float(loss), float(rate)) == (4.0, 0.25)  # (0 - 2)^2; the weight becomes 0 + .5 * 4 = 2
    loss, _ = step(np.ones((1, 1), np.float32), np.full((1, 1), 5, np.float32))
    assert float(loss) == pytest.approx((2 * 4 + 9) / 3)  # (2 - 5)^2 for one row, beside the two of the first step


def test_errors_for_want_of_memory_are_known_without_tensorflow():
    class ResourceExhaustedError(Exception):
        """As TensorFlow calls its own."""

    assert backend.is_out_of_memory(ResourceExhaustedError("OOM when allocating tensor"))
    assert backend.is_out_of_memory(MemoryError())
    assert not backend.is_out_of_memory(RuntimeError("memory"))


@pytest.mark.parametrize(("message", "expected"), [("RESOURCE_EXHAUSTED: Out of memory", True), ("INTERNAL: x", False)])
def test_errors_of_jax_are_known_by_what_they_say(message, expected):
    error = type("JaxRuntimeError", (RuntimeError,), {})(message)
    assert backend.is_out_of_memory(error) is expected


@pytest.mark.parametrize(
    ("capability", "expected"),
    [(None, "mixed_bfloat16"), ((7, 5), "mixed_float16"), ((8, 0), "mixed_bfloat16"), ((9, 0), "mixed_bfloat16")],
)
def test_gpus_without_bfloat16_have_float16(monkeypatch, capability, expected):
    import tensorflow as tf

    gpus = [] if capability is None else ["GPU:0"]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    details = {"compute_capability": capability}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details)
    assert backend.half_floats() == expected
