"""Find the image of each id: one walk through the folders, then a look-up for each id."""

from __future__ import annotations

import bisect
import difflib
import gc
import glob
import os
from collections.abc import Sequence
from pathlib import Path

from foldwise.competitions.folder import containers
from foldwise.competitions.folder.file_names import NO_IMAGES, SUFFIXES, bare_key, normal, split_suffix, walk
from foldwise.competitions.folder.image_rules import ImageFile
from foldwise.competitions.folder.series import folders_of_slices
from foldwise.errors import FoldwiseError

Place = str | tuple[str, str, str]  # the path of a file; or that of a container, the member and its name
Table = dict[str, Place | list[Place]]  # by `bare_key`; a list where several files share it


def find_images(
    raw_dir: Path, images: str | Sequence[str], ids: Sequence[str], where: Sequence[str]
) -> list[ImageFile]:
    """Return the file of each id, in the order of the ids.

    images: a folder in `raw_dir` (with its sub-folders), a list of folders, a glob, or a file that holds images:
        parquet with a column of bytes, HDF5 with a dataset for each id, or zip.
    where: the place of each id in the tables, for messages.

    An id is a file's name or its path in the folder or in `raw_dir`, with or without a suffix, which may be another
    image suffix than the file's. Where several files share a name, one at exactly the id's place comes first; then
    the path decides, then upper and lower case, then the suffix. An id that no file answers may be the name of a folder
    of slices, or its path. Raises FoldwiseError for the ids without an image,
    all at once, and for an id that two files answer.
    """
    folders = [images] if isinstance(images, str) else list(images)
    collecting = gc.isenabled()
    gc.disable()  # a million new tuples would be looked through again and again
    try:
        return _find(raw_dir, folders, ids, where)
    finally:
        if collecting:
            gc.enable()


def _find(raw_dir: Path, folders: list[str], ids: Sequence[str], where: Sequence[str]) -> list[ImageFile]:
    roots = _roots(raw_dir, folders)
    table = _table(roots, ids)
    shared: dict[str, list[Place]] | None = None
    series: dict[str, list[str]] | None = None
    found: list[ImageFile] = []
    missing: list[int] = []
    for i, id_ in enumerate(ids):
        name = normal(id_)
        held = table.get(bare_key(name))
        if isinstance(held, str) and "/" not in name:
            found.append(ImageFile(held, id_, where[i]))
            continue
        if held is None:  # the id ends like a suffix, but the file has a suffix after that
            held = table.get(bare_key(f"{name}.png"))
        if isinstance(held, list) and shared is None:
            shared = _shared(raw_dir, roots, table)
        places = _choose(raw_dir, name, held if isinstance(held, list) else [held] if held else [], shared)
        if not places:
            series = folders_of_slices(root for _, root in roots) if series is None else series
            places = _choose(raw_dir, name, list(series.get(bare_key(name), [])), None)
        if len(places) > 1:
            raise _ambiguous(raw_dir, id_, where[i], places)
        if places:
            path, member = (places[0], "") if isinstance(places[0], str) else places[0][:2]
            found.append(ImageFile(path, id_, where[i], member))
        else:
            missing.append(i)
    if missing:
        raise _missing(raw_dir, folders, [(ids[i], where[i]) for i in missing], len(ids), table)
    return found


def ids_of_images(folder: Path, series: bool = False) -> list[str]:
    """Return an id for each image file in a folder and its sub-folders: its path there without suffix, in order.

    series: the files of a sub-folder that has several are the slices of one image, whose id is the folder's path.
    """
    held: dict[str, list[str]] = {}
    for entry in walk(str(folder)):
        stem, suffix = split_suffix(normal(os.path.relpath(entry.path, folder)))
        if suffix in SUFFIXES or (series and not suffix and "/" in stem):  # the files of a DICOM series may have none
            held.setdefault(stem.rpartition("/")[0], []).append(stem)
    series_of = {inner for inner, stems in held.items() if series and inner and len(stems) > 1}
    return sorted({inner if inner in series_of else stem for inner, stems in held.items() for stem in stems})


def _roots(raw_dir: Path, folders: list[str]) -> list[tuple[str, str]]:
    """Return (the folder that names are relative to, path) of all that the option `images` names; each path once."""
    found: dict[str, str] = {}
    for name in folders:
        path = raw_dir / name
        if path.exists():
            found.setdefault(os.path.normpath(path), str(path if path.is_dir() else path.parent))
            continue
        matching = sorted(glob.glob(str(path), recursive=True)) if glob.has_magic(name) else []  # noqa: PTH207
        if not matching:
            raise _no_folder(raw_dir, name)
        parts = path.parts
        fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
        for one in matching:
            found.setdefault(os.path.normpath(one), str(Path(*parts[:fixed])))
    # what another one contains is already walked through
    paths = {path for path in found if not any(str(above) in found for above in Path(path).parents)}
    return [(os.path.normpath(base), path) for path, base in found.items() if path in paths]


def _table(roots: list[tuple[str, str]], ids: Sequence[str]) -> Table:
    table: Table = {}
    for _, root in roots:
        if Path(root).is_dir():
            for entry in walk(root):
                name = entry.name
                at = name.rfind(".")
                suffix = name[at:].lower() if at > 0 else ""
                if suffix in NO_IMAGES and suffix != ".gz":
                    continue
                key = name[:at].lower() if suffix in SUFFIXES and name.isascii() else bare_key(name)
                if key in table:
                    _add(table, key, entry.path)
                else:
                    table[key] = entry.path
        elif containers.is_container(root):
            for name, member in containers.members(root, ids):
                _add(table, bare_key(normal(name)), (root, member, normal(name)))
        else:
            _add(table, bare_key(normal(root)), root)
    return table


