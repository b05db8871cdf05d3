"""An image in several files: a folder of slices, such as a DICOM series, whose slices are the pages of one sample."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from foldwise.competitions.folder.decoded import Undecodable, chosen_pages
from foldwise.competitions.folder.file_names import NO_IMAGES, bare_key, normal, split_suffix
from foldwise.competitions.folder.headers import kind_of
from foldwise.competitions.folder.image_rules import ImageRules
from foldwise.storage import is_foreign_name

START = 4096  # bytes that show the kind of a file
POSITION = ["ImagePositionPatient", "ImageOrientationPatient", "InstanceNumber"]


def folders_of_slices(roots: Iterable[str]) -> dict[str, list[str]]:
    """Return the folders below the roots that hold image files, by bare name, each path with a slash at its end."""
    found: dict[str, list[str]] = {}
    for root in roots:
        for folder, inner, files in os.walk(root):
            inner.sort()
            if files and folder != root and _slices(folder):
                found.setdefault(bare_key(normal(folder)), []).append(f"{folder}/")
    return found


def chosen_slices(folder: str, rules: ImageRules, name: str) -> tuple[list[str], ImageRules]:
    """Return the paths of the slices that the rules choose, in their order, and the rules for each of these files.

    DICOM files lie in the order of their positions along the normal of their planes (PS3.3 C.7.6.2.1.1), where a
    position is missing by their instance numbers; others, and those without either, by name. Raises FoldwiseError
    where the rules leave open which slices are meant, Undecodable for a folder without images.
    """
    paths = _slices(folder)
    if not paths:
        raise Undecodable("a folder without images")
    if len(paths) == 1:  # its own pages are the slices
        return paths, rules
    wanted = chosen_pages(len(paths), rules, name)
    paths = _in_order(paths)
    return [paths[i] for i in wanted], dataclasses.replace(rules, pages=None, slices=None)


def _slices(folder: str) -> list[str]:
    """Return the paths of the image files directly in a folder, by name, numbers in names by value."""
    with os.scandir(folder) as entries:
        paths = [entry.path for entry in entries if _may_be_slice(entry)]
    return sorted(paths, key=_natural)


def _may_be_slice(entry: os.DirEntry[str]) -> bool:
    if entry.name[0] == "." or is_foreign_name(entry.name) or split_suffix(entry.name)[1] in NO_IMAGES:
        return False
    return entry.is_file() and entry.name.upper() != "DICOMDIR"


def _natural(path: str) -> list[tuple[int, str]]:
    """Return a key that sorts slice_2 before slice_10."""
    parts = re.split(r"(\d+)", Path(path).name)
    return [(int(part), "") if part.isdigit() else (0, part) for part in parts]


def _in_order(paths: list[str]) -> list[str]:
    with Path(paths[0]).open("rb") as file:
        is_dicom = kind_of(file.read(START), paths[0]) == "dicom"
    if not is_dicom:
        return paths
    import pydicom

    headers: list[Any] = []
    for path in paths:
        try:
            headers.append(pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=POSITION))
        except Exception as error:  # pydicom has errors of many kinds for damaged files
            raise Undecodable(f"{Path(path).name}: {type(error).__name__}: {error}") from error
    for place in (_along_normal, _instance):
        places = [position for header in headers if (position := place(header)) is not None]
        if len(places) == len(paths):
            return [path for _, path in sorted(zip(places, paths, strict=True), key=lambda pair: pair[0])]
    return paths


def _along_normal(header: Any) -> float | None:
    """Return the position (mm) of a slice along the normal of its plane; None where the header has none."""
    position, orientation = header.get("ImagePositionPatient"), header.get("ImageOrientationPatient")
    if not position or not orientation or len(position) != 3 or len(orientation) != 6:
        return None
    row, column = np.array(orientation, float).reshape(2, 3)
    return float(np.cross(row, column) @ np.array(position, float))


def _instance(header: Any) -> int | None:
    number = header.get("InstanceNumber")
    return None if number is None else int(number)
