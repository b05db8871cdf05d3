"""Event files of TensorBoard, written by its own modules, which need no TensorFlow."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foldwise.runs.store import Run
from foldwise.storage import written_aside
from foldwise.trackers import logged

FILE = "events.out.tfevents.0.foldwise"  # one name, so that logging a run again replaces what it wrote before


class TensorBoard:
    """Write the event files of runs: a folder for each training, and the recipe and the scores above them.

    folder: the files of a run lie in folder/<competition>/<run>. None: in runs/<competition>/<run>/tensorboard.

    The same run gives the same bytes, so that it may be logged again. A file without news is not written.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def folder_of(self, run: Run) -> Path:
        """Return the folder of the event files of a run."""
        if self._folder is None:
            return run.path / "tensorboard"
        return self._folder / run.path.parent.name / run.name

    def log_fit(self, run: Run, fit: int) -> None:
        """Write the recipe, and the learning curves of a finished fit."""
        recipe = self.folder_of(run) / FILE
        if not recipe.is_file() or not (run.path / "run.json").is_file():  # else it may hold the scores
            _write(recipe, _recipe_events(run))
        for curve in logged.curves(run, fit):
            events = [
                (time, epoch, _scalar(name, values[i]))
                for name, values in curve.values.items()
                for i, (epoch, time) in enumerate(zip(curve.epochs, curve.times, strict=True))
            ]
            _write(self.folder_of(run) / curve.name / FILE, events)

    def log_scores(self, run: Run, report: Mapping[str, Any]) -> None:
        """Write the recipe again, and the out-of-fold scores of a finished run."""
        when = (run.path / "run.json").stat().st_mtime
        events = [(when, 0, _scalar(f"out_of_fold/{name}", value)) for name, value in logged.scores(report).items()]
        _write(self.folder_of(run) / FILE, [*_recipe_events(run), *events])


def _recipe_events(run: Run) -> list[tuple[float, int, Any]]:
    """Return the recipe as a table of text, and as the hyperparameters of a session."""
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb
    from tensorboard.plugins.text.summary_v2 import text_pb

    when, parameters = (run.path / "recipe.yaml").stat().st_mtime, logged.parameters(run)
    rows = [f"| {key} | {_cell(value)} |" for key, value in [*parameters.items(), ("folder", str(run.path.resolve()))]]
    table = "\n".join(["| setting | value |", "| --- | --- |", *rows])
    session = hparams_pb({key: _number(value) for key, value in parameters.items()}, run.name, when)
    return [(when, 0, text_pb("recipe", table)), (when, 0, session)]


def _write(path: Path, events: list[tuple[float, int, Any]]) -> None:
    """Write a file of (time in seconds, step, summary), unless it holds them already."""
    from tensorboard.compat.proto import event_pb2
    from tensorboard.summary.writer.record_writer import RecordWriter

    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    start = events[0][0] if events else 0.0
    writer.write(event_pb2.Event(wall_time=start, file_version="brain.Event:2").SerializeToString())
    for time, step, summary in events:
        writer.write(event_pb2.Event(wall_time=time, step=step, summary=summary).SerializeToString())
    content = buffer.getvalue()
    if not path.is_file() or path.read_bytes() != content:
        with written_aside(path) as aside:
            aside.write_bytes(content)


def _scalar(name: str, value: float) -> Any:
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb

    return scalar_pb(name, value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _number(text: str) -> float | str:
    """Return a number where the text is one, so that TensorBoard can filter by a range."""
    try:
        return float(text)
    except ValueError:
        return text
