"""Raw files at a URL that fsspec knows: s3://, gs://, file://, memory:// and others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foldwise.errors import FoldwiseError
from foldwise.storage import is_foreign

CONTENT = ("ETag", "etag", "md5Hash", "crc32c", "sha256")  # names that stores give to a hash of a file


def filesystem(url: str) -> tuple[Any, str]:
    """Return the fsspec file system of a URL and the path in it; raise FoldwiseError for an unknown protocol."""
    import fsspec  # not needed for files on this machine

    with clear_errors(url):
        found, path = fsspec.core.url_to_fs(url)
    return found, path.rstrip("/")


def listing(url: str) -> dict[str, Any]:
    """Return the size of every file below a URL, by its path, and its hash if the store knows one; reads no file.

    Raises FoldwiseError if there is no file.
    """
    found, root = filesystem(url)
    with clear_errors(url):
        files = found.find(root, detail=True)
    if not files:
        raise FoldwiseError(f"{url}: there are no files; expected the host's, in folders as it ships them")
    about = {}
    for path, info in sorted(files.items()):
        name = path.removeprefix(root).lstrip("/")
        if not is_foreign(Path(name)):
            about[name] = [info["size"], *(str(info[key]) for key in CONTENT if info.get(key))]
    return about


def ranges(url: str, wanted: list[tuple[int, int]]) -> list[bytes]:
    """Read byte ranges (first, end) of one file, adjacent ones in one request; `end` itself is not read.

    Raises FoldwiseError if the file cannot be read or ends early.
    """
    found, path = filesystem(url)
    joined: list[list[int]] = []
    for first, end in sorted(wanted):
        if joined and joined[-1][1] == first:
            joined[-1][1] = end
        else:
            joined.append([first, end])
    starts, ends = zip(*joined, strict=True) if joined else ((), ())
    with clear_errors(url):
        # by default some file systems return an error in place of the bytes
        parts = found.cat_ranges([path] * len(joined), list(starts), list(ends), on_error="raise")
    held = [(first, part) for (first, _), part in zip(joined, parts, strict=True)]
    result = []
    for first, end in wanted:
        start, part = next((s, p) for s, p in reversed(held) if s <= first)
        piece = part[first - start : end - start]
        if len(piece) != end - first:
            raise FoldwiseError(f"{url}: {end - first:,} bytes from {first:,} on were requested, {len(piece):,} came")
        result.append(piece)
    return result


@contextlib.contextmanager
def clear_errors(url: str) -> Iterator[None]:
    """Turn what a file system raises in the block into a FoldwiseError that names the URL."""
    try:
        yield
    except FoldwiseError:
        raise
    except FileNotFoundError:
        raise FoldwiseError(f"{url}: there is no such file or folder") from None
    except ImportError as error:
        raise FoldwiseError(f"{url}: {error}; install that package in the environment of foldwise") from None
    except Exception as error:  # each store has errors of its own
        raise FoldwiseError(f"{url}: cannot be read: {type(error).__name__}: {error}") from error
