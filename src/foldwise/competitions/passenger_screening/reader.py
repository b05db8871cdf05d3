"""Passenger screening: which of 17 zones of a body hide a threat, in 16 millimetre-wave views of each scan."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from foldwise.competitions.passenger_screening import outlines, simulator, tables
from foldwise.competitions.passenger_screening.crops import MIRROR, VIEWS, ZONES, Crop, mirror_order
from foldwise.competitions.passenger_screening.scans import Images, NoSuchScan, Plan, Scan, read_scan
from foldwise.competitions.passenger_screening.tables import Box
from foldwise.data.records import Record, Records
from foldwise.data.structure import Mirror, Structure
from foldwise.errors import FoldwiseError
from foldwise.processes import Spread, spread_here
from foldwise.progress import track

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

VERSION = 1
SOURCES: dict[str, Callable[..., None]] = {"simulated": simulator.simulate}
RESUMES = True  # see foldwise.competitions
FILES = ("persons",)
TARGET = "threat"
LOCAL_SCANS, REMOTE_SCANS = 400, 8  # with so many scans to cut, several processes are worth their start


def read(
    raw_dir: Path,
    work_dir: Path | None = None,
    spread: Spread = spread_here,
    *,
    layout: Literal["zone", "region", "scan"] = "zone",
    suffix: Literal["aps", "a3daps"] = "aps",
    side: Annotated[int, Field(ge=8, le=512)] = 32,
    dtype: Images = "uint8",
    gamma: Annotated[float, Field(gt=0, le=4)] = 0.5,
    zones: tuple[tuple[Box | None, ...], ...] | None = None,
    regions: dict[str, tuple[Box, ...]] | None = None,
    slots: Annotated[int, Field(ge=1, le=VIEWS)] | None = None,
    groups: Literal["persons", "auto", "scan"] = "persons",
    persons: str = "persons.csv",
    damaged: Literal["fatal", "skip"] = "fatal",
    raw_url: str | None = None,
) -> Records:
    """Read `stage1_labels.csv`, the sample submission and the scan files, which may lie in folders of their own.

    layout: zone, a sample is a zone in the views that show it; region, an image holds the crops of four regions
        of the body and answers all 17 zones; scan, it holds the 16 whole views.
    suffix: aps (16 views), or a3daps (every fourth of its 64 views).
    side: pixels; crops are side x side, whole views side wide and 5/4 side high.
    dtype, gamma: a pixel is (word / white) ** gamma, with white so that a thousandth of a scan's words is
        brighter; uint8 stores 255 times that, float16 the number itself, which may exceed 1.
    zones: for each zone its slots: [view, left, top, right, bottom] in a scan of 512 x 660, or null (empty). By
        default derived from the measured threat boxes, as the competition's YAML has it.
    regions: for each region (its name in `crops.REGIONS`) such boxes.
    slots: keep so many of the slots in the middle; as odd as their number in `zones`.
    groups: who is on a scan, who must not be in two folds: persons, as in the CSV; auto, scans are clustered by
        the outline of the body (people.png shows the clusters); scan, each scan is a group, and the score is
        optimistic if one person was scanned twice.
    persons: CSV `scan,person`, in the raw folder or anywhere. Where it is absent, each scan is a group.
    damaged: what a scan that is missing or cannot be read means: fatal, or skip, which leaves it out of the
        training data and gives test scans empty views.
    raw_url: the scans, and CSVs that are not in the raw folder, lie below this URL (s3://, gs://, file://, ...).

    Rows are scans in the order of their names, each with zones 1 to 17. Columns: threat (train), scan, group,
    zone, and angle_0, ... (layout zone): degrees of the view in each slot, NaN in empty ones.
    """
    plan, structure = _plan(layout, side, dtype, gamma, zones, regions, slots)
    csv = tables.Csv(raw_dir, work_dir or Path(tempfile.mkdtemp(prefix="foldwise-")), raw_url)
    labels = csv.require("stage1_labels.csv", "labels")
    sample = csv.require("*sample_submission.csv", "sample submission")
    train, test = tables.read_zones(labels), tables.read_zones(sample)
    files = tables.scan_files(raw_dir, raw_url, suffix)
    _check_unlabelled(files, {*train, *test}, damaged)
    names, sheet = [*train, *test], csv.work_dir / "people.png"
    if groups == "auto":
        present = {name: files[name] for name in names if name in files}
        group_of = outlines.people(present, sheet, partial(spread, here=_is_alone(len(present), raw_url)))
    else:
        group_of = tables.read_persons(csv, persons if groups == "persons" else None, names)

    def records(split: str, zones_of: dict[str, list[float]], where: str) -> Iterator[Record]:
        scans = [
            Scan(name, files.get(name, f"{name}.{suffix}, of {where}"), csv.work_dir / f"{name}.npy")
            for name in zones_of
        ]
        for scan, images in _cut_scans(plan, scans, split, damaged, raw_url, spread):
            group = group_of.get(scan.name, scan.name)
            yield from _rows(plan, scan, images, group, zones_of[scan.name] if split == "train" else None)

    return Records(
        task="binary",
        targets=[TARGET],
        train=records("train", train, labels.name),
        test=records("test", test, sample.name),
        auxiliary=["zone", *(f"angle_{slot}" for slot in range(plan.shape[1]) if layout == "zone")],
        sample_submission=sample,
        pictures=[sheet] if groups == "auto" else [],
        structure=structure,
    )


def read_new(
    raw_dir: Path,
    *,
    new_images: str | None,
    new_sample: Path | None,
    targets: Sequence[str],
    category_names: Mapping[str, Sequence[str]],
    **options: Any,
) -> Iterator[Record]:
    """Return the rows of new scans, cut by the options of `read`; they need no labels.

    The scans are those of a sample submission: `new_sample`, or the one in `raw_dir` where `new_images` is None.
    Without one they are all scans in the folder, in the order of their names. Persons count in training alone.

    Raises FoldwiseError where the folder holds no scan, and where it lacks scans of the sample (unless damaged=skip).
    """
    plan, _ = _plan(*(options[name] for name in ("layout", "side", "dtype", "gamma", "zones", "regions", "slots")))
    suffix, damaged = options["suffix"], options["damaged"]
    files = tables.scan_files(raw_dir / (new_images or "."), None, suffix)
    if not files:
        raise FoldwiseError(f"{raw_dir}: expected scans (.{suffix}), found none")
    sample = new_sample or (None if new_images else tables.Csv(raw_dir, raw_dir, None).find("*sample_submission.csv"))
    names = sorted(files) if sample is None else list(tables.read_zones(sample))
    absent = [name for name in names if name not in files]
    if absent and damaged == "fatal":
        raise FoldwiseError(
            f"{raw_dir}: {len(absent)} of {len(names)} scans are missing, for example {absent[0]}.{suffix}; "
            "competition.options.damaged=skip gives them empty views"
        )
    with tempfile.TemporaryDirectory(prefix="foldwise-") as parts:
        scans = [Scan(name, files.get(name, f"{name}.{suffix}"), Path(parts, f"{name}.npy")) for name in names]
        for scan, images in _cut_scans(plan, scans, "test", damaged, None):
            yield from _rows(plan, scan, images, scan.name, None)


def submission(predictions: pd.DataFrame, sample: pd.DataFrame, /, **options: Any) -> pd.DataFrame:
    """Return `Id,Probability`."""
    import pandas as pd

    return pd.DataFrame({"Id": predictions["id"], "Probability": predictions[TARGET]})


def truth(solution: pd.DataFrame, targets: list[str], **options: Any) -> np.ndarray:
    """Return the true labels (n, 1) of `solution.csv`."""
    return solution[["Probability"]].to_numpy(np.float64)


def _plan(
    layout: str,
    side: int,
    dtype: Images,
    gamma: float,
    zones: tuple[tuple[Box | None, ...], ...] | None,
    regions: dict[str, tuple[Box, ...]] | None,
    slots: int | None,
) -> tuple[Plan, Structure]:
    """Return what to cut out of a scan, and the structure of the samples that it becomes."""
    categories, zone_mirror = {"zone": ZONES}, {"zone": MIRROR}
    if layout == "zone":
        table = tables.zone_crops(zones, slots)
        n = len(table[0])
        plan = Plan(tuple(crop for row in table for crop in row), (ZONES, n, side), side, dtype, gamma)
        return plan, Structure(1, categories, Mirror(tuple(reversed(range(n))), None, zone_mirror))
    outputs, parts = tuple(zone - 1 for zone in MIRROR), {}
    if layout == "scan":
        crops = [Crop(view, 0, 0, 512, 660) for view in range(VIEWS)]
        order, rows = mirror_order(crops), side * 5 // 4
    else:
        crops, order, rows = [], [], side
        for name, members in tables.region_crops(regions).items():
            first, n = len(crops), len(members.crops)
            parts[name] = {"slots": [*range(first, first + n)], "outputs": [zone - 1 for zone in members.zones]}
            order += [first + k for k in mirror_order(members.crops)]
            crops += members.crops
    plan = Plan(tuple(crops), (1, len(crops), rows), side, dtype, gamma)
    return plan, Structure(ZONES, categories, Mirror(tuple(order), outputs, zone_mirror), parts)


def _cut_scans(
    plan: Plan, scans: list[Scan], split: str, damaged: str, raw_url: str | None, spread: Spread = spread_here
) -> Iterator[tuple[Scan, np.ndarray | None]]:
    """Cut every scan, several at once; yield each with its images, or None for a damaged test scan.

    A damaged training scan is left out. Raises FoldwiseError for a damaged scan unless those are to be skipped.
    """
    missing = [scan.location for scan in scans if not scan.part.is_file()]
    n_done = len(scans) - len(missing)
    log.info("%s: %d scans%s", split, len(scans), f", {n_done} of them are done already" if n_done else "")
    read_in = spread(partial(read_scan, plan), missing, here=_is_alone(len(missing), raw_url))
    for scan in track(scans, f"preparing {split} scans", len(scans)):
        if scan.part.is_file():
            yield scan, np.load(scan.part)
            continue
        found = next(read_in)
        if not isinstance(found, FoldwiseError):
            scan.keep(found)
            yield scan, found
            continue
        if isinstance(found, NoSuchScan) and Path(scan.location).is_file():
            raise FoldwiseError(
                f"{found} on a worker's machine; put the scans into a folder that all machines see, or below "
                "competition.options.raw_url, or prepare with execution=local"
            )
        _report(str(found), scan.name, split, damaged)
        if split == "test":
            yield scan, None


def _rows(
    plan: Plan, scan: Scan, images: np.ndarray | None, group: str, labels: list[float] | None
) -> Iterator[Record]:
    """Yield the row of each zone of a scan; without images all its views are empty.

    images: as the plan has them, (17, ...) or (1, ...); labels: of the zones, (17,), None for a test scan.
    """
    angles = _angles(plan)
    if images is None:
        images = np.zeros((*plan.shape, plan.columns, 1), plan.dtype)
        angles = None if angles is None else np.full_like(angles, np.nan)
    rows_per_image = ZONES // len(images)
    for row in range(ZONES):
        columns: dict[str, Any] = {"scan": scan.name, "group": group, "zone": row + 1}
        if angles is not None:
            columns |= {f"angle_{slot}": float(angle) for slot, angle in enumerate(angles[row])}
        if labels is not None:
            columns[TARGET] = labels[row]
        image = images[row // rows_per_image] if row % rows_per_image == 0 else None
        yield Record(f"{scan.name}_Zone{row + 1}", image, columns, scan.location)


def _angles(plan: Plan) -> np.ndarray | None:
    """Return the degrees of the view in each slot of each zone, (17, slots), NaN in empty slots.

    None if an image is not of one zone.
    """
    if plan.shape[0] != ZONES:
        return None
    degrees = [360 / VIEWS * crop.view if crop else np.nan for crop in plan.crops]
    return np.array(degrees).reshape(plan.shape[:2])


def _is_alone(n_scans: int, raw_url: str | None) -> bool:
    """Return whether other processes are not worth their start; only this process sees what is at memory://."""
    return (raw_url or "").startswith("memory:") or n_scans < (REMOTE_SCANS if raw_url else LOCAL_SCANS)


def _report(problem: str, scan: str, split: str, damaged: str) -> None:
    """Log the problem of a scan that is to be skipped; raise FoldwiseError if it is fatal."""
    if damaged == "fatal":
        raise FoldwiseError(f"{problem}\ncompetition.options.damaged=skip goes on without such scans")
    log.warning("skipped %s scan %s: %s", split, scan, problem)
    if split == "test":
        log.warning(
            "%s keeps its rows, with empty views: its probabilities are what models predict without any view", scan
        )


def _check_unlabelled(files: dict[str, str], known: set[str], damaged: str) -> None:
    """Refuse scans that neither the labels nor the sample submission knows; report them where that is allowed."""
    extra = sorted(set(files) - known)
    if extra:
        problem = (
            f"{files[extra[0]]}: the scan has no label and is not in the sample submission"
            f"{f', like {len(extra) - 1} others' if len(extra) > 1 else ''}; remove it, or unpack the host's CSVs again"
        )
        _report(problem, extra[0], "unlabelled", damaged)
