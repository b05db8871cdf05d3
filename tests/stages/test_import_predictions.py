"""Predictions made elsewhere become runs, or are refused with the reason, before anything is written."""

import json

import numpy as np
import pandas as pd
import pytest
from helpers.raw_files import grey_image, write_images
from hypothesis import given
from hypothesis import strategies as st

from foldwise.__main__ import main
from foldwise.data.folds import read_folds
from foldwise.data.ids import repaired_ids
from foldwise.errors import FoldwiseError
from foldwise.runs.submission import chosen
from foldwise.stages import blend_files, ensemble, import_predictions, score
from foldwise.stages.prepare import prepare

WORDS = ("competition=faces", "split.n_folds=3", "source.n_train=60", "source.n_test=20")


@pytest.fixture
def theirs(settings, tmp_path):
    """Two files that fit the data, and a function that imports changed ones."""
    dataset = prepare(settings(*WORDS))
    rng = np.random.default_rng(0)
    folds = read_folds(dataset, settings(*WORDS).split)
    y = dataset.labels[:, 0]
    oof = pd.DataFrame({"id": dataset.train.table["id"], "is_face": np.clip(0.5 + 0.4 * (y - 0.5), 0, 1)})
    oof["is_face"] += rng.uniform(-0.2, 0.2, len(oof))
    oof = oof.merge(folds[["id", "fold"]], on="id")
    test = pd.DataFrame({"id": dataset.test.table["id"], "is_face": rng.random(len(dataset.test.table))})

    def bring(oof=oof, test=test, *words, suffix=".csv"):
        paths = tmp_path / f"oof{suffix}", tmp_path / f"test{suffix}"
        for table, path in zip((oof, test), paths, strict=True):
            table.to_csv(path, index=False) if suffix == ".csv" else table.to_parquet(path, index=False)
        return import_predictions.import_predictions(
            settings(*WORDS, f"imports.oof={paths[0]}", f"imports.test={paths[1]}", "imports.name=theirs", *words)
        )

    return oof, test, bring


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_pair_of_files_becomes_a_run_that_is_scored_and_blended(theirs, settings, suffix):
    oof, test, bring = theirs
    renamed = oof.assign(fold=2 - oof["fold"]).sample(frac=1, random_state=0)  # other numbers, another order
    (report,) = bring(renamed, test, suffix=suffix)
    y = prepare(settings(*WORDS)).labels[:, 0]
    expected = -np.log(np.where(y == 1, oof["is_face"], 1 - oof["is_face"])).mean()
    assert report["log_loss"] == pytest.approx(expected)
    assert [r["model"] for r in score.score(settings(*WORDS))] == ["theirs"]
    result = ensemble.ensemble(settings(*WORDS))
    assert result["nested_score"] == pytest.approx(expected)
    assert result["approximate"] is False
    sent = pd.read_csv(result["file"]).set_index("id").iloc[:, 0]
    assert sent.loc[test["id"]].to_numpy() == pytest.approx(test["is_face"].to_numpy(), abs=1e-6)


def test_the_objective_ranks_and_names(theirs, settings):
    oof, test, bring = theirs
    y = prepare(settings(*WORDS)).labels[:, 0]
    bring(oof.assign(is_face=np.where(y == 1, 0.51, 0.49)), test)  # right, and hardly sure
    mine = settings(*WORDS, "competition.metric=auc", "competition.shown=[f1]")
    (report,) = score.score(mine)
    assert report["log_loss"] == pytest.approx(-np.log(0.51))
    assert (report["metric"], report["score"], report["score_interval"]) == ("auc", 1.0, [1.0, 1.0])
    assert report["metrics"] == {"auc": 1.0, "f1": 1.0}
    result = ensemble.ensemble(settings(*WORDS, "competition.metric=f1"))
    assert (result["metric"], result["nested_score"], result["members"][0]["score"]) == ("f1", 1.0, 1.0)
    assert result["thresholds"] == [pytest.approx(0.5, abs=0.011)]
    assert "faces_1.00000_" in result["file"]
    assert "nested F1 1.0000" in ensemble.show(result, 100)


