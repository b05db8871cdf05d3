"""The tracker of a command: a thread that logs what it is given, so that neither training nor the bar waits for it."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from foldwise.errors import ConfigError
from foldwise.runs.store import Run
from foldwise.settings import TrackerSettings
from foldwise.trackers.to_mlflow import MLflow
from foldwise.trackers.to_tensorboard import TensorBoard

log = logging.getLogger(__name__)

NEEDS = {"none": (), "tensorboard": ("tensorboard",), "mlflow": ("mlflow", "sqlalchemy", "alembic")}


class Tracker:
    """Log finished fits and runs one after the other, in a thread of its own.

    kind: what logs, for messages.
    make: returns the `TensorBoard` or the `MLflow` that logs; it is called in the thread, as its libraries take seconds
        to be imported. None: nothing is logged, and no thread is started.

    An error is one warning, after which nothing more is logged: the training goes on.
    """

    def __init__(self, kind: str, make: Callable[[], Any] | None) -> None:
        self._kind, self._make = kind, make
        self._has_logged = self._is_broken = False
        self._jobs: queue.Queue[tuple[str, tuple[Any, ...]]] = queue.Queue()
        if make is not None:
            threading.Thread(target=self._work, daemon=True).start()  # Ctrl-C does not wait for a server

    def log_fit(self, run: Run, fit: int) -> None:
        """Log a finished fit."""
        if self._make is not None:
            self._jobs.put(("log_fit", (run, fit)))

    def log_scores(self, run: Run, report: Mapping[str, Any]) -> None:
        """Log the scores of a finished run."""
        if self._make is not None:
            self._jobs.put(("log_scores", (run, report)))

    def wait(self) -> bool:
        """Wait until all is logged; return whether anything was, and without an error."""
        self._jobs.join()
        return self._has_logged and not self._is_broken

    def _work(self) -> None:
        assert self._make is not None
        logs = None
        while True:
            name, arguments = self._jobs.get()
            try:
                if not self._is_broken:
                    logs = self._make() if logs is None else logs
                    getattr(logs, name)(*arguments)
                    self._has_logged = True
            except Exception as error:  # whatever a database, a server or a disk raises
                self._is_broken = True
                log.warning(
                    "tracker=%s: %s; training goes on, and nothing more is logged. Once that is repaired, the same "
                    "command logs what is missing",
                    self._kind,
                    _first_line(error),
                )
            finally:
                self._jobs.task_done()


@contextmanager
def tracking(settings: TrackerSettings, root: Path) -> Iterator[Tracker]:
    """In a `with` block, give the tracker of a command; what it was given is logged before the block is left.

    root: folder in which the file of MLflow lies.

    Raises ConfigError where the libraries are not installed.
    """
    check_installed(settings.kind)
    tracker = Tracker(settings.kind, _maker(settings, root))
    try:
        yield tracker
    except Exception:  # not KeyboardInterrupt
        tracker.wait()
        raise
    if tracker.wait():
        log.info("tracker=%s: %s", settings.kind, _where(settings, root))


def check_installed(kind: str) -> None:
    """Raise ConfigError, with the command that installs them, where the libraries of a tracker are missing."""
    missing = [name for name in NEEDS[kind] if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"tracker={kind}: {', '.join(missing)} not installed; `pip install 'foldwise[trackers]'`, or in a "
            "checkout `uv pip install -e '.[trackers]'`"
        )


def _maker(settings: TrackerSettings, root: Path) -> Callable[[], Any] | None:
    if settings.kind == "tensorboard":
        return lambda: TensorBoard(None if settings.folder is None else Path(settings.folder))
    if settings.kind == "mlflow":
        artifacts = root.resolve() / "mlartifacts" if settings.url is None else None
        return lambda: MLflow(_url(settings, root), settings.experiment, artifacts)
    return None


def _url(settings: TrackerSettings, root: Path) -> str:
    return settings.url or f"sqlite:///{root.resolve() / 'mlflow.db'}"


def _where(settings: TrackerSettings, root: Path) -> str:
    """Return the command, or the address, that shows what was logged."""
    if settings.kind == "tensorboard":
        return f"`tensorboard --logdir {settings.folder or root / 'runs'}` shows it"
    url = _url(settings, root)
    return f"logged at {url}" if url.startswith("http") else f"`mlflow ui --backend-store-uri {url}` shows it"


def _first_line(error: Exception) -> str:
    """Return the name and the first line of an error, cut where it is very long."""
    text = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {text if len(text) <= 200 else text[:199] + '…'}"
