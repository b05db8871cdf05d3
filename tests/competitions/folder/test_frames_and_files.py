"""Frames, slices and stacks as pages; containers; paths that share names; what the terminal receives."""

import logging
import os
from pathlib import Path

import cv2
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pydicom
import pytest
import tifffile
from PIL import Image, ImageSequence
from pydicom.data import get_testdata_file

from foldwise.competitions.folder.find_images import find_images
from foldwise.competitions.folder.image_files import read_images, settle
from foldwise.competitions.folder.image_rules import ImageFile, ImageRules
from foldwise.errors import FoldwiseError


def read(path: Path, **rules) -> np.ndarray:
    (image,) = read_images([ImageFile(str(path), path.stem, "train.csv, row 1")], ImageRules(**rules))
    return image


def random_image(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


# Pages


@pytest.mark.parametrize(("suffix", "options"), [("gif", {}), ("webp", {"lossless": True}), ("png", {})])
def test_frames_are_those_of_pillow(tmp_path: Path, suffix: str, options: dict) -> None:
    path = tmp_path / f"x.{suffix}"
    frames = [Image.fromarray(random_image(9, 14, 3, seed=i)) for i in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    with Image.open(path) as stored:
        expected = np.stack([np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(stored)])
    assert expected.shape == (3, 9, 14, 3)
    assert (read(path, pages="all", channels="colour") == expected).all()
    assert (read(path, pages=2, channels="colour") == expected[2]).all()
    with pytest.raises(FoldwiseError, match=rf"train.csv, row 1: x.{suffix} has 3 pages .*pages=first"):
        read(path)


@pytest.mark.parametrize("name", ["example_nifti2.nii.gz", "anatomical.nii", "own.nii"])
def test_slices_of_volumes_are_those_of_nibabel(tmp_path: Path, name: str) -> None:
    nibabel = pytest.importorskip("nibabel")
    path = Path(nibabel.__file__).parent / "tests" / "data" / name
    if name == "own.nii":
        path = tmp_path / name
        volume = nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4))
        volume.header.set_slope_inter(2, -10)
        nibabel.save(volume, path)
    elif not path.is_file():
        pytest.skip(f"nibabel carries no {name}")
    expected = np.asarray(nibabel.load(path).dataobj)
    found = read(path, pages="all")  # (slices, rows, columns, 1)
    assert found.shape[1:] == (*expected.shape[1::-1], 1)
    assert (found[1, :, :, 0] == expected.reshape(*expected.shape[:2], -1)[:, :, 1].T.astype(found.dtype)).all()


def test_frames_of_a_dicom_are_those_of_pydicom() -> None:
    path = Path(get_testdata_file("SC_rgb_rle_2frame.dcm", download=False))
    assert (read(path, pages="all") == pydicom.dcmread(path).pixel_array).all()
    with pytest.raises(FoldwiseError, match="has 2 pages"):
        read(path)


def test_a_stack_of_imagej_in_one_page(tmp_path: Path) -> None:
    stack = random_image(4, 6, 7).astype(np.uint16)
    tifffile.imwrite(tmp_path / "x.tif", stack, imagej=True)
    assert (read(tmp_path / "x.tif", pages="all")[..., 0] == stack).all()
    assert (read(tmp_path / "x.tif", pages=3)[..., 0] == stack[3]).all()


def test_a_thumbnail_is_no_page(tmp_path: Path) -> None:
    image = random_image(8, 12)
    with tifffile.TiffWriter(tmp_path / "x.tif") as file:
        file.write(image, photometric="minisblack")
        file.write(image[::2, ::2], photometric="minisblack", subfiletype=1)
    assert (read(tmp_path / "x.tif")[..., 0] == image).all()


# DICOM


def monochrome1(path: Path) -> np.ndarray:
    """Write a 12-bit image in which low is white, 0 to 4095; return the stored values."""
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
    stored = np.linspace(0, 4095, 128 * 128).astype(np.uint16).reshape(128, 128)
    dataset.PhotometricInterpretation, dataset.BitsStored, dataset.HighBit = "MONOCHROME1", 12, 11
    dataset.PixelRepresentation, dataset.RescaleIntercept = 0, 0
    dataset.PixelData = stored.tobytes()
    dataset.save_as(path)
    return stored


