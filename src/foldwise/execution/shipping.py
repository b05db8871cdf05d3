"""Data to workers that do not see the folders of this machine, and what they trained back, as files in memory."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from foldwise.errors import ConfigError, FoldwiseError
from foldwise.execution.lanes import LaneTask, Queued, train_any
from foldwise.execution.task import FoldTask, Report
from foldwise.plugins import weights_named
from foldwise.runs.store import Run
from foldwise.storage import one_at_a_time, written_aside

Files = dict[str, np.ndarray]  # bytes by path, relative to a folder; Ray shares arrays between processes


def data_key(task: Queued) -> str:
    """Return the name of the data that a task needs: tasks of one name need the same.

    Raises ConfigError where a task needs more than prepared data and folds, which alone are sent.
    """
    for one in task.tasks:
        named = {key: file for key, file in weights_named(one.recipe.model.options).items() if file is not None}
        files = [f"model.options.{key}={file}" for key, file in named.items() if file != "imagenet"]
        if files or one.recipe.pseudo.runs:
            needed = files[0] if files else "pseudo.runs"
            raise ConfigError(f"{needed}: a worker must see that file: use execution.storage=shared on a shared folder")
    return f"{task.tasks[0].prepared.name}-{task.tasks[0].folds.stem}"


def packed_data(task: Queued) -> Files:
    """Return the files of the prepared data and the folds of a task, without stored features."""
    one = task.tasks[0]
    wanted = [path for path in one.prepared.iterdir() if path.is_file() and not path.name.startswith((".", "folds_"))]
    return {path.name: np.fromfile(path, np.uint8) for path in [*wanted, one.folds]}


def trained(task: Queued, data: Files, report: Report) -> dict[tuple[str, int], Files]:
    """Train a task from its data in a folder of this worker; return the files of each fold, by run and number."""
    root = Path(tempfile.gettempdir()) / f"foldwise-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    if root.stat().st_uid != os.getuid():  # made by somebody else, who could put data there
        raise FoldwiseError(f"{root}: expected a folder of your own; remove it, or set TMPDIR on that machine")
    prepared = root / data_key(task)
    with one_at_a_time(prepared):
        if not prepared.is_dir():
            with written_aside(prepared) as aside:
                _write(data, aside)
    runs = Path(tempfile.mkdtemp(dir=root))
    try:
        own = [_placed(one, prepared, runs) for one in task.tasks]
        train_any(replace(task, tasks=tuple(own)) if isinstance(task, LaneTask) else own[0], report)
        return {(one.run.name, one.fold_number): _read(one.run.fold_path(one.fold_number)) for one in own}
    finally:
        shutil.rmtree(runs)


def unpack_results(task: Queued, folders: dict[tuple[str, int], Files]) -> None:
    """Write the folders of the folds of a task, each whole or not at all."""
    for one in task.tasks:
        with written_aside(one.run.fold_path(one.fold_number)) as aside:
            _write(folders[one.run.name, one.fold_number], aside)


def _placed(task: FoldTask, prepared: Path, runs: Path) -> FoldTask:
    """Return the task with folders of this worker."""
    return replace(task, run=Run(runs / task.run.name), prepared=prepared, folds=prepared / task.folds.name)


def _read(folder: Path) -> Files:
    return {path.name: np.fromfile(path, np.uint8) for path in sorted(folder.iterdir())}


def _write(files: dict[str, Any], folder: Path) -> None:
    folder.mkdir()
    for name, contents in files.items():
        (folder / name).write_bytes(contents.tobytes())
