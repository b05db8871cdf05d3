"""Runs on disk, listed, filtered, shown and compared without their data."""

import json

import pytest
from helpers.tiny import make_recipe

from foldwise.__main__ import main
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.runs.store import open_run
from foldwise.stages.list_runs import runs, show_one, show_run, show_runs

FACES = "competition=faces"
REPORT = {"log_loss": 0.25, "log_loss_interval": [0.2, 0.3], "fold_log_loss": [0.24, 0.26], "accuracy": 0.9}


def write_run(folder, model, loss=None, accuracy=0.9, seconds=60.0, folds=(0, 1), **settings):
    """Write a run as training leaves it, without weights; without a loss it has no report yet."""
    run = open_run(folder, make_recipe(model, **settings))
    for fold in folds:
        run.fold_path(fold).mkdir()
        (run.fold_path(fold) / "fold.json").write_text('{"seconds": 7.0}')
        (run.fold_path(fold) / "history.csv").write_text("epoch,loss,seed\n1,0.9,0\n2,0.4,0\n1,0.8,1\n2,0.3,1\n")
    if loss is not None:
        about = REPORT | {"log_loss": loss, "accuracy": accuracy, "seconds": seconds, "device": "CPU"}
        (run.path / "run.json").write_text(json.dumps(about))
    return run


@pytest.fixture
def three(settings):
    """Two scored runs and one whose second fold is missing."""
    folder = settings(FACES).runs_dir
    return [
        write_run(folder, "mlp", 0.5, seconds=30.0),
        write_run(folder, "logistic_regression", 0.25, accuracy=0.8, epochs=40),
        write_run(folder, "small_cnn", folds=(0,), options={"filters": [4, 8]}),
    ]


def models_of(result):
    return [row["model"] for row in result["runs"]]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ["logistic_regression", "mlp", "small_cnn"]),  # by log loss; what has none comes last
        (["runs.sort=name"], ["logistic_regression", "mlp", "small_cnn"]),
        (["runs.sort=minutes"], ["mlp", "logistic_regression", "small_cnn"]),
        (["competition.metric=accuracy"], ["mlp", "logistic_regression", "small_cnn"]),
        (["runs.filter=log_loss<0.4"], ["logistic_regression"]),
        (["runs.filter=log_loss>=0.25 fit.epochs!=40"], ["mlp"]),
        (["runs.filter=fits=1"], ["small_cnn"]),
        (["runs.filter=fit.epochs=40"], ["logistic_regression"]),
        (["runs.filter=mlp"], ["mlp"]),
        (["runs.filter=model=mlp minutes<=0.5"], ["mlp"]),
        (["runs.filter=no_such_name"], []),
    ],
    ids=str,
)
def test_runs_are_sorted_and_filtered(three, settings, words, expected):
    assert models_of(runs(settings(FACES, *words))) == expected


def test_runs_have_what_their_files_say(three, settings):
    first, second, third = runs(settings(FACES))["runs"]
    assert (first["log_loss"], first["minutes"], first["fits"], first["all_fits"]) == (0.25, 1.0, 2, 2)
    assert first["changes"] == {
        **{"split.n_folds": 2, "fit.epochs": 40, "fit.batch_size": 8, "fit.learning_rate": 0.05}
    }
    assert second["changes"]["fit.epochs"] == 2
    assert (third["fits"], third["all_fits"], third["minutes"]) == (1, 2, None)
    assert third["changes"]["model.options.filters"] == [4, 8]


@pytest.mark.parametrize("width", [50, 80, 120])
def test_the_table_fits_the_terminal(three, settings, width):
    header, *rows, common = show_runs(runs(settings(FACES)), width).splitlines()
    assert all(len(line) <= width for line in (header, *rows))
    narrow = width < 60  # without the accuracy
    assert rows[0].split()[: 4 - narrow] == [three[1].name, "0.2500", *([] if narrow else ["0.8000"]), "2/2"]
    assert rows[2].split()[: 4 - narrow] == [three[2].name, "-", *([] if narrow else ["-"]), "1/2"]
    assert common == "all of them: fit.batch_size=8 fit.learning_rate=0.05 split.n_folds=2"
    assert ("filters=[4,8]" in rows[2]) == (width >= 80)


def test_two_recipes_are_compared(three, settings):
    result = runs(settings(FACES, "runs.diff=[mlp,small]"))
    found = {row["key"]: (row["first"], row["second"]) for row in result["differences"]}
    assert found == {
        "model.name": ("mlp", "small_cnn"),
        "model.options.filters": (None, [4, 8]),
        "model.options": ({}, None),
    }
    assert "[4,8]" in show_runs(result, 80)


def test_a_run_is_shown_by_the_beginning_of_its_key_whatever_the_competition(three, settings):
    key = three[1].name.rpartition("-")[2]
    result = show_run(settings("competition=statoil", f"runs.run={key[:8]}"))
    assert (result["run"], result["competition"]) == (three[1].name, "faces")
    lines = show_one(result, 80).splitlines()
    assert lines[1] == "  log loss 0.2500 (95 % interval 0.2000 to 0.3000)"
    assert "fold_1       0.2600                    0.9000, 0.4000         7" in lines
    assert "  fit.epochs=40" in lines


def test_a_run_without_scores_is_shown_too(three, settings):
    text = show_one(show_run(settings(FACES, "runs.run=small")), 80)
    assert "1 of 2 folds" in text
    assert "model.options.filters=[4,8]" in text


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["runs.diff=[mlp]"], ConfigError, "expected two runs"),
        (["runs.diff=[mlp,mpl]"], FoldwiseError, "mpl: no such run; did you mean|Valid choices"),
        (["runs.filter=model<3"], ConfigError, "expected a number to compare with model=logistic_regression"),
    ],
)
def test_wrong_words_are_explained(three, settings, words, error, message):
    with pytest.raises(error, match=message):
        runs(settings(FACES, *words))


def test_several_runs_of_one_beginning_are_named(three, settings):
    write_run(settings(FACES).runs_dir, "mlp", 0.5, epochs=3)
    with pytest.raises(FoldwiseError, match=r"mlp: 2 runs begin so: mlp-"):
        show_run(settings("competition=statoil", "runs.run=mlp"))


def test_the_command_line_takes_the_run_as_a_word(three, settings, capsys):
    root = settings(FACES).root
    assert main(["show", three[0].name, f"root={root}", "format=json"]) == 0
    assert json.loads(capsys.readouterr().out)["log_loss"] == 0.5
    assert main(["runs", FACES, f"root={root}", "filter=log_loss<0.4", "format=json"]) == 0
    assert json.loads(capsys.readouterr().out)["n_runs"] == 3
    assert main(["show"]) == 2
    assert "`foldwise runs` lists them" in capsys.readouterr().err
    assert main(["runs", "competition=statoil", f"root={root}"]) == 1
    assert "`foldwise train competition=statoil` makes one" in capsys.readouterr().err
