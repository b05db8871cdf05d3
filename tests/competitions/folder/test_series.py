"""A folder of slices as one sample: DICOM series in the order of their positions, and other images by name."""

from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from foldwise.competitions.folder.find_images import find_images, ids_of_images
from foldwise.competitions.folder.image_files import read_images, settle
from foldwise.competitions.folder.image_rules import ImageRules
from foldwise.errors import FoldwiseError

SERIES = "1.2.826.0.1.5"


def read(raw_dir: Path, id_: str, **rules) -> np.ndarray:
    files = find_images(raw_dir, "series", [id_], ["train.csv, row 1"])
    (image,) = read_images(files, settle(ImageRules(**rules), files))
    return image


def write_series(folder: Path, n: int = 5, suffix: str = ".dcm", *, position: bool = True, number: bool = True) -> None:
    """Write slices whose pixels are all 10 times their place along an oblique normal; names in another order."""
    folder.mkdir(parents=True)
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    for i in range(n):
        dataset.PixelData = np.full((128, 128), 10 * i, np.int16).tobytes()
        dataset.ImageOrientationPatient = [0.6, 0.8, 0, -0.8, 0.6, 0]  # turned in the plane: the normal is z
        dataset.ImagePositionPatient = [100 - i, i, -50 + 2.5 * i]
        dataset.InstanceNumber = i + 1
        if not position:
            del dataset.ImagePositionPatient
        if not number:
            del dataset.InstanceNumber
        dataset.save_as(folder / f"{(7 * i + 3) % n:02d}{suffix}")


def values(image: np.ndarray) -> list[int]:
    return [int(page.mean()) for page in image]


@pytest.mark.parametrize("suffix", [".dcm", ""])
@pytest.mark.parametrize("by", ["position", "number"])
def test_slices_of_a_dicom_series_lie_in_order(tmp_path: Path, suffix: str, by: str) -> None:
    write_series(
        tmp_path / "series" / SERIES, suffix=suffix, **{"position": by == "position", "number": by == "number"}
    )
    found = read(tmp_path, SERIES, pages="all")
    assert found.shape == (5, 128, 128, 1)
    assert values(found) == [0, 10, 20, 30, 40]
    assert values(read(tmp_path, SERIES, slices=3)) == [0, 20, 40]
    assert values(read(tmp_path, SERIES, slices=7)) == [0, 10, 10, 20, 30, 30, 40]
    assert read(tmp_path, SERIES, pages=3, size=(16, 24)).shape == (16, 24, 1)
    assert read(tmp_path, SERIES, pages=3).mean() == 30
    assert read(tmp_path, SERIES, pages="first").mean() == 0


def test_a_dicom_series_without_places_goes_by_name(tmp_path: Path) -> None:
    write_series(tmp_path / "series" / "a", position=False, number=False)
    # the slice i has the name (7 i + 3) mod 5: 3, 0, 2, 4, 1
    assert values(read(tmp_path, "a", pages="all")) == [10, 40, 20, 0, 30]


def write_png(path: Path, value: int, shape: tuple[int, int] = (6, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full(shape, value, np.uint8))


def test_images_of_a_folder_go_by_the_numbers_in_their_names(tmp_path: Path) -> None:
    for i in (1, 2, 9, 10, 11):
        write_png(tmp_path / "series" / "patient_1" / "s" / f"slice_{i}.png", i)
    (tmp_path / "series" / "patient_1" / "s" / "notes.txt").write_text("left out")
    assert values(read(tmp_path, "patient_1/s", pages="all")) == [1, 2, 9, 10, 11]
    assert values(read(tmp_path, "s", slices=2)) == [1, 11]


def test_volumes_of_all_lengths_have_as_many_slices(tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    for name, n in (("short", 2), ("long", 9)):
        np.save(tmp_path / "series" / f"{name}.npy", np.arange(n, dtype=np.uint8).repeat(48).reshape(n, 6, 8, 1))
    write_png(tmp_path / "series" / "flat.png", 7)
    files = find_images(tmp_path, "series", ["short", "long", "flat"], ["x"] * 3)
    rules = settle(ImageRules(slices=3), files)
    # half of 1 is rounded to the even number
    assert [values(image) for image in read_images(files, rules)] == [[0, 0, 1], [0, 4, 8], [7, 7, 7]]


def test_a_folder_of_one_file_has_the_pages_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "series" / "a").mkdir(parents=True)
    np.save(tmp_path / "series" / "a" / "volume.npy", np.arange(4, dtype=np.uint8).repeat(48).reshape(4, 6, 8, 1))
    assert values(read(tmp_path, "a", slices=2)) == [0, 3]


def test_what_a_series_leaves_open_is_refused(tmp_path: Path) -> None:
    write_png(tmp_path / "series" / "a" / "1.png", 1)
    write_png(tmp_path / "series" / "a" / "2.png", 2, shape=(9, 8))
    with pytest.raises(FoldwiseError, match=r"train.csv, row 1: a has 2 pages .*competition.options.slices=16"):
        read(tmp_path, "a")
    with pytest.raises(FoldwiseError, match=r"slices of a folder differ: \(6, 8, 1\), \(9, 8, 1\).*options.size="):
        read(tmp_path, "a", pages="all")
    assert read(tmp_path, "a", pages="all", size=(4, 4)).shape == (2, 4, 4, 1)
    write_png(tmp_path / "series" / "b" / "a" / "1.png", 1)
    with pytest.raises(FoldwiseError, match="2 images answer the id 'a'"):
        read(tmp_path, "a", pages="all")
    assert values(read(tmp_path, "b/a", pages="all")) == [1]
    (tmp_path / "series" / "empty").mkdir()
    with pytest.raises(FoldwiseError, match="no image of 'empty'"):
        read(tmp_path, "empty", pages="all")


def test_ids_of_new_series_are_the_folders(tmp_path: Path) -> None:
    write_series(tmp_path / "new" / SERIES, n=2, suffix="")
    write_png(tmp_path / "new" / "deep" / "x" / "1.png", 1)
    write_png(tmp_path / "new" / "deep" / "x" / "2.png", 1)
    write_png(tmp_path / "new" / "one" / "1.png", 1)
    assert ids_of_images(tmp_path / "new", series=True) == [SERIES, "deep/x", "one/1"]
    assert ids_of_images(tmp_path / "new") == ["deep/x/1", "deep/x/2", "one/1"]
