"""Simulated passenger screening: bytes, tables, persons, and a body where the published geometry has it."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.raw_files import contents

from foldwise.competitions.passenger_screening import body, crops, render, scan_format, simulator, things
from foldwise.competitions.passenger_screening.simulator import draw_labels, simulate

SMALL = {"n_train": 12, "n_test": 5, "seed": 3, "scale": 4, "scans_per_person": 3}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    simulate(folder, **SMALL)
    return folder


def lines(path: Path) -> list[str]:
    text = path.read_bytes().decode("ascii")
    assert text.endswith("\n") and "\r" not in text
    return text.splitlines()


def test_the_tables_are_laid_out_as_the_hosts(raw: Path) -> None:
    labels, sample = lines(raw / "stage1_labels.csv"), lines(raw / "stage1_sample_submission.csv")
    assert labels[0] == sample[0] == "Id,Probability"
    assert (len(labels), len(sample)) == (1 + 12 * 17, 1 + 5 * 17)
    assert labels[1:] == sorted(labels[1:]) and sample[1:] == sorted(sample[1:])
    zones = [f"Zone{k}" for k in (1, 10, 11, 12, 13, 14, 15, 16, 17, 2, 3, 4, 5, 6, 7, 8, 9)]
    assert [line.split(",")[0].split("_")[1] for line in labels[1:18]] == zones
    assert {line.split(",")[1] for line in labels[1:]} == {"0", "1"}
    assert {line.split(",")[1] for line in sample[1:]} == {"0.5"}
    scans = {line[:32] for line in labels[1:] + sample[1:]}
    assert len(scans) == 17 and all(set(scan) <= set("0123456789abcdef") for scan in scans)
    assert {path.name for path in (raw / "stage1_aps").iterdir()} == {f"{scan}.aps" for scan in scans}


def test_the_solution_answers_the_sample_in_its_order(raw: Path) -> None:
    solution = pd.read_csv(raw / "solution.csv")
    assert list(solution) == ["Id", "Probability", "Usage"]
    assert solution["Id"].tolist() == [line.split(",")[0] for line in lines(raw / "stage1_sample_submission.csv")[1:]]
    by_scan = solution.groupby(solution["Id"].str[:32])["Usage"]
    assert by_scan.nunique().max() == 1 and Counter(by_scan.first()) == {"Private": 4, "Public": 1}


def test_persons_are_scanned_several_times_and_never_in_both_parts(raw: Path) -> None:
    persons = pd.read_csv(raw / "persons.csv").set_index("scan")["person"]
    train = {line[:32] for line in lines(raw / "stage1_labels.csv")[1:]}
    counts = persons[sorted(train)].value_counts()
    assert counts.tolist() == [3, 3, 3, 3]
    assert not set(persons[sorted(train)]) & set(persons.drop(sorted(train)))


@pytest.mark.parametrize(("suffix", "shape"), [("aps", (16, 165, 128)), ("a3d", (82, 64, 64)), ("ahi", (64, 64, 82))])
def test_files_are_scans_of_the_size_that_their_header_says(tmp_path: Path, suffix: str, shape) -> None:
    (tmp_path / f"stage1_{suffix}").mkdir()
    task = simulator.Task(0, "0123456789abcdef" * 2, 0, (5,))
    simulator.write_scan(tmp_path, 0, (suffix,), 4, task)
    (path,) = tmp_path.rglob("0*")
    words, layout = scan_format.memory_map(path)
    assert words.shape == shape and np.abs(words).max() > 0
    assert layout.header["filename"] == path.name[:20].encode()


def test_a_full_scan_has_the_hosts_bytes(tmp_path: Path) -> None:
    (tmp_path / "stage1_aps").mkdir()
    (tmp_path / "stage1_a3daps").mkdir()
    task = simulator.Task(0, "0123456789abcdef" * 2, 0, (5,))
    simulator.write_scan(tmp_path, 0, ("aps", "a3daps"), 1, task)
    sizes = {path.suffix: path.stat().st_size for path in tmp_path.rglob("0*")}
    assert sizes == {".aps": 10_813_952, ".a3daps": 43_254_272}
    few, many = (scan_format.memory_map(path)[0] for path in sorted(tmp_path.rglob("0*"), key=lambda p: len(p.suffix)))
    corner = few[:, :40, :40].astype(float)
    assert corner.mean() < 0.05 * few[:, 250:350, 200:300].mean()  # the air is dark
    assert np.corrcoef(few[5].ravel(), many[20].ravel())[0, 1] > 0.9  # one pose, and one turn of the scanner


def test_the_same_arguments_write_the_same_bytes_in_one_process_or_two(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulator, "cores", lambda: 2)
    monkeypatch.setattr(simulator, "WORTH_IT", 0)
    simulate(tmp_path, **SMALL)
    assert contents(tmp_path) == contents(raw)


def test_another_seed_is_another_competition(raw: Path, tmp_path: Path) -> None:
    simulate(tmp_path, **(SMALL | {"n_train": 10, "n_test": 4, "seed": 4}))
    assert not set(contents(raw)) & {name for name in contents(tmp_path) if name.endswith(".aps")}


def test_threats_a_scan_and_rates_are_the_real_ones() -> None:
    labels = draw_labels(np.random.default_rng(0), 1147)
    assert np.bincount(labels.sum(axis=1)).tolist() == [219, 303, 307, 318]
    assert labels.mean() == pytest.approx(0.096, abs=0.0005)
    many = draw_labels(np.random.default_rng(1), 40_000).mean(axis=0)
    assert many[0] == pytest.approx(0.116, abs=0.006) and many[8] == pytest.approx(0.0785, abs=0.005)


@pytest.fixture(scope="module")
def shown() -> dict[tuple[int, int], np.ndarray]:
    """Boxes (n, 4) of simulated threats by zone and view: centre x, centre y, width, height."""
    rng = np.random.default_rng(5)
    found: dict[tuple[int, int], list[np.ndarray]] = {}
    for _ in range(60):
        one = body.posed(rng, body.draw_build(rng))
        depths = [render.depth_map(one, np.radians(22.5 * view), 8) for view in range(16)]
        for zone in range(1, 18):
            for _ in range(2):
                patches = things.placed(one, things.draw_threat(rng, zone, 1.0))
                for view in range(16):
                    box = things.seen(one, patches, 22.5 * view, depths[view], 8)
                    if box is not None:
                        found.setdefault((zone, view), []).append(box)
    return {key: np.array(boxes) for key, boxes in found.items()}


def test_threats_lie_where_the_published_boxes_have_them(shown) -> None:
    measured = pd.read_csv(crops.MEASURED)
    often = measured[measured["n"] >= 30]
    assert len(often) > 120
    for row in often.itertuples():
        x, y = shown[row.zone, row.view].mean(axis=0)[:2]
        assert abs(x - row.cx) < row.sdx, f"zone {row.zone} view {row.view}: x {x:.0f}, published {row.cx}"
        assert abs(y - row.cy) < row.sdy, f"zone {row.zone} view {row.view}: y {y:.0f}, published {row.cy}"


def test_threats_have_the_published_size_and_are_seen_as_often(shown) -> None:
    measured = pd.read_csv(crops.MEASURED)
    for zone, of in measured.groupby("zone"):
        top = of[of["n"] >= 30]
        drawn = np.array([shown[zone, view].mean(axis=0)[2:] for view in top["view"]]).mean(axis=0)
        assert drawn == pytest.approx(top[["w", "h"]].mean().to_numpy(), rel=0.3), f"zone {zone}"
        views = sum(len(boxes) for (z, _), boxes in shown.items() if z == zone) / 120
        assert 3.9 <= views <= 6.6, f"zone {zone}: seen in {views:.1f} views"


def test_the_body_stands_as_published() -> None:
    """Face in view 0 at x 203 to 302 and y 138 to 221, feet to 640, hands above the head."""
    rng = np.random.default_rng(8)
    bodies = [body.posed(rng, body.draw_build(rng)) for _ in range(20)]
    there = np.mean([render.depth_map(one, 0.0, 2) > render.BACK for one in bodies], axis=0)  # (330, 256)
    assert there[180 // 2, 252 // 2] == 1
    assert there[150 // 2, 180 // 2 : 200 // 2].max() < 0.5 and there[150 // 2, 310 // 2 : 330 // 2].max() < 0.5
    assert there[625 // 2].max() > 0.7 and there[648 // 2 :].max() == 0
    assert there[: 100 // 2, : 252 // 2].max() > 0.5 and there[: 100 // 2, 252 // 2 :].max() > 0.5
    assert there[560 // 2, 250 // 2] < 0.3  # between the legs