@pytest.mark.parametrize(
    ("depth", "first", "last", "dtype"),
    [(None, 4095, 0, "f4"), (8, 255, 0, "u1"), (16, 65535, 0, "f4"), ("float", 1, 0, "f4")],
)
def test_low_is_white(tmp_path: Path, depth, first: float, last: float, dtype: str) -> None:
    stored = monochrome1(tmp_path / "x.dcm")
    found = read(tmp_path / "x.dcm", depth=depth)
    assert found.dtype == dtype
    assert (found[0, 0, 0], found[-1, -1, 0]) == (first, last)
    assert found[..., 0] == pytest.approx((4095 - stored) * (first / 4095), abs=0.51 if depth == 8 else 0.01)


def test_the_window_of_the_file(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
    dataset.WindowCenter, dataset.WindowWidth = ["50", "300"], ["400", "2000"]
    dataset.save_as(tmp_path / "x.dcm")
    units = pydicom.pixels.apply_rescale(dataset.pixel_array, dataset)
    expected = np.clip((units - 49.5) / 399 + 0.5, 0, 1)  # PS3.3 C.11.2.1.2.1, of the first window
    assert read(tmp_path / "x.dcm", window="file", depth="float")[..., 0] == pytest.approx(expected, abs=1e-6)
    del dataset.WindowCenter
    dataset.save_as(tmp_path / "y.dcm")
    with pytest.raises(FoldwiseError, match=r"y.dcm states no window .*window=\[centre, width\]"):
        read(tmp_path / "y.dcm", window="file")


# Smaller decodes


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("rules", [{}, {"channels": "grey"}, {"fit": "crop"}, {"fit": "pad"}])
def test_a_draft_is_close_to_the_whole(tmp_path: Path, orientation: int, rules: dict) -> None:
    y, x = np.mgrid[:400, :600]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.stack([x / 3, y / 2, (x + y) / 5], axis=-1).astype(np.uint8))
    image.save(tmp_path / "x.jpg", quality=95, exif=exif)
    whole, draft = (
        read(tmp_path / "x.jpg", size=(96, 64), draft=draft, **rules).astype(int) for draft in (False, True)
    )
    assert whole.shape == draft.shape
    assert 0 < np.abs(whole - draft).max() <= 4  # it differs: it was decoded at a quarter
    exact = read(tmp_path / "x.jpg", size=(300, 300), draft=True)  # no factor fits
    assert (exact == read(tmp_path / "x.jpg", size=(300, 300))).all()


# Containers and paths


def encoded(value: int) -> bytes:
    return cv2.imencode(".png", np.full((4, 5), value, np.uint8))[1].tobytes()


def values(raw_dir: Path, images: str, *ids: str) -> list[int]:
    files = find_images(raw_dir, images, ids, [f"row {i + 1}" for i in range(len(ids))])
    return [int(image.mean()) for image in read_images(files, ImageRules())]


def test_parquet_of_structs_with_paths_as_ids(tmp_path: Path) -> None:
    rows = [{"bytes": encoded(value), "path": "p"} for value in (1, 2, 3)]
    table = pa.table({"id": ["left/x", "right/x", "y.png"], "image": rows})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=2)
    assert values(tmp_path, "x.parquet", "right/x", "y", "left/x") == [2, 3, 1]
    with pytest.raises(FoldwiseError, match=r"row 1: 2 images answer the id 'x': x.parquet\[left/x\], "):
        values(tmp_path, "x.parquet", "x")
    pq.write_table(pa.table({"id": [5, 7], "a": [b"1", b"2"], "b": [b"1", b"2"]}), tmp_path / "y.parquet")
    with pytest.raises(FoldwiseError, match="expected one column of images as bytes, found a, b"):
        values(tmp_path, "y.parquet", "5")
    pq.write_table(pa.table({"id": [5, 7], "jpeg": [encoded(9), None]}), tmp_path / "z.parquet")
    assert values(tmp_path, "z.parquet", "5") == [9]
    with pytest.raises(FoldwiseError, match=r"row 1: z.parquet\[1\] does not decode as an image \(0 bytes\)"):
        values(tmp_path, "z.parquet", "7")


