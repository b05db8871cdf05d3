"""The page without a browser: its structure, and the numbers on it."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from helpers.report_pages import HOSTILE, collected, made, make_data, make_run, make_study, predictions

from foldwise.report import page
from foldwise.settings import ONE_CLASS

SETTINGS = ("competition=faces", "split.n_folds=3", "split=stratified")
VOID = {"meta", "link", "input", "img", "br", "line", "rect"}


class Page(HTMLParser):
    """The elements of a page with their attributes and texts; unbalanced tags fail."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), []))
        if tag not in VOID:
            self.open.append(self.elements[-1])

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), []))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag
        if tag in ("td", "th"):
            self.handle_data(" ")

    def handle_data(self, data):
        for _, _, texts in self.open:
            texts.append(data)

    def all(self, tag, **wanted):
        return [one for one in self.elements if one[0] == tag and wanted.items() <= one[1].items()]

    def texts(self, tag, **wanted):
        return [" ".join("".join(texts).split()) for _, _, texts in self.all(tag, **wanted)]

    def island(self, name):
        ((_, _, texts),) = self.all("script", id=name)
        return json.loads("".join(texts))


def settings_of(settings, *more):
    return settings(*SETTINGS, *more)


def test_the_table_of_runs_has_the_numbers_of_the_score(settings):
    """Probabilities of .8 or .6 of every label: log losses of .2231 and .5108, and a constant of .6931."""
    one = settings_of(settings)
    data = make_data(one.prepared_dir / "data")
    y = data.labels.astype(float)
    for name, p in (("fair-0", 0.6), ("good-1", 0.8)):
        make_run(one.runs_dir, data, one.split, name, np.where(y == 1, p, 1 - p))
    found = Page(page.render(collected(one, data)))
    rows = [row for row in found.texts("tr") if "good" in row or "fair" in row or "constant" in row]
    assert rows[0] == "1 good-1 0.2231 0.2231 0.2231 0.0000 1.0000 1.0000 1.0000 3.0 s"
    assert rows[1] == "2 fair-0 0.5108 0.5108 0.5108 0.0000 1.0000 1.0000 1.0000 3.0 s"
    assert rows[2] == "- constant prediction 0.6931 - - - - -"
    # rows of 1 with .6 and .8, of 0 with .4 and .2: the logits are the same but for a factor
    assert "1. good-1 1.00 1.00" in found.texts("tr")
    run = found.island("run-data-0")
    assert run["figures"][:2] == [["log loss", "0.2231"], ["95 % interval", "0.2231 to 0.2231"]]
    assert run["reliability"]["expected_calibration_error"] == pytest.approx(0.2)
    assert run["outputs"][0]["auc"] == 1
    assert run["outputs"][0]["counts"]["true_positive"][80:82] == [30, 0]
    assert run["history"][0] == {"name": "fold 0", "epoch": [1, 2, 3], "loss": [1.0, 0.5, 0.3333]}
    assert run["above"] is None
    below = found.island("run-data-1")["above"]
    assert below == {"name": "good-1", "difference": [["model.name", "good", "fair"]]}


@pytest.mark.parametrize(
    ("task", "k"), [("binary", 1), ("multilabel", 3), ("multiclass", 4), ("ordinal", 3), ("regression", 2)]
)
def test_every_task_has_a_page_with_what_applies_to_it(task, k, settings):
    metric = "rmse" if task == "regression" else "log_loss"
    split = ("split.kind=group",) if task == "regression" else ()
    one = settings_of(settings, f"competition.metric={metric}", *split)
    about = made(one, task, k)
    found = Page(page.render(about))
    run = found.island("run-data-0")
    assert ("values" in run) == (task == "regression")
    assert ("matrix" in run) == (task in ONE_CLASS)
    assert len(run.get("outputs", run.get("values"))) == k
    assert [group["column"] for group in run["groups"]] == ["angle", "group"]
    assert [row[:2] for row in run["groups"][1]["rows"]] == [[f"person {i}", 20] for i in range(3)]
    assert run["history"][0]["held_out"] == [1.2, 0.9, 0.8]
    assert len(run["samples"]) == 12
    if task in ONE_CLASS:
        assert np.array(run["matrix"]["counts"][0])[:, :k].sum() == 60
    if task == "binary":
        at_half = [run["outputs"][0]["counts"][name][50] for name in ("true_positive", "false_positive")]
        (low, high), (missed, hits) = one_matrix(one)
        assert at_half == [hits, high]
        assert low + high + missed + hits == 60


