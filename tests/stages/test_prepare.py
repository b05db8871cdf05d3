"""Raw files are prepared once for each content, whole or not at all, and generated ones can be made again."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.raw_files import (
    contents,
    digit_files,
    left_in,
    statoil_files,
    statoil_record,
    write_files,
    write_folder,
)

from foldwise.data import dataset
from foldwise.errors import FoldwiseError
from foldwise.stages.prepare import data_key, prepare
from foldwise.stages.simulate import simulate

KAGGLE = ("competition=statoil", "source=kaggle")
TINY = ("competition=statoil", "source.n_train=20", "source.n_test=12")
EIGHT = ("competition=digits_8x8", "source.n_train=50", "source.n_test=10")


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in [folder, *folder.iterdir()]}


# Once for each key


def test_the_same_settings_prepare_once(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    one = settings(*KAGGLE)
    write_files(one.raw_dir, statoil_files())
    first = prepare(one)
    assert first.path == one.prepared_dir / data_key(one)
    before = times(first.path)
    monkeypatch.setattr(dataset, "write", None)  # would fail if it were called
    again = prepare(settings(*KAGGLE, "model=mlp", "split.n_folds=3", "fit.seed=5"))
    assert again.data_key == first.data_key
    assert times(first.path) == before


@pytest.mark.parametrize("option", ["crop=50", "units=amplitude"])
def test_another_option_makes_another_key(settings, option: str) -> None:
    one, other = settings(*KAGGLE), settings(*KAGGLE, f"competition.options.{option}")
    write_files(one.raw_dir, statoil_files())
    assert prepare(one).path != prepare(other).path
    assert len(left_in(one.prepared_dir)) == 2


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("train.json", '"is_iceberg":1', '"is_iceberg":0'),
        ("train.json", "-20.5", "-20.4"),
        ("test.json", "38.1234", "38.1235"),
        ("sample_submission.csv", "0.5", "0.4"),
    ],
)
def test_a_changed_file_of_the_same_size_makes_another_key(settings, name: str, old: str, new: str) -> None:
    one = settings(*KAGGLE)
    files = statoil_files()
    path = write_files(one.raw_dir, files) / name
    first = prepare(one)
    write_files(one.raw_dir, {name: files[name].replace(old, new, 1)})
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1))  # were both written in one tick
    assert len(files[name]) == path.stat().st_size
    second = prepare(one)
    assert first.data_key != second.data_key
    write_files(one.raw_dir, files)
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 2))
    assert prepare(one).data_key == first.data_key


def test_the_key_is_of_the_contents_and_not_of_the_place_or_the_time(settings, tmp_path: Path) -> None:
    keys = []
    for name in "ab":
        one = settings(*KAGGLE, root=tmp_path / name)
        write_files(one.raw_dir, statoil_files())
        (one.raw_dir / "train.json.7z").write_text(f"the archive {name} is not read")
        os.utime(one.raw_dir / "train.json", (0, 0))
        keys.append(data_key(one))
    assert keys[0] == keys[1]


def test_an_unchanged_file_is_hashed_once(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    one = settings(*KAGGLE)
    write_files(one.raw_dir, statoil_files())
    key = data_key(one, keep_digests=True)
    monkeypatch.setattr("foldwise.stages.prepare.sha256", None)  # would fail if a file were hashed
    assert data_key(one) == key


@pytest.mark.parametrize("source", ["kaggle", "simulated"])
def test_the_solution_decides_nothing(settings, tmp_path: Path, source: str) -> None:
    written = []
    for name, answers in (("a", None), ("b", "id,is_iceberg,Usage\n"), ("c", "nonsense")):
        one = settings(*(KAGGLE if source == "kaggle" else TINY), root=tmp_path / name)
        if source == "kaggle":
            write_files(one.raw_dir, statoil_files())
        else:
            simulate(one)
            (one.raw_dir / "solution.csv").unlink()
        if answers is not None:
            (one.raw_dir / "solution.csv").write_text(answers)
        written.append((data_key(one), contents(prepare(one).path)))
    assert written[0] == written[1] == written[2]


def test_competitions_do_not_share_a_folder(settings) -> None:
    digits = settings("competition=digit_recognizer", "source=kaggle")
    faces = settings("competition=faces", "source=kaggle", "competition.options.label_columns=[label]")
    write_files(digits.raw_dir, digit_files())
    write_folder(faces.raw_dir)
    assert prepare(digits).path.parent != prepare(faces).path.parent


FOREIGN = (".DS_Store", "images/Thumbs.db", "images/._t0.png", "__MACOSX/images/._t0.png", "desktop.ini")


def add_foreign(folder: Path) -> None:
    for name in FOREIGN:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"\0\5\x16\7")


def test_foreign_files_change_no_key(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    one = settings("competition=faces", "source=kaggle", "competition.options.label_columns=[label]")
    write_folder(one.raw_dir)
    first = prepare(one)
    (one.raw_dir / "notes.txt").write_text("mine")
    assert data_key(one) != first.data_key
    (one.raw_dir / "notes.txt").unlink()
    add_foreign(one.raw_dir)
    monkeypatch.setattr(dataset, "write", None)  # would fail if it were called
    assert prepare(one).data_key == first.data_key


def test_a_folder_of_foreign_files_alone_holds_no_files(settings) -> None:
    one = settings(*KAGGLE)
    one.raw_dir.mkdir(parents=True)
    add_foreign(one.raw_dir)
    with pytest.raises(FoldwiseError, match="holds no files"):
        prepare(one)


def test_foreign_files_do_not_make_a_simulation_the_users(settings) -> None:
    one, other = settings(*EIGHT), settings(*EIGHT, "source.seed=1")
    simulate(one)
    add_foreign(one.raw_dir)
    simulate(other)
    assert left_in(one.raw_dir) == ["sample_submission.csv", "solution.csv", "source.json", "test.csv", "train.csv"]


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ("id,is_ship\na0000000,0.5\n", "the submission has the columns id, is_iceberg, the sample id, is_ship"),
        ("id,is_iceberg\na0000000,ship\n", "holds the number 0.5 for 'a0000000', the sample's names such as 'ship'"),
    ],
)
def test_a_sample_that_cannot_be_answered_is_refused_before_an_image_is_read(
    settings, monkeypatch: pytest.MonkeyPatch, sample: str, expected: str
) -> None:
    one = settings(*KAGGLE)
    write_files(one.raw_dir, statoil_files() | {"sample_submission.csv": sample})
    monkeypatch.setattr("foldwise.competitions.statoil.reader.json_objects", None)  # would fail if it were called
    with pytest.raises(FoldwiseError, match=expected):
        prepare(one)
    assert left_in(one.prepared_dir) == []


# Generated files


def test_a_generated_source_writes_its_raw_files_once(settings) -> None:
    one = settings(*TINY)
    prepare(one)
    before = times(one.raw_dir)
    assert simulate(one) == one.raw_dir
    prepare(one)
    assert times(one.raw_dir) == before


def test_another_seed_replaces_the_simulation_and_both_stay_prepared(settings) -> None:
    one, other = settings(*EIGHT), settings(*EIGHT, "source.seed=1")
    first = prepare(one)
    raw = contents(one.raw_dir)
    second = prepare(other)
    assert first.data_key != second.data_key
    assert contents(one.raw_dir) != raw
    assert left_in(one.raw_dir.parent) == ["digits_8x8"]
    assert sorted(left_in(one.prepared_dir)) == sorted([first.data_key, second.data_key])
    simulate(one)
    assert contents(one.raw_dir) == raw


def test_a_generator_that_fails_leaves_the_earlier_files(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    one = settings(*EIGHT)
    simulate(one)
    raw = contents(one.raw_dir)

    def fail(*args) -> None:  # when all files but the solution are there
        raise OSError("no space left on device")

    monkeypatch.setattr("foldwise.competitions.digit_recognizer.embedded.usage", fail)
    with pytest.raises(OSError, match="no space left"):
        simulate(settings(*EIGHT, "source.seed=3"))
    assert contents(one.raw_dir) == raw
    assert left_in(one.raw_dir.parent) == ["digits_8x8"]


@pytest.mark.parametrize("name", ["train.json", "notes.txt", "train.json.7z"])
def test_the_files_of_the_host_are_never_overwritten(settings, name: str) -> None:
    one = settings(*TINY)
    write_files(one.raw_dir, {name: "the host's"})
    for stage in (simulate, prepare):
        with pytest.raises(FoldwiseError, match=r"holds files that foldwise did not generate.*source=kaggle"):
            stage(one)
    assert contents(one.raw_dir) == {name: b"the host's"}
    assert left_in(one.prepared_dir) == []


def test_generated_files_are_not_taken_for_the_hosts(settings) -> None:
    simulate(settings(*TINY))
    one = settings(*KAGGLE)
    expected = r"holds generated files \(statoil_simulator, n_train=20, n_test=12, seed=0, angle_tells=True\)"
    with pytest.raises(FoldwiseError, match=expected):
        prepare(one)
    assert left_in(one.prepared_dir) == []


def test_there_is_nothing_to_simulate_for_the_hosts_files(settings) -> None:
    one = settings(*KAGGLE)
    with pytest.raises(FoldwiseError, match=r"holds no files; .* fetches them, or put yours there"):
        simulate(one)
    one.raw_dir.mkdir(parents=True)
    (one.raw_dir / "train.json").write_text("[]")
    assert simulate(one) == one.raw_dir
    assert [path.name for path in one.raw_dir.iterdir()] == ["train.json"]


@pytest.mark.parametrize("folder", [False, True])
def test_no_files_of_the_host_at_all(settings, folder: bool) -> None:
    one = settings(*KAGGLE)
    if folder:
        one.raw_dir.mkdir(parents=True)
    with pytest.raises(FoldwiseError, match=r"holds no files; `foldwise download competition=statoil` fetches them"):
        prepare(one)
    assert left_in(one.prepared_dir) == []


# Death in the middle

SLOW = """
import sys, time
from foldwise.__main__ import main
from foldwise.competitions.statoil import reader as statoil
cut = statoil.json_objects
def slow(path):
    for number, text in enumerate(cut(path)):
        if number == 2:
            (path.parent / "reached").touch()
            time.sleep(60)
        yield text
