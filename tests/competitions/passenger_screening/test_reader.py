"""Preparing passenger screening: crops, symmetry, damaged and remote scans, and going on after a kill."""

import json
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import fsspec
import numpy as np
import pytest
import yaml
from helpers.raw_files import contents, left_in

from foldwise import processes
from foldwise.competitions.passenger_screening import crops, reader, scan_format, scans
from foldwise.competitions.passenger_screening.crops import MIRROR, Crop
from foldwise.competitions.passenger_screening.scans import Plan
from foldwise.data import dataset, remote
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.runs.recipe import make_recipe
from foldwise.stages.grade import grade
from foldwise.stages.prepare import data_key, prepare
from foldwise.training.fit import train_fold

KAGGLE = ("competition=passenger_screening", "source=kaggle", "competition.options.side=8")
TINY = (
    *("competition=passenger_screening", "competition.options.side=16"),
    *("source.n_train=10", "source.n_test=4", "source.options.scale=4"),
)
YAML = yaml.safe_load(Path("conf/competition/passenger_screening.yaml").read_text())["options"]
SCANS = ("a0", "b1", "c2")  # of which the last is a test scan


def scan_words(seed: int, views: int = 16, shape: tuple[int, int] = (66, 64)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 50_000, (views, *shape)).astype(np.uint16)


def write_raw(raw_dir: Path, suffix: str = "aps", names: tuple[str, ...] = SCANS, shape=(66, 64)) -> Path:
    """Write training scans of one person and, the last, a test scan; zone 3 of the first has a threat."""
    folder = raw_dir / f"stage1_{suffix}"
    folder.mkdir(parents=True)
    for seed, scan in enumerate(names):
        scan_format.write(folder / f"{scan}.{suffix}", scan_words(seed, 16 if suffix == "aps" else 64, shape))
    ids = sorted(f"{scan}_Zone{zone}" for scan in names[:-1] for zone in range(1, 18))
    labels = "".join(f"{id_},{int(id_ == f'{names[0]}_Zone3')}\n" for id_ in ids)
    (raw_dir / "stage1_labels.csv").write_text("Id,Probability\n" + labels)
    sample = "".join(f"{names[-1]}_Zone{zone},0.5\n" for zone in sorted(range(1, 18), key=str))
    (raw_dir / "stage1_sample_submission.csv").write_text("Id,Probability\n" + sample)
    people = "".join(f"{scan},{'q' if scan == names[-1] else 'p'}\n" for scan in names)
    (raw_dir / "persons.csv").write_text("scan,person\n" + people)
    return raw_dir


# The crop tables


def test_the_yaml_has_the_tables_that_follow_from_the_measured_boxes() -> None:
    assert YAML["zones"] == [[list(crop) if crop else None for crop in row] for row in crops.zone_table()]
    assert YAML["regions"] == {name: [list(c) for c in row] for name, row in crops.region_table().items()}
    assert crops.as_yaml() in Path("conf/competition/passenger_screening.yaml").read_text()


def test_a_crop_holds_its_zones_boxes_but_for_outliers() -> None:
    import pandas as pd

    measured = pd.read_csv(crops.MEASURED)
    for zone, row in enumerate(crops.zone_table(), start=1):
        shown = [crop for crop in row if crop]
        of = measured[measured["zone"] == zone].set_index("view")
        covered = of.loc[of.index.isin([crop.view for crop in shown]), "n"].sum() / of["n"].sum()
        assert covered > 0.7, f"zone {zone}: its views hold {covered:.2f} of the boxes"
        assert len({(crop.x1 - crop.x0, crop.y1 - crop.y0) for crop in shown}) == 1
        for crop in shown:
            if crop.view in of.index and of["n"][crop.view] >= 20:
                box = of.loc[crop.view]
                assert crop.x0 <= box["cx"] - box["w"] / 2 and box["cx"] + box["w"] / 2 <= crop.x1, (zone, crop)
                assert crop.y0 <= box["cy"] - box["h"] / 2 and box["cy"] + box["h"] / 2 <= crop.y1, (zone, crop)


