"""Show training progress on stderr: a bar in a terminal, plain lines otherwise."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars
from rich.progress import track as rich_track
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from foldwise.time_left import Waiting, as_clock, time_left

T = TypeVar("T")
LINE_SECONDS = 30.0  # without a terminal, a line after so many seconds without one, then after twice as many
MOST_SECONDS = 300.0
MOST_LINES = 8  # folds that have a line of their own above the bar


class Progress:
    """Progress over all folds of a queue: epoch and loss of those that train, and the time that is left.

    images: about how many images each task trains on in all, by its number, until its worker has counted them.
    names: of the tasks, in the order of their numbers: the name of the run, a space, and which fold it is.
    workers, threads: how many folds are trained at once, and the threads of each.
    doing: what is done with the folds.
    epochs: of each task, in the order of the names. None: it has none.
    engine: the library that the workers start before anything else.
    """

    def __init__(
        self,
        images: dict[int, int],
        names: list[str],
        workers: int,
        threads: int,
        doing: str = "training",
        epochs: Sequence[int | None] | None = None,
        engine: str = "TensorFlow",
    ) -> None:
        self.doing, self.engine = doing, engine
        self.images, self.names, self.workers, self.threads = images, names, workers, threads
        self.epochs = epochs or [None] * len(names)
        self.runs = [name.partition(" ")[0] for name in names]  # folds of one run train at one speed
        self.seen = dict.fromkeys(images, 0)
        self.taken: dict[int, float] = {}  # by task that is not done: the time when its worker took it
        self.first: dict[int, tuple[float, int]] = {}  # by task: the time of its first report, and its images then
        self.notes: dict[int, str] = {}  # by task that is not done: its epoch and its loss
        self.rates: dict[str, float] = {}  # images/s of one fold of each run
        self.starts: dict[str, float] = {}  # seconds of one fold of each run besides its steps
        self.done: set[int] = set()
        self.device = ""
        self.started = self.began = self.last_line = time.monotonic()
        self.pause = LINE_SECONDS
        self.live: Live | None = None
        self.lock = threading.Lock()  # the live display is drawn by a thread of its own

    def __enter__(self) -> Progress:
        if is_screen():
            # the standard error is redirected, so that what is logged meanwhile comes above the bar
            self.live = Live(get_renderable=self._drawn, console=_stderr(), redirect_stdout=False)
            self.live.start()
        else:
            self.print_line(f"starting {self.engine}")
        return self

    def __exit__(self, *_: Any) -> None:
        if self.live:
            self.live.stop()

    def update(self, kind: str, *values: Any) -> None:
        """Show the report of a worker.

        It is ("device", name), or about a task, by its number: ("images", task, images in all),
        ("step", task, epoch, images so far, loss) or ("done", task, images/s, seconds).
        """
        with self.lock:
            line = self._noted(kind, *values)
        if line is None and not self.live and kind == "step" and time.monotonic() - self.last_line >= self.pause:
            self.pause = min(2 * self.pause, MOST_SECONDS)
            line = f"{self.names[values[0]]}: {self.notes[values[0]]} ({self._counted()})"
        if line is not None:
            self.print_line(line)

    def print_line(self, line: str) -> None:
        """Print a line above the bar."""
        self.last_line = time.monotonic()
        if self.live:
            self.live.console.print(line, highlight=False, markup=False, soft_wrap=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def _noted(self, kind: str, *values: Any) -> str | None:
        """Keep what a worker reports; return the line that it is worth, if any."""
        now = time.monotonic()
        if kind == "device":
            if self.device:
                return None
            self.device, self.began = values[0], now
            folds, threads = _plural(len(self.names), "fold"), _plural(self.threads, "thread")
            return f"{self.doing} {folds} on {self.device}: {self.workers} at once, {threads} each"
        number, run = values[0], self.runs[values[0]]
        self.taken.setdefault(number, now)
        if kind == "images":
            self.images[number] = values[1]
        elif kind == "step":
            _, epoch, self.seen[number], loss = values
            then, images = self.first.setdefault(number, (now, self.seen[number]))
            if now > then and self.seen[number] > images:
                self.rates[run] = (self.seen[number] - images) / (now - then)
            self.notes[number] = self._note(number, epoch, loss)
        else:
            _, self.rates[run], seconds = values
            self.seen[number] = self.images[number]
            self.starts[run] = max(0.0, seconds - self.images[number] / max(self.rates[run], 1e-9))
            self.done.add(number)
            del self.taken[number]
            rate = f" at {self.rates[run]:.0f} images/s" if self.rates[run] >= 1 else ""
            count = "" if self.live else f" ({self._counted()})"  # the bar has it
            return f"{self.names[number]}: done in {seconds:.0f} s{rate}{count}"
        return None

    def _note(self, number: int, epoch: int, loss: float) -> str:
        """Return the epoch and the loss of a task as text, or the share that is done where it has no epochs."""
        if self.epochs[number] is None:
            return f"{100 * self.seen[number] / max(1, self.images[number]):.0f} %"
        if self.seen[number] >= self.images[number]:
            return "predicting"
        shown = f"{loss:.3f}" if 1e-3 <= abs(loss) < 100 else f"{loss:.3g}"
        return f"epoch {epoch + 1}/{self.epochs[number]}, loss {shown}"

    def _counted(self) -> str:
        """Return how many folds are done, and the time that is left, where anything is known of it."""
        now = time.monotonic()
        waiting = [
            Waiting(
                self.runs[number],
                max(0, self.images[number] - seen),
                now - self.taken[number] if number in self.taken else None,
                number in self.first,
            )
            for number, seen in self.seen.items()
            if number not in self.done
        ]
        seconds, unknown = time_left(waiting, self.rates, self.starts, self.workers)
        bound = "at least " if unknown else ""  # a model that was not seen yet may be slower
        left = "" if seconds is None else f", {bound}{as_clock(seconds)} left"
        if len(self.done) == len(self.names):
            left = f" in {as_clock(now - self.started)}"
        return f"{len(self.done)}/{len(self.names)} folds{left}"

    def _drawn(self) -> RenderableType:
        """Return the display: a line for each fold that is worked at, and the bar of all."""
        console, now = _stderr(), time.monotonic()
        room = console.width - 1
        with self.lock:
            lines = [self._fold_line(number, now, room) for number in sorted(self.taken)[:MOST_LINES]]
            share = sum(self.seen.values()) / max(1, sum(self.images.values()))
            if not self.device:
                note = f"starting {self.engine}, {as_clock(now - self.began)}"
            elif not self.taken and not self.done:
                note = f"reading the data, {as_clock(now - self.began)}"
            else:
                note = self._counted()
        percent = f"{100 * share:3.0f} %"
        width = min(20, room - len(self.doing) - len(note) - len(percent) - 3)
        cells: list[RenderableType] = [percent, note]  # what a narrow window has room for
        if width >= -1:
            cells = [self.doing, *([ProgressBar(1.0, share, width=width)] if width > 3 else []), *cells]
        bar = Table.grid(padding=(0, 1))
        for _ in cells:
            bar.add_column(no_wrap=True, overflow="ellipsis")
        bar.add_row(*cells)
        return Group(*(Text(line, no_wrap=True, overflow="ellipsis") for line in lines), bar)

    def _fold_line(self, number: int, now: float, room: int) -> str:
        """Return a line about a fold: the longest of several that fits."""
        run, _, fold = self.names[number].partition(" ")
        note = self.notes.get(number, f"compiling, {as_clock(now - self.taken[number])}")
        rate = self.rates.get(run, 0.0)
        speed = f", {rate:.0f} images/s" if rate >= 1 and number in self.first else ""
        model, _, key = run.rpartition("-")
        short = f"{model}-{key[:4]} {fold}" if model else f"{run} {fold}"
        lines = [f"{self.names[number]}: {note}{speed}", f"{short}: {note}{speed}", f"{short}: {note}"]
        return next((line for line in lines if len(line) <= room), f"{fold}: {note}")


def _plural(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def is_screen() -> bool:
    """Tell whether the standard error is a terminal on which lines can be drawn anew."""
    return sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


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
            of, left = f" of {total / 2**20:,.0f}", f", {as_clock((total - n) / max(rate, 1e-9))} left"
        line = f"{self.name}: {n / 2**20:,.0f}{of} MiB, {rate / 2**20:,.1f} MiB/s{left}"
        print(line, file=sys.stderr, flush=True)


def _stderr() -> Console:
    return Console(stderr=True)


def track(things: Iterable[T], what: str, n: int) -> Iterator[T]:
    """Yield the things, showing on stderr how many of n are done: in a terminal only."""
    console = _stderr()
    yield from rich_track(things, what, n, console=console, disable=not console.is_terminal)