statoil.json_objects = slow
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_killed_in_the_middle_and_run_again(settings, tmp_path: Path) -> None:
    killed, undisturbed = (settings(*TINY, root=tmp_path / name) for name in ("killed", "undisturbed"))
    child = subprocess.Popen([sys.executable, "-c", SLOW, "prepare", f"root={killed.root}", *TINY])
    try:
        deadline = time.monotonic() + 60
        while not (killed.raw_dir / "reached").exists():
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        child.kill()
    assert child.wait() == -9
    (killed.raw_dir / "reached").unlink()
    (partial,) = left_in(killed.prepared_dir)
    assert partial.startswith(f".{data_key(killed)}.partial-")
    assert f"-{child.pid}-" in partial
    again, expected = prepare(killed), prepare(undisturbed)
    assert left_in(killed.prepared_dir) == [again.data_key]
    assert contents(again.path) == contents(expected.path)
    assert again.train.images.shape == (20, 75, 75, 2)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OSError(28, "No space left on device")])
def test_whatever_stops_it_leaves_nothing(settings, monkeypatch: pytest.MonkeyPatch, error) -> None:
    one = settings(*KAGGLE)
    write_files(one.raw_dir, statoil_files([statoil_record(f"{i}", i % 2) for i in range(3)]))

    def stop(*args) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(dataset, "_check_classes", stop)
        with pytest.raises(type(error) if isinstance(error, Exception) else error):
            prepare(one)
    assert left_in(one.prepared_dir) == []
    assert np.isfinite(prepare(one).train.images).all()


