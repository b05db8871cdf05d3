"""Run folders that were damaged or changed: one is left out with a line, and the others go on."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.made_runs import NAMES, RUNS, WORDS, make_root
from helpers.malformed import Case, check

BAD = NAMES[0]
RUN = f"{BAD} is left out: {{root}}/{RUNS}/{BAD}"
REMOVE_RUN = f"`rm -r {{root}}/{RUNS}/{BAD}` removes that run, and `foldwise train` with its settings makes it again"
REMOVE_FOLD = (
    f"`rm -r {{root}}/{RUNS}/{BAD}/fold_0` removes it, and `foldwise train` with the settings of the run makes it again"
)
REMOVE_REPORT = f"`rm {{root}}/{RUNS}/{BAD}/run.json` removes it, and `foldwise score` computes it again"
CHANGED = "was changed since foldwise wrote it"


def bytes_of(name, data, bare=False):
    """Return a function that replaces a file of the run by bytes; bare: and removes the checksums of its folder."""

    def write(root):
        path = make_root(root) / RUNS / BAD / name
        path.write_bytes(data(path.read_bytes()) if callable(data) else data)
        if bare:
            path.with_name(f"checksums_{path.stem}.json").unlink()

    return write


def report_of(**values):
    """Return a function that changes values of the run.json, and removes its checksum."""
    return bytes_of("run.json", lambda data: json.dumps(json.loads(data) | values).encode(), bare=True)


def table_of(name, change):
    """Return a function that changes a table of the first fold, and removes what was scored and the checksums."""

    def write(root):
        fold = make_root(root) / RUNS / BAD / "fold_0"
        change(pd.read_parquet(fold / name)).to_parquet(fold / name, index=False)
        (fold / "checksums.json").unlink()
        (fold.parent / "run.json").unlink()

    return write


def first_value(value):
    def change(table):
        table.iloc[0, 1] = np.float32(value)
        return table

    return change


def fold_of_another(root):
    runs = make_root(root) / RUNS
    shutil.rmtree(runs / BAD / "fold_0")
    shutil.copytree(runs / NAMES[1] / "fold_0", runs / BAD / "fold_0")


def unscored(write):
    def both(root):
        write(root)
        (root / RUNS / BAD / "run.json").unlink()

    return both


BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(1, 9)
)
DEEP = b"[" * 3000
RECIPES = [
    ("recipe.yaml of no bytes", b"", "is damaged (ValueError: expected split.n_folds, split.repeats and model.name)"),
    ("recipe.yaml that is no YAML", b"{a: [", "is damaged (ParserError: "),
    ("recipe.yaml that is a list", b"- a\n", "is damaged (ValueError: expected split.n_folds"),
    ("recipe.yaml in latin-1", b"model: {name: \xe9}\n", "is damaged (UnicodeDecodeError: "),
    ("recipe.yaml with aliases of aliases", BOMB, "is damaged (ValueError: expected no aliases)"),
    ("recipe.yaml that holds itself", b"split: &a {b: *a}\n", "is damaged (ValueError: expected no aliases)"),
    ("recipe.yaml, nested deeply", DEEP, "is damaged ("),
    (
        "recipe.yaml of a billion folds",
        b"split: {n_folds: 1000000000, repeats: 1}\nmodel: {name: mlp}\n",
        "is damaged (ValueError: expected numbers of folds and repeats from 1 to 100000, found 1000000000 and 1",
    ),
    ("recipe.yaml, one letter changed", lambda data: data.replace(b"kind", b"kond", 1), CHANGED),
]
REPORTS = [
    ("run.json that is no JSON", bytes_of("run.json", b"{"), "is damaged (JSONDecodeError: "),
    (
        "run.json that is a list",
        bytes_of("run.json", b"[]"),
        "is damaged (TypeError: expected a JSON object, found list)",
    ),
    ("run.json, nested deeply", bytes_of("run.json", b"[" * 10**5), "is damaged (RecursionError"),
    (
        "run.json with a better score",
        bytes_of("run.json", lambda d: d.replace(b'"n_rows": 50', b'"n_rows": 5')),
        CHANGED,
    ),
    ("run.json of another run", report_of(run_key="../../x"), "is that of another run: mlp-../../x"),
    ("run.json without a number as its score", report_of(log_loss="low"), "has no finite number as 'log_loss'"),
    ("run.json whose score is NaN", report_of(log_loss=float("nan")), "has no finite number as 'log_loss'"),
    ("run.json without an interval", report_of(log_loss_interval=None), "has no finite number as 'log_loss_interval'"),
]
FOLDS = [
    (
        "fold.json that is no JSON",
        unscored(bytes_of("fold_0/fold.json", b"{")),
        "/fold.json is damaged (JSONDecodeError",
    ),
    (
        "fold.json without a device",
        unscored(bytes_of("fold_0/fold.json", b"{}")),
        "/fold.json is damaged (ValueError: 'seconds' is missing)",
    ),
    ("a fold of another run", fold_of_another, f" is a copy of {NAMES[1]}/fold_0"),
    (
        "checksums.json that is no JSON",
        bytes_of("fold_0/checksums.json", b"{"),
        "/checksums.json is damaged (JSONDecode",
    ),
    (
        "held-out predictions cut off",
        unscored(bytes_of("fold_0/held_out.parquet", lambda data: data[:-9])),
        "/held_out.parquet is damaged (ArrowInvalid",
    ),
    (
        "held-out predictions of no bytes",
        unscored(bytes_of("fold_0/held_out.parquet", b"")),
        "/held_out.parquet is damaged (ArrowInvalid",
    ),
    (
        "held-out predictions without ids",
        table_of("held_out.parquet", lambda table: table.drop(columns="id")),
        "/held_out.parquet is damaged (ValueError: the column 'id' is missing)",
    ),
]
VALUES = [
    ("a held-out probability of 2", table_of("held_out.parquet", first_value(2.0)), "held_out.parquet goes from 0.0"),
    ("an infinite test probability", table_of("test.parquet", first_value(np.inf)), "test.parquet goes from 7.5"),
    ("a test probability of NaN", table_of("test.parquet", first_value(np.nan)), "test.parquet goes from nan to nan"),
    (
        "rows that do not sum to 1",
        table_of("test.parquet", first_value(0.9)),
        "test.parquet has rows whose probabilities do not sum to 1",
    ),
    (
        "a target without a column",
        table_of("test.parquet", lambda t: t.drop(columns=t.columns[3])),
        "has no column '2'",
    ),
]
CASES = [
    *(
        Case(name, bytes_of("recipe.yaml", data), f"{stage} {WORDS}", f"{RUN}/recipe.yaml {what}", 0)
        for name, data, what in RECIPES
        for stage in ("score",)
    ),
    *(
        Case(name, write, f"{stage} {WORDS}", f"{RUN}/run.json {what}", 0)
        for name, write, what in REPORTS
        for stage in ("score",)
    ),
    *(Case(name, write, f"score {WORDS}", f"{RUN}/fold_0{what}", 0) for name, write, what in FOLDS),
    *(Case(name, write, f"ensemble {WORDS}", f"{what}", 0) for name, write, what in VALUES),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_damaged_run_is_left_out_with_one_line(case: Case, tmp_path: Path, capsys, caplog) -> None:
    check(case._replace(message=case.message.replace("{root}", str(tmp_path / "root"))), tmp_path, capsys, caplog)


@pytest.mark.parametrize("stage", ["score", "ensemble", "runs", "report", "show small_cnn"])
@pytest.mark.parametrize(
    ("name", "write", "repair"),
    [
        ("recipe.yaml", bytes_of("recipe.yaml", b""), REMOVE_RUN),
        ("run.json", bytes_of("run.json", b"{"), REMOVE_REPORT),
    ],
)
def test_every_command_goes_on_and_names_the_repair(stage, name, write, repair, tmp_path, capsys, caplog) -> None:
    words = {"runs": WORDS.split()[0], "show small_cnn": WORDS.split()[0], "report": f"{WORDS} images=0"}.get(
        stage, WORDS
    )
    message = repair.replace("{root}", str(tmp_path / "root"))
    if stage == "show small_cnn" and name == "run.json":
        message = ""  # of another run than the one that is shown
    check(Case(name, write, f"{stage} {words}", message, 0), tmp_path, capsys, caplog)


def test_a_member_that_is_named_is_an_error(tmp_path, capsys, caplog) -> None:
    write = table_of("test.parquet", first_value(2.0))
    words = f"ensemble {WORDS} ensemble.members=[{','.join(NAMES)}]"
    check(Case("named", write, words, "test.parquet goes from"), tmp_path, capsys, caplog)


def test_a_damaged_fold_names_the_command_that_makes_it_again(tmp_path, capsys, caplog) -> None:
    write = unscored(bytes_of("fold_0/held_out.parquet", b""))
    check(
        Case("fold", write, f"score {WORDS}", REMOVE_FOLD.replace("{root}", str(tmp_path / "root")), 0),
        tmp_path,
        capsys,
        caplog,
    )


@pytest.mark.parametrize(("members", "status"), [("all", 0), (f"[{BAD}]", 1)])
def test_files_are_blended_without_a_damaged_run(tmp_path, capsys, caplog, members, status) -> None:
    damaged = table_of("test.parquet", first_value(np.inf))

    def write(root):
        damaged(root)
        test = pd.read_parquet(root / RUNS / NAMES[1] / "fold_0" / "test.parquet")
        (root / "theirs").mkdir()
        test.to_csv(root / "theirs" / "a.csv", index=False)

    words = f"ensemble {WORDS} ensemble=files ensemble.options.folder={{root}}/theirs ensemble.options.runs=true"
    case = Case("files", write, f"{words} ensemble.members={members}", "test.parquet goes from", status)
    check(case, tmp_path, capsys, caplog)


def test_pairs_are_compared_without_a_damaged_run(tmp_path, capsys, caplog) -> None:
    write = bytes_of("fold_0/held_out.parquet", b"")
    check(
        Case("pairs", write, f"score {WORDS} details=true", "/held_out.parquet is damaged", 0), tmp_path, capsys, caplog
    )
