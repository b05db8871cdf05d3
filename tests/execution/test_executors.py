"""Folds on Ray and on SLURM have the bits of those of this machine, and outlive the machines that they train on."""

import io
import shutil
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from helpers.raw_files import contents
from jsonschema import ValidationError

from foldwise.__main__ import main
from foldwise.competitions.passenger_screening import reader
from foldwise.errors import ConfigError
from foldwise.execution import executors, queue, reading
from foldwise.execution.lanes import train_any
from foldwise.settings import ExecutionSettings
from foldwise.stages.prepare import prepare

DOCS = Path(__file__).parents[2] / "docs"
FACES = ["competition=faces", "source.n_train=60", "source.n_test=20", "model=mlp", "model.options.hidden=[4]"]
RECIPES = [*FACES, "augment=flips", "fit.epochs=2", "fit.learning_rate=1e-3,1e-2,1e-1", "execution.threads_per_fold=1"]
SCANS = ["competition=passenger_screening", "competition.options.side=8", "source.options.scale=4"]
SCANS += ["source.n_train=10", "source.n_test=4"]


def train(root, *words, status=0):
    assert main(["train", "-m", f"root={root}", *RECIPES, *words]) == status


def predictions(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.glob("runs/*/*/fold_*/*.parquet")}


@pytest.fixture
def undisturbed(tmp_path):
    """The root of fifteen folds of three recipes, trained one after the other."""
    root = tmp_path / "undisturbed"
    train(root, "execution.workers=1")
    return root


@pytest.fixture
def cluster():
    """Ray on two machines of one core, each a raylet of its own; this process is connected to it.

    Returns the cluster, the machine that can be lost, and the folder for temporary files of the workers.
    """
    pytest.importorskip("ray")
    import ray
    from ray.cluster_utils import Cluster

    from foldwise.execution import on_ray

    # a short path, as sockets want
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="ray") as folder:
        patch.setenv("TMPDIR", folder)
        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        lost = found.add_node(num_cpus=1)
        patch.setenv("RAY_ADDRESS", found.address)
        on_ray._connect("tensorflow")  # once: workers then keep what they have imported
        yield found, lost, Path(folder)
        ray.shutdown()
        found.shutdown()


@pytest.mark.slow
@pytest.mark.trains
def test_folds_that_are_trained_elsewhere_have_the_bits_of_those_of_this_machine(
    undisturbed, cluster, tmp_path, settings, monkeypatch
):
    """One test, so that it starts one cluster: Ray's machines and TensorFlow in their workers take most of its time."""
    machines, lost, folder = cluster
    expected = predictions(undisturbed)
    assert len(expected) == 30

    # a machine that is lost costs no finished fold
    finished = {}

    def lose():
        while len(found := [path for path in tmp_path.glob("lost/runs/*/*/fold_*") if path.is_dir()]) < 2:
            time.sleep(0.01)
        finished.update({path: path.stat().st_ino for path in found})
        machines.remove_node(lost, allow_graceful=False)

    loser = threading.Thread(target=lose)
    loser.start()
    train(tmp_path / "lost", "execution=ray")
    loser.join()
    assert len(finished) < 15
    assert {path: path.stat().st_ino for path in finished} == finished  # none was written again
    assert predictions(tmp_path / "lost") == expected

    # data and results travel where machines share no folder
    train(tmp_path / "apart", "execution=ray", "execution.storage=driver", "fit.learning_rate=1e-3")
    found = predictions(tmp_path / "apart")
    assert len(found) == 10
    assert found.items() <= expected.items()
    assert len(list(folder.glob("foldwise-*/*/train.npy"))) == 1

    # scans are read in shards
    monkeypatch.setattr(reading, "SIZE", 2)
    monkeypatch.setattr(reader, "LOCAL_SCANS", 0)
    plain, on_cluster = (
        contents(prepare(settings(*SCANS, *words, root=tmp_path / f"scans{i}")).path)
        for i, words in enumerate(([], ["execution=ray"]))
    )
    assert plain == on_cluster
    assert len(np.load(io.BytesIO(plain["train.npy"]))) == 17 * 10

    # jobs of SLURM
    pytest.importorskip("submitit")
    root = tmp_path / "slurm"
    shutil.copytree(undisturbed, root)
    (run,) = (path.parent for path in root.glob("runs/*/*/recipe.yaml") if ": 0.001\n" in path.read_text())
    for fold in (1, 3):
        shutil.rmtree(run / f"fold_{fold}")
    kept = {path: path.stat().st_ino for path in run.glob("fold_*")}
    train(root, "execution=slurm", "execution.slurm={cluster: local, timeout_min: 5}", "fit.learning_rate=1e-3")
    assert predictions(root) == expected
    assert {path: path.stat().st_ino for path in kept} == kept


@pytest.mark.parametrize(
    ("do", "executor"), [(queue.train_folds, "ray"), (queue.predict_fits, "local"), (queue.explain_fits, "local")]
)
def test_training_alone_leaves_this_machine(monkeypatch, do, executor):
    class Seen(Exception):
        pass

    def start_pool(execution, *_):
        raise Seen(execution.executor)

    monkeypatch.setattr(queue, "start_pool", start_pool)
    task = SimpleNamespace(recipe=SimpleNamespace(backend="tensorflow"))
    given = ([task], ExecutionSettings(executor="ray"), *([lambda run: None] if do is queue.train_folds else []))
    with pytest.raises(Seen, match=executor):
        do(*given)


def test_an_executor_whose_package_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(executors, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"ray: the package ray is not installed; pip install 'foldwise\[ray\]'"):
        executors.start_pool(ExecutionSettings(executor="ray"), 1, train_any, "tensorflow")


def test_no_cluster_at_the_address_is_one_line(monkeypatch, tmp_path, capsys):
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    train(tmp_path, "execution=ray", status=1)
    assert "error: RAY_ADDRESS=127.0.0.1:1: no cluster of Ray answers there" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["aws", "gcp", "on_premises"])
def test_the_files_of_clusters_pass_the_check_of_ray(name):
    pytest.importorskip("ray")
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((DOCS / "ray" / f"{name}.yaml").read_text())
    validate_config(prepare_config(config))
    with pytest.raises(ValidationError):
        validate_config(prepare_config(config | {"idle_timeout_minutes": "many"}))
