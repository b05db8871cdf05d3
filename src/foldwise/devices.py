"""Which GPU this machine shows, and which backend of Keras a command trains on, without importing any of them."""

from __future__ import annotations

import functools
import itertools
import os
import re
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
        if "jax" in installed and jax_has_cuda() and usable_gpus(execution):
            return "jax"
        return installed[0] if installed else "tensorflow"
    if execution.backend not in installed:
        raise ConfigError(
            f"execution.backend={execution.backend}: it is not installed; installed: {', '.join(installed) or 'none'}. "
            f"Run: pip install {EXTRAS[execution.backend]}"
        )
    return execution.backend


def usable_gpus(execution: ExecutionSettings) -> tuple[str, ...]:
    """Return the visible GPUs, on which a command must compute; none where it may use the CPU instead."""
    return () if execution.allow_cpu else visible_gpus()


def gpus_per_fold(execution: ExecutionSettings) -> float:
    """Return the GPUs of one fold on a cluster: by default one where this machine has any that must be used."""
    given = execution.gpus_per_fold
    return float(bool(usable_gpus(execution))) if given is None else given


def visible_gpus() -> tuple[str, ...]:
    """Return what names each GPU of this machine in CUDA_VISIBLE_DEVICES, or each of its parts where MIG is on.

    Of several, those that the variable names already, whether or not a backend uses them.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    tool = shutil.which("nvidia-smi")
    listed = _listed_gpus(tool) if tool is not None and visible not in ("", "-1") else ()  # hidden on purpose
    if visible is None or not listed:
        return listed
    named = [one.strip() for one in visible.split(",")]
    # CUDA ignores what follows a number below 0
    return tuple(itertools.takewhile(lambda one: bool(one) and not one.startswith("-"), named))


@functools.cache  # a sweep asks for every recipe, and the driver takes up to a second
def _listed_gpus(tool: str) -> tuple[str, ...]:
    listed = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        return ()
    names = re.findall(r"^\s*(GPU|MIG) .*\(UUID: (\S+)\)", listed.stdout, re.MULTILINE)
    parts = [name for kind, name in names if kind == "MIG"]
    return tuple(parts or (name for _, name in names))


def jax_has_cuda() -> bool:
    """Return whether JAX's plugin for CUDA is installed."""
    return any(find_spec(name.partition(".")[0]) is not None and find_spec(name) is not None for name in CUDA_OF_JAX)
