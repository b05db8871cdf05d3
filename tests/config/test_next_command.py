"""The command that a stage names as the next one."""

from pathlib import Path

import pytest

from foldwise.__main__ import main
from foldwise.config.compose import configure
from foldwise.config.next_command import next_command
from foldwise.pipeline import STAGES

READS = {name: stage.reads for name, stage in STAGES.items()}


@pytest.mark.parametrize(
    ("after", "words", "expected"),
    [
        ("prepare", ["competition=faces", "root=else where"], "foldwise train competition=faces 'root=else where'"),
        (
            "train",
            ["competition=faces", "model=mlp", "split.seed=3"],
            "foldwise ensemble competition=faces split.seed=3",
        ),
        ("train", ["competition=faces", "split.seed=3,4"], "foldwise ensemble competition=faces"),
        ("ensemble", ["competition=faces", "ensemble=mean"], "foldwise grade competition=faces"),
        (
            "ensemble",
            ["competition=statoil", "source=kaggle"],
            "foldwise submit competition=statoil source=kaggle dry_run=true",
        ),
        (
            "ensemble",
            ["competition=faces", "source=kaggle"],  # no sample submission, not on Kaggle, and no truth
            "foldwise predict competition=faces source=kaggle images=FOLDER",
        ),
        (
            "ensemble",
            ["competition=faces", "source=kaggle", "competition.options.test=none"],
            "foldwise predict competition=faces source=kaggle competition.options.test=none images=FOLDER",
        ),
        ("download", ["competition=statoil"], "foldwise prepare competition=statoil source=kaggle"),
        ("submissions", [], None),
    ],
)
def test_the_next_command_keeps_what_it_reads(after, words, expected, settings):
    settings = settings(*[word.partition(",")[0] for word in words])
    found = next_command(after, STAGES[after].then, READS, words, settings)
    assert (found and found[1]) == expected


def test_a_solution_in_the_raw_folder_is_graded(tmp_path):
    words = ["competition=statoil", "source=kaggle", f"root={tmp_path}"]
    settings = configure(*words)
    settings.raw_dir.mkdir(parents=True)
    (settings.raw_dir / "solution.csv").write_text("id,is_iceberg\n")
    _, command = next_command("ensemble", STAGES["ensemble"].then, READS, words, settings, Path("mine"))
    assert command == f"foldwise grade --config-dir mine competition=statoil source=kaggle root={tmp_path}"


def test_every_stage_that_may_come_next_is_one():
    named = {name for stage in STAGES.values() for name in stage.then}
    assert named <= STAGES.keys() | {"report"}


def test_the_line_is_on_stderr_for_text_alone_and_can_be_turned_off(tmp_path, capsys, monkeypatch):
    words = ["competition=faces", "source.n_train=40", "source.n_test=12", f"root={tmp_path}"]
    assert main(["simulate", *words]) == 0
    printed = capsys.readouterr()
    assert printed.err.splitlines()[-1].startswith("next: foldwise prepare competition=faces source.n_train=40 ")
    assert "next:" not in printed.out
    assert main(["models", "format=json"]) == 0
    assert "next:" not in capsys.readouterr().err
    monkeypatch.setenv("FOLDWISE_NEXT", "off")
    assert main(["simulate", *words]) == 0
    assert "next:" not in capsys.readouterr().err
