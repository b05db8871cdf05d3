"""Commands in forked processes, which a preloaded library lets fail at their n-th change of a folder."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SHIM = Path(__file__).with_name("shim.c")
READY = "FOLDWISE_CHAOS_READY"


@dataclass(frozen=True)
class Fault:
    """What happens at a change of the root: a signal before it, or an error instead of it.

    sticky: whether all later changes fail too, as on a full disk; removing and renaming work then.
    """

    signal: int = 0
    error: int = 0
    sticky: bool = False


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit status, negative for a signal, what it printed, and how many changes it made."""

    status: int
    text: str
    changes: int

    @property
    def is_clean(self) -> bool:
        """Whether it has printed no traceback."""
        return "Traceback" not in self.text


def ready() -> None:
    """Start this program anew with the library preloaded, which is compiled first; return in the new process."""
    if os.environ.get(READY):
        return
    library = Path(tempfile.mkdtemp(prefix="foldwise-chaos-")) / "shim.so"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, SHIM, "-ldl"], check=True)
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    os.environ |= {READY: str(library), "LD_PRELOAD": str(library), "FOLDWISE_NEXT": "off", **one}
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def start(work: Callable[[], int], root: Path, output: Path, fault: Fault | None = None, moment: int = 0) -> int:
    """Fork a process that does some work, with a fault at its change number `moment`; return its id."""
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    status = 70
    try:
        stream = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(stream, 1)
        os.dup2(stream, 2)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        os.setpgid(0, 0)
        library = ctypes.CDLL(None)
        fault = fault or Fault()
        library.chaos_arm(str(root).encode(), moment, fault.signal, fault.error, int(fault.sticky))
        try:
            status = work()
        except BaseException:  # what main does not turn into a line
            import traceback

            traceback.print_exc()
        sys.stdout.flush()
        output.with_suffix(".changes").write_text(str(library.chaos_count()))
    finally:
        with contextlib.suppress(BaseException):
            sys.stderr.flush()
        os._exit(status)


def end(process: int, output: Path) -> Ended:
    """Wait for a process; return how it ended."""
    _, status = os.waitpid(process, 0)
    changes = output.with_suffix(".changes")
    n = int(changes.read_text()) if changes.is_file() else 0
    changes.unlink(missing_ok=True)
    return Ended(os.waitstatus_to_exitcode(status), output.read_text(errors="replace"), n)


def run(work: Callable[[], int], root: Path, output: Path, fault: Fault | None = None, moment: int = 0) -> Ended:
    """Do some work in a forked process, and wait for it."""
    return end(start(work, root, output, fault, moment), output)
