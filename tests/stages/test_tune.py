"""Searches that go on where they were, stop bad recipes early, and write the best as an experiment."""

import json
import re
from pathlib import Path

import pytest
import yaml
from helpers.pool import PoolHere

from foldwise.__main__ import main
from foldwise.config.compose import Scope, configure
from foldwise.config.search_space import Choice, Interval, search_space
from foldwise.errors import ConfigError
from foldwise.pipeline import STAGES

pytest.importorskip("optuna")
pytestmark = [pytest.mark.trains]

FACES = ["competition=faces", "source.n_train=60", "source.n_test=20", "split.n_folds=2", "fit.epochs=1"]
SPACE = [*FACES, "model=logistic_regression,mlp", "fit.learning_rate=tag(log,interval(1e-4,1e-1))"]
SCOPE = Scope("tune", STAGES["tune"].reads, "tune")


@pytest.fixture(autouse=True)
def pool(monkeypatch):
    """Train in this process, and list the folds."""
    monkeypatch.setattr("foldwise.execution.executors.LocalPool", PoolHere)
    monkeypatch.setattr(PoolHere, "done", [])
    return PoolHere


@pytest.fixture
def tune(tmp_path, capsys):
    """Return a function that searches below a folder and returns what `format=json` shows."""

    def run(name, *words, status=0):
        assert main(["tune", f"root={tmp_path / name}", "format=json", "batch=2", *words]) == status
        captured = capsys.readouterr()
        return json.loads(captured.out) if status == 0 else captured.err

    return run


def without_paths(result):
    kept = [{key: one[key] for key in ("state", "score", "values", "run")} for one in result["trials"]]
    return kept, result["importance"], result["nested"]


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_an_interrupted_search_goes_on_and_ends_the_same(tune, pool, monkeypatch, sampler):
    words = [*SPACE, "trials=3", f"sampler={sampler}"]
    undisturbed = tune("undisturbed", *words)
    assert len(undisturbed["trials"]) == 3
    folds = sorted(pool.done)
    assert len(set(folds)) == len(folds) == 6

    pool.done.clear()
    submit = pool.submit

    def interrupted(self, number, task):
        if len(pool.done) == 4:  # when the second batch begins
            raise KeyboardInterrupt
        submit(self, number, task)

    with monkeypatch.context() as patch:
        patch.setattr(pool, "submit", interrupted)
        assert "the same command goes on" in tune("disturbed", *words, status=130)
    assert without_paths(tune("disturbed", *words)) == without_paths(undisturbed)
    assert sorted(pool.done) == folds  # none was trained twice
    longer = tune("disturbed", *words, "trials=4")
    assert len(longer["trials"]) == 4
    assert len(pool.done) == 8


def test_the_experiment_of_the_best_is_its_recipe(tune, pool, tmp_path, capsys):
    words = [*SPACE, "augment=flips", "augment.test_views=identity", "trials=2"]
    result = tune("root", *words)
    file = Path(result["experiment"])
    assert file == tmp_path / "root" / "conf" / "experiment" / "tuned_faces.yaml"
    assert yaml.safe_load(file.read_text())["augment"]["test_views"] == "identity"
    pool.done.clear()
    again = [f"--config-dir={file.parents[1]}", f"root={tmp_path / 'root'}", *FACES[1:3], "experiment=tuned_faces"]
    assert main(["train", *again]) == 0
    assert pool.done == []
    assert result["best"]["run"] in capsys.readouterr().out


def test_bad_recipes_are_stopped_after_their_first_folds_and_have_no_score(tune, pool):
    rates = "fit.learning_rate=tag(log,interval(1e-3,30))"
    result = tune("root", *FACES, "model=logistic_regression", rates, "trials=9", "sampler=random", "prune=1")
    stopped = {one["run"] for one in result["trials"] if one["state"] == "pruned"}
    complete = {one["run"] for one in result["trials"] if one["state"] == "complete"}
    assert stopped - complete
    assert all((one["score"] is None) == (one["state"] == "pruned") for one in result["trials"])
    folds = {run: sum(name.startswith(f"{run} ") for name in pool.done) for run in stopped | complete}
    assert folds == {run: 2 if run in complete else 1 for run in folds}
    assert result["best"]["score"] == min(one["score"] for one in result["trials"] if one["score"] is not None)


def test_a_recipe_that_cannot_be_trained_does_not_end_the_search(tune, capsys):
    counts = "fit.accumulate=choice(1,1000)"  # of batches, of which there are fewer
    result = tune("root", *FACES, "model=mlp", counts, "trials=3", "sampler=random")
    assert {one["values"]["fit.accumulate"] for one in result["trials"]} == {"1"}
    assert "expected at most the" in tune("other", *FACES, "model=mlp", "fit.accumulate=choice(1000,2000)", status=1)


def test_the_values_of_a_search_space():
    words = ["model=mlp,small_cnn", "fit.epochs=range(1,4)", "fit.ema=interval(0.1,0.9)"]
    words += ["fit.learning_rate=tag(log,interval(1e-4,1e-2))", "fit.batch_size=int(interval(8,64))", "trials=3"]
    space = search_space(["competition=faces", *words], None, SCOPE)
    assert space.fixed == ("competition=faces", "tune.trials=3")
    assert space.keys == {
        "model": Choice(("mlp", "small_cnn")),
        "fit.epochs": Choice(("1", "2", "3")),
        "fit.ema": Interval(0.1, 0.9),
        "fit.learning_rate": Interval(1e-4, 1e-2, log=True),
        "fit.batch_size": Interval(8, 64, whole=True),
    }
    assert space.settings(space.first()) == configure(
        *("competition=faces", "model=mlp", "fit.epochs=1", "fit.ema=0.1", "fit.learning_rate=1e-4"),
        *("fit.batch_size=8", "tune.trials=3"),
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fit.epochs=3"], "nothing to search: expected a key with several values or an interval"),
        (["fit.learning_rate=interval(1,1)"], "expected a lower end, above 0 with log, and then a higher one"),
        (["fit.ema=tag(log,interval(0,0.5))"], "expected a lower end, above 0 with log"),
        (["model=interval(0,1)"], "model=interval(0,1): expected names"),
        (["fit.epochs=1,2", "trial=3"], "trial"),
    ],
)
def test_what_is_no_search_space_is_refused(words, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        search_space(words, None, SCOPE)


def test_the_sweep_of_architectures_is_a_search_space():
    space = search_space(["sweep=architectures", "sampler=random"], None, SCOPE)
    assert len(space.keys) == 6
    assert space.settings(space.first()).model.name == "small_cnn"
