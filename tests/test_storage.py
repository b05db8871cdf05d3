"""Files are whole or absent, whatever happens to the process that writes them."""

import math
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from helpers.raw_files import contents, left_in

from foldwise import storage
from foldwise.errors import FoldwiseError
from foldwise.storage import (
    clear_csv_errors,
    content_key,
    is_foreign,
    one_at_a_time,
    own_files,
    write_json,
    written_aside,
)


@pytest.fixture
def dead_pid() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with written_aside(path) as aside:
        aside.write_text("whole")
        assert aside.parent == path.parent  # on one file system, where a rename is atomic
        assert not path.exists()
    assert contents(tmp_path) == {"new/a.txt": b"whole"}
    with written_aside(path) as aside:
        aside.write_text("replaced")
        assert path.read_text() == "whole"
    assert contents(tmp_path) == {"new/a.txt": b"replaced"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("replace_folder", [False, True])
def test_a_block_that_raises_leaves_what_was_there(tmp_path, error, folder, replace_folder) -> None:
    path = tmp_path / "a"
    for before in ({}, {"a": b"old"}):
        if before:
            path.write_bytes(b"old")
        with pytest.raises(error), written_aside(path, replace_folder) as aside:
            if folder:
                aside.mkdir()
                (aside / "half").write_text("h")
            else:
                aside.write_text("h")
            raise error
        assert contents(tmp_path) == before
        assert left_in(tmp_path) == list(before)


@pytest.mark.parametrize(("replace_folder", "expected"), [(False, {"a/1": b"old"}), (True, {"a/2": b"new"})])
def test_a_folder_that_is_there_is_kept_or_replaced(tmp_path: Path, replace_folder: bool, expected: dict) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1").write_text("old")
    with written_aside(tmp_path / "a", replace_folder) as aside:
        aside.mkdir()
        (aside / "2").write_text("new")
    assert contents(tmp_path) == expected
    assert left_in(tmp_path) == ["a"]


def test_what_the_dead_left_is_removed_and_what_the_living_write_is_kept(tmp_path: Path, dead_pid: int) -> None:
    (tmp_path / f".a.partial-{dead_pid}").mkdir()
    (tmp_path / f".a.partial-{dead_pid}" / "half").write_text("h")
    (tmp_path / f".a.partial-old-{dead_pid}").mkdir()
    (tmp_path / f".a.partial-{os.getpid()}").write_text("of an earlier process with this id")
    (tmp_path / f".a.partial-{os.getppid()}").write_text("being written")
    (tmp_path / f".b.partial-{dead_pid}").write_text("of another path")
    with written_aside(tmp_path / "a") as aside:
        aside.write_text("whole")
    assert left_in(tmp_path) == [f".a.partial-{os.getppid()}", f".b.partial-{dead_pid}", "a"]
    assert (tmp_path / "a").read_text() == "whole"


@pytest.mark.parametrize(
    ("owner", "age", "kept"),
    [
        ("{host}-{pid}-{started}-0", 0, True),  # a process that lives
        ("{host}-{pid}-1-0", 0, False),  # its id was another one's before
        ("{host}-{dead}-{started}-0", 0, False),
        ("{host}-{dead}-{started}-0-old", 0, False),
        ("elsewhere-{dead}-1-0", 3600, True),  # another machine's process may live
        ("elsewhere-{dead}-1-0", 8 * 24 * 3600, False),
        ("notes", 0, True),  # no name of ours
    ],
)
def test_a_temporary_path_belongs_to_a_process_of_a_machine(tmp_path, dead_pid, owner, age, kept) -> None:
    pid = os.getppid()
    about = {"host": storage._host(), "pid": pid, "started": storage._started(pid), "dead": dead_pid}
    other = tmp_path / f".a.partial-{owner.format(**about)}"
    other.mkdir()
    os.utime(other, (time.time() - age,) * 2)
    write_json(tmp_path / "a", [])
    assert other.is_dir() == kept


def test_two_blocks_of_one_process_write_one_path(tmp_path: Path) -> None:
    with written_aside(tmp_path / "a") as first, written_aside(tmp_path / "a") as second:
        assert first != second
        first.write_text("1")
        second.write_text("2")
    assert contents(tmp_path) == {"a": b"1"}  # the outer one ends last


def test_leftovers_that_another_process_removes_at_the_same_time_are_no_error(tmp_path, monkeypatch, dead_pid) -> None:
    (tmp_path / f".a.partial-{dead_pid}").mkdir()
    (tmp_path / f".a.partial-{dead_pid}" / "half").write_text("h")
    remove = shutil.rmtree

    def race(path, ignore_errors=False):
        remove(path)
        remove(path, ignore_errors=ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", race)
    write_json(tmp_path / "a", [])
    assert left_in(tmp_path) == ["a"]


def test_a_folder_comes_back_where_its_replacement_cannot_be_renamed(tmp_path, monkeypatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1").write_text("old")
    replace = Path.replace

    def fail(path, target):
        if target == tmp_path / "a" and "-old" not in path.name:
            raise OSError(5, "Input/output error")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="Input/output"), written_aside(tmp_path / "a", replace_folder=True) as aside:
        aside.mkdir()
    assert contents(tmp_path) == {"a/1": b"old"}
    assert left_in(tmp_path) == ["a"]


def test_killed_between_the_two_renames_of_a_replacement(tmp_path: Path, dead_pid: int) -> None:
    """Then the path is absent and both folders lie beside it; the next writer clears them away."""
    for name in (f".a.partial-{dead_pid}", f".a.partial-old-{dead_pid}"):
        (tmp_path / name).mkdir()
    with written_aside(tmp_path / "a", replace_folder=True) as aside:
        aside.mkdir()
    assert left_in(tmp_path) == ["a"]


def test_a_killed_writer_leaves_the_path_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("old")
    code = (
        "import os, signal, sys; from pathlib import Path; from foldwise.storage import written_aside\n"
        "with written_aside(Path(sys.argv[1])) as aside:\n"
        "    aside.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.json")], check=False)
    assert done.returncode == -9
    assert (tmp_path / "a.json").read_text() == "old"
    assert len(left_in(tmp_path)) == 2
    write_json(tmp_path / "a.json", [1])
    assert contents(tmp_path) == {"a.json": b"[\n  1\n]\n"}


