"""When a run is called finished."""

from pathlib import Path

from foldwise.execution import queue
from foldwise.execution.task import FoldTask
from foldwise.runs.store import Run
from foldwise.settings import ExecutionSettings


def test_a_run_is_finished_once_although_its_last_folds_are_done_together(monkeypatch):
    monkeypatch.setattr(Run, "is_finished", lambda self: True)
    run = Run(Path("mlp-1"))
    tasks = [FoldTask(run, None, fit, 0, None, None) for fit in (3, 4)]
    monkeypatch.setattr(queue, "grouped", lambda tasks, execution: tasks)
    monkeypatch.setattr(queue, "_done", lambda *_: iter(tasks))
    found, written = [], []
    queue.train_folds(
        tasks, ExecutionSettings(), lambda one: found.append(one.name), lambda one, fit: written.append((one.name, fit))
    )
    assert found == ["mlp-1"]
    assert written == [("mlp-1", 3), ("mlp-1", 4)]
