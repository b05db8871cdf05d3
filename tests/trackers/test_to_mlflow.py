"""Runs in MLflow, read back by its own client: from a SQLite file, and from a server of MLflow on this machine."""

import contextlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest
from helpers.tracked import finished_run, log_all

from foldwise.settings import TrackerSettings
from foldwise.trackers.to_mlflow import MLflow
from foldwise.trackers.tracker import NEEDS, tracking

pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in NEEDS["mlflow"]), reason="the extra `trackers` is not installed"
)


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A database whose tables are made, which takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MLflow(f"sqlite:///{path}")
    return path


@pytest.fixture
def url(empty, tmp_path):
    shutil.copy(empty, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def runs_of(url, experiment="statoil"):
    """The client, and all runs of an experiment that are not deleted."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(url)
    return client, client.search_runs([client.get_experiment_by_name(experiment).experiment_id])


def history(client, run, name):
    return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]


def test_recipe_curves_and_scores_are_read_back(settings, url):
    here, report = finished_run(settings("competition=statoil"))
    log_all(MLflow(url), here, report)
    client, (run,) = runs_of(url)
    assert (run.info.run_name, run.info.status) == ("net-0123", "FINISHED")
    assert run.data.params == {"competition": "statoil", "model": "net", "fit.epochs": "3"}
    assert run.data.tags["foldwise.folder"] == str(here.path.resolve())
    assert run.data.metrics["log_loss"] == report["log_loss"]
    assert [run.data.metrics["log_loss_low"], run.data.metrics["log_loss_high"]] == report["log_loss_interval"]
    assert run.data.metrics["auc"] == report["auc"]
    assert history(client, run, "held_out_loss/fold_4") == [(1, 1.2), (2, 0.9), (3, 0.8)]
    assert history(client, run, "loss/fold_0") == [(1, 1), (2, 1 / 2), (3, 1 / 3)]


def test_a_run_that_is_logged_again_is_there_once(settings, url):
    run, report = finished_run(settings("competition=statoil"))
    log_all(MLflow(url), run, report)
    log_all(MLflow(url), run, report)  # as another command does
    client, (there,) = runs_of(url)
    for name in ("loss/fold_0", "held_out_loss/fold_2"):
        assert [step for step, _ in history(client, there, name)] == [1, 2, 3]
    assert len(history(client, there, "log_loss")) == 1


def test_a_command_that_was_stopped_between_curves_and_their_tag_adds_no_point(settings, url, monkeypatch):
    run, report = finished_run(settings("competition=statoil"))

    def stopped(*_):
        raise RuntimeError("stopped")

    with monkeypatch.context() as patched, pytest.raises(RuntimeError):
        tracker = MLflow(url)
        tracker._entry(run)
        patched.setattr(tracker, "_set_tag", stopped)
        tracker.log_fit(run, 0)
    log_all(MLflow(url), run, report)
    client, (there,) = runs_of(url)
    assert [step for step, _ in history(client, there, "loss/fold_0")] == [1, 2, 3]


def test_a_fold_that_was_trained_again_replaces_the_run(settings, url):
    run, report = finished_run(settings("competition=statoil"))
    log_all(MLflow(url), run, report)
    path = run.fold_path(1) / "history.csv"
    path.write_text(path.read_text().replace("1.2", "7.0"))
    log_all(MLflow(url), run, report)
    client, (there,) = runs_of(url)
    assert history(client, there, "held_out_loss/fold_1") == [(1, 7.0), (2, 0.9), (3, 0.8)]
    assert history(client, there, "held_out_loss/fold_0") == [(1, 1.2), (2, 0.9), (3, 0.8)]
    assert there.data.metrics["log_loss"] == report["log_loss"]


def test_the_database_lies_in_the_root_unless_it_is_named(settings, empty, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run, report = finished_run(settings("competition=statoil"))
    (tmp_path / "root").mkdir()
    shutil.copy(empty, tmp_path / "root" / "mlflow.db")
    with tracking(TrackerSettings("mlflow", experiment="ours"), Path("root")) as tracker:
        log_all(tracker, run, report)
    client, (there,) = runs_of(f"sqlite:///{tmp_path / 'root' / 'mlflow.db'}", "ours")
    assert there.info.run_name == "net-0123"
    assert client.get_experiment_by_name("ours").artifact_location.endswith("/root/mlartifacts")
    assert not (tmp_path / "mlruns").exists()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_a_server_that_is_down_is_one_warning_within_seconds(settings, tmp_path, caplog):
    run, report = finished_run(settings("competition=statoil"))
    started = time.monotonic()
    with tracking(TrackerSettings("mlflow", url=f"http://127.0.0.1:{free_port()}"), tmp_path) as tracker:
        log_all(tracker, run, report)
    assert time.monotonic() - started < 30
    (warning,) = caplog.messages
    assert warning.startswith("tracker=mlflow: ")
    assert "training goes on" in warning


@pytest.fixture
def server(empty, tmp_path):
    """The address of a server of MLflow, which reads a database of its own."""
    if find_spec("flask") is None:
        pytest.skip("MLflow's server is not installed: it comes with mlflow, not with mlflow-skinny")
    shutil.copy(empty, tmp_path / "server.db")
    port = free_port()
    store = f"sqlite:///{tmp_path / 'server.db'}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with (tmp_path / "server.log").open("w") as output:
        process = subprocess.Popen(
            [*command, "--backend-store-uri", store], stdout=output, stderr=output, cwd=tmp_path, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/health", timeout=1):
                break
            assert process.poll() is None, (tmp_path / "server.log").read_text()
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.slow
def test_a_server_has_the_run_once(settings, server, tmp_path):
    run, report = finished_run(settings("competition=statoil"))
    for _ in range(2):
        with tracking(TrackerSettings("mlflow", url=server), tmp_path) as tracker:
            log_all(tracker, run, report)
    client, (there,) = runs_of(server)
    assert there.data.metrics["log_loss"] == report["log_loss"]
    assert history(client, there, "held_out_loss/fold_4") == [(1, 1.2), (2, 0.9), (3, 0.8)]
    assert not (tmp_path / "mlflow.db").exists()
