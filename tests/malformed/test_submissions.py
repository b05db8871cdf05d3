"""Malformed submissions and the JSON next to them, samples of new data, and answers to grade by."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.malformed import Case, check
from helpers.raw_files import write_folder

from foldwise.__main__ import main

Write = Callable[[Path], object]
DATA = "competition=faces source=kaggle competition.options.task=binary competition.options.label_columns=[label]"
SUBMIT = "submit competition=faces competition.slug=x submission={root}/submissions/faces_1.csv dry_run=true yes=true"
GRADE = f"grade {DATA} submission={{root}}/submissions/faces_1.csv solution={{root}}/solution.csv"
GOOD = "id,label\nu0,0.1\nu1,0.8\n"
ANSWERS = "id,label\nu0,0\nu1,1\n"
ABOUT = {"competition": "faces", "source": "kaggle", "nested_score": 0.2, "metric": "log_loss"}


def submission(csv: str | bytes = GOOD, solution: str | bytes = ANSWERS, graded: bool = False, **about: Any) -> Write:
    """Write a submission, its JSON with some values changed, and the true labels."""

    def write(root: Path) -> None:
        write_folder(root / "data/raw/faces")
        (root / "submissions").mkdir()
        for path, content in (("submissions/faces_1.csv", csv), ("solution.csv", solution)):
            (root / path).write_bytes(content.encode() if isinstance(content, str) else content)
        (root / "submissions/faces_1.json").write_text(json.dumps(ABOUT | about))
        if solution != ANSWERS or graded:
            assert main(["prepare", *DATA.split(), f"root={root}"]) == 0

    return write


def about(text: str) -> Write:
    """Write a submission whose JSON is this text."""

    def write(root: Path) -> None:
        submission()(root)
        (root / "submissions/faces_1.json").write_text(text)

    return write


def pipe(name: str) -> Write:
    """Write a submission, and a named pipe in place of one of its files."""

    def write(root: Path) -> None:
        submission()(root)
        (root / name).unlink()
        os.mkfifo(root / name)

    return write


CASES = [
    Case(
        "a submission of zeros",
        submission(bytes(300)),
        SUBMIT,
        "faces_1.csv: cannot be read as a CSV: it is binary data; export it as text",
    ),
    Case("an empty submission", submission(""), SUBMIT, "submissions/faces_1.csv is empty: expected a submission"),
    Case(
        "a submission of a header alone",
        submission("id,label\n"),
        SUBMIT,
        "submissions/faces_1.csv has no rows below its header",
    ),
    Case(
        "a submission with a longer row",
        submission(GOOD + "u2,1,2,3\n"),
        SUBMIT,
        "faces_1.csv: cannot be read as a CSV: Error tokenizing data. C error: Expected 2 fields in line 4, saw 4",
    ),
    Case(
        "a submission with an open quote",
        submission('id,label\n"u0,1\n'),
        SUBMIT,
        "faces_1.csv: cannot be read as a CSV: Error tokenizing data. C error: EOF inside string starting at row 1",
    ),
    Case(
        "a submission with another digest",
        submission(sha256="0" * 64),
        SUBMIT,
        "submissions/faces_1.csv was changed since foldwise wrote it: expected the SHA-256 000000000000..., found",
    ),
    Case(
        "a digest that is a number",
        submission(sha256=7),
        SUBMIT,
        "submissions/faces_1.json was changed since foldwise wrote it: its sha256 is 7, expected 64 hexadecimal",
    ),
    Case(
        "a digest that is a list",
        submission(sha256=[]),
        SUBMIT,
        "submissions/faces_1.json was changed since foldwise wrote it: its sha256 is [], expected 64 hexadecimal",
    ),
    Case(
        "a nested score that is a word",
        submission(nested_score="good"),
        SUBMIT,
        "submissions/faces_1.json was changed since foldwise wrote it: its nested_score is 'good', expected a",
    ),
    Case(
        "a nested score that is a list",
        submission(nested_score=[0.1]),
        SUBMIT,
        "submissions/faces_1.json was changed since foldwise wrote it: its nested_score is [0.1], expected a",
    ),
    Case(
        "a nested score that is true",
        submission(nested_score=True),
        SUBMIT,
        "submissions/faces_1.json was changed since foldwise wrote it: its nested_score is True, expected a",
    ),
    Case(
        "an interval of one number",
        submission(nested_score_interval=[0.1]),
        SUBMIT,
        "submissions/faces_1.json was changed since foldwise wrote it: its nested_score_interval is [0.1],",
    ),
    Case(
        "an interval of words",
        submission(nested_score_interval=["a", "b"]),
        SUBMIT,
        "submissions/faces_1.json was changed since foldwise wrote it: its nested_score_interval is ['a', 'b'],",
    ),
    Case(
        "an unknown metric",
        submission(metric="nothing"),
        SUBMIT,
        "submissions/faces_1.json was changed since foldwise wrote it: its metric is 'nothing', expected one of",
    ),
    Case(
        "a metric that is a list",
        submission(metric=[]),
        SUBMIT,
        "submissions/faces_1.json was changed since foldwise wrote it: its metric is [], expected one of",
    ),
    Case(
        "members that are a number",
        submission(members=3),
        SUBMIT,
        "submissions/faces_1.json was changed since foldwise wrote it: its members is 3, expected a list of runs",
    ),
    Case(
        "a member whose name is a number",
        submission(members=[{"run": 3}]),
        SUBMIT,
        "submissions/faces_1.json was changed since foldwise wrote it: its members is [{'run': 3}], expected a",
    ),
    Case(
        "a submission of another competition",
        submission(competition="statoil"),
        SUBMIT,
        "submissions/faces_1.csv was made from other data: its competition is statoil, not faces",
    ),
    Case(
        "a competition that is a list",
        submission(competition=["faces"]),
        SUBMIT,
        "submissions/faces_1.csv was made from other data: its competition is ['faces'], not faces",
    ),
    Case(
        "a submission of simulated data",
        submission(source="simulated"),
        SUBMIT,
        "submissions/faces_1.csv was made from other data: its source is simulated, not kaggle",
    ),
    Case(
        "lists in lists in a JSON",
        about("[" * 100_000),
        SUBMIT,
        "submissions/faces_1.json: cannot be read as JSON: maximum recursion depth exceeded while decoding a JSON",
    ),
    Case(
        "a JSON with a number of 5,000 digits",
        about('{"nested_score": ' + "9" * 5000 + "}"),
        SUBMIT,
        "submissions/faces_1.json: cannot be read as JSON: Exceeds the limit (4300 digits) for integer string",
    ),
    Case(
        "a nested score that is NaN",
        about('{"nested_score": NaN}'),
        SUBMIT,
        "submissions/faces_1.json was changed since foldwise wrote it: its nested_score is nan, expected a number",
    ),
    Case(
        "a named pipe in place of a submission",
        pipe("submissions/faces_1.csv"),
        SUBMIT,
        "submissions/faces_1.csv: no such file, nor in",
    ),
    Case(
        "a named pipe in place of a JSON",
        pipe("submissions/faces_1.json"),
        SUBMIT,
        "submissions/faces_1.json: expected a file, found a named pipe; remove it, or put the file there",
    ),
    Case(
        "a submission that is not there",
        submission(),
        SUBMIT.replace("faces_1", "faces_2"),
        "submissions/faces_2.csv: no such file, nor in",
    ),
    # answers
    Case(
        "answers of zeros",
        submission(solution=bytes(300)),
        GRADE,
        "solution.csv: cannot be read as a CSV: it is binary data; export it as text",
    ),
    Case("empty answers", submission(solution=""), GRADE, "solution.csv: the file is empty"),
    Case(
        "answers with a longer row",
        submission(solution="id,label\nu0,0\nu1,1,2,3\n"),
        GRADE,
        "solution.csv: cannot be read as a CSV: Error tokenizing data. C error: Expected 2 fields in line 3, saw 4",
    ),
    Case(
        "an answer missing",
        submission(solution="id,label\nu0,0\n"),
        GRADE,
        "submissions/faces_1.csv: its ids are not those of solution.csv; was it made from other data?",
    ),
    Case(
        "an answer that is a word",
        submission(solution="id,label\nu0,0\nu1,yes sir\n"),
        GRADE,
        "solution.csv, row 2: the label 'label' is 'yes sir', which is no class; Valid choices: 0, 1; two classes",
    ),
    Case(
        "an answer that is empty",
        submission(solution="id,label\nu0,0\nu1,\n"),
        GRADE,
        "solution.csv, row 2: the label 'label' is missing",
    ),
    Case(
        "answers without the label",
        submission(solution="id,other\nu0,0\nu1,1\n"),
        GRADE,
        "solution.csv: the column 'label' is missing; it has id, other",
    ),
    Case(
        "answers of one column",
        submission(solution="id\nu0\nu1\n"),
        GRADE,
        "solution.csv: the column 'label' is missing; it has id",
    ),
    Case(
        "an answer twice",
        submission(solution="id,label\nu0,0\nu1,1\nu1,1\n"),
        GRADE,
        "submissions/faces_1.csv: its ids are not those of solution.csv; was it made from other data?",
    ),
    Case(
        "a graded submission with longer rows",
        submission("id,label\nu0,1,2\nu1,1,2\n", graded=True),
        GRADE,
        "submissions/faces_1.csv: cannot be read as a CSV: the header has 2 cells, the rows 3",
    ),
    Case(
        "a graded submission with a word",
        submission("id,label\nu0,high\nu1,0.2\n", graded=True),
        GRADE,
        "the prediction for 'u0' is [nan], expected probabilities in [0, 1]",
    ),
    Case(
        "a graded submission with infinity",
        submission("id,label\nu0,inf\nu1,0.2\n", graded=True),
        GRADE,
        "the prediction for 'u0' is [inf], expected probabilities in [0, 1]",
    ),
    Case(
        "a graded submission with a blank",
        submission("id,label\nu0,\nu1,0.2\n", graded=True),
        GRADE,
        "the prediction for 'u0' is [nan], expected probabilities in [0, 1]",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_malformed_submissions(case: Case, tmp_path: Path, capsys) -> None:
    check(case, tmp_path, capsys)