def _add(table: Table, key: str, place: Place) -> None:
    held = table.get(key)
    if isinstance(held, list):
        held.append(place)
    else:
        table[key] = place if held is None else [held, place]


def _shared(raw_dir: Path, roots: list[tuple[str, str]], table: Table) -> dict[str, list[Place]]:
    """Return the files that share a bare name by each of their paths: in the folder and in `raw_dir`, with suffix
    and without."""
    result: dict[str, list[Place]] = {}
    bases = sorted({os.path.normpath(raw_dir), *(base for base, _ in roots)})
    for held in table.values():
        for place in held if isinstance(held, list) else ():
            path = _path_of(place)
            inside = (
                {path.removeprefix(normal(base) + "/") for base in bases if path.startswith(normal(base) + "/")}
                if isinstance(place, str)
                else {path}
            )
            for name in inside | {split_suffix(name)[0] for name in inside}:
                result.setdefault(name, []).append(place)
    return result


def _path_of(place: Place) -> str:
    """Return the path of a file, or the name of a member of a container."""
    return normal(place).rstrip("/") if isinstance(place, str) else place[2]


def _choose(raw_dir: Path, name: str, places: list[Place], shared: dict[str, list[Place]] | None) -> list[Place]:
    """Return the places that answer an id among those of its bare name: none, one, or several that are equally fit."""
    stem, suffix = split_suffix(name)
    stem = stem if suffix in SUFFIXES else name
    if len(places) > 1 and shared is not None:
        for key in (name, stem):
            if key in shared:
                return _of_suffix(shared[key], suffix)
    start = normal(str(raw_dir)).rstrip("/") + "/"
    for fold in (str, str.casefold):
        wanted = "/" + fold(stem).strip("/")
        paths = ["/" + fold(split_suffix(_path_of(place).removeprefix(start))[0]).lstrip("/") for place in places]
        fit = [p for p, path in zip(places, paths, strict=True) if path.endswith(wanted) or wanted.endswith(path)]
        if fit:
            return _of_suffix(fit, suffix)
    return []


def _of_suffix(places: list[Place], suffix: str) -> list[Place]:
    """Return the places with a suffix, upper or lower case; all of them where none or several have it."""
    same = [place for place in places if split_suffix(_path_of(place))[1] == suffix]
    return same if len(same) == 1 else places


def _ambiguous(raw_dir: Path, id_: str, where: str, places: list[Place]) -> FoldwiseError:
    names = sorted(_shown(raw_dir, place) for place in places)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return FoldwiseError(
        f"{where}: {len(names)} images answer the id {id_!r}: {', '.join(names[:3])}{more}; expected one: name their "
        "folder by competition.options.images, or give the ids their folder or suffix"
    )


def _shown(raw_dir: Path, place: Place) -> str:
    if isinstance(place, str):
        return os.path.relpath(place, raw_dir)
    return f"{os.path.relpath(place[0], raw_dir)}[{place[2]}]"


def _missing(
    raw_dir: Path, folders: Sequence[str], missing: Sequence[tuple[str, str]], n_ids: int, table: Table
) -> FoldwiseError:
    first, where = missing[0]
    several = ""
    if len(missing) > 1:
        others = ", ".join(f"{id_!r} ({place})" for id_, place in missing[1:4])
        several = f"; {len(missing):,} of {n_ids:,} ids have none, also {others}{', ...' if len(missing) > 4 else ''}"
    if table:
        n = sum(len(held) if isinstance(held, list) else 1 for held in table.values())
        near = [table[key] for key in _near(bare_key(normal(first)), list(table))]
        names = [repr(_shown(raw_dir, held[0] if isinstance(held, list) else held)) for held in near]
        there = f"there are {n:,} images, the nearest names are {', '.join(names)}"
    else:
        there = f"there is no image; {_holds(raw_dir)}; competition.options.images names a folder, several, or a glob"
    return FoldwiseError(f"{where}: no image of {first!r} in {', '.join(folders)}{several}; {there}")


def _near(key: str, keys: list[str]) -> list[str]:
    """Return three keys like the given one; of very many, only those next to it in order are compared."""
    ordered = sorted(keys)
    at = bisect.bisect(ordered, key)
    some = ordered[max(0, at - 50) : at + 50] + ordered[:: max(1, len(ordered) // 500)]
    return difflib.get_close_matches(key, list(dict.fromkeys(some)), n=3, cutoff=0.5) or ordered[:3]


def _holds(raw_dir: Path) -> str:
    held = sorted(path.name + ("/" if path.is_dir() else "") for path in raw_dir.iterdir() if path.name[0] != ".")
    return f"{raw_dir} holds {', '.join(held[:10])}{', ...' if len(held) > 10 else ''}"


def _no_folder(raw_dir: Path, name: str) -> FoldwiseError:
    near = difflib.get_close_matches(name, [path.name for path in raw_dir.iterdir()], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return FoldwiseError(
        f"competition.options.images={name}: there is no such folder or file{hint}; {_holds(raw_dir)}; expected a "
        "folder, a list of folders, a glob, or a parquet, HDF5 or zip file"
    )
