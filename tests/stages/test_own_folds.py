"""Folds of one's own, and classes too rare to be held out, through every stage that reads folds."""

import json

import numpy as np
import pandas as pd
import pytest
from helpers.raw_files import grey_image, write_images
from helpers.tiny import IDS, make_recipe, train_here, write_data

from foldwise.__main__ import main
from foldwise.data import dataset, folds
from foldwise.errors import FoldwiseError
from foldwise.runs import store
from foldwise.settings import SplitSettings
from foldwise.stages import ensemble, import_predictions, score
from foldwise.stages import folds as folds_stage
from foldwise.stages.prepare import prepare

CLASSES = ["ant", "bee", "cow"]
Y = np.array([0, 1] * 12 + [2])  # the last class has one row
NAMES = [f"{i:04d}" for i in range(len(Y))]
TEST = [f"{i:04d}" for i in range(100, 106)]


@pytest.fixture
def insects(settings, tmp_path):
    """A competition of three classes, a table of folds of the user's own, and settings for both."""
    raw = tmp_path / "data" / "raw" / "insects"
    write_images(raw / "images", {f"{name}.png": grey_image(7 * i) for i, name in enumerate([*NAMES, *TEST])})
    own = pd.DataFrame({"image": NAMES, "kfold": [*(np.arange(24) // 2 % 3 + 1), -1]})
    pd.DataFrame({"id": NAMES, "label": [CLASSES[k] for k in Y], "kfold": own["kfold"]}).to_csv(
        raw / "train.csv", index=False
    )
    pd.DataFrame({"id": TEST} | dict.fromkeys(CLASSES, 0)).to_csv(raw / "sample_submission.csv", index=False)
    conf = tmp_path / "conf" / "competition"
    conf.mkdir(parents=True)
    conf.joinpath("insects.yaml").write_text("name: insects\nreader: folder\noptions: {task: multiclass}\n")
    own.to_csv(tmp_path / "own.csv", index=False)

    def compose(*words):
        return settings("competition=insects", "source=kaggle", *words, config_dir=tmp_path / "conf")

    return compose, own


def predictions(ids, seed):
    p = np.random.default_rng(seed).dirichlet([1, 1, 1], len(ids))
    return pd.DataFrame(p, columns=CLASSES).assign(id=list(ids))


@pytest.mark.slow
def test_the_folds_of_a_file_are_those_of_every_stage(insects, tmp_path):
    compose, own = insects
    words = ("split=file", f"split.file={tmp_path / 'own.csv'}")
    table = folds_stage.folds(compose(*words))
    assert table["fold"].tolist() == (own["kfold"][:24] - 1).tolist()
    assert "3 folds of 24 rows" in folds_stage.show(table, 80)
    for seed in (1, 2):
        oof = predictions(NAMES, seed).assign(fold=own["kfold"])  # with a row that is never held out
        oof = oof if seed == 1 else oof[:24]
        oof.to_csv(tmp_path / "oof.csv", index=False)
        predictions(TEST, 10 + seed).to_csv(tmp_path / "test.csv", index=False)
        imports = (f"imports.oof={tmp_path / 'oof.csv'}", f"imports.test={tmp_path / 'test.csv'}")
        (report,) = import_predictions.import_predictions(compose(*words, *imports, f"imports.name=m{seed}"))
        p = oof[CLASSES].to_numpy()[np.arange(24), Y[:24]]
        assert report["log_loss"] == pytest.approx(-np.log(p).mean())
        assert report["n_rows"] == 24
        assert len(report["fold_log_loss"]) == 3
    shown = ("competition.shown=[accuracy]",)
    reports = score.score(compose(*words, *shown))
    assert {report["model"] for report in reports} == {"m1", "m2"}
    assert all(np.isfinite(value) for value in reports[0]["metrics"].values())
    with pytest.raises(FoldwiseError, match="not defined where an output or class has one label only"):
        score.score(compose(*words, "competition.metric=auc"))  # no row of the third class is held out
    assert "m1-" in score.details(compose(*words, "details=true"), reports)
    for more in ((), ("ensemble=mean", "competition.metric=accuracy"), ("ensemble=logistic",)):
        result = ensemble.ensemble(compose(*words, *more))
        assert result["n_rows"] == 24
        assert np.isfinite(result["nested_score"])
        assert pd.read_csv(result["file"], dtype={"id": str})["id"].tolist() == TEST
    with pytest.raises(FoldwiseError, match="no finished run"):
        score.score(compose("split.rare=keep_in_train", "split.n_folds=3"))
    other = own.assign(kfold=np.roll(own["kfold"], 1))
    other.to_csv(tmp_path / "own.csv", index=False)  # other contents under the same name
    with pytest.raises(FoldwiseError, match=r"no valid split|no finished run"):
        score.score(compose(*words))


@pytest.mark.usefixtures("insects")
def test_a_column_of_the_training_csv_will_do(tmp_path, capsys):
    words = [f"root={tmp_path}", "competition=insects", "source=kaggle", "--config-dir", str(tmp_path / "conf")]
    path = tmp_path / "data" / "raw" / "insects" / "train.csv"
    assert main(["folds", *words, "split=file", f"split.file={path}"]) == 0
    assert "rows held out by each:\nrepeat 0: 8, 8, 8" in capsys.readouterr().out
    assert main(["folds", *words, "split=file"]) == 2
    assert "split.file=null: expected a CSV" in capsys.readouterr().err
    assert main(["folds", *words, f"split.file={path}"]) == 2
    assert "split.kind=stratified reads no file; choose split=file" in capsys.readouterr().err
    assert main(["folds", *words, "split=file", f"split.file={path}", "split.n_folds=4"]) == 2
    assert "split.n_folds=4" in capsys.readouterr().err
    assert main(["folds", *words]) == 1
    assert "lack a class: 'cow' (1 row); split.rare=keep_in_train" in capsys.readouterr().err


def test_runs_of_other_folds_may_hold_out_more_rows(insects, tmp_path):
    compose, _ = insects
    predictions(NAMES, 1).to_csv(tmp_path / "oof.csv", index=False)
    predictions(TEST, 2).to_csv(tmp_path / "test.csv", index=False)
    imports = (f"imports.oof={tmp_path / 'oof.csv'}", f"imports.test={tmp_path / 'test.csv'}")
    import_predictions.import_predictions(compose("split=other", *imports))
    words = ("split=file", f"split.file={tmp_path / 'own.csv'}")
    assert len(score.score(compose(*words))) == 1
    assert ensemble.ensemble(compose(*words))["approximate"] is True


@pytest.mark.trains
def test_a_row_that_is_never_held_out_trains_every_fold(tmp_path):
    data = write_data(tmp_path / "data")
    table = pd.read_parquet(data / "folds.parquet")
    table[~table["id"].isin(IDS[:3])].to_parquet(data / "folds.parquet")
    run = train_here(make_recipe(), data, tmp_path / "runs")
    prepared = dataset.read(data)
    part = folds.held_out_part(prepared, pd.read_parquet(data / "folds.parquet"))
    p = store.out_of_fold(run, pd.read_parquet(data / "folds.parquet"), part.train.table["id"], ["y"])
    assert p.shape == (21, 1)
    other = write_data(tmp_path / "other", flipped=IDS[:3])  # other labels of those rows change what the folds predict
    pd.read_parquet(data / "folds.parquet").to_parquet(other / "folds.parquet")
    again = train_here(make_recipe(), other, tmp_path / "again")
    for fold in (0, 1):
        first, second = (pd.read_parquet(one.fold_path(fold) / "held_out.parquet") for one in (run, again))
        assert first["id"].tolist() == second["id"].tolist()
        assert (first["y"] != second["y"]).any()


def test_rare_classes_are_kept_in_training(insects):
    compose, _ = insects
    one = compose("split.rare=keep_in_train", "split.n_folds=3")
    table = folds_stage.folds(one)
    assert set(table["id"]) == set(NAMES[:24])
    assert folds.counted_split(one.split, folds.read_folds(prepare(one), one.split)) == SplitSettings(
        n_folds=3, rare="keep_in_train"
    )
    path = folds.folds_path(prepare(one), one.split)
    balance = pd.read_csv(path.with_name(f"{path.stem}_balance.csv"))
    assert json.loads(balance[["rows", "cow"]].to_json(orient="values")) == [[8, 0.0]] * 3
