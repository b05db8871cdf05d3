"""Write passenger screening files with the look, size and difficulty of the real ones, which few people can download.

A person (build, relief, clothes, harmless things) is scanned several times, each time with another pose, other
folds and other threats. `benchmarks/passenger_realism.py` compares simulated figures with real ones.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field

from foldwise.competitions.passenger_screening import render, scan_format, things, volume
from foldwise.competitions.passenger_screening.body import Body, Build, draw_build, posed
from foldwise.competitions.usage import usage
from foldwise.processes import cores, in_processes

VERSION = 1
SMALLEST = (10, 4)  # n_train, n_test
SCANS, PEOPLE, TABLE = 1, 2, 3  # random streams
VIEWS = {"aps": 16, "a3daps": 64}
WHITE = 6.0  # the brightness, relative to a body's mean, that fills a word
# Scans with 0, 1, 2, 3 threats among the 1,147 labelled ones; relative frequency of a zone given a threat (the
# rates of zones 1 and 9 are .116 and .0785, .096 over all).
THREATS = (219, 303, 307, 318)
ZONE_RATES = {zone: {1: 0.116, 9: 0.0785}.get(zone, 0.0957) for zone in range(1, 18)}
THREAT_STRENGTH, CLUTTER_STRENGTH = 1.3, 0.7

WORTH_IT = 16  # full scans to draw, from which on several processes are faster

Suffix = Literal["aps", "a3daps", "a3d", "ahi"]


class Person(NamedTuple):
    """What stays the same from scan to scan."""

    build: Build
    things: list[things.Thing]
    bands: list[render.Band]


class Task(NamedTuple):
    """A scan to draw."""

    number: int
    name: str
    person: int
    zones: tuple[int, ...]  # with a threat


def simulate(
    raw_dir: Path,
    *,
    n_train: Annotated[int, Field(ge=SMALLEST[0])] = 1147,
    n_test: Annotated[int, Field(ge=SMALLEST[1])] = 100,
    seed: Annotated[int, Field(ge=0)] = 0,
    scans_per_person: Annotated[int, Field(ge=1)] = 5,
    suffixes: tuple[Suffix, ...] = ("aps",),
    scale: Literal[1, 2, 4] = 1,
) -> None:
    """Write scans, stage1_labels.csv, stage1_sample_submission.csv, persons.csv and solution.csv into raw_dir.

    n_train, n_test: scans; each answers 17 rows. Test scans show other people than training scans.
    scans_per_person: at most so many scans show one person.
    suffixes: the formats of each scan, in a folder each (`stage1_aps/`): aps (16 views, 10.8 MB a scan), a3daps
        (64 views, 43 MB), a3d (a small volume), ahi (complex, small).
    scale: 1 writes the host's size, 660 x 512; 2 and 4 a half and a quarter of it, for tests and benchmarks.

    The first two CSVs are laid out as the host's, byte for byte. persons.csv has `scan,person`; solution.csv
    `Id,Probability,Usage` for every test row, in the order of the sample. Scans are drawn by several processes;
    the same arguments give the same bytes, whatever the number of processes.
    """
    rng = np.random.default_rng([seed, TABLE])
    n = n_train + n_test
    names = [rng.bytes(16).hex() for _ in range(n)]
    people = _people(n_train, n_test, scans_per_person)
    labels = np.concatenate([draw_labels(rng, n_train), draw_labels(rng, n_test)])  # (n, 17)
    order = np.concatenate([rng.permutation(n_train), n_train + rng.permutation(n_test)])
    people = people[order]
    for suffix in suffixes:
        (raw_dir / f"stage1_{suffix}").mkdir()
    tasks = [Task(i, names[i], int(people[i]), tuple(np.flatnonzero(labels[i]) + 1)) for i in range(n)]
    processes = cores() if n * len(suffixes) / scale**2 > WORTH_IT else 1
    for _ in in_processes(partial(write_scan, raw_dir, seed, suffixes, scale), tasks, processes):
        pass
    _write_tables(raw_dir, names, people, labels, n_train, seed)


def draw_labels(rng: np.random.Generator, n: int) -> np.ndarray:
    """Draw the zones with threats of n scans, bool (n, 17): counts in the real proportion, zones by their rates."""
    share = np.array(THREATS) / sum(THREATS) * n
    counts = share.astype(int)
    counts[np.argsort(counts - share, kind="stable")[: n - counts.sum()]] += 1  # the largest remainders
    rates = np.array(list(ZONE_RATES.values()))
    labels = np.zeros((n, 17), bool)
    for row, count in zip(labels, rng.permutation(np.repeat(np.arange(4), counts)), strict=True):
        row[rng.choice(17, count, replace=False, p=rates / rates.sum())] = True
    return labels


def draw_person(seed: int, number: int) -> Person:
    """Draw a person; every person has a random stream of his or her own."""
    rng = np.random.default_rng([seed, PEOPLE, number])
    relief, clutter = things.draw_anatomy(rng), things.draw_clutter(rng, things.THINGS, CLUTTER_STRENGTH)
    return Person(draw_build(rng), relief + clutter, things.draw_bands(rng))


def draw_scan(seed: int, number: int, person: Person, zones: tuple[int, ...]) -> tuple[Body, list[render.Patch]]:
    """Pose a person with a threat in each of the zones, and place everything on the body."""
    rng = np.random.default_rng([seed, SCANS, number])
    body = posed(rng, person.build)
    clutter = things.draw_clutter(rng, things.THINGS // 2, CLUTTER_STRENGTH)
    threats = [thing for zone in zones for thing in things.draw_threat(rng, int(zone), THREAT_STRENGTH)]
    return body, things.placed(body, person.things + clutter + threats)


def write_scan(raw_dir: Path, seed: int, suffixes: tuple[Suffix, ...], scale: int, task: Task) -> None:
    """Write the files of one scan."""
    number, name = task.number, task.name
    person = draw_person(seed, task.person)
    body, patches = draw_scan(seed, number, person, task.zones)
    for suffix in suffixes:
        path = raw_dir / f"stage1_{suffix}" / f"{name}.{suffix}"
        rng = np.random.default_rng([seed, SCANS, number, list(VIEWS).index(suffix) if suffix in VIEWS else 2])
        if suffix in VIEWS:
            angles = np.arange(VIEWS[suffix]) * (360 / VIEWS[suffix])
            words = np.stack(
                [render.draw_words(body, patches, person.bands, angle, scale, rng, WHITE) for angle in angles]
            )
        elif suffix == "a3d":
            words = volume.draw_volume(body, patches, person.bands, rng, WHITE)
        else:
            words = volume.draw_echoes(body, patches, person.bands, rng)
        scan_format.write(path, words, **_about(name, scale))


def _people(n_train: int, n_test: int, scans_per_person: int) -> np.ndarray:
    """Number the person of each scan; the numbers of test people follow those of training people."""
    train = np.arange(n_train) // scans_per_person
    return np.concatenate([train, train[-1] + 1 + np.arange(n_test) // scans_per_person])


def _about(name: str, scale: int) -> dict[str, object]:
    """Return the fields of the header that do not follow from the words."""
    return {
        "parent": name[:20].encode(),
        "comments1": b"simulated by foldwise",
        "data_scale_factor": WHITE / 65535,
        "scan_orientation": 1,
        "x_inc": 0.002 * scale,
        "y_inc": 0.0031 * scale,
        "frequency": 25e9,
        "band_width": 10e9,
        "mat_velocity": 299792458.0,
    }


def _write_tables(
    raw_dir: Path, names: list[str], people: np.ndarray, labels: np.ndarray, n_train: int, seed: int
) -> None:
    rows = [(f"{name}_Zone{zone + 1}", int(labels[i, zone]), i) for i, name in enumerate(names) for zone in range(17)]
    train, test = (sorted(row for row in rows if (row[2] < n_train) == is_train) for is_train in (True, False))
    scored = dict(zip(range(n_train, len(names)), usage(len(names) - n_train, seed), strict=True))
    texts = {
        "stage1_labels.csv": ["Id,Probability", *(f"{id_},{label}" for id_, label, _ in train)],
        "stage1_sample_submission.csv": ["Id,Probability", *(f"{id_},0.5" for id_, _, _ in test)],
        "persons.csv": ["scan,person", *(f"{name},p{who:04d}" for name, who in zip(names, people, strict=True))],
        "solution.csv": ["Id,Probability,Usage", *(f"{id_},{label},{scored[i]}" for id_, label, i in test)],
    }
    for name, lines in texts.items():
        with (raw_dir / name).open("w", newline="") as file:
            file.writelines(f"{line}\n" for line in lines)
