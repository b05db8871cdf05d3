"""When a run is called finished."""

from pathlib import Path
from types import SimpleNamespace

from foldwise.execution import queue
from foldwise.runs.store import Run
from foldwise.settings import ExecutionSettings


def test_a_run_is_finished_once_although_its_last_folds_are_done_together(monkeypatch):
    monkeypatch.setattr(Run, "is_finished", lambda self: True)
    run = Run(Path("mlp-1"))
    tasks = [SimpleNamespace(run=run), SimpleNamespace(run=run)]
    monkeypatch.setattr(queue, "grouped", lambda tasks, execution: tasks)
    monkeypatch.setattr(queue, "_done", lambda *_: iter(SimpleNamespace(tasks=[task]) for task in tasks))
    found = []
    queue.train_folds(tasks, ExecutionSettings(), lambda one: found.append(one.name))
    assert found == ["mlp-1"]
