"""The executors: what trains folds, on this machine or on many.

An executor is a class like `foldwise.execution.local.LocalPool`: it has `workers` and `threads`, `submit` and
`as_completed`, and leaving its `with` block stops what still runs. Its workers call `work` with a task.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from foldwise.errors import ConfigError
from foldwise.execution.local import LocalPool
from foldwise.execution.task import Report
from foldwise.settings import Backend, ExecutionSettings

if TYPE_CHECKING:
    from foldwise.execution.on_ray import RayPool
    from foldwise.execution.on_slurm import SlurmPool

PACKAGES = {"ray": "ray", "slurm": "submitit"}


def start_pool(
    execution: ExecutionSettings, n_tasks: int, work: Callable[[Any, Report], Any], name: Backend | None
) -> LocalPool | RayPool | SlurmPool:
    """Return the executor of the settings, for so many tasks.

    name: of the backend that the workers compute with; None: they need none.

    Raises ConfigError where the package of the executor is not installed.
    """
    executor = execution.executor
    if executor == "local":
        return LocalPool(execution, n_tasks, work, name)
    package = PACKAGES[executor]
    if find_spec(package) is None:
        raise ConfigError(
            f"execution.executor={executor}: the package {package} is not installed; pip install 'foldwise[{executor}]'"
        )
    if executor == "ray":
        from foldwise.execution.on_ray import RayPool

        return RayPool(execution, n_tasks, work, name)
    from foldwise.execution.on_slurm import SlurmPool

    return SlurmPool(execution, n_tasks, work, name)