def one_matrix(settings):
    """The confusion matrix of the best of the made runs, as `foldwise score` has it."""
    from foldwise.data import dataset
    from foldwise.data.folds import read_scored
    from foldwise.runs.report import report_of
    from foldwise.runs.store import Run

    scored, folds = read_scored(dataset.read(settings.prepared_dir / "data"), settings.split)
    return report_of(Run(settings.runs_dir / f"net0-{0:012x}"), scored, folds)["confusion_matrix"]


def test_the_page_names_no_address_and_allows_its_own_script_alone(settings):
    text = page.render(made(settings_of(settings)))
    assert re.findall(r"https?://[^\"' ]+", text) == ["http://www.w3.org/2000/svg"]
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "script-src 'sha256-" in policy
    assert not re.search(r"\son\w+=", text)
    assert text.count("<script>") == 1


def test_what_users_give_is_escaped(settings):
    one = settings_of(settings)
    data = make_data(one.prepared_dir / "data", prefix=f"<script>{HOSTILE}", targets=[f"<b>{HOSTILE}"])
    p = predictions(data.labels.astype(float), "binary", 1.0)
    make_run(one.runs_dir, data, one.split, "<script>net&-0", p, note=HOSTILE)
    about = collected(one, data) | {"competition": HOSTILE}
    about["submitted"]["entries"] = [
        {
            "file": HOSTILE,
            "status": "COMPLETE",
            "message": HOSTILE,
            "sent": "",
            "nested": 0.5,
            "public": 0.5,
            "private": None,
        }
    ]
    text = page.render(about)
    assert "<img" not in text
    assert text.count("<script>") == 1
    found = Page(text)
    assert found.texts("h1") == [HOSTILE]
    assert HOSTILE in found.island("run-data-0")["samples"][0]["id"]
    assert found.island("page-data")["submitted"][0]["message"] == HOSTILE


def test_headings_tables_and_fields_are_named(settings):
    found = Page(page.render(made(settings_of(settings))))
    assert len(found.all("h1")) == 1
    assert found.texts("h2") == [
        "Leaderboard of runs",
        "One run",
        "Blends",
        "CV against leaderboard",
        "Tuning",
        "Correlation of out-of-fold logits",
        "Training against test data",
    ]
    assert all("scope" in attributes for _, attributes, _ in found.all("th"))
    labelled = {attributes["for"] for _, attributes, _ in found.all("label")}
    assert {attributes["id"] for tag in ("input", "select") for _, attributes, _ in found.all(tag)} <= labelled
    assert found.elements[0][1] == {"lang": "en"}


def test_a_search_is_shown_with_its_history_and_what_matters(settings):
    """The rate decides the score, and the name has one value; the best of the first three trials is the second."""
    pytest.importorskip("optuna")
    one = settings_of(settings)
    make_study(one.runs_dir / "tune_0.db", f"net0-{0:012x}", [0.5, 0.3, 0.4, *np.linspace(0.6, 0.9, 9)], HOSTILE)
    make_study(one.runs_dir / "tune_1.db", "of other data", [0.1])
    about = made(one)
    text = page.render(about)
    assert "<img" not in text
    found = Page(text)
    assert found.texts("h3")[0] == "tune_0.db"
    assert "of other data" not in text
    assert any(one.startswith("12 recipes scored, 1 stopped early, 0 failed.") for one in found.texts("p"))
    assert f"1 net0-{0:012x} 0.3000 0.3000 fit.learning_rate=0.3 model.name={HOSTILE}" in found.texts("tr")
    assert f"2 net0-{0:012x} 0.4000 0.3000 fit.learning_rate=0.4 model.name={HOSTILE}" in found.texts("tr")
    (search,) = about["searches"]
    assert search["importance"] == pytest.approx({"fit.learning_rate": 1, "model.name": 0}, abs=0.02)
    assert "fit.learning_rate 99 %" in found.texts("tr")
    assert [trial["best"] for trial in search["trials"][:4]] == [0.5, 0.3, 0.3, 0.3]


