"""A regression, and ordered classes, from prepared data to a submission and its grade, without any training."""

import types
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
from helpers.values import N, brightness, write_values

from foldwise.data import dataset, records
from foldwise.data.folds import read_folds
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.stages import blend_files, ensemble, grade, import_predictions, prepare, score

WORDS = ("competition=faces", "split.n_folds=3")
X = brightness()
Y = 3 * X + 2


@pytest.fixture
def values(settings, monkeypatch):
    """Compose settings for prepared data of a regression, y = 3 x + 2."""
    monkeypatch.setattr(prepare, "data_key", lambda *_, **__: "values")

    def compose(*words, metric="rmse"):
        return settings(*WORDS, f"competition.metric={metric}", *words)

    write_values(compose().prepared_dir / "values", "values")
    return compose


def bring(compose, folder, name, held_out, test, *words):
    """Import predictions of the training and the test rows as a run."""
    data = prepare.prepare(compose())
    folds = read_folds(data, compose().split)
    oof = pd.DataFrame({"id": data.train.table["id"]} | dict(zip(data.targets, held_out.T, strict=True)))
    oof.merge(folds[["id", "fold"]], on="id").to_csv(folder / f"{name}_oof.csv", index=False)
    outside = pd.DataFrame({"id": data.test.table["id"]} | dict(zip(data.targets, test.T, strict=True)))
    outside.to_csv(folder / f"{name}_test.csv", index=False)
    files = (f"imports.oof={folder}/{name}_oof.csv", f"imports.test={folder}/{name}_test.csv")
    return import_predictions.import_predictions(compose(*files, f"imports.name={name}", *words))


def errors_of(seed, sd):
    return np.random.default_rng(seed).normal(0, sd, len(X))


def test_imported_values_are_scored_blended_submitted_and_graded(values, tmp_path, monkeypatch):
    folder = tmp_path / "theirs"
    folder.mkdir()
    errors = {"good": errors_of(1, 0.3), "fair": errors_of(2, 0.4)}
    for name, e in errors.items():
        (report,) = bring(values, folder, name, (Y + e)[:N, None], (Y + e)[N:, None])
        assert report["rmse"] == pytest.approx(np.sqrt((e[:N] ** 2).mean()))
    reports = score.score(values())
    assert [one["model"] for one in reports] == ["good", "fair"]
    assert "RMSE" in score.show(reports, 120)
    assert "correlation of values" in score.details(values("details=true"), reports)
    (best, _) = score.score(values("competition.shown=[rmse,rmsle]", metric="r2"))
    rest = ((Y[:N] - Y[:N].mean()) ** 2).sum()
    assert best["score"] == pytest.approx(1 - (errors["good"][:N] ** 2).sum() / rest)
    assert best["metrics"]["rmse"] == pytest.approx(best["rmse"])

    result = ensemble.ensemble(values("ensemble=mean"))
    mean_error = (errors["good"] + errors["fair"]) / 2
    assert result["nested_score"] == pytest.approx(np.sqrt((mean_error[:N] ** 2).mean()))
    assert result["ensemble"]["average"] == "arithmetic"
    assert [member["rmse"] for member in result["members"]] == [one["rmse"] for one in reports]
    assert "nested RMSE" in ensemble.show(result, 100)
    sent = pd.read_csv(result["file"])
    assert sent["y"].to_numpy() == pytest.approx((Y + mean_error)[N:])
    assert sent["y"].max() > 1

    # graded where the truth is known
    raw = tmp_path / "raw"
    raw.mkdir()
    ids = [f"r{i}" for i in range(N, len(X))]
    pd.DataFrame({"id": ids, "y": Y[N:]}).to_csv(raw / "solution.csv", index=False)
    reader = types.SimpleNamespace(truth=lambda table, targets, **_: table[targets].to_numpy(np.float64))
    monkeypatch.setattr(grade, "found_files", lambda _: raw)
    monkeypatch.setattr(grade, "competition_module", lambda _: reader)
    graded = grade.grade(values(metric="mae"))
    assert graded["rmse"] == pytest.approx(np.sqrt((mean_error[N:] ** 2).mean()))
    assert graded["score"] == graded["private_score"] == graded["mae"] == pytest.approx(abs(mean_error[N:]).mean())
    assert not {"accuracy", "log_loss"} & graded.keys()
    shown = grade.show(graded, 100)
    assert "true RMSE" in shown
    assert "true MAE" in shown


@pytest.mark.parametrize("name", ["greedy", "convex", "linear", "single", "compare"])
def test_every_blend_of_values_writes_a_submission(values, tmp_path, name):
    for run, seed in (("a", 1), ("b", 2)):
        bring(values, tmp_path, run, (Y + errors_of(seed, 0.4))[:N, None], (Y + errors_of(seed, 0.4))[N:, None])
    result = ensemble.ensemble(values(f"ensemble={name}"))
    assert 0.1 < result["nested_score"] < 0.5
    assert pd.read_csv(result["file"])["y"].to_numpy() == pytest.approx(Y[N:], abs=1.2)


