"""When a run is called finished, and what becomes of a fold that fails."""

import logging
from pathlib import Path

import pytest
from helpers.pool import PoolHere
from helpers.tiny import IDS, make_recipe, write_data

from foldwise.errors import FoldwiseError
from foldwise.execution import lanes, queue
from foldwise.execution.task import FoldTask, train_one
from foldwise.runs import store
from foldwise.runs.store import Run
from foldwise.settings import ExecutionSettings


def test_a_run_is_finished_once_although_its_last_folds_are_done_together(monkeypatch):
    monkeypatch.setattr(Run, "is_finished", lambda self: True)
    run = Run(Path("mlp-1"))
    tasks = [FoldTask(run, None, fit, 0, None, None) for fit in (3, 4)]
    monkeypatch.setattr(queue, "grouped", lambda tasks, execution: tasks)
    monkeypatch.setattr(queue, "_done", lambda *_, **__: iter(tasks))
    found, written = [], []
    queue.train_folds(
        tasks, ExecutionSettings(), lambda one: found.append(one.name), lambda one, fit: written.append((one.name, fit))
    )
    assert found == ["mlp-1"]
    assert written == [("mlp-1", 3), ("mlp-1", 4)]


@pytest.mark.trains
def test_a_fold_that_fails_is_shown_at_once_and_the_others_go_on(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr("foldwise.execution.executors.LocalPool", PoolHere)
    data, recipe = write_data(tmp_path / "data"), make_recipe()
    run = store.open_run(tmp_path / "runs", recipe)
    first, second = [FoldTask(run, recipe, fold, len(IDS), data, data / "folds.parquet") for fold in range(2)]

    def fails(task, report):
        if task is first:
            raise ValueError("no luck")
        train_one(task, report)

    monkeypatch.setattr(lanes, "train_one", fails)
    with caplog.at_level(logging.ERROR), pytest.raises(FoldwiseError) as raised:
        queue.train_folds([first, second], ExecutionSettings(), lambda run: None)
    assert caplog.messages == [f"error: {first.name}: ValueError: no luck"]
    assert str(raised.value) == (
        f"1 of 2 folds failed, the first with: {first.name}: ValueError: no luck. The same command trains them again, "
        "and no finished one"
    )
    assert run.missing() == [0]
