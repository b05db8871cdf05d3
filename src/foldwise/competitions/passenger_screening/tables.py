"""The tables of passenger screening: labels, persons, files, and the crop tables of the YAML."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Annotated, NamedTuple

from pydantic import Field

from foldwise.competitions.passenger_screening.crops import (
    HEIGHT,
    MIRROR,
    REGIONS,
    VIEWS,
    WIDTH,
    ZONES,
    Crop,
    mirror_crop,
    region_table,
    zone_table,
)
from foldwise.data import remote
from foldwise.errors import ConfigError, FoldwiseError, choices
from foldwise.settings import is_folder_name
from foldwise.storage import check_widths, clear_csv_errors, written_aside

log = logging.getLogger(__name__)

Column = Annotated[int, Field(ge=0, le=WIDTH)]
Row = Annotated[int, Field(ge=0, le=HEIGHT)]
Box = tuple[Annotated[int, Field(ge=0, lt=VIEWS)], Column, Row, Column, Row]  # view, left, top, right, bottom


class Region(NamedTuple):
    zones: tuple[int, ...]
    crops: list[Crop]


@dataclass(frozen=True)
class Csv:
    """Where the CSVs are: in the raw folder, or below a URL, from where they are copied to the work folder."""

    raw_dir: Path
    work_dir: Path
    raw_url: str | None

    def find(self, pattern: str) -> Path | None:
        """Return the first file of that name in the raw folder or its folders, else the one below the URL."""
        local = sorted(path for path in self.raw_dir.rglob(pattern) if path.is_file())
        if local or self.raw_url is None:
            return local[0] if local else None
        for name in remote.listing(self.raw_url):
            if fnmatch(PurePosixPath(name).name, pattern):
                url = f"{self.raw_url.rstrip('/')}/{name}"
                found, path = remote.filesystem(url)
                with remote.clear_errors(url):
                    content = found.cat_file(path)
                copy = self.work_dir / PurePosixPath(name).name
                with written_aside(copy) as aside:
                    aside.write_bytes(content)
                return copy
        return None

    def require(self, pattern: str, what: str) -> Path:
        """Return the file as `find` does; raise FoldwiseError if there is none."""
        path = self.find(pattern)
        if path is None:
            raise FoldwiseError(
                f"{self.raw_url or self.raw_dir}: {pattern} is missing ({what}); unpack the host's CSVs there"
            )
        return path


def read_zones(path: Path) -> dict[str, list[float]]:
    """Return the probability of each zone (17,) by the name of the scan, in the order of the names.

    Raises FoldwiseError, naming the row, for other columns, an Id that is not <scan>_Zone<1 to 17> or not
    unique, and a scan without all its zones.
    """
    import pandas as pd

    with clear_csv_errors(path.name):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    check_widths(table, path.name)
    if list(table.columns) != ["Id", "Probability"]:
        raise FoldwiseError(f"{path.name}: expected the columns Id, Probability, received {', '.join(table.columns)}")
    if table.empty:
        raise FoldwiseError(f"{path.name}: there is no row below the header")
    values: dict[str, dict[int, float]] = {}
    numbers = pd.to_numeric(table["Probability"], errors="coerce")
    for row, (id_, value) in enumerate(zip(table["Id"], numbers, strict=True), start=1):
        match = re.fullmatch(r"([^/\\]+)_Zone(\d{1,4})", id_)
        if match is None or not 1 <= int(match[2]) <= ZONES:
            raise FoldwiseError(f"{path.name}, row {row}: the Id is {id_!r}, expected <scan>_Zone<k> with k of 1 to 17")
        if not is_folder_name(match[1]):
            raise FoldwiseError(
                f"{path.name}, row {row}: the scan {match[1]!r} is no name of a file: expected no slash, and no dot at "
                "its beginning"
            )
        of_scan = values.setdefault(match[1], {})
        if int(match[2]) in of_scan:
            raise FoldwiseError(f"{path.name}, row {row}: duplicate Id {id_!r}; ids must be unique")
        of_scan[int(match[2])] = float(value)
    for scan, of_scan in values.items():
        absent = sorted({*range(1, ZONES + 1)} - set(of_scan))
        if absent:
            raise FoldwiseError(
                f"{path.name}: the scan {scan!r} has no row for zone {absent[0]}; expected {ZONES} rows for each scan"
            )
    return {scan: [values[scan][zone] for zone in range(1, ZONES + 1)] for scan in sorted(values)}


def scan_files(raw_dir: Path, raw_url: str | None, suffix: str) -> dict[str, str]:
    """Return the path or URL of each scan by its name."""
    if raw_url is not None:
        base = raw_url.rstrip("/")
        names = [name for name in remote.listing(raw_url) if name.endswith(f".{suffix}")]
        return {PurePosixPath(name).stem: f"{base}/{name}" for name in names}
    return {path.stem: str(path) for path in sorted(raw_dir.rglob(f"*.{suffix}"))}


def read_persons(csv: Csv, persons: str | None, scans: list[str]) -> dict[str, str]:
    """Return the person of each scan by its name, or the scan itself without a CSV.

    persons: path of the CSV `scan,person`, or its name in the raw folder; None: each scan is a group.

    Raises FoldwiseError for a missing column, a duplicate scan and a scan without a person.
    """
    import pandas as pd

    path = None
    if persons is not None:
        path = Path(persons) if Path(persons).is_file() else csv.find(Path(persons).name)
    if path is None:
        log.warning(
            "%sfolds are grouped by scan, so the score is optimistic if persons were scanned twice; "
            "competition.options.groups=auto finds them by their outlines",
            "" if persons is None else f"{persons} is not there: ",
        )
        return {scan: scan for scan in scans}
    with clear_csv_errors(path.name):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    check_widths(table, path.name)
    for column in ("scan", "person"):
        if column not in table:
            raise FoldwiseError(f"{path.name}: the column {column!r} is missing; {choices(column, table.columns)}")
    if not table["scan"].is_unique:
        twice = table["scan"][table["scan"].duplicated()].iloc[0]
        raise FoldwiseError(f"{path.name}: duplicate scan {twice!r}")
    known = dict(zip(table["scan"], table["person"], strict=True))
    absent = [scan for scan in scans if not known.get(scan)]
    if absent:
        raise FoldwiseError(f"{path.name}: the person of the scan {absent[0]!r} is missing, and {len(absent) - 1} more")
    return known


def zone_crops(zones: tuple[tuple[Box | None, ...], ...] | None, slots: int | None) -> list[list[Crop | None]]:
    """Return the crops of each zone, checked: all of one number of slots, each the mirror of its partner's."""
    key = "competition.options.zones"
    table = zone_table() if zones is None else [[_crop(box, key) if box else None for box in row] for row in zones]
    sizes = {len(row) for row in table}
    if len(table) != ZONES or len(sizes) != 1:
        raise ConfigError(f"{key}: expected 17 lists of equally many slots, received {[len(row) for row in table]}")
    for zone, row in enumerate(table, start=1):
        if not any(row):
            raise ConfigError(f"{key}: zone {zone} has no crop")
        if [crop and mirror_crop(crop) for crop in reversed(row)] != table[MIRROR[zone - 1] - 1]:
            raise ConfigError(
                f"{key}: the slots of zone {zone} are not those of zone {MIRROR[zone - 1]} mirrored (from last to "
                f"first, view v as -v modulo {VIEWS}, left and right swapped)"
            )
    (n,) = sizes
    if slots is None:
        return table
    if slots > n or (n - slots) % 2:
        raise ConfigError(
            f"competition.options.slots={slots}: expected at most {n}, and as odd or even as it, so that the middle "
            "is kept"
        )
    edge = (n - slots) // 2
    return [row[edge : n - edge] for row in table]


def region_crops(regions: dict[str, tuple[Box, ...]] | None) -> dict[str, Region]:
    """Return the zones and the crops of each region, checked: every crop's mirror is there too."""
    key = "competition.options.regions"
    table = region_table() if regions is None else {n: [_crop(box, key) for box in row] for n, row in regions.items()}
    if sorted(table) != sorted(REGIONS):
        raise ConfigError(f"{key}: expected the regions {', '.join(REGIONS)}, received {', '.join(table)}")
    for name, crops in table.items():
        alone = [crop for crop in crops if mirror_crop(crop) not in crops]
        if alone or not crops:
            raise ConfigError(f"{key}: {name} has no crop that mirrors {list(alone[0]) if alone else 'another'}")
    return {name: Region(REGIONS[name], table[name]) for name in REGIONS}


def _crop(box: Box, key: str) -> Crop:
    crop = Crop(*box)
    if not (crop.x0 < crop.x1 and crop.y0 < crop.y1):
        raise ConfigError(f"{key}: {list(box)} is empty; expected [view, left, top, right, bottom]")
    return crop