def test_hdf5_of_bytes_and_of_pixels_in_groups(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["train/a"] = np.void(encoded(4))
        file["train/b"] = np.frombuffer(encoded(5), np.uint8)
        file["train/c"] = np.full((4, 5), 6, np.uint8)
    assert values(tmp_path, "x.h5", "a", "b", "train/c") == [4, 5, 6]


@pytest.mark.parametrize("name", ["x.parquet", "x.h5", "x.zip"])
def test_a_damaged_container_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PAR1")
    with pytest.raises(FoldwiseError, match=rf"^{name}: cannot be read: "):
        values(tmp_path, name, "a")


def test_folders_that_share_names_are_kept_apart_by_the_path(tmp_path: Path) -> None:
    for folder in range(3):
        for i in range(2):
            path = tmp_path / "train" / str(folder) / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(10 * folder + i))
    ids = ["2/1", "0/1.png", "1/0.JPG", "train/1/1", "/kaggle/input/train/2/0.png", "train\\0\\0"]
    assert values(tmp_path, "train", *ids) == [21, 1, 10, 11, 20, 0]
    with pytest.raises(FoldwiseError, match="no image of '3/1' in train; there are 6 images"):
        values(tmp_path, "train", "3/1")  # another folder's file of that name is another image


def test_twenty_thousand_ids_take_one_walk(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "x").write_bytes(b"x")
    ids = [f"IMG_{i:05d}" for i in range(20_000)]
    for id_ in ids:
        os.link(tmp_path / "x", tmp_path / "images" / f"{id_}.JPG")
    walks = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: walks.append(path) or scandir(path))
    monkeypatch.setattr(Path, "is_file", lambda path: pytest.fail("a look at one file"))
    files = find_images(tmp_path, "images", ids, ids)
    assert [file.id for file in files] == ids
    assert walks == [str(tmp_path / "images")]


# Files that cannot be used


def test_a_link_to_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(FoldwiseError, match=r"train.csv, row 1: a.png cannot be read: .*No such file"):
        read(tmp_path / "a.png", broken="skip")  # the disk is at fault, not the image


def test_a_damaged_jpeg_is_left_out_of_the_training_by_skip(tmp_path: Path, caplog) -> None:
    Image.fromarray(random_image(128, 128, 3)).save(tmp_path / "a.jpg", quality=92)
    data = bytearray((tmp_path / "a.jpg").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 500] = bytes(500)
    (tmp_path / "a.jpg").write_bytes(data)
    assert read(tmp_path / "a.jpg", broken="skip") is None
    assert "a.jpg is skipped: it is damaged (Corrupt JPEG data" in caplog.text
    assert read(tmp_path / "a.jpg", broken="blank").any()  # an image with lost bytes is better than none


def test_lines_that_no_image_caused_reach_the_terminal(tmp_path: Path, capfd, monkeypatch) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4), np.uint8))
    written = []

    def imdecode(*arguments):
        if not written:
            written.append(os.write(2, b"from another thread\n"))
        return decode(*arguments)

    decode = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", imdecode)
    assert not read(tmp_path / "a.png").any()
    assert capfd.readouterr().err == "from another thread\n"


def test_the_first_image_settles_what_all_must_be(tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.INFO)
    for i in range(199):
        cv2.imwrite(str(tmp_path / f"{i:03d}.png"), np.zeros((4, 4), np.uint8))
    cv2.imwrite(str(tmp_path / "199.png"), random_image(4, 4, 3))  # outside the sample
    files = [ImageFile(str(tmp_path / f"{i:03d}.png"), str(i), f"train.csv, row {i + 1}") for i in range(200)]
    rules = settle(ImageRules(channels="auto"), files)
    assert rules.channels == "grey"
    with pytest.raises(FoldwiseError, match=r"row 200: 199.png has colours.*channels=colour or =grey in place of auto"):
        list(read_images(files, rules))
