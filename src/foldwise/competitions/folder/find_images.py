"""Find the image of each id: one walk through the folders, then a look-up for each id."""

from __future__ import annotations

import bisect
import difflib
import glob
import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from foldwise.competitions.folder import containers
from foldwise.competitions.folder.image_rules import ImageFile
from foldwise.errors import FoldwiseError

SUFFIXES = frozenset(
    [
        ".png",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".tif",
        ".tiff",
        ".bmp",
        ".dib",
        ".webp",
        ".gif",
        ".jp2",
        ".j2k",
        ".jpf",
        ".jpx",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".ras",
        ".sr",
        ".hdr",
        ".exr",
        ".avif",
        ".tga",
        ".ico",
        ".npy",
        ".npz",
        ".dcm",
        ".dicom",
        ".nii",
        ".nii.gz",
    ]
)
# files that lie beside images under the same names: annotations, tables, archives
NO_IMAGES = frozenset(
    [
        ".csv",
        ".tsv",
        ".txt",
        ".json",
        ".jsonl",
        ".xml",
        ".yaml",
        ".yml",
        ".md",
        ".html",
        ".pdf",
        ".log",
        ".py",
        ".ipynb",
        ".zip",
        ".7z",
        ".tar",
        ".gz",
        ".db",
        ".ini",
        ".parquet",
        ".h5",
        ".hdf5",
        ".pkl",
        ".sqlite",
        ".crdownload",
        ".part",
    ]
)
FOREIGN_FOLDERS = frozenset({"__MACOSX", "@eaDir"})
FOREIGN_FILES = frozenset({"thumbs.db", "desktop.ini"})

Place = tuple[str, str]  # the path of a file, and the member of a container or ""


def find_images(
    raw_dir: Path, images: str | Sequence[str], ids: Sequence[str], where: Sequence[str]
) -> list[ImageFile]:
    """Return the file of each id, in the order of the ids.

    images: a folder in `raw_dir` (with its sub-folders), a list of folders, a glob, or a file that holds images:
        parquet with a column of bytes, HDF5 with a dataset for each id, or zip.
    where: the place of each id in the tables, for messages.

    An id is a file's name or its path in the folder or in `raw_dir`, with or without a suffix, which may be another
    image suffix than the file's. A file at exactly that place comes first; then names in sub-folders count, and
    then names that differ in upper and lower case. Raises FoldwiseError for the ids without an image, all at once,
    and for an id that two files answer.
    """
    names = [images] if isinstance(images, str) else list(images)
    exact: dict[str, Place | list[Place]] = {}
    for key, place in _all_places(raw_dir, names, ids):
        if key in exact:
            held = exact[key]
            exact[key] = [*(held if isinstance(held, list) else [held]), place]
        else:
            exact[key] = place
    stems: dict[str, Place | list[Place]] = {}
    for key, held in exact.items():
        stem, suffix = split_suffix(key)
        if suffix in NO_IMAGES:
            continue
        if stem in stems or isinstance(held, list):
            before = stems.get(stem, [])
            stems[stem] = [
                *(before if isinstance(before, list) else [before]),
                *(held if isinstance(held, list) else [held]),
            ]
        else:
            stems[stem] = held
    found: list[ImageFile] = []
    missing: list[int] = []
    by_name: dict[str, list[tuple[str, Place]]] | None = None
    for i, id_ in enumerate(ids):
        key = normal(id_)
        held = exact.get(key) or stems.get(key)
        if held is None:
            stem, suffix = split_suffix(key)
            held = stems.get(stem) if suffix in SUFFIXES else None
            if isinstance(held, list):
                held = _of_suffix(held, suffix)
        if held is None:
            if by_name is None:
                by_name = _by_name(raw_dir, exact)
            held = _elsewhere(key, by_name)
        if held is None:
            missing.append(i)
        elif isinstance(held, list):
            raise _ambiguous(raw_dir, id_, where[i], held)
        elif not missing:
            found.append(ImageFile(held[0], id_, where[i], held[1]))
    if missing:
        raise _missing(names, [(ids[i], where[i]) for i in missing], len(ids), exact)
    return found


def normal(name: str) -> str:
    """Return a name with forward slashes and composed letters (Unicode NFC), as names are compared."""
    if "\\" in name:
        name = name.replace("\\", "/")
    if not name.isascii():
        name = unicodedata.normalize("NFC", name)
    return name[2:] if name.startswith("./") else name


def split_suffix(name: str) -> tuple[str, str]:
    """Return the name without the suffix of an image or of another known kind, and the suffix in small letters."""
    at = name.rfind(".")
    if at <= name.rfind("/") + 1:
        return name, ""
    suffix = name[at:].lower()
    if suffix == ".gz" and name[:at].lower().endswith(".nii"):
        return name[: at - 4], ".nii.gz"
    return (name[:at], suffix) if suffix in SUFFIXES or suffix in NO_IMAGES else (name, "")


