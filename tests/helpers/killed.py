"""Work whose process is killed at a moment of its own, in worker processes that load no backend."""

import os
import signal
import time
from typing import NamedTuple

from foldwise.execution import local


class Task(NamedTuple):
    """A task as `LocalPool` takes it; moment: when its process is killed, see `work`."""

    name: str
    moment: str = ""


def start(reports, own_gpus, threads, name):
    """Start a worker without a backend, in place of `local._start`."""
    local._reports = reports


def start_and_die(*_):
    """Be killed before there is a task."""
    os.kill(os.getpid(), signal.SIGKILL)


def work(task, report):
    """Report twice, as training reports its steps; be killed at once, between the reports, or in the last of them."""
    if task.moment == "before the first report":
        os.kill(os.getpid(), signal.SIGKILL)
    report("step", 1)
    time.sleep(0.05)
    if task.moment == "between reports":
        os.kill(os.getpid(), signal.SIGKILL)
    report("step", 2)
    if task.moment == "in the last report":
        os.kill(os.getpid(), signal.SIGKILL)
