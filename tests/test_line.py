"""The whole line as a user runs it: real processes, from raw files to a graded submission, killed at will."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from helpers.pool import PoolHere
from helpers.shared import made_once

from foldwise.__main__ import main

pytestmark = pytest.mark.slow

DATA = ["competition=faces", "source.n_train=60", "source.n_test=20"]  # what every stage reads
RECIPE = ["model=small_cnn", "model.options.filters=[4,8]", "augment=flips", "fit.epochs=2"]
SPLIT = "split.n_folds=3"
FACES = [*DATA, SPLIT, *RECIPE, "execution.threads_per_fold=1"]
SWEEP = ["-m", *FACES, "fit.learning_rate=1e-3,3e-3"]  # 3e-3 is what is tuned
# run the command line after the number of a rename in submissions/, before which the process kills itself
KILLED_AT_A_RENAME = """
import os, signal, sys
from pathlib import Path
from foldwise.__main__ import main

renames, replace = [], Path.replace

def counted(self, target):
    if Path(target).parent.name == "submissions":
        renames.append(target)
        if len(renames) == int(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)

Path.replace = counted
sys.exit(main(sys.argv[2:]))
"""
CHIPS = Path(__file__).parents[2] / "shared" / "data" / "opensarship_75x75.json.gz"


def start(*words):
    command = [sys.executable, "-m", "foldwise", *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes, preexec_fn=take_interrupts)


def take_interrupts():
    """Let a child be interrupted although a shell started the tests in the background, where SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def foldwise(*words, status=0):
    """Run the command line; return (stdout, stderr)."""
    process = start(*words)
    out, err = process.communicate(timeout=300)
    assert process.returncode == status, err
    return out, err


def predictions(root):
    """The bytes of every prediction under `root`, by run and fold."""
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(Path(root).glob("runs/**/*.parquet"))}


def folds_of(root):
    """When each finished fold below `root` was written, by run and fold."""
    return {str(p.relative_to(root)): p.stat().st_mtime_ns for p in Path(root).glob("runs/*/*/fold_*")}


def sweep_of(root):
    """The comparison of the runs of a sweep that was written last below `root`."""
    (file,) = Path(root).glob("runs/*/sweep_*.json")
    return json.loads(file.read_text())