def test_zones_mirror_in_pairs() -> None:
    pairs = {(1, 3), (2, 4), (6, 7), (8, 10), (11, 12), (13, 14), (15, 16)}
    assert {(zone, MIRROR[zone - 1]) for zone in range(1, 18) if MIRROR[zone - 1] > zone} == pairs
    assert [zone for zone in range(1, 18) if MIRROR[zone - 1] == zone] == [5, 9, 17]


def mirrored_scan(words: np.ndarray) -> np.ndarray:
    return words[[-view % 16 for view in range(16)], :, ::-1]


@pytest.mark.parametrize("layout", ["zone", "region", "scan"])
@pytest.mark.parametrize(
    ("shape", "dtype"), [((660, 512), "uint8"), ((165, 128), "float16"), ((99, 77), "uint8"), ((99, 77), "float16")]
)
def test_cutting_a_mirrored_scan_is_mirroring_the_cuts_to_the_bit(tmp_path: Path, layout: str, shape, dtype) -> None:
    plan, structure = reader._plan(layout, 20, dtype, 0.5, None, None, None)
    words = scan_words(1, shape=shape)
    for name, given in (("plain", words), ("mirrored", mirrored_scan(words))):
        scan_format.write(tmp_path / f"{name}.aps", given)
    plain, turned = (scans.cut_scan(plan, str(tmp_path / f"{name}.aps")) for name in ("plain", "mirrored"))
    law = structure.mirror
    images = [zone - 1 for zone in law.categories["zone"]] if layout == "zone" else [0]
    assert (turned == plain[images][:, law.slots][..., ::-1, :]).all()
    assert len(np.unique(plain)) > 5


def test_a_crop_is_the_mean_over_the_area_of_each_pixel() -> None:
    words = scan_words(2, shape=(660, 512))
    crop = Crop(3, 100, 200, 164, 296)  # 64 x 96 pixels
    (image,) = crops.cut(lambda view: words[view], [crop], (48, 32))
    assert image == pytest.approx(words[3, 200:296, 100:164].reshape(48, 2, 32, 2).mean(axis=(1, 3)), abs=1e-9)
    (image,) = crops.cut(lambda view: words[view], [crop], (40, 30))
    expected = cv2.resize(words[3, 200:296, 100:164].astype(np.float64), (30, 40), interpolation=cv2.INTER_AREA)
    assert image == pytest.approx(expected, rel=1e-5)


def test_intensities_are_roots_of_the_share_of_white(tmp_path: Path) -> None:
    words = np.full((16, 660, 512), 2500, np.uint16)
    words[:, ::100] = 10_000  # more than a thousandth of the rows that are looked at
    scan_format.write(tmp_path / "s.aps", words)
    for dtype, dark, bright in (("uint8", 128, 255), ("float16", 0.5, 1.0)):  # 255 * sqrt(2500 / 10000) = 127.5
        plan = Plan((Crop(0, 0, 1, 64, 65), Crop(0, 0, 100, 64, 101), None), (1, 3, 8), 8, dtype, 0.5)
        images = scans.cut_scan(plan, str(tmp_path / "s.aps"))
        assert (images.shape, images.dtype) == ((1, 3, 8, 8, 1), dtype)
        assert [np.unique(image).tolist() for image in images[0]] == [[dark], [bright], [0]]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda zones: zones[:16], "expected 17 lists of equally many slots"),
        (lambda zones: [zones[0][1:], *zones[1:]], "expected 17 lists of equally many slots"),
        (
            lambda zones: [[[9, 299, 147, 434, 267], *zones[0][1:]], *zones[1:]],
            "zone 1 are not those of zone 3 mirrored",
        ),
        (lambda zones: [[[9, 434, 147, 298, 267], *zones[0][1:]], *zones[1:]], r"\[9, 434, 147, 298, 267\] is empty"),
    ],
)
def test_a_crop_table_that_cannot_be_is_refused(tmp_path: Path, change, expected: str) -> None:
    with pytest.raises(ConfigError, match=rf"competition\.options\.zones: .*{expected}"):
        reader.read(write_raw(tmp_path), zones=change(YAML["zones"]))


