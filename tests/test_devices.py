"""Which backend a command trains on, by what is installed and what the machine shows."""

import pytest

from foldwise import devices
from foldwise.errors import ConfigError
from foldwise.settings import ExecutionSettings

ALL = ("tensorflow", "jax", "torch")
CUDA = ("jax_plugins", "jax_plugins.xla_cuda12")


@pytest.mark.parametrize(
    ("installed", "gpu", "given", "expected"),
    [
        (ALL, False, {}, "tensorflow"),
        ((*ALL, *CUDA), False, {}, "tensorflow"),
        ((*ALL, *CUDA), True, {}, "jax"),
        ((*ALL, *CUDA), True, {"allow_cpu": True}, "tensorflow"),
        (ALL, True, {}, "tensorflow"),  # JAX is there, but not its plugin for CUDA
        ((*ALL, *CUDA), True, {"backend": "torch"}, "torch"),
        (("jax", "torch"), False, {}, "jax"),
        ((), False, {}, "tensorflow"),
    ],
)
def test_the_backend(monkeypatch, installed, gpu, given, expected):
    monkeypatch.setattr(devices, "find_spec", lambda name: object() if name in installed else None)
    monkeypatch.setattr(devices, "driver_shows_gpu", lambda: gpu)
    assert devices.chosen_backend(ExecutionSettings(**given)) == expected


def test_a_backend_that_is_not_installed_is_an_error_that_names_the_others(monkeypatch):
    monkeypatch.setattr(devices, "find_spec", lambda name: object() if name == "tensorflow" else None)
    with pytest.raises(ConfigError) as raised:
        devices.chosen_backend(ExecutionSettings(backend="jax"))
    assert str(raised.value) == (
        "execution.backend=jax: it is not installed; installed: tensorflow. Run: pip install 'foldwise[jax]'"
    )
