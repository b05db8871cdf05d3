"""Show training progress on stderr: a bar in a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars
from rich.progress import track as rich_track

T = TypeVar("T")
LINE_SECONDS = 30.0


class Progress:
    """Progress over all folds of a queue, with images/s and the time that is left.

    images: about how many images each task trains on in all, by its number, until its worker has counted them.
    names: of the tasks, in the order of their numbers: the name of the run, a space, and which fold it is.
    workers, threads: how many folds are trained at once, and the threads of each.
    doing: what is done with the folds.
    """

    def __init__(
        self, images: dict[int, int], names: list[str], workers: int, threads: int, doing: str = "training"
    ) -> None:
        self.doing = doing
        self.images, self.names, self.workers, self.threads = images, names, workers, threads
        self.runs = [name.partition(" ")[0] for name in names]  # folds of one run train at one speed
        self.seen = dict.fromkeys(images, 0)
        self.first: dict[int, tuple[float, int]] = {}  # by task: the time of its first report, and its images then
        self.rates: dict[str, float] = {}  # images/s of one fold of each run
        self.n_done, self.device, self.rate_shown = 0, "", False
        self.bars: Bars | None = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            columns = (
                "{task.description}",
                BarColumn(bar_width=20),
                TaskProgressColumn(),
                "{task.fields[note]}",
            )
            self.bars = Bars(*(TextColumn(c) if isinstance(c, str) else c for c in columns), console=_stderr())
            self.bar = self.bars.add_task("folds", total=len(self.names), note="starting")
            self.bars.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self.bars:
            self.bars.stop()

    def update(self, kind: str, *values: Any) -> None:
        """Show the report of a worker.

        It is ("device", name), or about a task, by its number: ("images", task, images in all),
        ("step", task, epoch, images so far, loss) or ("done", task, images/s, seconds).
        """
        if kind == "device":
            if not self.device:
                self.device = values[0]
                threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
                self.print_line(
                    f"{self.doing} {len(self.names)} folds on {self.device}: {self.workers} at once, {threads} each"
                )
            return
        number = values[0]
        if kind == "images":
            self.images[number] = values[1]
        elif kind == "step":
            self.seen[number] = values[2]
            now = time.monotonic()
            then, images = self.first.setdefault(number, (now, values[2]))
            if now > then:
                self.rates[self.runs[number]] = (values[2] - images) / (now - then)
        else:
            self.n_done += 1
            self.seen[number] = self.images[number]
            self.rates[self.runs[number]] = values[1]
            self.print_line(
                f"{self.names[number]}: done in {values[2]:.0f} s at {values[1]:.0f} images/s "
                f"({self.n_done}/{len(self.names)}, {self._left()} left)"
            )
        self._show(self.runs[number])

    def print_line(self, line: str) -> None:
        """Print a line above the bar."""
        if self.bars:
            self.bars.console.print(line, highlight=False, soft_wrap=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def _show(self, run: str) -> None:
        rate = f"{self.rates.get(run, 0):.0f} images/s a fold"
        if self.bars:
            share = sum(self.seen.values()) / max(1, sum(self.images.values()))
            note = f"{self.n_done}/{len(self.names)}, {rate}, {self._left()} left"
            self.bars.update(self.bar, completed=share * len(self.names), note=note)
        elif not self.rate_shown and self.rates:
            self.rate_shown = True
            self.print_line(f"{run}: {rate}, {self._left()} left for all folds")

    def _left(self) -> str:
        """Return the time left over all folds, with a plus where a run has not shown its speed yet."""
        left = {number: self.images[number] - seen for number, seen in self.seen.items()}
        if not self.rates:
            return "?"
        slowest = max(min(self.rates.values()), 1e-9)
        folds = [images / max(self.rates.get(self.runs[n], slowest), 1e-9) for n, images in left.items()]
        seconds = int(sum(folds) / self.workers)
        unknown = any(images and self.runs[n] not in self.rates for n, images in left.items())
        return f"{seconds // 60}:{seconds % 60:02d}{'+' if unknown else ''}"


class Transfer:
    """Progress of a download on stderr: bytes, rate and the time that is left."""

    def __init__(self, name: str) -> None:
        self.name, self.shown = name, 0.0
        self.bars: Bars | None = None
        self.started, self.before = time.monotonic(), -1  # the bytes that were there at the start

    def __enter__(self) -> Transfer:
        if sys.stderr.isatty():
            columns = (DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn())
            self.bars = Bars(TextColumn("{task.description}"), BarColumn(bar_width=20), *columns, console=_stderr())
            self.bar = self.bars.add_task(self.name, total=None)
            self.bars.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self.bars:
            self.bars.stop()

    def update(self, n: int, total: int | None) -> None:
        """Show that n bytes have come, of a total where that is known; as a line, twice a minute at most."""
        if self.bars:
            self.bars.update(self.bar, completed=n, total=total)
            return
        now = time.monotonic()
        self.before = n if self.before < 0 else self.before
        if now < self.shown + LINE_SECONDS or n == self.before:
            return
        self.shown = now
        rate = (n - self.before) / max(now - self.started, 1e-9)
        of, left = "", ""
        if total is not None:
            seconds = int((total - n) / max(rate, 1e-9))
            of, left = f" of {total / 2**20:,.0f}", f", {seconds // 60}:{seconds % 60:02d} left"
        line = f"{self.name}: {n / 2**20:,.0f}{of} MiB, {rate / 2**20:,.1f} MiB/s{left}"
        print(line, file=sys.stderr, flush=True)


def _stderr() -> Console:
    return Console(stderr=True)


def track(things: Iterable[T], what: str, n: int) -> Iterator[T]:
    """Yield the things, showing on stderr how many of n are done: in a terminal only."""
    console = _stderr()
    yield from rich_track(things, what, n, console=console, disable=not console.is_terminal)
