"""Find the image of each id: one walk through the folders, then a look-up for each id."""

from __future__ import annotations

import bisect
import difflib
import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from foldwise.competitions.folder import containers
from foldwise.competitions.folder.file_names import NO_IMAGES, SUFFIXES, normal, split_suffix, walk
from foldwise.competitions.folder.image_rules import ImageFile
from foldwise.errors import FoldwiseError

Place = tuple[str, str]  # the path of a file, and the member of a container or ""


@dataclass
class Names:
    """The places of each name; those that share a name are kept apart, since a million names have one each."""

    first: dict[str, Place] = field(default_factory=dict)
    more: dict[str, list[Place]] = field(default_factory=dict)

    def add(self, name: str, place: Place) -> None:
        """Add a place of a name."""
        if self.first.setdefault(name, place) is not place:
            self.more.setdefault(name, []).append(place)

    def get(self, name: str) -> list[Place]:
        """Return all places of a name."""
        place = self.first.get(name)
        return [] if place is None else [place, *self.more.get(name, ())] if self.more else [place]

    def items(self) -> Iterator[tuple[str, Place]]:
        """Yield every name with each of its places."""
        yield from self.first.items()
        for name, places in self.more.items():
            for place in places:
                yield name, place


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
    folders = [images] if isinstance(images, str) else list(images)
    exact, stems = Names(), Names()
    for name, place in _all_places(raw_dir, folders, ids):
        exact.add(name, place)
        stem, suffix = split_suffix(name)
        if suffix not in NO_IMAGES:
            stems.add(stem, place)
    by_name: dict[str, list[tuple[str, Place]]] | None = None
    found: list[ImageFile] = []
    missing: list[int] = []
    for i, id_ in enumerate(ids):
        name = normal(id_)
        places = exact.get(name) or stems.get(name) or _other_suffix(name, stems)
        if not places:
            by_name = _by_name(raw_dir, exact) if by_name is None else by_name
            places = _elsewhere(name, by_name)
        if len(places) > 1:
            raise _ambiguous(raw_dir, id_, where[i], places)
        if places:
            found.append(ImageFile(places[0][0], id_, where[i], places[0][1]))
        else:
            missing.append(i)
    if missing:
        raise _missing(folders, [(ids[i], where[i]) for i in missing], len(ids), exact)
    return found


def ids_of_images(folder: Path) -> list[str]:
    """Return an id for each image file in a folder and its sub-folders: its path there without suffix, in order."""
    return sorted(stem for stem, suffix in (split_suffix(name) for name, _ in walk(str(folder))) if suffix in SUFFIXES)


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
    parts = Path(pattern).parts
    fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return str(Path(*parts[:fixed]))


def _other_suffix(name: str, stems: Names) -> list[Place]:
    """Return the images of a name whose image suffix is another than theirs, or differs in upper and lower case."""
    stem, suffix = split_suffix(name)
    return _of_suffix(stems.get(stem), suffix) if suffix in SUFFIXES else []


def _of_suffix(places: list[Place], suffix: str) -> list[Place]:
    """Return the places with a suffix, upper or lower case; all of them where none or several have it."""
    same = [place for place in places if split_suffix(place[1] or place[0])[1] == suffix]
    return same if len(same) == 1 else places


def _by_name(raw_dir: Path, exact: Names) -> dict[str, list[tuple[str, Place]]]:
    """Return (path in the raw folder without suffix, place) of the images of each bare name, in small letters."""
    result: dict[str, list[tuple[str, Place]]] = {}
    start = normal(str(raw_dir)).rstrip("/") + "/"
    for name, place in exact.items():
        stem, suffix = split_suffix(name if place[1] else normal(place[0]).removeprefix(start))
        if suffix not in NO_IMAGES:
            result.setdefault(stem.rpartition("/")[2].casefold(), []).append((stem, place))
    return result


def _elsewhere(name: str, by_name: dict[str, list[tuple[str, Place]]]) -> list[Place]:
    """Return the images whose path ends as the id does, or whose whole path the id ends with; upper case may differ."""
    stem, suffix = split_suffix(name)
    stem = stem if suffix in SUFFIXES else name
    candidates = by_name.get(stem.rpartition("/")[2].casefold(), [])
    for fold in (str, str.casefold):
        wanted = "/" + fold(stem).strip("/")
        fitting = [
            place
            for path, place in candidates
            if ("/" + fold(path)).endswith(wanted) or wanted.endswith("/" + fold(path))
        ]
        if fitting:
            return _of_suffix(fitting, suffix)
    return []


def _ambiguous(raw_dir: Path, id_: str, where: str, places: list[Place]) -> FoldwiseError:
    names = [os.path.relpath(path, raw_dir) + (f"[{member}]" if member else "") for path, member in places]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return FoldwiseError(
        f"{where}: {len(names)} images answer the id {id_!r}: {', '.join(names[:3])}{more}; expected one: name their "
        "folder by competition.options.images, or give the ids their folder or suffix"
    )


def _missing(folders: Sequence[str], missing: Sequence[tuple[str, str]], n_ids: int, exact: Names) -> FoldwiseError:
    first, where = missing[0]
    names = [name for name in exact.first if split_suffix(name)[1] not in NO_IMAGES]
    several = ""
    if len(missing) > 1:
        others = ", ".join(f"{id_!r} ({place})" for id_, place in missing[1:4])
        several = f"; {len(missing):,} of {n_ids:,} ids have none, also {others}{', ...' if len(missing) > 4 else ''}"
    if names:
        there = f"there are {len(names):,} images, the nearest names are {', '.join(map(repr, _near(first, names)))}"
    else:
        held = ", ".join(list(exact.first)[:5]) or "nothing"
        there = f"there is {held}; competition.options.images names the folder, a list of folders or a glob"
    return FoldwiseError(f"{where}: no image of {first!r} in {', '.join(folders)}{several}; {there}")


def _near(name: str, names: Sequence[str]) -> list[str]:
    """Return up to three names like the given one; of very many, only those next to it in order are compared."""
    ordered = sorted(names)
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
