"""Every file that is not as it was written is found, and the command that makes it again is named."""

import json
import shutil

import pytest
from helpers.made_runs import DATA, NAMES, RUNS, make_root

from foldwise.__main__ import main
from foldwise.stages.verify import verify

RUN = f"{RUNS}/{NAMES[0]}"
TRAIN = "`foldwise train` with the settings of the run makes it again"
PREPARE = "`foldwise prepare` with the same settings makes it again"


@pytest.fixture
def root(tmp_path):
    return make_root(tmp_path)


@pytest.fixture
def found(root, settings):
    """Return a function that gives the wrong files, relative to the root, with their repairs."""

    def look():
        result = verify(settings(*DATA.split(), root=root))
        return [(one["file"].removeprefix(f"{root}/"), one["what"], one["repair"]) for one in result["wrong"]]

    return look


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_nothing_is_wrong_with_what_was_just_written(root, found, settings):
    assert found() == []
    result = verify(settings(*DATA.split(), root=root))
    # data: 2 arrays, 2 tables, dataset.json, a sample, folds; runs: recipe, report, and 5 files of each of 2 folds
    assert (result["n_folders"], result["n_files"]) == (7, 7 + 2 * (2 + 2 * 5))
    assert result["without_checksums"] == []


@pytest.mark.parametrize("place", [0, -1], ids=["first byte", "last byte"])
@pytest.mark.parametrize(
    ("name", "repair"),
    [
        (f"{RUN}/fold_0/held_out.parquet", TRAIN),
        (f"{RUN}/fold_1/test.parquet", TRAIN),
        (f"{RUN}/fold_1/model.weights.h5", TRAIN),
        (f"{RUN}/fold_1/history.csv", TRAIN),
        (f"{RUN}/fold_1/fold.json", TRAIN),
        (f"{RUN}/run.json", "`foldwise score` computes it again"),
        (f"{RUN}/recipe.yaml", "`foldwise train` with its settings makes it again"),
        ("data/prepared/digits_8x8/*/train.npy", PREPARE),
        ("data/prepared/digits_8x8/*/test.npy", PREPARE),
        ("data/prepared/digits_8x8/*/train.parquet", PREPARE),
        ("data/prepared/digits_8x8/*/dataset.json", PREPARE),
        ("data/prepared/digits_8x8/*/sample_submission.csv", PREPARE),
        ("data/prepared/digits_8x8/*/folds_*.parquet", "`foldwise folds` with the same settings makes it again"),
    ],
)
def test_a_flipped_bit_is_found(root, found, name, place, repair):
    (path,) = root.glob(name)
    flip(path, place)
    wrong = found()
    assert wrong[0][:2] == (str(path.relative_to(root)), "was changed since foldwise wrote it")
    assert {one[0] for one in wrong} == {wrong[0][0]}
    assert wrong[0][2].endswith(repair)


def test_missing_files_and_folds_of_another_run_are_found(root, found):
    (root / RUN / "fold_0" / "model.weights.h5").unlink()
    shutil.rmtree(root / RUN / "fold_1")
    shutil.copytree(root / RUNS / NAMES[1] / "fold_1", root / RUN / "fold_1")
    (root / RUN / "run.json").unlink()  # it is computed again
    assert [one[:2] for one in found()] == [
        (f"{RUN}/fold_0/model.weights.h5", "is missing"),
        (f"{RUN}/fold_1", f"is a copy of {NAMES[1]}/fold_1"),
    ]


def test_a_submission_that_was_changed_is_found(root, found):
    (root / "submissions").mkdir()
    (root / "submissions" / "a.csv").write_text("id\n1\n")
    digest = "0" * 64
    (root / "submissions" / "a.json").write_text(json.dumps({"competition": "digits_8x8", "sha256": digest}))
    assert found() == [
        ("submissions/a.csv", "was changed since foldwise wrote it", "`foldwise ensemble` writes it again")
    ]


def test_folders_without_checksums_are_counted(root, settings, capsys):
    for path in root.rglob("checksums*.json"):
        path.unlink()
    result = verify(settings(*DATA.split(), root=root))
    assert (len(result["without_checksums"]), result["n_files"], result["wrong"]) == (7, 0, [])
    assert main(["verify", *DATA.split(), f"root={root}"]) == 0
    assert "7 folders have no checksums, since an earlier version wrote them" in capsys.readouterr().out


def test_the_exit_status_is_one_where_something_is_wrong(root, capsys):
    words = ["verify", *DATA.split(), f"root={root}"]
    assert main(words) == 0
    flip(root / RUN / "fold_0" / "model.weights.h5", 100)
    assert main(words) == 1
    shown = capsys.readouterr()
    assert f"rm -r {root / RUN / 'fold_0'}" in shown.out
    assert "1 files of digits_8x8 are not as foldwise wrote them" in shown.err
