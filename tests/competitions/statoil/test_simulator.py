"""The simulated Statoil files: byte layout, tables, and chips that look like the real ones."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from foldwise.competitions.statoil.simulator import draw_tables, simulate

NUMBER = r"-?\d{1,2}(?:\.\d{0,5}[1-9])?"  # at most 6 decimals, no trailing zeros
BAND = rf"\[{NUMBER}(?:,{NUMBER}){{5624}}\]"
RECORD = rf'{{"id":"[0-9a-f]{{8}}","band_1":{BAND},"band_2":{BAND},"inc_angle":(\d\d(?:\.\d+)?|"na")'
FILES = ("train.json", "test.json", "sample_submission.csv", "solution.csv")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    simulate(folder, n_train=240, n_test=100, seed=3)
    return folder


@pytest.fixture(scope="module")
def train(raw: Path) -> list[dict]:
    return json.loads((raw / "train.json").read_bytes())


@pytest.fixture(scope="module")
def test(raw: Path) -> list[dict]:
    return json.loads((raw / "test.json").read_bytes())


def decibels(rows: list[dict]) -> np.ndarray:
    return np.array([[row["band_1"], row["band_2"]] for row in rows]).reshape(-1, 2, 75, 75)


def test_every_training_record_has_the_exact_layout(raw: Path) -> None:
    text = (raw / "train.json").read_bytes().decode("ascii")
    assert text.startswith("[{") and text.endswith("}]") and "\n" not in text and " " not in text
    records = text[2:-2].split("},{")
    assert len(records) == 240
    for record in records:
        found = re.fullmatch(RECORD + r',"is_iceberg":([01])}', "{" + record + "}")
        assert found, record[:80] + "..." + record[-80:]
        assert found[1] == '"na"' or len(found[1].partition(".")[2]) <= 4


def test_every_test_record_has_the_exact_layout(raw: Path) -> None:
    text = (raw / "test.json").read_bytes().decode("ascii")
    records = text[2:-2].split("},{")
    assert len(records) == 100
    for record in records:
        found = re.fullmatch(RECORD + "}", "{" + record + "}")
        assert found and found[1] != '"na"', record[:80] + "..." + record[-80:]


def test_sample_submission_has_crlf_and_the_order_of_the_test_rows(raw: Path, test: list[dict]) -> None:
    lines = (raw / "sample_submission.csv").read_bytes().split(b"\r\n")
    assert lines[0] == b"id,is_iceberg"
    assert lines[1:-1] == [row["id"].encode() + b",0.5" for row in test]
    assert lines[-1] == b""


def test_solution_covers_the_test_rows_and_ignores_the_generated_ones(raw: Path, test: list[dict]) -> None:
    with (raw / "solution.csv").open(newline="") as file:
        solution = list(csv.DictReader(file))
    assert list(solution[0]) == ["id", "is_iceberg", "Usage"]
    assert [row["id"] for row in solution] == [row["id"] for row in test]
    generated = [round(row["inc_angle"], 4) != row["inc_angle"] for row in test]
    assert [row["Usage"] == "Ignored" for row in solution] == generated
    usage = [row["Usage"] for row in solution]
    assert (usage.count("Public"), usage.count("Private"), usage.count("Ignored")) == (8, 33, 59)
    assert {row["is_iceberg"] for row in solution} == {"0", "1"}


def test_ids_are_unique_over_train_and_test(train: list[dict], test: list[dict]) -> None:
    assert len({row["id"] for row in train + test}) == 340


def test_missing_angles_are_ships(train: list[dict]) -> None:
    missing = [row["is_iceberg"] for row in train if row["inc_angle"] == "na"]
    assert missing == [0] * 20
    assert sum(row["is_iceberg"] for row in train) == 113


def test_same_seed_same_bytes_and_other_seed_other_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        (tmp_path / name).mkdir()
        simulate(tmp_path / name, n_train=40, n_test=20, seed=seed)
    a, b, c = ([(tmp_path / name / file).read_bytes() for file in FILES] for name in "abc")
    assert a == b
    assert all(x != y for x, y in zip(a, c, strict=True))


@pytest.mark.parametrize(("n_train", "n_test"), [(20, 10), (21, 13), (40, 20), (77, 31)])
@pytest.mark.parametrize("seed", range(10))
def test_small_tables_hold_both_classes(n_train: int, n_test: int, seed: int) -> None:
    train, test, _ = draw_tables(n_train, n_test, seed)
    assert len(train.label) == len(train.angle) == n_train
    assert len(test.label) == len(test.angle) == n_test
    assert set(train.label) == set(test.label[~test.generated]) == {0, 1}


def test_too_small_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="n_train must be at least 20 and n_test at least 10, got n_train=19"):
        simulate(tmp_path, n_train=19, n_test=20)
    with pytest.raises(ValueError, match="n_test=9"):
        simulate(tmp_path, n_train=20, n_test=9)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seed", range(5))
def test_full_size_tables_share_angles_as_the_real_rows_do(seed: int) -> None:
    train, test, _ = draw_tables(1604, 8424, seed)
    assert (train.label.sum(), (~train.angle_known).sum()) == (753, 133)
    assert train.label[~train.angle_known].sum() == 0
    angle, label = train.angle[train.angle_known], train.label[train.angle_known]
    values, group, size = np.unique(angle, return_inverse=True, return_counts=True)
    icebergs = np.bincount(group, label) / size
    shared, big = size > 1, size >= 5
    pure = shared & np.isin(icebergs, (0, 1))
    assert (len(values), shared.sum(), size[shared].sum(), pure.sum()) == (878, 217, 810, 211)
    assert abs(size[pure].sum() - 793) <= 6
    assert set(icebergs[big]) == {0, 1}
    assert abs(icebergs[big].mean() - 0.91) < 0.02
    assert abs(icebergs[size == 1].mean() - 0.24) < 0.03
    assert abs(angle.mean() - 39.27) < 0.5 and abs(angle.std() - 3.84) < 0.4
    assert angle.min() >= 24.75 and angle.max() <= 45.94
    real = ~test.generated
    assert (test.generated.sum(), np.isin(test.angle[real], values).sum()) == (5000, 1950)
    both = np.unique(np.concatenate([angle, test.angle[real]]), return_counts=True)[1]
    assert abs((both > 1).sum() - 724) < 60
    assert 0.4 < test.label[real].mean() < 0.55


def test_generated_rows_have_more_than_four_decimals(test: list[dict]) -> None:
    decimals = [len(str(row["inc_angle"]).partition(".")[2]) for row in test]
    assert sum(d > 4 for d in decimals) == 59
    assert max(decimals) <= 6


def test_pixels_are_integer_digital_numbers(train: list[dict]) -> None:
    known = [row for row in train if row["inc_angle"] != "na"][:20]
    for row in known:
        offset = 55.95 - 0.095 * (row["inc_angle"] - 35.0)
        dn = 10 ** ((np.array(row["band_1"] + row["band_2"]) + offset) / 20)
        assert np.abs(dn - np.rint(dn)).max() < 0.01
        assert dn.min() > 0.99


@pytest.mark.parametrize(
    ("label", "band", "mean", "sd", "peak"),
    [
        (0, 0, -20.0, 3.29, 4.7),
        (0, 1, -26.1, 2.87, -6.8),
        (1, 0, -21.4, 2.90, -1.5),
        (1, 1, -26.6, 2.39, -13.8),
    ],
)
def test_image_statistics_are_near_those_of_the_real_rows(
    train: list[dict], label: int, band: int, mean: float, sd: float, peak: float
) -> None:
    chips = decibels([row for row in train if row["is_iceberg"] == label])[:, band]
    assert abs(chips.mean((1, 2)).mean() - mean) < 1.2
    assert abs(chips.std((1, 2)).mean() - sd) < 0.35
    assert abs(chips.max((1, 2)).mean() - peak) < 3.0


def test_sea_has_the_real_speckle(train: list[dict]) -> None:
    sea = decibels(train)[:, :, :20, :20]
    sea = sea - sea.mean((2, 3), keepdims=True)
    power = (sea**2).mean()
    assert abs(np.sqrt(power) - 2.15) < 0.15
    assert abs((sea[..., 1:] * sea[..., :-1]).mean() / power - 0.55) < 0.06
    assert abs((sea[..., 1:, :] * sea[..., :-1, :]).mean() / power - 0.5) < 0.06
    assert abs((sea[:, 0] * sea[:, 1]).mean() / power) < 0.05


def test_both_bands_of_generated_rows_have_the_same_statistics(test: list[dict]) -> None:
    chips = decibels([row for row in test if round(row["inc_angle"], 4) != row["inc_angle"]])
    by_band = chips.mean((0, 2, 3))
    assert abs(by_band[0] - by_band[1]) < 1.0
    assert abs(by_band.mean() + 23.6) < 1.2
    assert abs(chips.std((2, 3)).mean() - 4.04) < 0.5
