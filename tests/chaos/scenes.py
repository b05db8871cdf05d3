"""Faults of every kind, each at many moments of a command, and what is true after each of them."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pandas as pd

from chaos import fake_training
from chaos.process import Ended, Fault, end, run, start
from foldwise.__main__ import main
from foldwise.execution import local, queue

DATA = ("competition=digits_8x8", "source.n_train=50", "source.n_test=10")
SPLIT = "split.n_folds=3"
CHANGES = {
    "kill -9": Fault(signal=signal.SIGKILL),
    "SIGTERM": Fault(signal=signal.SIGTERM),
    "Ctrl-C": Fault(signal=signal.SIGINT),
    "disk full (ENOSPC)": Fault(error=errno.ENOSPC, sticky=True),
    "input/output error (EIO)": Fault(error=errno.EIO),
}
READ_ONLY = Fault(error=errno.EROFS, sticky=True)
STATUS = {signal.SIGKILL: (-9,), signal.SIGTERM: (143,), signal.SIGINT: (130,), 0: (0, 1)}


@dataclass
class Row:
    """A row of the table: a fault of a command.

    lost: how often a file that was finished before was gone or another one after the fault.
    different: how often the same command did not end in the bits of an undisturbed run, or left a temporary file.
    unclear: how often the fault ended in a traceback, or in a status that it should not have.
    """

    fault: str
    command: str
    moments: int = 0
    lost: int = 0
    different: int = 0
    unclear: int = 0
    examples: list[str] = field(default_factory=list)


class Place:
    """The root that commands work on, the roots that they find before and should leave, and files to import."""

    def __init__(self, folder: Path) -> None:
        self.root, self.output, self.folder = folder / "root", folder / "output", folder
        self.commands = {
            "prepare": ("prepare", *DATA),
            "prepare over another source": ("prepare", *DATA),
            "folds": ("folds", *DATA, SPLIT),
            "import": ("import", *DATA, SPLIT, f"oof={folder / 'oof'}", f"test={folder / 'test'}"),
            "ensemble": ("ensemble", *DATA, SPLIT),
            "train": ("train", *DATA, SPLIT, "model=logistic_regression", "execution.workers=2"),
        }
        other = ("prepare", *DATA[:1], "source.n_train=60", "source.n_test=10")
        steps = {  # what is done before each command
            "prepare": [],
            "prepare over another source": [other],
            "folds": [self.commands["prepare"]],
            "import": [self.commands["folds"]],
            "ensemble": [self.commands["import"]],
            "train": [self.commands["folds"]],
        }
        self.reset(None)
        for one in ("prepare", "folds"):  # in this process: what commands import is here when processes are forked
            self.warm(self.commands[one])
        for name, command in self.commands.items():
            self.reset(self._after(name) if steps[name] and steps[name][0] in self.commands.values() else None)
            for words in steps[name]:
                if words not in self.commands.values():
                    self._must(words)
            if name == "import":
                self._predictions()
            shutil.copytree(self.root, self._before(name))
            self._must(command)
            shutil.copytree(self.root, self.folder / f"after {name}")
            if name in ("import", "ensemble"):
                self.reset(self._before(name))
                self.warm(command)

    def _before(self, name: str) -> Path:
        return self.folder / f"before {name}"

    def _after(self, name: str) -> Path:
        last = {"folds": "prepare", "import": "folds", "ensemble": "import", "train": "folds"}[name]
        return self.folder / f"after {last}"

    def reset(self, template: Path | None) -> None:
        """Make the root anew, empty or like a template."""
        shutil.rmtree(self.root, ignore_errors=True)
        if template is None:
            self.root.mkdir()
        else:
            shutil.copytree(template, self.root)

    def work(self, words: tuple[str, ...], worker_fault: str = "") -> Callable[[], int]:
        """Return a function that runs a command, whose folds are trained without a backend."""

        def do() -> int:
            local._start, queue.train_any = fake_training.start, fake_training.train
            os.environ[fake_training.FAULT] = worker_fault or "-1 "
            return main([*words, f"root={self.root}"])

        return do

    def warm(self, words: tuple[str, ...]) -> None:
        """Run a command in this process."""
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            main([*words, f"root={self.root}"])

    def _must(self, words: tuple[str, ...]) -> None:
        ended = run(self.work(words), self.root, self.output)
        if ended.status != 0:
            raise RuntimeError(f"{' '.join(words)} failed without a fault:\n{ended.text}")

    def _predictions(self) -> None:
        (table,) = (self.root / "data" / "prepared" / "digits_8x8").glob("*/folds_*.parquet")
        folds, test = pd.read_parquet(table), pd.read_parquet(table.parent / "test.parquet")
        for number in range(2):
            for name, ids in (("oof", folds[["id", "fold"]]), ("test", test[["id"]])):
                (self.folder / name).mkdir(exist_ok=True)
                p = {str(k): 0.1 for k in range(10)} | {"3": 0.05, "4": 0.15 - number / 100, "5": 0.1 + number / 100}
                ids.assign(**p).to_csv(self.folder / name / f"m{number}.csv", index=False)

    def try_fault(self, row: Row, name: str, disturb: Callable[[], Ended], statuses: tuple[int, ...]) -> None:
        """Do a command with a fault, and then without; enter what was found into a row of the table."""
        self.reset(self._before(name))
        before = bits(self.root)
        ended = disturb()
        row.moments += 1
        if ended.status not in statuses or not ended.is_clean or (ended.status == 1 and "error: " not in ended.text):
            row.unclear += 1
            row.examples.append(f"status {ended.status}: {ended.text[-600:]}")
        now = bits(self.root)
        changed = [file for file in before if now.get(file) != before[file] and "another source" not in name]
        if changed:
            row.lost += 1
            row.examples.append(f"lost {changed[0]}")
        again = run(self.work(self.commands[name]), self.root, self.output)
        wanted, found = bits(self.folder / f"after {name}"), bits(self.root)
        left = [str(path) for path in self.root.rglob("*.partial-*")]
        if again.status != 0 or found != wanted or left:
            row.different += 1
            files = sorted(set(wanted.items()) ^ set(found.items()))
            row.examples.append(f"again: {again.status} {files[:2]} {left[:2]} {again.text[-600:]}")


def bits(root: Path) -> dict[str, str]:
    """Return a hash of each file below a root, without locks and temporary files."""
    files = (path for path in root.rglob("*") if path.is_file() and ".partial-" not in str(path))
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.suffix != ".lock"
    }


def at_changes(place: Place, most: int, all_kinds: bool) -> Iterator[Row]:
    """Yield rows of faults at every change that a command makes, or at so many of them at most, all along it.

    all_kinds: of faults for each command; else one that is another for each.
    """
    for number, name in enumerate(("prepare", "prepare over another source", "folds", "import", "ensemble")):
        place.reset(place._before(name))
        work = place.work(place.commands[name])
        n = run(work, place.root, place.output).changes
        for kind, (fault_name, fault) in enumerate(CHANGES.items()):
            row = Row(fault_name, name)
            if not all_kinds and kind != number % len(CHANGES):
                continue
            n_tried = min(most, n)
            shift = (number + kind / len(CHANGES)) % 1  # another fault comes at other moments
            for moment in sorted({1 + int((i + shift) * n / n_tried) for i in range(n_tried)}):
                disturb = partial(run, work, place.root, place.output, fault, moment)
                place.try_fault(row, name, disturb, STATUS[fault.signal])
            if row.moments:
                yield row


def read_only(place: Place) -> Iterator[Row]:
    """Yield rows of commands on folders that cannot be written: what only reads works, the rest ends in a line."""
    for name in ("prepare", "folds", "import", "ensemble"):
        row = Row("read-only folders", name)
        work = place.work(place.commands[name])
        place.try_fault(row, name, partial(run, work, place.root, place.output, READ_ONLY, 1), (1,))
        yield row
    row = Row("read-only folders", "score, runs, verify")
    for words in (("score", *DATA, SPLIT), ("runs", DATA[0]), ("verify", *DATA)):
        work = place.work(words)
        place.try_fault(row, "ensemble", partial(run, work, place.root, place.output, READ_ONLY, 1), (0,))
    yield row


def deleted(place: Place, every: int) -> Iterator[Row]:
    """Yield a row of a run folder that is deleted before each file that a command opens."""
    for name, words in {"ensemble": place.commands["ensemble"], "score": ("score", *DATA, SPLIT)}.items():
        row = Row("a run folder deleted underneath", name)
        for moment in range(1, 40, every):
            place.reset(place._before("ensemble"))
            ended = run(_deleting(place, words, moment), place.root, place.output)
            if "deleted now" not in ended.text:
                break
            row.moments += 1
            if ended.status not in (0, 1) or not ended.is_clean:
                row.unclear += 1
                row.examples.append(f"status {ended.status}: {ended.text[-600:]}")
            shutil.rmtree(place.root / "submissions", ignore_errors=True)
            again = [run(place.work(place.commands[one]), place.root, place.output) for one in ("import", "ensemble")]
            if any(one.status for one in again) or bits(place.root) != bits(place.folder / "after ensemble"):
                row.different += 1
                row.examples.append(f"again: {[one.status for one in again]} {again[0].text[-300:]}")
        yield row


def _deleting(place: Place, words: tuple[str, ...], moment: int) -> Callable[[], int]:
    """Return a function that runs a command, and deletes the first run before the file that is opened as number n."""

    def do() -> int:
        opened = 0
        (doomed, *_) = sorted((place.root / "runs" / "digits_8x8").iterdir())

        def watch(event: str, given: tuple[object, ...]) -> None:
            nonlocal opened
            if event == "open" and "/runs/digits_8x8/" in str(given[0]) and doomed.is_dir():
                opened += 1
                if opened == moment:
                    print("deleted now", flush=True)
                    shutil.rmtree(doomed)

        import sys

        sys.addaudithook(watch)
        return place.work(words)()

    return do


def races(place: Place, n: int) -> Iterator[Row]:
    """Yield rows of two commands at once on one root, with equal and with different settings."""
    other = ("prepare", *DATA[:1], "source.n_train=60", "source.n_test=10")
    place.reset(None)
    place._must(other)
    alone = {name: one for name, one in bits(place.root).items() if "/prepared/" in name}
    for name, words in {
        "prepare": place.commands["prepare"],
        "import": place.commands["import"],
        "train": place.commands["train"],
        "ensemble": place.commands["ensemble"],
        "prepare, two sources": other,
    }.items():
        row = Row("two commands at once" + ("" if "two" in name else ", equal"), name)
        mine = name.partition(",")[0]
        wanted = bits(place.folder / f"after {mine}")
        if words is other:
            wanted = {file: one for file, one in wanted.items() if "/prepared/" in file} | alone
        for moment in range(n):
            place.reset(place._before(mine))
            outputs = [place.output.with_name(f"output{i}") for i in range(2)]
            both = [start(place.work(place.commands[mine]), place.root, outputs[0])]
            time.sleep(0.1 * moment / n)
            both.append(start(place.work(words), place.root, outputs[1]))
            ended = [end(process, output) for process, output in zip(both, outputs, strict=True)]
            found = bits(place.root)
            if words is other:
                found = {file: one for file, one in found.items() if "/prepared/" in file}
            row.moments += 1
            if any(one.status or not one.is_clean for one in ended):
                row.unclear += 1
                row.examples.append(f"{[one.status for one in ended]} {ended[0].text[-300:]} {ended[1].text[-300:]}")
            if found != wanted or list(place.root.rglob("*.partial-*")):
                row.different += 1
                row.examples.append(str(sorted(set(wanted.items()) ^ set(found.items()))[:3]))
        yield row


def workers(place: Place, moments: tuple[str, ...]) -> Iterator[Row]:
    """Yield rows of worker processes that are killed at each moment of a fold, or have no memory left."""
    rows = {
        "memory": Row("no memory left in a fold (RLIMIT)", "train"),
        "": Row("kill -9 of a worker, as the out-of-memory killer does", "train"),
    }
    for i, moment in enumerate(moments):
        work = place.work(place.commands["train"], f"{i % 3} {moment}")
        statuses = (1,) if not moment.startswith("change") else (0, 1)  # a fold makes about so many changes
        if moment == "last report":
            statuses = (0, 1)  # all folds may be written by then
        place.try_fault(
            rows["memory" if moment == "memory" else ""],
            "train",
            partial(run, work, place.root, place.output),
            statuses,
        )
    yield from (row for row in rows.values() if row.moments)


def stages(place: Place, n: int) -> Iterator[Row]:
    """Yield rows of a training stage that is sent a signal after some time; its workers must be gone then."""
    kinds = [
        ("kill -9 of the stage", signal.SIGKILL, False),
        ("SIGTERM of the stage", signal.SIGTERM, False),
        ("SIGTERM of stage and workers", signal.SIGTERM, True),
        ("Ctrl-C, which stage and workers get", signal.SIGINT, True),
    ]
    for name, number, to_all in kinds:
        row = Row(name, "train")
        for moment in range(n):
            disturb = partial(_signalled, place, number, to_all, 0.1 + 3.5 * moment / n)
            place.try_fault(row, "train", disturb, (*STATUS[number], 0))
        yield row


def _signalled(place: Place, number: int, to_all: bool, seconds: float) -> Ended:
    process = start(place.work(place.commands["train"]), place.root, place.output)
    time.sleep(seconds)
    (os.killpg if to_all else os.kill)(process, number)
    ended = end(process, place.output)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.killpg(process, 0)  # the stage leads the group of its workers
        except ProcessLookupError:
            return ended
        time.sleep(0.02)
    os.killpg(process, signal.SIGKILL)
    return Ended(99, f"workers were left\n{ended.text}", ended.changes)
