"""Run something in a fresh Python process and measure it. Linux: memory is read from /proc."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MB = 1e6


@dataclass
class Measured:
    seconds: float  # from the start of the process to its end
    cpu_seconds: float  # of the process and the children that it waited for, all threads
    said: dict[str, Any]  # the last line of its stdout


def child(module: str, *arguments: str, **environment: str) -> Measured:
    """Run `python -m module arguments` in a fresh process, which prints JSON as its last line.

    Raises RuntimeError, with what it wrote to stderr, where it fails.
    """
    command = [sys.executable, "-m", module, *arguments]
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=os.environ | environment
        )
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(f"{' '.join(command)} failed:\n{errors.read()}")
    return Measured(seconds, usage.ru_utime + usage.ru_stime, json.loads(output.splitlines()[-1]))


def clocks() -> list[float]:
    """Read the clock of the wall and that of this process, all its threads."""
    return [time.perf_counter(), time.process_time()]


def elapsed(since: list[float]) -> list[float]:
    """Return the seconds of both clocks since then."""
    return [now - then for now, then in zip(clocks(), since, strict=True)]


def peak_memory() -> float:
    """The most memory that this process has had resident so far, in bytes.

    Not `ru_maxrss`, which counts what the parent held when it started this process.
    """
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024.0


def cpu_has(flag: str) -> bool:
    """Whether /proc/cpuinfo lists `flag`."""
    return flag in Path("/proc/cpuinfo").read_text().split()


def table(header: list[str], rows: list[list[str]]) -> None:
    """Print a table, the first column to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        cells = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        print("  " + "  ".join([row[0].ljust(widths[0]), *cells]))