def test_slots_keep_the_middle() -> None:
    plan, structure = reader._plan("zone", 8, "uint8", 1, None, None, 5)
    assert plan.shape == (17, 5, 8)
    assert tuple(structure.mirror.slots) == (4, 3, 2, 1, 0)
    assert [crop.view for crop in plan.crops[20:25]] == [14, 15, 0, 1, 2]  # zone 5, the chest
    with pytest.raises(ConfigError, match="slots=4: expected at most 9, and as odd or even as it"):
        reader._plan("zone", 8, "uint8", 1, None, None, 4)


# Prepared data


@pytest.mark.parametrize(
    ("layout", "shape", "rows"),
    [("zone", (34, 9, 8, 8, 1), 1), ("region", (2, 32, 8, 8, 1), 17), ("scan", (2, 16, 10, 8, 1), 17)],
)
def test_the_layouts_share_ids_and_differ_in_images(settings, layout: str, shape, rows: int) -> None:
    one = settings(*KAGGLE, f"competition.options.layout={layout}")
    write_raw(one.raw_dir)
    data = prepare(one)
    assert (data.train.images.shape, data.train.images.dtype, data.structure.rows_per_image) == (shape, np.uint8, rows)
    assert data.test.images.shape == (shape[0] // 2, *shape[1:])
    table = data.train.table
    assert table["id"].tolist() == [f"{scan}_Zone{zone}" for scan in ("a0", "b1") for zone in range(1, 18)]
    assert table["threat"].tolist() == [0, 0, 1, *[0] * 31]
    assert table["zone"].tolist() == [*range(1, 18)] * 2
    assert (set(table["group"]), set(data.test.table["group"])) == ({"p"}, {"q"})
    assert (data.task, data.targets, data.structure.categories) == ("binary", ["threat"], {"zone": 17})
    assert data.ids_key == prepare(settings(*KAGGLE)).ids_key
    if layout == "zone":
        assert table.loc[4, [f"angle_{k}" for k in range(9)]].tolist() == [
            270,
            292.5,
            315,
            337.5,
            0,
            22.5,
            45,
            67.5,
            90,
        ]
        assert table.loc[8, ["angle_0", "angle_8"]].isna().all() and (data.train.images[8, [0, 8]] == 0).all()
    if layout == "region":
        assert {name: len(part["slots"]) for name, part in data.structure.regions.items()} == dict.fromkeys(
            crops.REGIONS, 8
        )
        assert data.structure.regions["arms"]["outputs"] == [0, 1, 2, 3]


def test_sixteen_views_of_sixty_four_are_every_fourth(tmp_path: Path) -> None:
    words = scan_words(5, 64)
    scan_format.write(tmp_path / "s.a3daps", words)
    scan_format.write(tmp_path / "s.aps", words[::4])
    plan = reader._plan("zone", 8, "uint8", 0.5, None, None, None)[0]
    assert (scans.cut_scan(plan, str(tmp_path / "s.a3daps")) == scans.cut_scan(plan, str(tmp_path / "s.aps"))).all()


def test_a_simulation_is_prepared_and_graded(settings) -> None:
    one = settings(*TINY)
    data = prepare(one)
    assert data.train.images.shape == (170, 9, 16, 16, 1) and data.test.images.shape == (68, 9, 16, 16, 1)
    assert data.train.table.groupby("group")["scan"].nunique().tolist() == [5, 5]
    assert left_in(one.prepared_dir) == [data.data_key]
    sample = (one.raw_dir / "stage1_sample_submission.csv").read_bytes()
    (one.submissions_dir).mkdir()
    (one.submissions_dir / "half.csv").write_bytes(sample)
    (one.submissions_dir / "half_probabilities.csv").write_bytes(sample.replace(b"Id,Probability", b"id,threat"))
    (one.submissions_dir / "half.json").write_text(json.dumps({"competition": "passenger_screening"}))
    one.submission = "half.csv"
    drawn = (one.raw_dir / "persons.csv").stat().st_mtime_ns
    result = grade(replace(one, by="zone"))
    assert result["log_loss"] == pytest.approx(0.693147, abs=1e-6)
    assert [part["value"] for part in result["log_loss_by"]] == [*range(1, 18), "all"]
    assert (one.raw_dir / "persons.csv").stat().st_mtime_ns == drawn  # what is there is not simulated again


def test_memory_does_not_grow_with_the_scans(tmp_path: Path) -> None:
    shape, peaks = (330, 256), []
    for run, n in enumerate((4, 4, 12)):  # the first one loads what is loaded once
        raw = write_raw(tmp_path / str(run), names=tuple(f"s{i:02}" for i in range(n)), shape=shape)
        tracemalloc.start()
        dataset.write(reader.read(raw, tmp_path / f"work{run}", side=8), tmp_path / f"data{run}", "key")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    scan = 16 * shape[0] * shape[1] * 2  # bytes of its words, 2.7 MB
    assert peaks[2] - peaks[1] < 0.2 * scan  # for eight scans more
    assert peaks[2] < 2 * scan  # not one is held whole as float32


# Bad input


def rewrite(name: str, old: str, new: str):
    def damage(raw: Path) -> None:
        path = raw / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    return damage


def write_bytes(content: bytes):
    return lambda raw: (raw / "stage1_aps" / "b1.aps").write_bytes(content)


LABELS, SAMPLE = "stage1_labels.csv", "stage1_sample_submission.csv"


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (
            rewrite(LABELS, "a0_Zone17", "a0_Zone18"),
            r"stage1_labels.csv, row 9: the Id is 'a0_Zone18', expected .* 1 to 17",
        ),
        (rewrite(LABELS, "a0_Zone17", "a0_Zone0"), "row 9: the Id is 'a0_Zone0'"),
        (rewrite(LABELS, "a0_Zone17", "a0_Zone16"), "row 9: duplicate Id 'a0_Zone16'"),
        (rewrite(LABELS, "a0_Zone17,0\n", ""), "stage1_labels.csv: the scan 'a0' has no row for zone 17"),
        (rewrite(LABELS, "Id,", "id,"), "expected the columns Id, Probability, received id, Probability"),
        (rewrite(LABELS, "a0_Zone17,0", "a0_Zone17,2"), "the label 'threat' of 'a0_Zone17' is 2.0, expected 0 or 1"),
        (rewrite(LABELS, "a0_Zone17,0", "a0_Zone17,"), "the label 'threat' of 'a0_Zone17' is missing"),
        (rewrite(SAMPLE, "c2_Zone17", "c2_Zone99"), "stage1_sample_submission.csv, row 9: the Id is 'c2_Zone99'"),
        (rewrite("persons.csv", "b1,p\n", ""), "persons.csv: the person of the scan 'b1' is missing"),
        (rewrite("persons.csv", "person", "who"), "persons.csv: the column 'person' is missing"),
        (lambda raw: (raw / LABELS).unlink(), r"stage1_labels\.csv is missing"),
        (
            lambda raw: (raw / "stage1_aps" / "b1.aps").unlink(),
            r"b1\.aps, of stage1_labels\.csv: there is no such file",
        ),
        (
            lambda raw: (raw / "stage1_aps" / "c2.aps").unlink(),
            r"c2\.aps, of stage1_sample_submission\.csv: there is no",
        ),
        (lambda raw: (raw / "d3.aps").write_bytes(b"x"), r"d3\.aps: the scan has no label and is not in the sample"),
        (write_bytes(b"short"), r"b1\.aps: the file has 5 bytes, .*damaged=skip"),
        (write_bytes(bytes(600)), r"b1\.aps: the header holds zeros only.*damaged=skip"),
    ],
)
def test_bad_input_is_named_and_nothing_is_left(settings, damage, expected: str) -> None:
    one = settings(*KAGGLE)
    damage(write_raw(one.raw_dir))
    with pytest.raises(FoldwiseError, match=f"(?s){expected}"):
        prepare(one)
    assert data_key(one) not in left_in(one.prepared_dir)


