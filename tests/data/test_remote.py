"""Files at a URL: listed without being read, read in parts, and errors that name the URL."""

import fsspec
import pytest

from foldwise.data import remote
from foldwise.errors import FoldwiseError


@pytest.fixture
def url():
    """A folder in memory with two files."""
    files = fsspec.filesystem("memory")
    files.pipe("/remote_test/a/one.bin", bytes(range(100)))
    files.pipe("/remote_test/two.bin", b"xy")
    yield "memory://remote_test"
    files.rm("/remote_test", recursive=True)


def test_files_are_listed_with_their_sizes(url):
    assert remote.listing(url) == {"a/one.bin": [100], "two.bin": [2]}


def test_a_folder_without_files_is_refused(url):
    with pytest.raises(FoldwiseError, match=r"memory://remote_test_absent: there are no files"):
        remote.listing("memory://remote_test_absent")


def test_adjacent_ranges_are_one_request(url, monkeypatch):
    requests = []
    memory = fsspec.filesystem("memory")
    cat_ranges = type(memory).cat_ranges

    def counted(self, paths, starts, ends, **options):
        requests.append(list(zip(starts, ends, strict=True)))
        return cat_ranges(self, paths, starts, ends, **options)

    monkeypatch.setattr(type(memory), "cat_ranges", counted)
    parts = remote.ranges(f"{url}/a/one.bin", [(20, 22), (0, 4), (4, 8)])  # in any order
    assert parts == [bytes([20, 21]), bytes([0, 1, 2, 3]), bytes([4, 5, 6, 7])]
    assert requests == [[(0, 8), (20, 22)]]


def test_a_file_that_ends_early_is_refused(url):
    with pytest.raises(FoldwiseError, match=r"one.bin: 20 bytes from 90 on were requested, 10 came"):
        remote.ranges(f"{url}/a/one.bin", [(90, 110)])


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda url: remote.ranges(f"{url}/none.bin", [(0, 1)]), "none.bin: there is no such file or folder"),
        (lambda url: remote.filesystem("nowhere://x"), "nowhere://x: cannot be read: ValueError: Protocol not known"),
    ],
)
def test_errors_name_the_url(url, read, message):
    with pytest.raises(FoldwiseError, match=message):
        read(url)