def first(table, **changes):
    changed = table.copy()
    for name, value in changes.items():
        changed.loc[0, name] = value
    return changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda oof, test: (first(oof, id="nobody"), test), "1 of its ids are not in the data, for example 'nobody'"),
        (lambda oof, test: (oof.iloc[1:], test), "1 ids are missing"),
        (lambda oof, test: (oof, test.iloc[2:]), "2 ids are missing"),
        (lambda oof, test: (pd.concat([oof, oof.iloc[:1]]), test), "duplicate id"),
        (lambda oof, test: (first(oof, is_face=1.01), test), r"expected probabilities in \[0, 1\]"),
        (lambda oof, test: (oof, first(test, is_face=-0.2)), r"expected probabilities in \[0, 1\]"),
        (lambda oof, test: (first(oof, is_face=np.nan), test), "none missing"),
        (lambda oof, test: (first(oof.astype({"is_face": object}), is_face="high"), test), "none missing"),
        (lambda oof, test: (first(oof, fold=(oof["fold"][0] + 1) % 3), test), "its folds are not those"),
        (lambda oof, test: (oof.drop(columns="fold"), test), "give folds=FILE"),
        (lambda oof, test: (oof.rename(columns={"is_face": "a"}).assign(b=0.5), test), "'is_face' is missing"),
        (lambda oof, test: (oof, test.drop(columns="is_face").assign(x=1, y=0)), "'is_face' is missing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(theirs, settings, change, message):
    oof, test, bring = theirs
    with pytest.raises(FoldwiseError, match=message):
        bring(*change(oof, test))
    assert not settings(*WORDS).runs_dir.exists()


def test_predictions_of_a_multiclass_task_do_not_fit_a_binary_one(theirs):
    oof, test, bring = theirs
    with pytest.raises(FoldwiseError, match="'is_face' is missing; expected id, is_face; it has id, cat, dog"):
        bring(pd.DataFrame({"id": oof["id"], "cat": 0.5, "dog": 0.5}), test)


def test_a_split_file_stands_for_the_column(theirs, tmp_path):
    oof, test, bring = theirs
    oof[["id", "fold"]].to_csv(tmp_path / "split.csv", index=False)
    assert bring(oof.drop(columns="fold"), test, f"imports.folds={tmp_path / 'split.csv'}")[0]["model"] == "theirs"


def test_other_folds_come_in_as_approximate(theirs, settings):
    oof, test, bring = theirs
    bring(oof.drop(columns="fold"), test, "split=other")
    (report,) = score.score(settings(*WORDS))
    assert f"~{report['log_loss']:.4f}" in score.show([report], 120)
    assert score.score(settings(*WORDS, "split=other")) == [report]
    result = ensemble.ensemble(settings(*WORDS))
    assert result["approximate"] is True
    assert "approximate" in ensemble.show(result, 100)


def test_a_folder_comes_in_at_once(theirs, settings, tmp_path):
    oof, test, _ = theirs
    for name in ("a", "b"):
        for folder, table in (("o", oof), ("t", test)):
            (tmp_path / folder).mkdir(exist_ok=True)
            table.to_csv(tmp_path / folder / f"{name}.csv", index=False)
    words = (*WORDS, f"imports.oof={tmp_path / 'o'}", f"imports.test={tmp_path / 't'}")
    assert [r["model"] for r in import_predictions.import_predictions(settings(*words))] == ["a", "b"]
    (tmp_path / "t" / "b.csv").unlink()
    with pytest.raises(FoldwiseError, match="'b' is in one of them only"):
        import_predictions.import_predictions(settings(*words))


def test_the_command_line_knows_the_stage(theirs, tmp_path, capsys):
    oof, test, _ = theirs
    oof.to_csv(tmp_path / "my oof, 1.csv", index=False)
    test.to_csv(tmp_path / "t.csv", index=False)
    words = [f"root={tmp_path}", *WORDS, f"oof={tmp_path / 'my oof, 1.csv'}", f"test={tmp_path / 't.csv'}", "name=x"]
    assert main(["import", *words, "format=json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["model"] == "x"
    assert main(["import", *words[:3]]) == 2
    assert "ensemble=files" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["mean", "median", "rank", "geometric", "minmax", "pushout"])
def test_a_folder_of_submissions_is_blended_without_a_score(theirs, settings, tmp_path, how):
    _, test, _ = theirs
    (tmp_path / "past").mkdir()
    for i, p in enumerate((0.2, 0.3, 0.7)):
        test.assign(is_face=p + 0.01 * np.arange(len(test)) / len(test)).to_csv(
            tmp_path / "past" / f"{i}.csv", index=False
        )
    said = settings(
        *WORDS, "ensemble=files", f"ensemble.options.folder={tmp_path / 'past'}", f"ensemble.options.how={how}"
    )
    result = ensemble.ensemble(said)
    assert result["nested_score"] is None
    assert np.array(result["correlations"]) == pytest.approx(np.ones((3, 3)), abs=1e-2)
    first_row = pd.read_csv(result["file"]).set_index("id").loc[test["id"].iloc[0]].iloc[0]
    odds = (0.25 * 3 / 7 * 7 / 3) ** (1 / 3)
    expected = {"mean": 0.4, "median": 0.3, "pushout": 0.3, "geometric": odds / (1 + odds), "minmax": odds / (1 + odds)}
    assert first_row == pytest.approx(expected.get(how, 0.4), abs=1e-6)
    assert "so there is no nested score" in blend_files.show(result, 100)
    assert chosen(said)[0].name in result["file"]


def test_a_file_of_test_predictions_joins_finished_runs(theirs, settings, tmp_path):
    _, test, bring = theirs
    (report,) = bring()
    (tmp_path / "past").mkdir()
    words = (*WORDS, "ensemble=files", f"ensemble.options.folder={tmp_path / 'past'}", "ensemble.options.how=mean")
    test.assign(is_face=1 - test["is_face"] / 2).to_csv(tmp_path / "past" / "a.csv", index=False)
    with pytest.raises(FoldwiseError, match=r"found 1; with ensemble.options.runs=true one is enough"):
        ensemble.ensemble(settings(*words))
    result = ensemble.ensemble(settings(*words, "ensemble.options.runs=true"))
    assert result["members"] == ["a.csv", f"theirs-{report['run_key']}"]
    sent = pd.read_csv(result["file"]).set_index("id").iloc[:, 0].loc[test["id"]]
    assert sent.to_numpy() == pytest.approx(0.5 + test["is_face"].to_numpy() / 4, abs=1e-6)  # (1 - p / 2 + p) / 2
    with pytest.raises(FoldwiseError, match="no such finished run"):
        ensemble.ensemble(settings(*words, "ensemble.options.runs=true", "ensemble.members=[nobody]"))


# A teammate's files


@pytest.fixture
def numbered(settings, tmp_path):
    """A competition whose ids are numbers with zeros before them, and a function that imports predictions for it."""
    names, outside = [f"{i:05d}" for i in range(24)], [f"{i:05d}" for i in range(24, 30)]
    raw = tmp_path / "data" / "raw" / "numbered"
    write_images(raw / "images", {f"{name}.png": grey_image(8 * i) for i, name in enumerate([*names, *outside])})
    rows = [f"{name},{'ant' if i % 2 else 'bee'}" for i, name in enumerate(names)]
    (raw / "train.csv").write_text("\n".join(["id,label", *rows]) + "\n")
    (raw / "sample_submission.csv").write_text("\n".join(["id,ant,bee", *(f"{n},0,1" for n in outside)]) + "\n")
    conf = tmp_path / "conf" / "competition"
    conf.mkdir(parents=True)
    conf.joinpath("numbered.yaml").write_text("name: numbered\nreader: folder\noptions: {task: multiclass}\n")
    words = ("competition=numbered", "source=kaggle", "split.n_folds=3")
    folds = read_folds(prepare(settings(*words, config_dir=tmp_path / "conf")), settings(*WORDS).split)
    p = np.random.default_rng(0).random((30, 1))
    p = np.concatenate([p, 1 - p], axis=1)
    oof = pd.DataFrame(p[:24], columns=["ant", "bee"]).assign(id=names).merge(folds[["id", "fold"]], on="id")
    test = pd.DataFrame(p[24:], columns=["ant", "bee"]).assign(id=outside)

    def bring(change, *more, index=False):
        for table, name in ((oof, "oof.csv"), (test, "test.csv")):
            change(table).to_csv(tmp_path / name, index=index)
        given = (f"imports.oof={tmp_path / 'oof.csv'}", f"imports.test={tmp_path / 'test.csv'}")
        return import_predictions.import_predictions(settings(*words, *given, *more, config_dir=tmp_path / "conf"))

    return bring, settings(*words, config_dir=tmp_path / "conf")


CHANGES = {
    "zeros": lambda table: table.assign(id=table["id"].astype(int)),
    "floats": lambda table: table.assign(id=table["id"].astype(float)),
    "suffix": lambda table: table.assign(id=table["id"] + ".png"),
    "folder": lambda table: table.assign(id="test\\" + table["id"] + ".JPG"),
    "zeros and suffix": lambda table: table.assign(id=table["id"].astype(int).astype(str) + ".png"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_ids_that_lost_something_are_repaired_by_an_option(numbered, name):
    bring, _ = numbered
    (exact,) = bring(lambda table: table)
    with pytest.raises(FoldwiseError, match=r"which may mean '000\d\d'; imports.ids=repaired reads it so"):
        bring(CHANGES[name])
    (repaired,) = bring(CHANGES[name], "imports.ids=repaired")
    assert repaired == exact  # the same run: its key is of the ids and the numbers
    (repaired,) = bring(lambda t: CHANGES[name](t).rename(columns={"id": "image"}), "imports.ids=repaired", index=True)
    assert repaired == exact


@pytest.mark.parametrize("column", ["id", "image", "Id"])
def test_an_index_and_another_name_of_the_column_need_no_option(numbered, column):
    bring, _ = numbered
    (exact,) = bring(lambda table: table)

    def change(table):
        return table.rename(columns={"id": column})[[*sorted(table.columns.drop("id")), column]]

    (again,) = bring(change, index=True)
    assert again == exact


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.assign(id="x" + t["id"]), "24 of its ids are not in the data, for example 'x00000'; the nearest"),
        (lambda t: t.assign(id=t["id"].where(t["id"] != "00003", "4")), "its ids are not in the data, for example '4'"),
        (lambda t: CHANGES["zeros"](t)[1:], r"its ids are not in the data, for example '1', which may mean '00001'$"),
        (lambda t: t.assign(ant=100 * t["ant"], bee=100 * t["bee"]), "they look like per cent: divide them by 100"),
        (lambda t: t.assign(ant=t["ant"] - 3, bee=t["bee"] + 2), "they look like logits"),
    ],
)
def test_what_cannot_be_repaired_is_refused_with_the_likely_cause(numbered, change, message):
    bring, one = numbered
    with pytest.raises(FoldwiseError, match=message):
        bring(change, "imports.ids=repaired")
    assert not one.runs_dir.exists()


def test_a_folder_of_submissions_is_repaired_too(numbered, settings, tmp_path):
    _, one = numbered
    (tmp_path / "past").mkdir()
    for name in ("zeros", "suffix"):
        test = pd.read_csv(one.raw_dir / "sample_submission.csv", dtype={"id": str})
        CHANGES[name](test).to_csv(tmp_path / "past" / f"{name}.csv", index=False)
    words = ["competition=numbered", "source=kaggle", "ensemble=files", f"ensemble.options.folder={tmp_path / 'past'}"]
    with pytest.raises(FoldwiseError, match=r"suffix.csv: .*? ensemble.options.ids=repaired reads it so"):
        ensemble.ensemble(settings(*words, config_dir=tmp_path / "conf"))
    result = ensemble.ensemble(settings(*words, "ensemble.options.ids=repaired", config_dir=tmp_path / "conf"))
    assert pd.read_csv(result["file"], dtype={"id": str})["id"].tolist() == [f"{i:05d}" for i in range(24, 30)]


@given(st.sets(st.integers(0, 99999), min_size=1), st.data())
def test_a_repair_is_certain_or_none(numbers, data):
    ours = [f"{number:0{data.draw(st.integers(1, 8))}d}" for number in sorted(numbers)]
    loss = data.draw(st.sampled_from([lambda i: str(int(i)), lambda i: i + ".png", lambda i: f"a/{int(i)}.jpg"]))
    theirs = {loss(one): one for one in ours}
    assert repaired_ids(theirs, ours) == theirs
    double = [*ours, "0" + ours[0]]  # two of ours that differ in zeros alone
    found = repaired_ids([str(int(one)) for one in ours], double)
    assert found is None or found == {one: one for one in ours}
