"""Passenger screening: which of 17 zones of a body hide a threat, in 16 millimetre-wave views of each scan."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from foldwise.competitions.passenger_screening import outlines, simulator, tables
from foldwise.competitions.passenger_screening.crops import MIRROR, VIEWS, ZONES, Crop, mirror_order
from foldwise.competitions.passenger_screening.scans import Images, Plan, Scan, prepared
from foldwise.competitions.passenger_screening.tables import Box
from foldwise.data.records import Record, Records
from foldwise.data.structure import structure_from
from foldwise.errors import FoldwiseError
from foldwise.processes import cores, in_processes
from foldwise.progress import track

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

VERSION = 1
SOURCES: dict[str, Callable[..., None]] = {"simulated": simulator.simulate}
RESUMES = True  # read() takes a folder in which what is done survives the death of the process
FILES = ("persons",)  # options that may name a file outside the raw folder, whose content decides the data too
TARGET = "threat"
LOCAL_SCANS, REMOTE_SCANS = 400, 8  # to be cut, from which on several processes pay for their start


def read(
    raw_dir: Path,
    work_dir: Path | None = None,
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
    groups: who is on a scan, which no fold may share: persons, as the CSV tells; auto, scans are clustered by the
        outline of the body (people.png shows the clusters); scan, each scan is a group, and the score is
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
    labels, sample = csv.found("stage1_labels.csv", "labels"), csv.found("*sample_submission.csv", "sample submission")
    train, test = tables.answers(labels), tables.answers(sample)
    files = tables.scan_files(raw_dir, raw_url, suffix)
    _check_unlabelled(files, {*train, *test}, damaged)
    people, sheet = [*train, *test], csv.work_dir / "people.png"
    if groups == "auto":
        there = {scan: files[scan] for scan in people if scan in files}
        group_of = outlines.people(there, sheet, _processes(len(there), raw_url))
    else:
        group_of = tables.groups(csv, persons if groups == "persons" else None, people)
    angles = _angles(plan) if layout == "zone" else None
    answered = ZONES // plan.shape[0]  # rows of the table that an image answers

    def records(split: str, scans: dict[str, list[float]], where: str) -> Iterator[Record]:
        parts = [Scan(files.get(scan, f"{scan}.{suffix}, of {where}"), csv.work_dir / f"{scan}.npy") for scan in scans]
        for scan, part, problem in zip(scans, parts, _all_prepared(plan, parts, split, raw_url), strict=True):
            if problem:
                _report(problem, scan, split, damaged)
                if split == "train":
                    continue
            images = np.zeros((plan.shape[0], *_image(plan)), plan.dtype) if problem else np.load(part.part)
            for row in range(ZONES):
                columns: dict[str, Any] = {"scan": scan, "group": group_of.get(scan, scan), "zone": row + 1}
                if angles is not None:
                    seen = np.full_like(angles[row], np.nan) if problem else angles[row]
                    columns |= {f"angle_{slot}": float(angle) for slot, angle in enumerate(seen)}
                if split == "train":
                    columns[TARGET] = scans[scan][row]
                image = images[row // answered] if row % answered == 0 else None
                yield Record(f"{scan}_Zone{row + 1}", image, columns, part.location)

    names = [] if angles is None else [f"angle_{slot}" for slot in range(angles.shape[1])]
    return Records(
        task="binary",
        targets=[TARGET],
        train=records("train", train, labels.name),
        test=records("test", test, sample.name),
        auxiliary=["zone", *names],
        sample_submission=sample,
        pictures=[sheet] if groups == "auto" else [],
        structure=structure_from({"rows_per_image": answered, "categories": {"zone": ZONES}} | structure),
    )


def submission(predictions: pd.DataFrame, sample: pd.DataFrame) -> pd.DataFrame:
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
) -> tuple[Plan, dict[str, Any]]:
    """Return what to cut out of a scan, and what mirroring and the regions are then."""
    categories = {"zone": list(MIRROR)}
    if layout == "zone":
        table = tables.zone_crops(zones, slots)
        crops = tuple(crop for row in table for crop in row)
        n = len(table[0])
        plan = Plan(crops, (ZONES, n, side), side, dtype, gamma)
        return plan, {"mirror": {"slots": list(range(n))[::-1], "categories": categories}}
    outputs = [zone - 1 for zone in MIRROR]
    if layout == "scan":
        whole = tuple(Crop(view, 0, 0, 512, 660) for view in range(VIEWS))
        plan = Plan(whole, (1, VIEWS, side * 5 // 4), side, dtype, gamma)
        slots_order = mirror_order(whole)
        return plan, {"mirror": {"slots": slots_order, "outputs": outputs, "categories": categories}}
    by_region = tables.region_crops(regions)
    flat: list[Crop] = []
    order: list[int] = []
    parts = {}
    for name, members in by_region.items():
        first = len(flat)
        parts[name] = {
            "slots": [first + k for k in range(len(members.crops))],
            "outputs": [zone - 1 for zone in members.zones],
        }
        order += [first + k for k in mirror_order(members.crops)]
        flat += members.crops
    plan = Plan(tuple(flat), (1, len(flat), side), side, dtype, gamma)
    return plan, {"mirror": {"slots": order, "outputs": outputs, "categories": categories}, "regions": parts}


def _image(plan: Plan) -> tuple[int, int, int, int]:
    return plan.shape[1], plan.shape[2], plan.columns, 1


def _angles(plan: Plan) -> np.ndarray:
    """The degrees of the view in each slot of each zone, (17, slots), NaN in empty slots."""
    degrees = [360 / VIEWS * crop.view if crop else np.nan for crop in plan.crops]
    return np.array(degrees).reshape(plan.shape[:2])


def _all_prepared(plan: Plan, scans: list[Scan], split: str, raw_url: str | None) -> Iterator[str]:
    """Cut every scan, several at once; yield what is wrong with each, or an empty string."""
    done = sum(scan.part.is_file() for scan in scans)
    log.info("%s: %d scans%s", split, len(scans), f", {done} of them are done already" if done else "")
    problems: Iterable[str] = in_processes(partial(prepared, plan), scans, _processes(len(scans) - done, raw_url))
    return track(problems, f"preparing {split} scans", len(scans))


def _processes(n_scans: int, raw_url: str | None) -> int:
    """How many processes pay for their start; memory:// is this process's own."""
    alone = (raw_url or "").startswith("memory:") or n_scans < (REMOTE_SCANS if raw_url else LOCAL_SCANS)
    return 1 if alone else cores()


def _report(problem: str, scan: str, split: str, damaged: str) -> None:
    if damaged == "fatal":
        raise FoldwiseError(f"{problem}\ncompetition.options.damaged=skip goes on without such scans")
    log.warning("skipped %s scan %s: %s", split, scan, problem)
    if split == "test":
        log.warning(
            "%s keeps its rows, with empty views: its probabilities are what models say of no view at all", scan
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
