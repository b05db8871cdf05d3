"""New scans are read without labels, and cut as those of the training were."""

from pathlib import Path

import numpy as np
import pytest

from foldwise.competitions.passenger_screening import reader, scan_format
from foldwise.config.check import checked_options
from foldwise.errors import FoldwiseError

OPTIONS = {"layout": "scan", "side": 8}


def write_scan(folder: Path, name: str, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    words = np.random.default_rng(seed).integers(0, 50_000, (16, 66, 64)).astype(np.uint16)
    scan_format.write(folder / f"{name}.aps", words)


def write_sample(path: Path, *scans: str) -> None:
    rows = "".join(f"{scan}_Zone{zone},0.5\n" for scan in scans for zone in range(1, 18))
    path.write_text("Id,Probability\n" + rows)


def read_new(folder: Path, images: str | None = None, sample: Path | None = None, **options):
    checked = checked_options(reader.read, OPTIONS | options, "competition.options")
    given = {"new_images": images, "new_sample": sample, "targets": ["threat"], "category_names": {}}
    return list(reader.read_new(folder, **given, **checked))


def test_hidden_scans_have_a_sample_and_no_labels(tmp_path):
    for seed, name in enumerate(("b", "a", "train")):
        write_scan(tmp_path / "stage2_aps", name, seed)
    write_sample(tmp_path / "stage2_sample_submission.csv", "b", "a")
    records = read_new(tmp_path)
    assert [record.id for record in records][::17] == ["a_Zone1", "b_Zone1"]  # no row of the third scan
    assert [record.columns["zone"] for record in records] == [*range(1, 18)] * 2
    assert [record.image is not None for record in records] == [True, *[False] * 16] * 2
    assert not any("threat" in record.columns for record in records)


def test_a_scan_is_cut_as_in_the_training(tmp_path):
    write_scan(tmp_path / "raw", "a", 0)
    write_scan(tmp_path / "raw", "b", 1)
    rows = "".join(f"a_Zone{zone},{int(zone == 3)}\n" for zone in range(1, 18))
    (tmp_path / "raw" / "stage1_labels.csv").write_text("Id,Probability\n" + rows)
    write_sample(tmp_path / "raw" / "stage1_sample_submission.csv", "b")
    checked = checked_options(reader.read, OPTIONS | {"groups": "scan"}, "competition.options")
    trained = list(reader.read(tmp_path / "raw", **checked).test)
    (tmp_path / "new").mkdir()
    (tmp_path / "raw" / "b.aps").rename(tmp_path / "new" / "b.aps")
    records = read_new(tmp_path / "new", ".")
    assert (records[0].image == trained[0].image).all()
    assert [(one.id, one.columns) for one in records] == [(one.id, one.columns) for one in trained]


def test_a_folder_of_scans_needs_no_sample(tmp_path):
    for seed, name in enumerate(("z", "y")):
        write_scan(tmp_path, name, seed)
    write_sample(tmp_path / "stage1_sample_submission.csv", "other")
    assert [record.id for record in read_new(tmp_path, ".")][::17] == ["y_Zone1", "z_Zone1"]
    write_sample(tmp_path / "mine.csv", "z")
    assert [record.id for record in read_new(tmp_path, ".", tmp_path / "mine.csv")][::17] == ["z_Zone1"]


def test_scans_that_are_missing_stop_before_any_is_read(tmp_path):
    write_scan(tmp_path, "a", 0)
    (tmp_path / "a.aps").write_bytes(b"no scan")
    write_sample(tmp_path / "sample_submission.csv", "a", "b", "c")
    with pytest.raises(FoldwiseError, match=r"2 of 3 scans are missing, for example b.aps; .*damaged=skip"):
        read_new(tmp_path)
    with pytest.raises(FoldwiseError, match=r"expected scans \(.a3daps\), found none"):
        read_new(tmp_path, suffix="a3daps")


def test_a_missing_scan_has_empty_views_where_that_is_allowed(tmp_path):
    write_scan(tmp_path, "a", 0)
    write_sample(tmp_path / "sample_submission.csv", "a", "b")
    records = read_new(tmp_path, damaged="skip")
    assert records[0].image.max() > 0
    assert records[17].id == "b_Zone1"
    assert records[17].image.max() == 0
