"""Folds on Ray and on SLURM have the bits of those of this machine, and outlive the machines that they train on."""

import threading
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from jsonschema import ValidationError

from foldwise.__main__ import main
from foldwise.errors import ConfigError
from foldwise.execution import executors
from foldwise.execution.lanes import train_any
from foldwise.execution.local import LocalPool
from foldwise.execution.prediction import predict_one
from foldwise.settings import ExecutionSettings

DOCS = Path(__file__).parents[2] / "docs"
FACES = ["competition=faces", "source.n_train=60", "source.n_test=20", "model=mlp", "model.options.hidden=[4]"]
RECIPES = [*FACES, "augment=flips", "fit.epochs=2", "fit.learning_rate=1e-3,1e-2,1e-1", "execution.threads_per_fold=1"]


def train(root, *words, status=0):
    assert main(["train", "-m", f"root={root}", *RECIPES, *words]) == status


def predictions(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.glob("runs/*/*/fold_*/*.parquet")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Fifteen folds of three recipes, trained one after the other."""
    root = tmp_path_factory.mktemp("undisturbed")
    train(root, "execution.workers=1")
    return predictions(root)


@pytest.fixture(scope="module")
def cluster():
    """Ray with a head that trains nothing, and two machines of one core, each a raylet of its own."""
    if find_spec("ray") is None:
        pytest.skip("ray is not installed")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        patch.setenv("RAY_ADDRESS", found.address)
        yield found
        found.shutdown()


@pytest.mark.slow
@pytest.mark.trains
def test_a_machine_that_is_lost_costs_no_finished_fold(cluster, undisturbed, tmp_path):
    lost, _ = [cluster.add_node(num_cpus=1) for _ in range(2)]
    finished = {}

    def lose():
        while len(found := [path for path in tmp_path.glob("runs/*/*/fold_*") if path.is_dir()]) < 2:
            time.sleep(0.05)
        finished.update({path: path.stat().st_ino for path in found})
        cluster.remove_node(lost, allow_graceful=False)

    loser = threading.Thread(target=lose)
    loser.start()
    train(tmp_path, "execution=ray")
    loser.join()
    assert len(finished) < 15
    assert {path: path.stat().st_ino for path in finished} == finished  # none was written again
    assert predictions(tmp_path) == undisturbed


@pytest.mark.slow
@pytest.mark.trains
def test_data_and_results_travel_where_machines_share_no_folder(cluster, undisturbed, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "of_the_worker"))
    (tmp_path / "of_the_worker").mkdir()
    node = cluster.add_node(num_cpus=1)
    train(tmp_path / "root", "execution=ray", "execution.storage=driver")
    cluster.remove_node(node)
    assert predictions(tmp_path / "root") == undisturbed


@pytest.mark.slow
@pytest.mark.trains
def test_jobs_of_slurm_have_the_same_bits(undisturbed, tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    train(tmp_path, "execution=slurm", "execution.slurm={cluster: local, timeout_min: 5}", "fit.learning_rate=1e-3")
    found = predictions(tmp_path)
    assert len(found) == 10
    assert found.items() <= undisturbed.items()


def test_training_alone_leaves_this_machine(monkeypatch):
    monkeypatch.setattr(executors, "find_spec", lambda name: None)
    there = ExecutionSettings(executor="ray")
    with pytest.raises(ConfigError, match=r"ray: the package ray is not installed; pip install 'foldwise\[ray\]'"):
        executors.start_pool(there, 1, train_any, "tensorflow")
    with executors.start_pool(there, 1, predict_one, "tensorflow") as pool:
        assert type(pool) is LocalPool


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