def test_another_process_was_faster(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have made the same from the same key: the first to finish is kept."""
    one = settings(*KAGGLE)
    write_files(one.raw_dir, statoil_files())
    write = dataset.write

    def race(records, path: Path, key: str, source_key: str) -> None:
        write(records, path, key, source_key)
        (one.prepared_dir / key).mkdir()
        for file in path.iterdir():
            (one.prepared_dir / key / file.name).write_bytes(file.read_bytes())

    monkeypatch.setattr(dataset, "write", race)
    data = prepare(one)
    assert data.train.images.shape == (4, 75, 75, 2)
    assert left_in(one.prepared_dir) == [data.data_key]


def test_files_unpacked_over_a_simulation_are_not_replaced(settings) -> None:
    simulate(settings("competition=statoil", "source.n_train=20", "source.n_test=10"))
    other = settings("competition=statoil", "source.n_train=21", "source.n_test=10")
    (other.raw_dir / "train.json").write_text("[the host's own]")
    before = contents(other.raw_dir)
    with pytest.raises(FoldwiseError, match="did not generate, and leaves them alone"):
        simulate(other)
    assert contents(other.raw_dir) == before


# Several at once


def test_two_sources_at_once_are_prepared_under_their_own_keys(settings, tmp_path: Path, monkeypatch) -> None:
    words = [(*EIGHT, f"source.seed={seed}") for seed in (1, 2)]
    expected = [contents(prepare(settings(*one, root=tmp_path / "alone")).path) for one in words]
    first, second = (settings(*one, root=tmp_path / "together") for one in words)
    write, other = dataset.write, threading.Thread(target=prepare, args=(second,))

    def slow(records, path: Path, key: str, source_key: str) -> None:
        if not other.ident:
            other.start()
            other.join(0.5)  # it would replace the raw files by now
            assert other.is_alive()
        write(records, path, key, source_key)

    monkeypatch.setattr(dataset, "write", slow)
    one = prepare(first)
    other.join(60)
    assert [contents(one.path), contents(second.prepared_dir / data_key(second))] == expected


def test_files_of_the_host_that_change_while_they_are_read_are_an_error(settings, monkeypatch) -> None:
    one = settings(*KAGGLE)
    path = write_files(one.raw_dir, statoil_files()) / "train.json"
    write = dataset.write

    def changed(*given) -> None:
        path.write_text(path.read_text().replace("-20.5", "-20.4"))
        write(*given)

    with monkeypatch.context() as patched:
        patched.setattr(dataset, "write", changed)
        with pytest.raises(FoldwiseError, match="files changed while they were read; run the same command again"):
            prepare(one)
    assert left_in(one.prepared_dir) == []
    assert prepare(one).data_key == data_key(one)


@pytest.mark.parametrize("text", ["{", "[]", '{"train.json": 3}', '{"train.json": [1, 2]}', "\0", "[" * 10**5])
def test_damaged_digests_are_made_again(settings, caplog, text: str) -> None:
    one = settings(*KAGGLE)
    write_files(one.raw_dir, statoil_files())
    data_key(one, keep_digests=True)
    file = one.prepared_dir / "raw_digests.json"
    whole = file.read_bytes()
    file.write_text(text)
    prepare(one)
    assert file.read_bytes() == whole
    (line,) = [line for line in caplog.messages if line.startswith(f"{file} is damaged")]
    assert line.endswith("all raw files are read to make it again")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"generator": "x", "version": 1, "options": {}, "files": 3}'])
@pytest.mark.parametrize("words", [EIGHT, ("competition=digits_8x8", "source=kaggle")])
def test_a_damaged_mark_of_generated_files_names_what_removes_them(settings, words, text: str) -> None:
    simulate(settings(*EIGHT))
    one = settings(*words)
    (one.raw_dir / "source.json").write_text(text)
    expected = (
        rf"source.json is damaged \(.*\); `rm -r {one.raw_dir}` removes the generated files, and `foldwise simulate "
        "competition=digits_8x8` writes them again"
    )
    for stage in (prepare, simulate):
        with pytest.raises(FoldwiseError, match=expected):
            stage(one)


@pytest.mark.parametrize("change", ["is missing", "has 3 bytes, expected"])
def test_a_generated_file_that_was_changed_is_not_prepared(settings, change: str) -> None:
    one = settings(*EIGHT)
    path = simulate(one) / "train.csv"
    path.unlink() if change == "is missing" else path.write_text("a,b")
    for stage in (prepare, simulate):
        with pytest.raises(FoldwiseError, match=rf"train.csv was changed since it was generated: it {change}.*`rm -r"):
            stage(one)