def test_a_search_that_cannot_be_read_is_left_out_with_a_line(settings, caplog):
    pytest.importorskip("optuna")
    one = settings_of(settings)
    one.runs_dir.mkdir(parents=True)
    (one.runs_dir / "tune_0.db").write_bytes(b"no database")
    assert made(one)["searches"] == []
    assert "tune_0.db: not shown, as it cannot be read" in caplog.text
    assert (one.runs_dir / "tune_0.db").read_bytes() == b"no database"


def test_blends_and_submissions_are_shown(settings):
    one = settings_of(settings)
    data = make_data(one.prepared_dir / "data")
    make_run(one.runs_dir, data, one.split, "net-0", predictions(data.labels.astype(float), "binary", 1.0))
    one.submissions_dir.mkdir()
    blend = {
        "competition": "faces",
        "ids_key": data.ids_key,
        "metric": "log_loss",
        "nested_score": 0.1234,
        "nested_score_interval": [0.1, 0.15],
        "ensemble": {"name": "greedy", "average": "logit", "calibrate": "none"},
        "members": [
            {"run": "net-0", "weight": 0.75, "score": 0.2},
            {"run": "net-1", "weight": 0.25, "score": 0.3},
            {"run": "net-2", "weight": 0.0, "score": 0.4},
        ],
        "compared": [
            {"method": "single", "nested_score": 0.2, "gain": 0.0, "gain_interval": [0.0, 0.0], "chosen": False}
            | {"in_sample_score": None},
            {"method": "greedy", "nested_score": 0.1234, "gain": 0.0766, "gain_interval": [0.01, 0.1], "chosen": True}
            | {"in_sample_score": 0.11},
        ],
    }
    (one.submissions_dir / "faces_0.12340_cafe.json").write_text(json.dumps(blend))
    other = blend | {"ids_key": "of other data"}
    (one.submissions_dir / "faces_0.99999_cafe.json").write_text(json.dumps(other))
    log = ["file,nested_score,public_score,private_score,status,submitted_at,message,competition"]
    log += [f"faces_{i}.csv,0.{i}5,0.{i}6,,COMPLETE,2026-01-0{i}T10:00:00,first try,faces" for i in range(1, 10)]
    (one.submissions_dir / "log.csv").write_text("\n".join(log) + "\n")
    text = page.render(collected(one, data))
    found = Page(text)
    assert "net-0 0.2000 0.750" in found.texts("tr")
    assert "greedy (chosen) 0.1234 0.0766 0.0100 to 0.1000 0.1100" in found.texts("tr")
    assert not [row for row in found.texts("tr") if row.startswith("net-2")]
    assert "0.99999" not in text
    assert "faces_3 0.3500 0.3600 - complete 2026-01-03 10:00 first try" in found.texts("tr")
    assert any("Rank correlation 1.00 over 9 submissions" in line for line in found.texts("p"))


def test_the_best_runs_alone_have_details_where_that_is_set(settings):
    one = settings_of(settings, "report.best=1", "report.images=0")
    found = Page(page.render(made(one, noises=(1.0, 3.0, 9.0))))
    assert len(found.all("option")) == 1
    assert "samples" not in found.island("run-data-0")
    assert [attributes["href"] for _, attributes, _ in found.all("a")] == ["#content", "#run-0"]