HOLDER = """
import sys, time
from pathlib import Path
from foldwise.storage import one_at_a_time
with one_at_a_time(Path(sys.argv[1])):
    print("in", flush=True)
    sys.stdin.readline()
    Path(sys.argv[1]).write_text("made")
"""


@pytest.mark.parametrize("killed", [False, True])
def test_one_process_at_a_time_makes_a_path_and_a_killed_one_frees_it(tmp_path: Path, killed: bool) -> None:
    path, order = tmp_path / "new" / "a", []
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "in\n"

    def wait() -> None:
        with one_at_a_time(path):
            order.append(path.is_file())

    waiting = threading.Thread(target=wait)
    waiting.start()
    waiting.join(0.3)
    assert order == []
    if killed:
        holder.kill()
    holder.communicate("go on\n")
    waiting.join(30)
    assert order == [not killed]


def test_storage_imports_without_a_module_of_unix_alone() -> None:
    code = "import sys; sys.modules['fcntl'] = None; import foldwise.models, foldwise.storage"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_json_has_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": math.nan})
    assert left_in(tmp_path) == []


def test_a_content_key_depends_on_the_content_alone() -> None:
    assert content_key({"b": 1, "a": [1.5, None]}) == content_key({"a": [1.5, None], "b": 1}) == "cf0c4895ed70"
    assert content_key({"a": 1}) != content_key({"a": "1"})
    with pytest.raises(ValueError, match="not JSON compliant"):
        content_key([math.inf])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "a.csv: the file is empty"),
        (b"a,b\n1,2\n1,2,3\n", "a.csv: cannot be read as a CSV: .*Expected 2 fields in line 3, saw 3"),
        (b"a,b\n\xff\xfe,2\n", "a.csv: cannot be read as a CSV: .*utf-8"),
        (b'a,b\n"1,2\n', "a.csv: cannot be read as a CSV: .*EOF inside string"),
    ],
)
def test_what_pandas_cannot_read_names_the_file(tmp_path: Path, data: bytes, expected: str) -> None:
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(FoldwiseError, match=expected), clear_csv_errors("a.csv"):
        pd.read_csv(tmp_path / "a.csv")


@pytest.mark.parametrize(
    "name",
    [
        ".DS_Store",
        "a/._7.png",
        "__MACOSX/a/7.png",
        "a/Thumbs.db",
        "a/thumbs.db",
        "Desktop.ini",
        "a/@eaDir/7.png",
        "Icon\r",
    ],
)
def test_what_operating_systems_leave_is_foreign(name):
    assert is_foreign(Path(name))


@pytest.mark.parametrize("name", ["7.png", ".hidden.png", "a/_7.png", "DS_Store", "thumbs/7.db", "macosx/7.png"])
def test_what_people_name_is_their_own(name):
    assert not is_foreign(Path(name))


def test_own_files_are_those_that_are_not_foreign(tmp_path):
    for name in ("a/b/7.png", "a/._7.png", "a/.DS_Store", "__MACOSX/8.png", "train.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"12345")
    (tmp_path / "linked.csv").symlink_to(tmp_path / "train.csv")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = sorted((name, status.st_size) for name, status in own_files(tmp_path))
    assert found == [("a/b/7.png", 5), ("linked.csv", 5), ("train.csv", 5)]


def test_what_was_replaced_is_removed_by_the_next_command_that_looks(tmp_path: Path, dead_pid: int) -> None:
    """A process may be killed when the new folder is in its place and the old one is not removed yet."""
    (tmp_path / "a").mkdir()
    (tmp_path / f".a.partial-{storage._host()}-{dead_pid}-1-0-old").mkdir()
    storage.remove_left_over(tmp_path / "a")
    assert left_in(tmp_path) == ["a"]