def walk(folder: str, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield (path inside the folder, path) of every file, but those that file managers leave."""
    inner = []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name[0] == ".":
                continue
            if entry.is_dir():
                if name not in FOREIGN_FOLDERS:
                    inner.append((entry.path, f"{prefix}{normal(name)}/"))
            elif name.lower() not in FOREIGN_FILES:
                yield prefix + normal(name), entry.path
    for path, below in inner:
        yield from walk(path, below)


def _all_places(raw_dir: Path, names: Sequence[str], ids: Sequence[str]) -> Iterator[tuple[str, Place]]:
    """Yield the key and the place of every image of the option `images`; a folder given twice counts once."""
    seen = set()
    for name in names:
        pattern = str(raw_dir / name)
        paths = [pattern]
        if not os.path.exists(pattern) and glob.has_magic(name):  # noqa: PTH110
            paths = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207
        if not paths or not os.path.exists(paths[0]):  # noqa: PTH110
            raise _no_folder(raw_dir, name)
        base = _constant_part(pattern) if len(paths) > 1 or paths[0] != pattern else ""
        for path in (os.path.normpath(path) for path in paths):
            if path in seen:
                continue
            seen.add(path)
            if os.path.isdir(path):  # noqa: PTH112
                for key, file in walk(path):
                    yield key, (file, "")
            elif containers.is_container(path):
                for key, member in containers.members(path, ids):
                    yield normal(key), (path, member)
            else:
                yield normal(os.path.relpath(path, base or str(raw_dir))), (path, "")


def _constant_part(pattern: str) -> str:
    """Return the folder of a glob in front of its first wildcard."""
    parts = pattern.split(os.sep)
    fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return os.sep.join(parts[:fixed]) or os.sep


def _of_suffix(places: list[Place], suffix: str) -> Place | list[Place]:
    """Return the place whose suffix is the id's, upper or lower case, where there is one alone."""
    same = [place for place in places if split_suffix(place[1] or place[0])[1] == suffix]
    return same[0] if len(same) == 1 else places


def _by_name(raw_dir: Path, exact: dict[str, Place | list[Place]]) -> dict[str, list[tuple[str, Place]]]:
    """Return (path in the raw folder without suffix, place) of the images of each bare name, in small letters."""
    result: dict[str, list[tuple[str, Place]]] = {}
    start = normal(str(raw_dir)).rstrip("/") + "/"
    for key, held in exact.items():
        for place in held if isinstance(held, list) else [held]:
            path = key if place[1] else normal(place[0]).removeprefix(start)
            stem, suffix = split_suffix(path)
            if suffix not in NO_IMAGES:
                result.setdefault(stem.rpartition("/")[2].casefold(), []).append((stem, place))
    return result


def _elsewhere(key: str, by_name: dict[str, list[tuple[str, Place]]]) -> Place | list[Place] | None:
    """Return the image whose path ends as the id does, or whose whole path the id ends with; upper case may differ."""
    stem, suffix = split_suffix(key)
    stem = stem if suffix in SUFFIXES else key
    candidates = by_name.get(stem.rpartition("/")[2].casefold(), [])
    for fold in (str, str.casefold):
        wanted = "/" + fold(stem).strip("/")
        fitting = [
            place
            for path, place in candidates
            if ("/" + fold(path)).endswith(wanted) or wanted.endswith("/" + fold(path))
        ]
        if fitting:
            chosen = _of_suffix(fitting, suffix) if len(fitting) > 1 else fitting[0]
            return chosen
    return None


def _ambiguous(raw_dir: Path, id_: str, where: str, places: list[Place]) -> FoldwiseError:
    names = [os.path.relpath(path, raw_dir) + (f"[{member}]" if member else "") for path, member in places]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return FoldwiseError(
        f"{where}: {len(names)} images answer the id {id_!r}: {', '.join(names[:3])}{more}; expected one: name their "
        "folder by competition.options.images, or give the ids their folder or suffix"
    )


def _missing(
    names: Sequence[str], missing: Sequence[tuple[str, str]], n_ids: int, exact: dict[str, Place | list[Place]]
) -> FoldwiseError:
    first, where = missing[0]
    keys = [key for key in exact if split_suffix(key)[1] not in NO_IMAGES]
    several = ""
    if len(missing) > 1:
        others = ", ".join(f"{id_!r} ({place})" for id_, place in missing[1:4])
        several = f"; {len(missing)} of {n_ids} ids have none, also {others}{', ...' if len(missing) > 4 else ''}"
    if not keys:
        held = f"holds no image, but {', '.join(list(exact)[:5])}" if exact else "is empty"
        there = f"it {held}; competition.options.images names the folder, a list of folders or a glob"
    else:
        there = f"there are {len(keys):,} images, the nearest names are {', '.join(map(repr, _near(first, keys)))}"
    return FoldwiseError(f"{where}: no image of {first!r} in {', '.join(names)}{several}; {there}")


def _near(name: str, keys: Iterable[str]) -> list[str]:
    """Return up to three names like the given one; of very many, only those next to it in order are compared."""
    ordered = sorted(keys)
    at = bisect.bisect(ordered, name)
    some = ordered[max(0, at - 50) : at + 50] + ordered[:: max(1, len(ordered) // 500)]
    bare = {split_suffix(key)[0].rpartition("/")[2]: key for key in reversed(some)}
    near = difflib.get_close_matches(split_suffix(name)[0].rpartition("/")[2], bare, n=3, cutoff=0.6)
    return [bare[stem] for stem in near] or ordered[:3]


def _no_folder(raw_dir: Path, name: str) -> FoldwiseError:
    held = sorted(path.name + ("/" if path.is_dir() else "") for path in raw_dir.iterdir() if path.name[0] != ".")
    near = difflib.get_close_matches(name, [one.rstrip("/") for one in held], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return FoldwiseError(
        f"competition.options.images: there is no {name!r} in {raw_dir}{hint}; it holds {', '.join(held[:10])}"
        f"{', ...' if len(held) > 10 else ''}; expected a folder, a list of folders, a glob, or a parquet, HDF5 or zip "
        "file"
    )
