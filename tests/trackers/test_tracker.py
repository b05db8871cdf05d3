"""The tracker of a command: off, broken, and at work while a run is trained."""

import json
import sys
import threading
from pathlib import Path

import pytest
from helpers.pool import PoolHere
from helpers.tracked import finished_run

from foldwise.errors import ConfigError
from foldwise.execution import executors
from foldwise.settings import TrackerSettings
from foldwise.stages.train import train
from foldwise.trackers import tracker as tracking_module
from foldwise.trackers.tracker import Tracker, tracking

WORDS = ("source.n_train=30", "source.n_test=10", "model=logistic_regression", "fit.epochs=1", "split.n_folds=2")


class Kept:
    """A tracker that keeps what it is given, and breaks where it is told to."""

    def __init__(self, breaks_at=None):
        self.kept, self.breaks_at = [], breaks_at

    def log_fit(self, run, fit):
        if fit == self.breaks_at:
            raise ConnectionError("no route to host\nand a long explanation")
        self.kept.append((run.name.partition("-")[0], fit))

    def log_scores(self, run, report):
        self.kept.append((run.name.partition("-")[0], round(report["log_loss"], 6)))


def test_off_starts_no_thread_and_imports_nothing(settings, tmp_path):
    before, modules = threading.active_count(), set(sys.modules)
    run, report = finished_run(settings("competition=statoil"))
    with tracking(TrackerSettings(), tmp_path) as tracker:
        tracker.log_fit(run, 0)
        tracker.log_scores(run, report)
        assert threading.active_count() == before
    assert not {"mlflow", "tensorboard", "sqlalchemy"} & (set(sys.modules) - modules)
    assert not (run.path / "tensorboard").exists()
    assert not list(tmp_path.glob("mlflow*"))


def test_an_error_is_one_warning_and_nothing_more_is_logged(settings, caplog):
    run, report = finished_run(settings("competition=statoil"))
    kept = Kept(breaks_at=2)
    tracker = Tracker("mlflow", lambda: kept)
    for fit in run.fits:
        tracker.log_fit(run, fit)
    tracker.log_scores(run, report)
    tracker.wait()
    assert kept.kept == [("net", 0), ("net", 1)]
    assert caplog.messages == [
        "tracker=mlflow: ConnectionError: no route to host; training goes on, and nothing more is logged. Once that is "
        "repaired, the same command logs what is missing"
    ]


def test_what_cannot_be_made_is_one_warning_too(settings, caplog):
    run, _ = finished_run(settings("competition=statoil"))

    def make():
        raise OSError("disk full")

    tracker = Tracker("mlflow", make)
    tracker.log_fit(run, 0)
    tracker.log_fit(run, 1)
    tracker.wait()
    assert [message.partition(";")[0] for message in caplog.messages] == ["tracker=mlflow: OSError: disk full"]


def test_what_was_given_is_logged_although_the_training_fails(settings, tmp_path, monkeypatch):
    run, _ = finished_run(settings("competition=statoil"))
    kept = Kept()
    monkeypatch.setattr(tracking_module, "_maker", lambda *_: lambda: kept)
    with pytest.raises(ValueError, match="fold 1"), tracking(TrackerSettings(), tmp_path) as tracker:
        tracker.log_fit(run, 0)
        raise ValueError("fold 1")
    assert kept.kept == [("net", 0)]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (TrackerSettings("tensorboard"), "tracker=tensorboard: `tensorboard --logdir here/runs` shows it"),
        (TrackerSettings("tensorboard", folder="/logs"), "tracker=tensorboard: `tensorboard --logdir /logs` shows it"),
        (TrackerSettings("mlflow", url="http://ml:5000"), "tracker=mlflow: logged at http://ml:5000"),
        (
            TrackerSettings("mlflow", url="sqlite:///x.db"),
            "tracker=mlflow: `mlflow ui --backend-store-uri sqlite:///x.db` shows it",
        ),
    ],
    ids=lambda given: getattr(given, "kind", None),
)
@pytest.mark.parametrize("breaks_at", [None, 0])
def test_where_it_was_logged_is_shown_unless_it_failed(settings, monkeypatch, caplog, given, shown, breaks_at):
    caplog.set_level("INFO")
    run, _ = finished_run(settings("competition=statoil"))
    monkeypatch.setattr(tracking_module, "check_installed", lambda kind: None)
    monkeypatch.setattr(tracking_module, "_maker", lambda *_: lambda: Kept(breaks_at))
    with tracking(given, Path("here")) as tracker:
        pass
    assert not caplog.messages
    with tracking(given, Path("here")) as tracker:
        tracker.log_fit(run, 0)
    assert len(caplog.messages) == 1
    assert (caplog.messages == [shown]) == (breaks_at is None)


def test_a_missing_library_is_an_error_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(tracking_module, "find_spec", lambda name: None if name in ("mlflow", "alembic") else "there")
    message = r"tracker=mlflow: mlflow, alembic not installed; `pip install 'foldwise\[trackers\]'`"
    with pytest.raises(ConfigError, match=message), tracking(TrackerSettings("mlflow"), tmp_path):
        pytest.fail("the block is not entered")


@pytest.mark.trains
def test_training_logs_each_fold_and_then_the_scores_and_again_what_is_there(settings, monkeypatch):
    monkeypatch.setattr(executors, "LocalPool", PoolHere)
    ours = settings("competition=statoil", *WORDS)
    found = []
    for _ in range(2):
        kept = Kept()
        monkeypatch.setattr(tracking_module, "_maker", lambda *_, kept=kept: lambda: kept)
        run = train(ours)
        found.append(kept.kept)
    score = round(json.loads((run.path / "run.json").read_text())["log_loss"], 6)
    assert found == [[("logistic_regression", 0), ("logistic_regression", 1), ("logistic_regression", score)]] * 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tracker.url=sqlite:///x.db"], "tracker.url=sqlite:///x.db: tracker=none does not read it; tracker=mlflow"),
        (["tracker=mlflow", "tracker.folder=/logs"], "tracker.folder=/logs: tracker=mlflow does not read it"),
        (
            ["tracker=mlflow", "tracker.url=localhost:5000"],
            "tracker.url=localhost:5000: expected http://HOST:PORT of a server, or a database such as sqlite:///FILE",
        ),
        (["tracker=wandb"], "tracker=wandb: no such choice"),
    ],
)
def test_options_that_do_not_go_together_are_refused(settings, words, message):
    with pytest.raises(ConfigError) as error:
        settings(*words)
    assert message in str(error.value)


def test_addresses_need_no_quotes(settings):
    ours = settings("tracker=mlflow", "tracker.url=http://127.0.0.1:5000")
    assert ours.tracker == TrackerSettings("mlflow", url="http://127.0.0.1:5000")
