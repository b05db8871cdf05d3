"""Which folds train together, and what happens where memory runs out."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from helpers.tiny import make_recipe

from foldwise import devices
from foldwise.errors import ConfigError
from foldwise.execution import lanes
from foldwise.execution.task import FoldTask
from foldwise.runs import store
from foldwise.settings import AugmentSettings, ExecutionSettings, FinetuneSettings


def task_of(recipe, fold=0, backend="jax"):
    return FoldTask(
        store.Run(Path("runs/mlp-1")), replace(recipe, backend=backend), fold, 10, Path("data"), Path("folds")
    )


def names(queued):
    return [len(one.tasks) for one in queued]


def test_folds_seeds_and_rates_of_one_architecture_train_together():
    same = [make_recipe("mlp"), make_recipe("mlp", learning_rate=0.1, weight_decay=0.5), make_recipe("mlp", seed=3)]
    other = [make_recipe("mlp", batch_size=4), make_recipe("mlp", {"hidden": (8,)}), make_recipe("mlp", epochs=3)]
    tasks = [task_of(recipe, fold) for recipe in same + other for fold in (0, 1)]
    assert names(lanes.grouped(tasks, ExecutionSettings(lanes=4))) == [6, 2, 2, 2]
    assert names(lanes.grouped(tasks, ExecutionSettings(lanes="off"))) == [1] * 12


@pytest.mark.parametrize(
    "changed",
    [{"augment": AugmentSettings("transforms")}, {"finetune": FinetuneSettings("last_block")}],
)
def test_what_has_no_form_for_the_device_trains_fold_by_fold(changed):
    tasks = [task_of(replace(make_recipe("mlp"), **changed), fold) for fold in (0, 1)]
    assert names(lanes.grouped(tasks, ExecutionSettings(lanes=4))) == [1, 1]


def test_lanes_are_for_gpus_unless_set(monkeypatch):
    tasks = [task_of(make_recipe("mlp"), fold) for fold in (0, 1)]
    for gpus, expected in ((0, [1, 1]), (1, [2]), (2, [1, 1]), (3, [1, 1])):
        monkeypatch.setattr(devices, "visible_gpus", lambda gpus=gpus: tuple(map(str, range(gpus))))
        assert names(lanes.grouped(tasks, ExecutionSettings())) == expected
    tasks = [task_of(make_recipe("mlp"), fold) for fold in range(5)]
    monkeypatch.setattr(devices, "visible_gpus", lambda: ("0", "1"))
    queued = lanes.grouped(tasks, ExecutionSettings())
    assert [[task.fold_number for task in one.tasks] for one in queued] == [[0, 2, 4], [1, 3]]
    with pytest.raises(ConfigError, match=r"execution\.lanes=2: lanes need execution\.backend=jax"):
        lanes.grouped([task_of(make_recipe("mlp"), 0, "tensorflow")], ExecutionSettings(lanes=2))


def test_lanes_record_no_held_out_loss_and_say_so(caplog):
    caplog.set_level("INFO")
    tasks = [replace(task_of(make_recipe("mlp"), fold), held_out_loss=True) for fold in (0, 1)]
    lanes.grouped(tasks, ExecutionSettings(lanes="off"))
    assert not caplog.messages
    assert names(lanes.grouped(tasks, ExecutionSettings(lanes=4))) == [2]
    assert caplog.messages == [
        "execution.held_out_loss=true: folds in lanes do not record it; execution.lanes=off trains one by one"
    ]


@pytest.mark.slow
def test_half_as_many_lanes_are_tried_where_memory_runs_out(monkeypatch):
    tried = []

    def train_lanes(group, report):
        tried.append(len(group))
        if len(group) > 3:
            raise MemoryError
        report(1, 0.5)
        return [SimpleNamespace(history=pd.DataFrame({"seconds": [1.0]})) for _ in group]

    monkeypatch.setattr("foldwise.training.lanes.train_lanes", train_lanes)
    recipe, reports = make_recipe(epochs=3), []
    pairs = [(name, SimpleNamespace(n_steps=2 if name < 7 else 3, n_rows=10, recipe=recipe)) for name in range(9)]
    done = [[name for name, _ in part] for part, _, _ in lanes._trained(pairs, None, lambda *one: reports.append(one))]
    assert tried == [7, 3, 3, 1, 2]
    assert done == [[0, 1, 2], [3, 4, 5], [6], [7, 8]]
    assert reports == [(1, 60, 0.5), (1, 90 + 60, 0.5), (1, 180 + 20, 0.5), (1, 210 + 40, 0.5)]
