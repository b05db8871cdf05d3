"""The table of stages: every row works, a stage that reads writes nothing, and none takes a setting that it ignores."""

import json
from dataclasses import fields

import pytest

from foldwise.__main__ import main
from foldwise.config.compose import groups
from foldwise.pipeline import STAGES, resolve
from foldwise.settings import Settings

SMALL = ("competition=faces", "source.n_train=40", "source.n_test=12")


@pytest.mark.parametrize("name", STAGES)
def test_every_row_names_functions_that_exist_and_settings_that_there_are(name):
    stage = STAGES[name]
    for reference in filter(None, (stage.function, stage.show, stage.details, stage.verdict)):
        assert callable(resolve(reference))
    known = {field.name for field in fields(Settings)} | {*groups()}
    assert set(stage.reads) <= known
    assert stage.group is None or stage.group in stage.reads


def test_every_setting_is_read_by_a_stage():
    read = {name for stage in STAGES.values() for name in stage.reads}
    assert {field.name for field in fields(Settings)} <= read


@pytest.mark.parametrize(
    "words", [("score",), ("ensemble",), ("grade",), ("submit",), ("score", "source=kaggle"), ("score", "by=is_face")]
)
def test_a_stage_that_reads_writes_nothing_on_an_empty_root(words, tmp_path, capsys):
    assert main([words[0], "competition=faces", f"root={tmp_path}", *words[1:]]) == 1
    assert "foldwise" in capsys.readouterr().err
    assert list(tmp_path.rglob("*")) == []


def test_scoring_prepared_data_without_runs_writes_nothing(tmp_path, capsys):
    assert main(["prepare", *SMALL, f"root={tmp_path}"]) == 0
    before = sorted(tmp_path.rglob("*"))
    assert main(["score", *SMALL, f"root={tmp_path}"]) == 1
    assert "no finished run of faces" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["folds", "imports.folds=does_not_exist.csv"], "imports.folds"),
        (["folds", "oof=no.csv"], "oof"),
        (["score", "fit.epochs=3"], "fit.epochs"),
        (["score", "model=mlp"], "model"),
        (["prepare", "split.n_folds=3"], "split.n_folds"),
        (["ensemble", "submit.dry_run=true"], "submit.dry_run"),
        (["train", "ensemble=mean"], "ensemble"),
        (["grade", "format=jsno"], "format"),
        (["submit", "by=zone"], "by"),
        (["models", "competition=faces"], "competition"),
    ],
)
def test_a_setting_that_a_stage_does_not_read_is_refused(words, key, tmp_path, capsys):
    assert main([words[0], *([] if words[0] == "models" else [f"root={tmp_path}"]), *words[1:]]) == 2
    assert capsys.readouterr().err.startswith(f"error: {key}")
    assert list(tmp_path.iterdir()) == []


def test_the_prefix_of_a_stages_own_group_may_be_left_out(capsys):
    assert main(["submit", "dry_run=true", "message=first (try)", "--cfg"]) == 0
    short = capsys.readouterr().out
    assert main(["submit", "submit.dry_run=true", "submit.message=first (try)", "--cfg"]) == 0
    assert capsys.readouterr().out == short
    assert "dry_run: true" in short


def test_several_settings_print_one_json_list(monkeypatch, capsys):
    from foldwise.stages import score

    monkeypatch.setattr(score, "score", lambda settings: [{"seed": settings.split.seed}])
    assert main(["score", "-m", "split.seed=3,4", "format=json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"seed": 3}, {"seed": 4}]
