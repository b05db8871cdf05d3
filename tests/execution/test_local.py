"""How many folds are trained at once, with how many threads."""

import pytest

from foldwise.execution import local
from foldwise.progress import Progress
from foldwise.settings import ExecutionSettings


@pytest.mark.parametrize(
    ("n_cores", "said", "n_tasks", "expected"),
    [
        (1, {}, 5, (1, 1)),
        (2, {}, 5, (2, 2)),
        (2, {}, 1, (1, 2)),  # a single fold that is left has the threads that it had among five
        (16, {}, 5, (5, 3)),
        (16, {}, 2, (2, 3)),
        (16, {}, 20, (10, 3)),
        (2, {"workers": 1}, 5, (1, 2)),
        (2, {"threads_per_fold": 1}, 5, (2, 1)),
        (8, {"workers": 3, "threads_per_fold": 4}, 5, (3, 4)),
    ],
)
def test_workers_and_threads(monkeypatch, n_cores, said, n_tasks, expected):
    monkeypatch.setattr(local, "cores", lambda: n_cores)
    monkeypatch.setattr(local, "driver_shows_gpu", lambda: False)
    assert local.parallelism(ExecutionSettings(**said), n_tasks) == expected


def test_a_gpu_trains_one_fold_at_a_time_unless_told_otherwise(monkeypatch):
    monkeypatch.setattr(local, "cores", lambda: 16)
    monkeypatch.setattr(local, "driver_shows_gpu", lambda: True)
    assert local.parallelism(ExecutionSettings(), 5)[0] == 1
    assert local.parallelism(ExecutionSettings(workers=2), 5)[0] == 2
    assert local.parallelism(ExecutionSettings(allow_cpu=True), 5)[0] == 5


def test_a_hidden_gpu_does_not_count(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert not local.driver_shows_gpu()


def test_a_log_without_a_terminal_has_plain_lines(capsys):
    with Progress({0: 1000, 1: 1000}, ["mlp-1 fold 0", "mlp-1 fold 1"], workers=2, threads=1) as progress:
        progress.update("device", "CPU")
        progress.update("device", "CPU")
        progress.update("done", 0, 500.0, 2.0)
        progress.update("done", 1, 500.0, 2.0)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "training 2 folds on CPU: 2 at once, 1 thread each"
    # 1,000 images are left for two workers, of which one is idle: as if both went on at 500 images/s
    assert lines[1] == "mlp-1 fold 0: done in 2 s at 500 images/s (1/2, 0:01 left)"
    assert lines[-1] == "mlp-1 fold 1: done in 2 s at 500 images/s (2/2, 0:00 left)"


def test_the_time_that_is_left_owns_up_to_what_it_does_not_know(capsys):
    with Progress({0: 1000, 1: 4000}, ["mlp-1 fold 0", "small_cnn-2 fold 0"], workers=1, threads=1) as progress:
        progress.update("done", 0, 500.0, 2.0)
        assert "0:08+ left" in capsys.readouterr().err  # 4,000 images at 500 images/s, or slower
        progress.update("done", 1, 100.0, 40.0)
        assert "0:00 left" in capsys.readouterr().err


def test_a_fold_with_more_images_than_the_data_takes_longer(capsys):
    with Progress({0: 1000, 1: 1000}, ["mlp-1 fold 0", "mlp-1 fold 1"], workers=1, threads=1) as progress:
        progress.update("images", 1, 3000)  # pseudo-labelled ones join
        progress.update("step", 1, 1, 2000, 0.5)
        progress.update("done", 0, 500.0, 2.0)
        assert "(1/2, 0:02 left)" in capsys.readouterr().err
