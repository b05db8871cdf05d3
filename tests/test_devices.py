"""Which GPUs the machine shows, and which backend a command trains on."""

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
    monkeypatch.setattr(devices, "visible_gpus", lambda: ("GPU-0",) if gpu else ())
    assert devices.chosen_backend(ExecutionSettings(**given)) == expected


def test_a_backend_that_is_not_installed_is_an_error_that_names_the_others(monkeypatch):
    monkeypatch.setattr(devices, "find_spec", lambda name: object() if name == "tensorflow" else None)
    with pytest.raises(ConfigError) as raised:
        devices.chosen_backend(ExecutionSettings(backend="jax"))
    assert str(raised.value) == (
        "execution.backend=jax: it is not installed; installed: tensorflow. Run: pip install 'foldwise[jax]'"
    )


@pytest.fixture
def nvidia_smi(monkeypatch, tmp_path):
    """Put a command on the PATH that lists one GPU, or what is written into it."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text('#!/bin/sh\necho "GPU 0: NVIDIA H200 (UUID: GPU-0)"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tool


@pytest.mark.parametrize(
    ("visible", "expected"),
    [("-1", ()), ("", ()), ("0", ("0",)), ("1, 0", ("1", "0")), ("2,-1,0", ("2",)), ("GPU-0", ("GPU-0",))],
)
def test_the_gpu_of_the_driver_counts_unless_it_is_hidden(nvidia_smi, monkeypatch, visible, expected):
    assert devices.visible_gpus() == ("GPU-0",)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices.visible_gpus() == expected


@pytest.mark.parametrize("script", ["echo No devices were found", 'echo "GPU 0: NVIDIA H200 (UUID: GPU-0)"; exit 9'])
def test_a_driver_that_lists_no_gpu_or_fails_counts_as_none(nvidia_smi, monkeypatch, script):
    nvidia_smi.write_text(f"#!/bin/sh\n{script}\n")
    assert devices.visible_gpus() == ()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert devices.visible_gpus() == ()


def test_the_parts_of_a_gpu_count_in_its_place(nvidia_smi):
    nvidia_smi.write_text(
        "#!/bin/sh\n"
        'echo "GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5f)"\n'
        'echo "  MIG 3g.20gb     Device  0: (UUID: MIG-a1)"\n'
        'echo "  MIG 3g.20gb     Device  1: (UUID: MIG-a2)"\n'
    )
    assert devices.visible_gpus() == ("MIG-a1", "MIG-a2")
