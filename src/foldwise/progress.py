"""Show training progress on stderr: a bar in a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bars

FIRST_LINE_SECONDS = 5.0  # when a log without a terminal first says how fast it goes


class Progress:
    """Progress over all folds of a queue, with images/s and the time that is left.

    images: how many images each task trains in all, by its number.
    """

    def __init__(self, images: dict[int, int], names: list[str], workers: int, threads: int) -> None:
        self.images, self.names, self.workers, self.threads = images, names, workers, threads
        self.seen = dict.fromkeys(images, 0)
        self.n_done, self.device, self.rate_told = 0, "", False
        self.started, self.seen_at_start = 0.0, 0
        self.bars: Bars | None = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            console = Console(stderr=True)
            columns = (
                "{task.description}",
                BarColumn(bar_width=20),
                TaskProgressColumn(),
                "{task.fields[note]}",
            )
            self.bars = Bars(*(TextColumn(c) if isinstance(c, str) else c for c in columns), console=console)
            self.bar = self.bars.add_task("folds", total=len(self.names), note="starting TensorFlow")
            self.bars.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self.bars:
            self.bars.stop()

    def update(self, kind: str, *values: Any) -> None:
        """Take in a worker's report: ("device", name), ("step", task, epoch, images, loss) or ("done", task, ...)."""
        if kind == "device":
            if not self.device:
                self.device = values[0]
                threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
                self.say(f"training {len(self.names)} folds on {self.device}: {self.workers} at once, {threads} each")
            return
        number = values[0]
        if not self.started:  # the clock starts with the first step: TensorFlow's start is no measure of speed
            self.started = time.monotonic()
            self.seen_at_start = values[2] if kind == "step" else 0
        if kind == "step":
            self.seen[number] = values[2]
        else:
            self.n_done += 1
            self.seen[number] = self.images[number]
            self.say(
                f"{self.names[number]}: done in {values[2]:.0f} s at {values[1]:.0f} images/s "
                f"({self.n_done}/{len(self.names)}, {self._left()} left)"
            )
        self._show()

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self.bars:
            self.bars.console.print(line, highlight=False, soft_wrap=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def _show(self) -> None:
        note = f"{self.n_done}/{len(self.names)}, {self._rate():.0f} images/s, {self._left()} left"
        if self.bars:
            share = sum(self.seen.values()) / max(1, sum(self.images.values()))
            self.bars.update(self.bar, completed=share * len(self.names), note=note)
        elif not self.rate_told and time.monotonic() - self.started >= FIRST_LINE_SECONDS:
            self.rate_told = True
            self.say(note)

    def _rate(self) -> float:
        return (sum(self.seen.values()) - self.seen_at_start) / max(time.monotonic() - self.started, 1e-9)

    def _left(self) -> str:
        if self._rate() <= 0:
            return "?"
        seconds = (sum(self.images.values()) - sum(self.seen.values())) / self._rate()
        return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