def test_under_rmsle_a_negative_answer_is_sent_as_0(values, tmp_path):
    bring(values, tmp_path, "a", np.full((N, 1), -1.0), np.full((len(X) - N, 1), -1.0))
    result = ensemble.ensemble(values(metric="rmsle"))
    assert result["nested_score"] == pytest.approx(np.sqrt((np.log1p(Y[:N]) ** 2).mean()))
    assert (pd.read_csv(result["file"])["y"] == 0).all()
    assert (pd.read_csv(ensemble.ensemble(values())["file"])["y"] == -1).all()


def test_files_of_values_are_blended_without_a_score(values, tmp_path):
    folder = tmp_path / "past"
    folder.mkdir()
    for name, add in (("a", 0), ("b", 1), ("c", 5)):
        table = pd.DataFrame({"id": [f"r{i}" for i in range(N, len(X))], "y": Y[N:] + add})
        table.to_csv(folder / f"{name}.csv", index=False)
    result = ensemble.ensemble(values("ensemble=files", f"ensemble.options.folder={folder}"))
    assert pd.read_csv(result["file"])["y"].to_numpy() == pytest.approx(Y[N:] + 1)
    assert "correlations of their values" in blend_files.show(result, 100)


@pytest.mark.parametrize("bad", ["inf", "", "dog"])
def test_imported_values_must_be_finite(values, tmp_path, bad):
    prepare.prepare(values())
    test = np.full((len(X) - N, 1), "1.5", object)
    test[3, 0] = bad
    with pytest.raises(
        FoldwiseError, match=r"theirs_test.csv: the prediction for 'r43' is .*, expected finite numbers"
    ):
        bring(values, tmp_path, "theirs", Y[:N, None], test)
    assert not values().runs_dir.exists()


def test_the_metric_of_another_task_is_refused_before_an_image_is_read(settings, monkeypatch):
    one = settings(*WORDS)

    def never():
        raise AssertionError("an image was read")
        yield

    made = records.Records("regression", ["y"], never(), never())
    reader = types.SimpleNamespace(read=lambda *_, **__: made)
    monkeypatch.setattr(prepare, "data_key", lambda *_, **__: "values")
    monkeypatch.setattr(prepare, "held_files", lambda _: nullcontext(one.raw_dir))
    monkeypatch.setattr(prepare, "competition_module", lambda _: reader)
    with pytest.raises(
        ConfigError, match=r"competition.metric=log_loss: the task is regression.*competition.metric=rmse"
    ):
        prepare.prepare(one)
    assert not (one.prepared_dir / "values").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ensemble=power"], "ensemble=power: it does not blend the values of a regression"),
        (["ensemble=mean", "ensemble.calibrate=auto"], "ensemble.calibrate=auto: it changes probabilities"),
        (["competition.shown=[auc]"], "competition.shown=auc: the task is regression"),
    ],
)
def test_blends_of_probabilities_stop_before_any_work(values, words, message):
    with pytest.raises(ConfigError, match=message):
        ensemble.ensemble(values(*words))


def test_rmsle_needs_targets_from_0_on(settings, monkeypatch):
    one = settings(*WORDS, "competition.metric=rmsle")
    monkeypatch.setattr(prepare, "data_key", lambda *_, **__: "values")
    path = write_values(one.prepared_dir / "values", "values")
    table = pd.read_parquet(path / "train.parquet")
    table.loc[[4, 7], "y"] = -0.5
    table.to_parquet(path / "train.parquet")
    with pytest.raises(FoldwiseError, match=r"rmsle: 2 training rows have a negative target, for example 'r4'"):
        prepare.prepare(one)


def test_ordered_classes_are_submitted_as_the_cuts_decide(settings, monkeypatch, tmp_path):
    """The expected class is shrunk to the middle; the learned cuts tell the classes, cuts at the halves would not."""
    monkeypatch.setattr(prepare, "data_key", lambda *_, **__: "values")

    def compose(*words):
        return settings(*WORDS, "competition.metric=kappa", *words)

    targets, grades = ["0", "1", "2"], np.arange(60) % 3
    p = np.array([[0.4, 0.4, 0.2], [0.25, 0.5, 0.25], [0.2, 0.4, 0.4]])[grades]
    path = compose().prepared_dir / "values"
    path.mkdir(parents=True)
    (tmp_path / "sample.csv").write_text("id,grade\n" + "".join(f"r{i},0\n" for i in range(45, 60)))

    def record(i, columns):
        return records.Record(f"r{i}", np.zeros((2, 2, 1), np.uint8), columns, f"row {i}")

    train = [record(i, {t: int(grades[i] == int(t)) for t in targets}) for i in range(45)]
    test = [record(i, {}) for i in range(45, 60)]
    made = records.Records("ordinal", targets, train, test, sample_submission=tmp_path / "sample.csv")
    dataset.write(made, path, "values")
    (report,) = bring(compose, tmp_path, "theirs", p[:45], p[45:])
    assert report["log_loss"] == pytest.approx(-np.log(np.repeat([0.4, 0.5, 0.4], 15)).mean())
    assert report["accuracy"] == pytest.approx(1 / 3)  # at the halves
    (scored,) = score.score(compose())
    assert scored["score"] == 1.0
    result = ensemble.ensemble(compose())
    assert result["nested_score"] == 1.0
    assert 0.8 < result["thresholds"][0] <= 1 < result["thresholds"][1] <= 1.2
    assert pd.read_csv(result["file"])["grade"].tolist() == grades[45:].tolist()
