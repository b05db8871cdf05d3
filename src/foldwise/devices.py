"""Which GPU this machine shows, and which backend of Keras a command trains on, without importing any of them."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from importlib.util import find_spec

from foldwise.errors import ConfigError
from foldwise.settings import Backend, ExecutionSettings

EXTRAS = {"tensorflow": "tensorflow-cpu", "jax": "'foldwise[jax]'", "torch": "torch"}
CUDA_OF_JAX = ("jax_plugins.xla_cuda12", "jax_plugins.xla_cuda13", "jax_cuda12_plugin", "jax_cuda13_plugin")


def chosen_backend(execution: ExecutionSettings) -> Backend:
    """Return the backend that a command trains on.

    `auto` is jax where the driver shows a GPU and JAX has its plugin for CUDA, else tensorflow; where TensorFlow is
    not installed it is what is.

    Raises ConfigError where the backend is not installed.
    """
    installed: list[Backend] = [name for name in ("tensorflow", "jax", "torch") if find_spec(name) is not None]
    if execution.backend == "auto":
        if "jax" in installed and not execution.allow_cpu and _jax_has_cuda() and driver_shows_gpu():
            return "jax"
        return installed[0] if installed else "tensorflow"
    if execution.backend not in installed:
        raise ConfigError(
            f"execution.backend={execution.backend}: it is not installed; installed: {', '.join(installed) or 'none'}. "
            f"Run: pip install {EXTRAS[execution.backend]}"
        )
    return execution.backend


def driver_shows_gpu() -> bool:
    """Return whether the NVIDIA driver of this machine lists a GPU, whether or not a backend uses it."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):  # hidden on purpose
        return False
    tool = shutil.which("nvidia-smi")
    return tool is not None and _lists_gpu(tool)


@functools.cache  # a sweep asks for every recipe, and the driver takes up to a second
def _lists_gpu(tool: str) -> bool:
    listed = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False)
    return listed.returncode == 0 and "GPU " in listed.stdout


def _jax_has_cuda() -> bool:
    """Return whether JAX's plugin for CUDA is installed."""
    return any(find_spec(name.partition(".")[0]) is not None and find_spec(name) is not None for name in CUDA_OF_JAX)
