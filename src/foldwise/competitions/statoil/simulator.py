"""Write Statoil files that look, weigh and score like the real ones, for machines without Kaggle access.

The tables (labels, incidence angles, scenes) come from `tables`, the images from `chips`.
`benchmarks/statoil_realism.py` compares simulated figures with real ones.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from foldwise.competitions.statoil.chips import draw_chip, draw_generated, offset
from foldwise.competitions.statoil.tables import Rows, draw_passes, draw_test, draw_train
from foldwise.competitions.usage import usage

VERSION = 1
SMALLEST = (20, 10)  # n_train, n_test
TABLES, TRAIN, TEST, SCENES, SHUFFLE = 1, 2, 3, 4, 5  # random streams


def draw_ids(rng: np.random.Generator, n: int) -> list[str]:
    """Draw n different ids of 8 hex digits."""
    return [f"{number:08x}" for number in rng.choice(2**32, n, replace=False)]


def decimal(value: float, digits: int) -> str:
    """Write a number with at most `digits` decimals, trailing zeros dropped."""
    return f"{value:.{digits}f}".rstrip("0").rstrip(".")


def band_texts(dn: np.ndarray, angle: float) -> list[str]:
    """Write DN (2, 75, 75) as comma-separated decibels, one text a band."""
    counts = np.bincount(dn.ravel())
    present = np.flatnonzero(counts)
    texts = np.empty(len(counts), object)
    texts[present] = [decimal(value, 6) for value in 20 * np.log10(present) - offset(angle)]
    return [",".join(band) for band in texts[dn.reshape(2, -1)].tolist()]


def draw_row(rows: Rows, i: int, seed: int, stream: int) -> np.ndarray:
    """Draw the DN of row i, (2, 75, 75); every row and every scene has a random stream of its own."""
    rng = np.random.default_rng([seed, stream, i])
    angle = float(rows.angle[i])
    if rows.generated[i]:
        return draw_generated(rng, angle)
    scene = np.random.default_rng([seed, SCENES, int(rows.scene[i])]).standard_normal(2)
    return draw_chip(rng, int(rows.label[i]), angle, scene)


def records(rows: Rows, ids: list[str], seed: int, stream: int) -> Iterator[str]:
    """Yield one JSON object per row, with its label where the rows are training rows."""
    for i, name in enumerate(ids):
        angle = float(rows.angle[i])
        hh, hv = band_texts(draw_row(rows, i, seed, stream), angle)
        shown = decimal(angle, 6) if rows.angle_known[i] else '"na"'
        label = f',"is_iceberg":{rows.label[i]}' if stream == TRAIN else ""
        yield f'{{"id":"{name}","band_1":[{hh}],"band_2":[{hv}],"inc_angle":{shown}{label}}}'


def draw_tables(
    n_train: int, n_test: int, seed: int, angle_tells: bool = True
) -> tuple[Rows, Rows, np.random.Generator]:
    """Draw both tables, and return the random generator after them, for what follows."""
    rng = np.random.default_rng([seed, TABLES])
    passes = draw_passes(rng)
    train = draw_train(rng, passes, n_train)
    test = draw_test(rng, passes, n_test, train)
    if not angle_tells:
        shuffle = np.random.default_rng([seed, SHUFFLE])
        train, test = (rows._replace(label=shuffle.permutation(rows.label)) for rows in (train, test))
    return train, test, rng


def write_list(path: Path, objects: Iterator[str]) -> None:
    """Write one compact JSON list object by object, so that memory stays flat."""
    with path.open("w", encoding="ascii", newline="") as file:
        for i, text in enumerate(objects):
            file.write(("," if i else "[") + text)
        file.write("]")


def simulate(
    raw_dir: Path,
    *,
    n_train: Annotated[int, Field(ge=SMALLEST[0])] = 1604,
    n_test: Annotated[int, Field(ge=SMALLEST[1])] = 8424,
    seed: Annotated[int, Field(ge=0)] = 0,
    angle_tells: bool = True,  # false: labels are shuffled over the angles, which then predict nothing
) -> None:
    """Write train.json, test.json, sample_submission.csv and solution.csv into the empty folder raw_dir.

    The first three are laid out as the host's, byte for byte; solution.csv holds `id,is_iceberg,Usage` for
    every test row in order. The same arguments give the same bytes, whatever the machine's state.

    Raises ValueError where n_train is below 20 or n_test below 10: too few for two classes and shared angles.
    """
    if n_train < SMALLEST[0] or n_test < SMALLEST[1]:
        raise ValueError(
            f"n_train must be at least {SMALLEST[0]} and n_test at least {SMALLEST[1]}, "
            f"got n_train={n_train} and n_test={n_test}"
        )
    train, test, rng = draw_tables(n_train, n_test, seed, angle_tells)
    scored = np.full(n_test, "Ignored", dtype=object)
    scored[~test.generated] = usage(int((~test.generated).sum()), seed)
    ids = draw_ids(rng, n_train + n_test)
    write_list(raw_dir / "train.json", records(train, ids[:n_train], seed, TRAIN))
    write_list(raw_dir / "test.json", records(test, ids[n_train:], seed, TEST))
    with (raw_dir / "sample_submission.csv").open("w", newline="") as file:
        file.write("id,is_iceberg\r\n" + "".join(f"{name},0.5\r\n" for name in ids[n_train:]))
    with (raw_dir / "solution.csv").open("w", newline="") as file:
        file.write("id,is_iceberg,Usage\n")
        file.writelines(f"{name},{y},{u}\n" for name, y, u in zip(ids[n_train:], test.label, scored, strict=True))