def test_damaged_scans_are_skipped_and_told(settings, caplog: pytest.LogCaptureFixture) -> None:
    model = ["model=multi_view", "model.options.backbone_options.filters=[4,8]", "fit.epochs=1", "augment=body"]
    one = settings(*KAGGLE, "competition.options.damaged=skip", *model)
    raw = write_raw(one.raw_dir)
    write_bytes(b"short")(raw)
    (raw / "stage1_aps" / "c2.aps").write_bytes(bytes(600))
    with caplog.at_level("WARNING"):
        data = prepare(one)
    assert set(data.train.table["scan"]) == {"a0"}
    assert (data.test.images == 0).all() and data.test.table["angle_4"].isna().all() and len(data.test.table) == 17
    assert "skipped train scan b1: " in caplog.text and "b1.aps: the file has 5 bytes" in caplog.text
    assert "skipped test scan c2: " in caplog.text and "c2.aps: the header holds zeros only" in caplog.text
    assert "c2 keeps its rows, with empty views" in caplog.text
    result = train_fold(make_recipe(one, "data", "split"), data, np.arange(17) < 5, 0)
    assert ((result.test >= 0) & (result.test <= 1)).all() and result.test.shape == (17, 1)


def test_who_is_who_decides_the_data_wherever_it_is_told(settings, tmp_path: Path) -> None:
    people = tmp_path / "people.csv"
    people.write_text("scan,person\na0,x\nb1,y\nc2,z\n")
    one = settings(*KAGGLE, f"competition.options.persons={people}")
    write_raw(one.raw_dir)
    first = prepare(one)
    assert set(first.train.table["group"]) == {"x", "y"}
    people.write_text("scan,person\na0,x\nb1,x\nc2,z\n")
    second = prepare(one)
    assert (set(second.train.table["group"]), second.data_key == first.data_key) == ({"x"}, False)