def workers_of(pid):
    """The worker processes of a run, without Python's tracker of resources."""
    tasks = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(task) for task in tasks if b"spawn_main" in Path(f"/proc/{task}/cmdline").read_bytes()]


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A root in which the faces line was run without disturbance."""

    def make(root):
        foldwise("train", f"root={root}", *FACES, "execution.workers=2")
        foldwise("ensemble", f"root={root}", *DATA, SPLIT)

    return made_once(tmp_path_factory, "undisturbed", make)


@dataclass(frozen=True)
class Swept:
    """A root in which a sweep was run by one worker without disturbance, what it printed, and what it wrote of it."""

    root: Path
    table: str
    compared: dict[str, Any]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    def make(root):
        table, _ = foldwise("train", f"root={root}", *SWEEP, "execution.workers=1")
        (root / "shown.json").write_text(json.dumps([table, sweep_of(root)]))

    root = made_once(tmp_path_factory, "swept", make)
    return Swept(root, *json.loads((root / "shown.json").read_text()))


@pytest.fixture
def foldwise_here(monkeypatch, capsys):
    """Run the command line in this process; return stdout."""
    monkeypatch.setattr("foldwise.execution.executors.LocalPool", PoolHere)

    def run(*words):
        assert main([str(word) for word in words]) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def copied(undisturbed, tmp_path):
    """A copy of it, for a test that writes."""
    shutil.copytree(undisturbed, tmp_path / "root")
    return tmp_path / "root"


@dataclass(frozen=True)
class Mended:
    """A root in which one fold was deleted, and what training it again changed and printed."""

    root: Path
    changed: set[str]  # the folders of folds that were written
    refusal: str  # of the first try, where the driver shows a GPU that TensorFlow does not use
    trained_anyway: bool  # whether that try wrote a fold
    err: str  # of the second try, with execution.allow_cpu=true


@pytest.fixture(scope="module")
def mended(undisturbed, tmp_path_factory):
    """Delete a fold, and train it again on a machine whose GPU TensorFlow does not use."""
    root, tools = tmp_path_factory.mktemp("mended") / "root", tmp_path_factory.mktemp("bin")
    shutil.copytree(undisturbed, root)
    (run,) = (root / "runs" / "faces").iterdir()
    times = {path.name: path.stat().st_mtime_ns for path in run.glob("fold_*")}
    shutil.rmtree(run / "fold_2")
    (run / "run.json").unlink()
    (tools / "nvidia-smi").write_text('#!/bin/sh\necho "GPU 0: NVIDIA H200 (UUID: GPU-0)"\n')
    (tools / "nvidia-smi").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
        patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        _, refusal = foldwise("train", f"root={root}", *FACES, status=1)
        trained_anyway = (run / "fold_2").exists()
        _, err = foldwise("train", f"root={root}", *FACES, "execution.allow_cpu=true")
    changed = {path.name for path in run.glob("fold_*") if path.stat().st_mtime_ns != times[path.name]}
    return Mended(root, changed, refusal, trained_anyway, err)


def test_one_worker_predicts_the_same_bits_as_two(undisturbed, swept):
    (run,) = (undisturbed / "runs" / "faces").iterdir()
    one = {path: data for path, data in predictions(swept.root).items() if run.name in path}
    assert one == predictions(undisturbed)
    assert len(one) == 6


def test_snapshots_pseudo_labels_and_a_refit_too_have_the_same_bits(undisturbed, tmp_path):
    teacher = next((undisturbed / "runs" / "faces").iterdir()).name
    more = ["pseudo=distill", f"pseudo.runs=[{teacher}]", "fit.snapshots=2", "fit.refit=true", "fit.refit_seeds=2"]
    found = []
    for workers in (1, 2):
        root = tmp_path / str(workers)
        shutil.copytree(undisturbed, root)
        foldwise("train", f"root={root}", *FACES, *more, f"execution.workers={workers}")
        found.append(predictions(root))
    assert found[0] == found[1]
    assert len(found[0]) == 13  # three folds of two runs, held out and on test, and the refit on test


def test_only_a_deleted_fold_is_trained_again(mended, undisturbed):
    assert "2 of 3 folds are trained already" in mended.err
    assert mended.changed == {"fold_2"}
    assert predictions(mended.root) == predictions(undisturbed)


def test_a_gpu_that_tensorflow_does_not_use_is_an_error_unless_allowed(mended):
    assert "the driver shows a GPU, but TensorFlow does not use it" in mended.refusal
    assert not mended.trained_anyway
    assert "training 1 fold on CPU" in mended.err


def test_the_same_recipe_again_does_nothing_and_says_so(copied):
    before = {path: path.stat().st_mtime_ns for path in copied.rglob("*") if path.is_file()}
    code = (
        "import sys; from foldwise.__main__ import main; status = main(sys.argv[1:]); "
        "sys.exit(status or 'tensorflow' in sys.modules)"
    )
    command = [sys.executable, "-c", code, "train", f"root={copied}", *FACES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "nothing to do" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in copied.rglob("*") if path.is_file()} == before


def test_a_killed_sweep_is_gone_on_with_by_two_people_at_once_and_ends_the_same(swept, tmp_path):
    words = ("train", f"root={tmp_path}", *SWEEP)
    process = start(*words, "execution.workers=2")
    wait_for(lambda: len(folds_of(tmp_path)) >= 2)
    workers = workers_of(process.pid)
    assert workers
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_for(lambda: not any(map(is_alive, workers)), seconds=20)
    finished = folds_of(tmp_path)
    assert 2 <= len(finished) < 6
    both = [start(*words, "execution.workers=1") for _ in range(2)]
    for one in both:
        _, err = one.communicate(timeout=300)
        assert one.returncode == 0, err
    after = folds_of(tmp_path)
    assert len(after) == 6
    assert finished.items() <= after.items()  # they were not trained again
    assert predictions(tmp_path) == predictions(swept.root)
    assert sweep_of(tmp_path) == swept.compared
    assert not list(tmp_path.rglob(".*partial*"))


def test_a_killed_worker_is_an_error_that_names_the_fold(tmp_path):
    process = start("train", f"root={tmp_path}", *FACES, "fit.epochs=2000", "execution.workers=1")
    wait_for(lambda: any(tmp_path.glob("runs/faces/*/recipe.yaml")))
    wait_for(lambda: workers_of(process.pid))
    os.kill(workers_of(process.pid)[0], signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "fold" in err
    assert "fit.batch_size" in err
    assert "Traceback" not in err


def test_an_interrupted_run_says_how_to_go_on(tmp_path):
    process = start("train", f"root={tmp_path}", *FACES, "fit.epochs=2000", "execution.workers=1")
    wait_for(lambda: any(tmp_path.glob("runs/faces/*/recipe.yaml")))
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(("rename", "there", "aside"), [(1, [], [".csv", ".json"]), (2, [".json"], [".csv"])])
def test_killed_while_it_writes_a_submission_the_next_run_ends_the_same(copied, undisturbed, rename, there, aside):
    folder = copied / "submissions"
    shutil.rmtree(folder)
    words = ["ensemble", f"root={copied}", *DATA, SPLIT]
    command = [sys.executable, "-c", KILLED_AT_A_RENAME, str(rename), *words]
    assert subprocess.run(command, capture_output=True, check=False).returncode == -signal.SIGKILL
    assert [path.suffix for path in folder.glob("[!.]*")] == there  # whole or absent
    assert sorted(Path(path.stem).suffix for path in folder.glob(".*.partial-*")) == aside
    foldwise(*words)
    written = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert written == {p.name: p.read_bytes() for p in (undisturbed / "submissions").iterdir()}
    assert len(written) == 2


def test_score_as_json_is_the_contract(undisturbed):
    out, _ = foldwise("score", f"root={undisturbed}", *DATA, SPLIT, "format=json")
    (report,) = json.loads(out)
    assert list(report) == [
        *("competition", "model", "run_key", "data_key", "split_key", "seconds", "n_rows", "log_loss"),
        *("log_loss_interval", "fold_log_loss", "accuracy", "f1", "auc", "confusion_matrix", "versions", "device"),
    ]
    assert report["n_rows"] == 60
    assert len(report["fold_log_loss"]) == 3
    low, high = report["log_loss_interval"]
    assert low < report["log_loss"] < high
    assert np.sum(report["confusion_matrix"]) == 60
    assert report["device"] == "CPU"


def test_grade_reports_the_true_score_and_the_nested_one(undisturbed):
    out, _ = foldwise("grade", f"root={undisturbed}", *DATA, "format=json")
    grade = json.loads(out)
    solution = pd.read_csv(undisturbed / "data/raw/faces/solution.csv").set_index("id")
    sent = pd.read_csv(grade["file"]).set_index("id").loc[solution.index, "is_face"]
    truth = solution["is_face"]
    assert grade["n_scored"] == 20
    assert grade["log_loss"] == pytest.approx(-np.log(np.where(truth == 1, sent, 1 - sent)).mean())
    public = solution["Usage"] == "Public"
    assert public.sum() == 4
    assert grade["public_score"] == pytest.approx(-np.log(np.where(truth == 1, sent, 1 - sent))[public].mean())
    assert grade["nested_score"] == json.loads(Path(grade["file"]).with_suffix(".json").read_text())["nested_score"]


def test_new_data_are_answered_by_the_trained_weights(copied):
    raw, (submission,) = copied / "data" / "raw" / "faces", (copied / "submissions").glob("*.csv")
    out, _ = foldwise("predict", f"root={copied}", *DATA, f"raw={raw}", "format=json", "execution.threads_per_fold=1")
    assert Path(json.loads(out)["file"]).read_bytes() == submission.read_bytes()
    assert [path.name for path in (copied / "data" / "prepared" / "faces").glob(".new-*")] == []


def test_a_sweep_trains_every_combination_and_skips_what_is_finished(swept):
    table, _, compared = swept.table.partition("minus that of the best")
    assert table.count("small_cnn-") == 2
    assert compared.count("small_cnn-") == 1
    assert "the best of 2 has" in compared
    before = folds_of(swept.root)
    assert len(before) == 6
    assert swept.compared["runs"][0]["difference"] == 0
    out, err = foldwise("train", f"root={swept.root}", *SWEEP, "competition.metric=auc", "format=json")
    assert err.count("3 of 3 folds are trained already: nothing to do") == 2
    assert folds_of(swept.root) == before
    reports = json.loads(out)
    values = [report["score"] for report in reports]
    assert values == sorted((report["auc"] for report in reports), reverse=True)
    assert len(set(values)) == 2


def test_a_folder_of_images_costs_one_yaml(tmp_path, foldwise_here):
    rng = np.random.default_rng(0)
    raw = tmp_path / "root" / "data" / "raw" / "shapes"
    (raw / "pictures").mkdir(parents=True)
    names = ["disc", "ring", "bar"]
    rows = []
    for i in range(66):
        image, kind = rng.integers(0, 60, size=(24, 24, 3), dtype=np.uint8), names[i % 3]
        if kind == "bar":
            cv2.rectangle(image, (3, 9), (20, 13), (200, 220, 240), -1)
        else:
            cv2.circle(image, (12, 12), 8, (200, 220, 240), -1 if kind == "disc" else 2)
        cv2.imwrite(str(raw / "pictures" / f"p{i}.png"), image)
        rows.append({"picture": f"p{i}.png", "shape": kind})
    pd.DataFrame(rows[:48]).to_csv(raw / "train.csv", index=False)
    pd.DataFrame(rows[48:]).to_csv(raw / "solution.csv", index=False)
    sample = pd.DataFrame({"picture": [row["picture"] for row in rows[:47:-1]], "ring": 0, "disc": 0, "bar": 1})
    sample.to_csv(raw / "sample_submission.csv", index=False, lineterminator="\r\n")
    (tmp_path / "conf" / "competition").mkdir(parents=True)
    (tmp_path / "conf" / "competition" / "shapes.yaml").write_text(
        "name: shapes\nreader: folder\noptions:\n  task: multiclass\n  images: pictures\n"
        "  id_column: picture\n  label_columns: [shape]\n"
    )
    words = ["--config-dir", tmp_path / "conf", f"root={tmp_path / 'root'}", "competition=shapes", "source=kaggle"]
    recipe = ["model=mlp", "fit.epochs=30", "fit.learning_rate=1e-3"]
    foldwise_here("train", *words, "split.n_folds=3", *recipe, "execution.workers=1")
    out = foldwise_here("ensemble", *words, "split.n_folds=3", "format=json")
    sent = Path(json.loads(out)["file"])
    lines = sent.read_bytes().split(b"\r\n")
    assert lines[0] == b"picture,ring,disc,bar"
    assert [line.split(b",")[0].decode() for line in lines[1:-1]] == sample["picture"].tolist()
    out = foldwise_here("grade", *words, "format=json")
    assert json.loads(out)["n_scored"] == 18
    assert json.loads(out)["log_loss"] < 0.8  # ln 3 = 1.10 is what a constant scores


@pytest.mark.skipif(not CHIPS.is_file(), reason=f"the real radar chips are not there: {CHIPS.name}")
def test_real_radar_cargo_against_the_rest(tmp_path, foldwise_here):
    chips = json.loads(gzip.decompress(CHIPS.read_bytes()))
    raw = tmp_path / "data" / "raw" / "statoil"
    raw.mkdir(parents=True)
    keys = ("id", "band_1", "band_2", "inc_angle")
    train = [{k: c[k] for k in keys} | {"is_iceberg": int(c["ship_type"] == "Cargo")} for c in chips[:122]]
    test = [{k: c[k] for k in keys} for c in chips[122:]]
    (raw / "train.json").write_text(json.dumps(train, separators=(",", ":")))
    (raw / "test.json").write_text(json.dumps(test, separators=(",", ":")))
    ids = [row["id"] for row in test]
    pd.DataFrame({"id": ids, "is_iceberg": 0.5}).to_csv(raw / "sample_submission.csv", index=False)
    words = [
        f"root={tmp_path}",
        "competition=statoil",
        "source=kaggle",
        "split.n_folds=3",
        "competition.options.crop=48",
    ]
    foldwise_here(
        "train", *words, "model=small_cnn", "model.options.filters=[8,16]", "fit.epochs=5", "execution.workers=1"
    )
    out = foldwise_here("score", *words, "format=json")
    (report,) = json.loads(out)
    assert report["n_rows"] == 122
    assert report["log_loss"] < 1.0  # .676 is what a constant scores; five epochs only show that it trains
    out = foldwise_here("ensemble", *words, "format=json")
    assert pd.read_csv(json.loads(out)["file"])["id"].tolist() == ids


@pytest.mark.parametrize("stage", ["score", "ensemble", "grade"])
def test_a_stage_without_what_it_needs_names_the_command_that_makes_it(stage, tmp_path):
    _, err = foldwise(stage, f"root={tmp_path}", *DATA, status=1)
    assert "`foldwise " in err
    assert "Traceback" not in err


MADE = Path(__file__).parents[1]


def make(*words):
    """What `make --dry-run` does."""
    passed_on = ("MAKE", "MFLAGS", "ARGS", "TRAIN", "COMPETITION")  # by the make that runs the tests
    own = {name: value for name, value in os.environ.items() if not name.startswith(passed_on)}
    return subprocess.run(["make", "--dry-run", *words], cwd=MADE, env=own, capture_output=True, text=True, check=False)


def commands_of(*words):
    """The commands that make would run."""
    done = make(*words)
    assert done.returncode == 0, done.stderr
    return [line.partition("foldwise ")[2] for line in done.stdout.splitlines() if "/foldwise " in line]


@pytest.mark.parametrize(
    ("competition", "models", "sizes"),
    [
        ("statoil", "logistic_regression,mlp,small_cnn", "source.n_train=600 source.n_test=300"),
        ("faces", "logistic_regression,mlp,small_cnn", ""),
        (
            "passenger_screening",
            "multi_view model.options.fusion=concat,attention",
            "source.n_train=60 source.n_test=20",
        ),
    ],
)
def test_the_demo_trains_several_models(competition, models, sizes):
    data = f"competition={competition} {sizes}".strip()
    assert [" ".join(line.split()) for line in commands_of("demo", f"COMPETITION={competition}")] == [
        f"simulate {data}",
        f"prepare {data}",
        f"train -m model={models} {data}",
        f"ensemble {data}",
        f"grade {data}",
        f"report {data}",
    ]


def test_the_demo_of_a_competition_of_ones_own_ends_with_scores():
    """Without a solution.csv there is nothing to grade by."""
    lines = commands_of("demo", "COMPETITION=mine")
    assert [line.split()[0] for line in lines] == ["simulate", "prepare", "train", "ensemble", "score", "report"]


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["COMPETTION=faces"], "COMPETTION=faces: make has no such variable; did you mean COMPETITION?"),
        (["ARG=fit.epochs=1"], "did you mean ARGS?"),
        (["competition=faces"], "did you mean COMPETITION?"),
        (["fit.epochs=1"], 'make train ARGS="fit.epochs=1"'),
        (["demo", "fit.epochs=1"], 'make demo TRAIN="fit.epochs=1"'),
        (["demo", "source.seed=1"], 'make demo ARGS="source.seed=1"'),
        (["QQQQ=1"], "its variables are COMPETITION ARGS TRAIN"),
    ],
)
def test_make_refuses_a_variable_that_it_does_not_have(words, advice):
    done = make(*(words if words[0] == "demo" else ["train", *words]))
    assert done.returncode == 2
    assert advice in done.stderr
    assert done.stdout == ""


def test_make_passes_recipe_words_to_the_training_of_the_demo_alone():
    lines = commands_of("demo", "COMPETITION=faces", "ARGS=root=elsewhere source.seed=1", "TRAIN=fit.epochs=2")
    assert all("root=elsewhere source.seed=1" in line for line in lines)
    assert [line.split()[0] for line in lines if "fit.epochs=2" in line] == ["train"]
    assert commands_of("train", "COMPETITION=faces", "ARGS=fit.epochs=2") == ["train competition=faces fit.epochs=2"]