def test_without_persons_each_scan_is_a_group_and_that_is_told(settings, caplog: pytest.LogCaptureFixture) -> None:
    one = settings(*KAGGLE)
    (write_raw(one.raw_dir) / "persons.csv").unlink()
    with caplog.at_level("WARNING"):
        assert set(prepare(one).train.table["group"]) == {"a0", "b1"}
    assert "persons.csv is not there: folds are grouped by scan, so the score is optimistic" in caplog.text


# Remote files


@pytest.fixture
def store():
    """A store in memory with the raw files below memory://raw, and every range that is read from it."""
    found = fsspec.filesystem("memory")
    found.store.clear()
    yield found
    found.store.clear()


def upload(store: Any, raw_dir: Path) -> None:
    for name, content in contents(raw_dir).items():
        store.pipe_file(f"/raw/{name}", content)


REMOTE = (*KAGGLE, "competition.options.raw_url=memory://raw")


def test_remote_scans_are_what_local_ones_are(settings, store, tmp_path: Path) -> None:
    local = settings(*KAGGLE, root=tmp_path / "local")
    upload(store, write_raw(local.raw_dir))
    data, expected = prepare(settings(*REMOTE)), prepare(local)
    for split in ("train", "test"):
        assert (getattr(data, split).images == getattr(expected, split).images).all()
    assert data.train.table.equals(expected.train.table)
    assert data.ids_key != expected.ids_key  # it stands for other raw files, whose content was not read


def test_only_the_views_that_are_needed_are_read(settings, store, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    upload(store, write_raw(tmp_path / "raw", "a3daps"))
    read = []
    cat = store.cat_ranges

    def counted(paths, starts, ends, **kwargs):
        read.extend(end - start for start, end in zip(starts, ends, strict=True))
        return cat(paths, starts, ends, **kwargs)

    monkeypatch.setattr(store, "cat_ranges", counted)
    prepare(settings(*REMOTE, "competition.options.suffix=a3daps"))
    view = 66 * 64 * 2
    assert read == [512, *[view] * 16] * 3  # of 64 views; the header first
    read.clear()
    assert remote.ranges("memory://raw/stage1_a3daps/a0.a3daps", [(0, 4), (4, 8), (20, 30)])[1:] == [
        (tmp_path / "raw/stage1_a3daps/a0.a3daps").read_bytes()[4:8],
        (tmp_path / "raw/stage1_a3daps/a0.a3daps").read_bytes()[20:30],
    ]
    assert read == [8, 10]  # neighbours in one request


def test_other_remote_files_make_another_key(settings, store, tmp_path: Path) -> None:
    upload(store, write_raw(tmp_path / "raw"))
    before = data_key(settings(*REMOTE))
    store.pipe_file("/raw/stage1_aps/a0.aps", bytes(600))
    assert data_key(settings(*REMOTE)) != before


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("memory://nothing", "memory://nothing: there are no files|memory://nothing: there is no such file or folder"),
        ("nosuch://bucket", r"nosuch://bucket: cannot be read: ValueError: Protocol not known"),
        ("s3://bucket/x", r"s3://bucket/x: .*install"),
    ],
)
def test_an_unreadable_remote_is_named(settings, store, url: str, expected: str) -> None:
    with pytest.raises(FoldwiseError, match=expected):
        prepare(settings(*KAGGLE, f"competition.options.raw_url={url}"))


def test_a_remote_scan_that_breaks_off_is_named(settings, store, tmp_path: Path) -> None:
    upload(store, write_raw(tmp_path / "raw"))
    store.pipe_file("/raw/stage1_aps/b1.aps", store.cat_file("/raw/stage1_aps/b1.aps")[:-7])
    with pytest.raises(FoldwiseError, match=r"memory://raw/stage1_aps/b1\.aps: .*it is cut off"):
        prepare(settings(*REMOTE))


# Death in the middle

SLOW = """
import sys, time
from pathlib import Path
from foldwise.__main__ import main
from foldwise.competitions.passenger_screening import scans
cut = scans.cut_scan
def slow(plan, location):
    if len(list(Path(sys.argv[1]).glob("*.npy"))) == 4:
        Path(sys.argv[2]).touch()
        time.sleep(60)
    return cut(plan, location)
scans.cut_scan = slow
main(sys.argv[3:])
"""


def test_a_killed_preparation_goes_on_where_it_stopped(settings, tmp_path: Path, monkeypatch) -> None:
    one, undisturbed = (settings(*TINY, root=tmp_path / name) for name in ("killed", "undisturbed"))
    work, reached = one.prepared_dir / f".{data_key(one)}.scans", tmp_path / "reached"
    words = [str(work), str(reached), "prepare", f"root={one.root}", *TINY]
    child = subprocess.Popen([sys.executable, "-c", SLOW, *words])
    try:
        deadline = time.monotonic() + 120
        while not reached.exists():
            assert child.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        child.kill()
    assert child.wait() == -9
    done = {path.name: path.stat().st_mtime_ns for path in work.glob("*.npy")}
    assert len(done) == 4
    expected = prepare(undisturbed)
    cut, again = scans.cut_scan, []
    monkeypatch.setattr(scans, "cut_scan", lambda plan, location: again.append(location) or cut(plan, location))
    data = prepare(one)
    assert len(again) == 10 and not {f"{Path(location).stem}.npy" for location in again} & set(done)
    assert contents(data.path) == contents(expected.path)
    assert left_in(one.prepared_dir) == [data.data_key]


def test_two_processes_prepare_the_same(settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "LOCAL_SCANS", 8)
    made = []
    for n in (1, 2):
        monkeypatch.setattr(processes, "cores", lambda n=n: n)
        made.append(contents(prepare(settings(*TINY, root=tmp_path / str(n))).path))
    assert made[0] == made[1]
