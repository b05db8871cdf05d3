"""Images are found by their ids, brought to one form by stated rules, and broken ones are named."""

import io
import logging
import time
import unicodedata
import zipfile
from pathlib import Path

import cv2
import h5py
import numpy as np
import pandas as pd
import pydicom
import pytest
import tifffile
from PIL import Image
from pydicom.data import get_testdata_file

from foldwise.competitions.folder.find_images import find_images, ids_of_images
from foldwise.competitions.folder.image_files import read_images, settle
from foldwise.competitions.folder.image_rules import ImageFile, ImageRules
from foldwise.errors import FoldwiseError


def place(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def found(root, images, *ids):
    """The paths in `root` (and the members) of the images of some ids."""
    files = find_images(root, images, ids, [f"train.csv, row {i + 1}" for i in range(len(ids))])
    return [
        Path(file.path).relative_to(root).as_posix() + (f"[{file.member}]" if file.member else "") for file in files
    ]


# Lookup


@pytest.mark.parametrize(
    ("file", "id_"),
    [
        ("a.png", "a"),
        ("a.png", "a.png"),
        ("A.JPG", "a"),
        ("a.JPG", "a.jpg"),
        ("a.jpeg", "a.jpg"),  # another suffix of an image
        ("deep/below/a.webp", "a"),
        ("deep/below/a.webp", "below/a"),
        ("deep/below/a.webp", "below\\a.webp"),
        ("deep/below/a.webp", "images/deep/below/a.webp"),
        ("a.nii.gz", "a"),
        ("no_suffix", "no_suffix"),
        ("1.2.840.113.dcm", "1.2.840.113"),
        (unicodedata.normalize("NFD", "Käfer.png"), unicodedata.normalize("NFC", "Käfer")),
        ("Top view_1-2/IMG 1.JPG", "Top view_1-2/IMG 1"),
    ],
)
def test_an_id_is_found_whatever_its_form(tmp_path, file, id_):
    place(tmp_path / "images", file, "other.png")
    (name,) = found(tmp_path, "images", id_)
    assert name == f"images/{file}"


def test_folders_globs_and_files_next_to_images(tmp_path):
    place(tmp_path, "part_1/a.png", "part_2/b.png", "part_2/b.txt", "part_2/b.json", "part_3/c.png")
    assert found(tmp_path, ["part_1", "part_2"], "a", "b") == ["part_1/a.png", "part_2/b.png"]
    assert found(tmp_path, "part_*", "c", "a") == ["part_3/c.png", "part_1/a.png"]
    assert found(tmp_path, "**/*.png", "b") == ["part_2/b.png"]
    with pytest.raises(FoldwiseError, match=r"no such folder or file; did you mean 'part_[123]'\?.*part_1/"):
        found(tmp_path, "part_4", "a")


def test_a_file_at_the_exact_place_comes_first(tmp_path):
    place(tmp_path / "images", "a.png", "old/a.png", "b.png", "b.jpg")
    assert found(tmp_path, "images", "a", "old/a", "b.jpg") == ["images/a.png", "images/old/a.png", "images/b.jpg"]
    place(tmp_path / "images", "left/c.png", "right/c.png")
    with pytest.raises(FoldwiseError, match=r"row 1: 2 images answer the id 'c': .*left/c.png.*right/c.png"):
        found(tmp_path, "images", "c")


def test_all_missing_ids_are_reported_at_once_with_what_is_there(tmp_path):
    place(tmp_path / "images", *(f"img_{i:03d}.png" for i in range(30)))
    with pytest.raises(FoldwiseError) as caught:
        found(tmp_path, "images", "img_001", "img_01", "img_99", "img_002")
    assert "train.csv, row 2: no image of 'img_01'" in str(caught.value)
    assert "2 of 4 ids have none, also 'img_99' (train.csv, row 3)" in str(caught.value)
    assert "there are 30 images" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_of_file_managers_are_no_images(tmp_path):
    place(tmp_path / "images", "a.png", "._a.png", ".DS_Store", "Thumbs.db", "__MACOSX/a.png", "deep/b.jpg")
    assert found(tmp_path, "images", "a") == ["images/a.png"]
    assert ids_of_images(tmp_path / "images") == ["a", "deep/b"]


def encoded(value):
    return cv2.imencode(".png", np.full((4, 5), value, np.uint8))[1].tobytes()


def test_images_in_one_file(tmp_path):
    pd.DataFrame({"name": ["x", "y"], "picture": [encoded(1), encoded(2)], "age": [1, 2]}).to_parquet(
        tmp_path / "train.parquet"
    )
    with h5py.File(tmp_path / "train.hdf5", "w") as file:
        for i, name in enumerate("xy"):
            file.create_dataset(name, data=np.void(encoded(i + 1)))
    with zipfile.ZipFile(tmp_path / "train.zip", "w") as archive:
        for i, name in enumerate("xy"):
            archive.writestr(f"pictures/{name}.png", encoded(i + 1))
    for kind in ("parquet", "hdf5", "zip"):
        files = find_images(tmp_path, f"train.{kind}", ["y", "x"], ["row 1", "row 2"])
        assert [int(image.mean()) for image in read_images(files, ImageRules())] == [2, 1]
        with pytest.raises(FoldwiseError, match="no image of 'z'"):
            find_images(tmp_path, f"train.{kind}", ["z"], ["row 1"])


# Rules


def image_file(path):
    return ImageFile(str(path), path.stem, f"train.csv, {path.name}")


def read(*paths, **rules):
    files = [image_file(path) for path in paths]
    return list(read_images(files, settle(ImageRules(**rules), files)))


def png(path, array):
    assert cv2.imwrite(str(path), array)
    return path


@pytest.mark.parametrize(("depth", "eight", "sixteen"), [(8, 51, 51), (16, 13107, 13107), ("float", 0.2, 0.2)])
def test_depths_come_to_one_range(tmp_path, depth, eight, sixteen):
    a = png(tmp_path / "a.png", np.full((3, 3), 51, np.uint8))
    b = png(tmp_path / "b.png", np.full((3, 3), 51 * 257, np.uint16))
    one, other = read(a, b, depth=depth)
    assert one.dtype == other.dtype
    assert (one[0, 0, 0], other[0, 0, 0]) == (pytest.approx(eight), pytest.approx(sixteen))
    with pytest.raises(FoldwiseError, match=r"b.png.*competition.options.depth=8"):
        read(a, b)


def test_channels_are_chosen_by_what_is_there(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    grey, colour = np.full((3, 3), 7, np.uint8), np.full((3, 3, 3), (10, 20, 30), np.uint8)  # OpenCV: blue first
    a, b = png(tmp_path / "a.png", grey), png(tmp_path / "b.png", colour)
    assert [image[0, 0].tolist() for image in read(a, b, channels="auto")] == [[7, 7, 7], [30, 20, 10]]
    assert [image[0, 0].tolist() for image in read(a, channels="auto")] == [[7]]
    assert "channels=auto: colour, from a sample of 2 of 2 images" in caplog.text
    with pytest.raises(FoldwiseError, match=r"channels=auto, =grey or =colour"):
        read(a, b)


def test_size_and_fit(tmp_path):
    array = np.zeros((4, 8), np.uint8)
    array[:, 4:] = 200
    path = png(tmp_path / "a.png", array)
    (stretched,) = read(path, size=(4, 4))
    (padded,) = read(path, size=(4, 4), fit="pad")
    (cropped,) = read(path, size=(4, 4), fit="crop")
    assert stretched[..., 0].tolist() == [[0, 0, 200, 200]] * 4
    assert padded[..., 0].tolist() == [[0] * 4, [0, 0, 200, 200], [0, 0, 200, 200], [0] * 4]
    assert cropped[..., 0].tolist() == [[0, 0, 200, 200]] * 4
    (tall,) = read(path, size=(8, 4))
    assert tall.shape == (8, 4, 1)


def test_a_box_is_cut_before_the_size_changes(tmp_path):
    array = np.arange(48, dtype=np.uint8).reshape(6, 8)
    file = image_file(png(tmp_path / "a.png", array))
    (cut,) = read_images([file], ImageRules(), [(2, 1, 3, 2)])
    assert (cut[..., 0] == array[1:3, 2:5]).all()
    with pytest.raises(FoldwiseError, match="holds no pixel of the image, which is 8 pixels wide and 6 high"):
        list(read_images([file], ImageRules(), [(9, 1, 3, 2)]))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("channels", ["as_is", "colour", "grey"])
def test_photographs_are_turned_as_their_tag_says(tmp_path, orientation, kind, channels):
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, 8:] = 255
    pixels[:4, :8] = 128
    path, exif = tmp_path / f"x.{kind}", Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif, **({"lossless": True} if kind == "webp" else {}))
    with Image.open(path) as stored:
        from PIL import ImageOps

        expected = np.asarray(ImageOps.exif_transpose(stored).convert("L"), float)
    (image,) = read(path, channels=channels)
    assert image.shape[:2] == expected.shape
    assert np.abs(image[..., 0] - expected).max() <= 12
    (stored_way,) = read(path, channels=channels, upright=False)
    assert stored_way.shape[:2] == (8, 16)


def test_windows_of_a_dicom():
    path = Path(get_testdata_file("CT_small.dcm", download=False))
    dataset = pydicom.dcmread(path)
    units = pydicom.pixels.apply_rescale(dataset.pixel_array, dataset)
    (image,) = read(path, window=(40, 400))
    # PS3.3 C.11.2.1.2.1: ((x - (c - .5)) / (w - 1) + .5) of the range, between black and white
    expected = np.clip((units - 39.5) / 399 + 0.5, 0, 1) * 255
    assert image.dtype == np.uint8
    assert np.abs(image[..., 0] - expected).max() <= 0.51


def test_one_page_of_several(tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((3, 4, 4), np.uint8), photometric="minisblack")
    with pytest.raises(FoldwiseError, match=r"x.tif has 3 pages .*competition.options.pages=first"):
        read(tmp_path / "x.tif")
    with pytest.raises(FoldwiseError, match="3 pages"):
        read(tmp_path / "x.tif", pages=3)


# Broken files

TRUNCATED = {
    "jpg": {},
    "progressive.jpg": {"progressive": True},
    "png": {},
    "tif": {},
    "webp": {"lossless": True},
    "bmp": {},
    "gif": {},
}


@pytest.mark.parametrize("kind", TRUNCATED)
def test_a_truncated_file_is_named_skipped_or_blank(tmp_path, kind, caplog, capfd):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    suffix = kind.rpartition(".")[2]
    whole, cut = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    Image.fromarray(noise).save(whole, **TRUNCATED[kind])
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(FoldwiseError, match=rf"train.csv, b.{suffix}: b.{suffix} does not decode.*broken=skip"):
        read(whole, cut, channels="colour")
    skipped = read(whole, cut, channels="colour", broken="skip")
    assert skipped[0].shape == (64, 64, 3) and skipped[1] is None
    blank = read(whole, cut, channels="colour", broken="blank")[1]
    assert blank.shape == (64, 64, 3) and not blank.any()
    assert f"b.{suffix}" in caplog.text
    assert capfd.readouterr() == ("", "")  # the decoders' own lines


def test_a_jpeg_with_lost_bytes_is_used_and_named(tmp_path, caplog, capfd):
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (128, 128, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, "JPEG", quality=92)
    data = bytearray(stream.getvalue())
    middle = len(data) // 2
    data[middle : middle + 500] = bytes(500)
    (tmp_path / "a.jpg").write_bytes(data)
    (image,) = read(tmp_path / "a.jpg")
    assert image.shape == (128, 128, 3)
    assert "a.jpg is damaged but used" in caplog.text
    assert capfd.readouterr() == ("", "")


def test_reading_keeps_the_order_and_little_memory(tmp_path):
    files = [image_file(png(tmp_path / f"{i}.png", np.full((2, 2), i, np.uint8))) for i in range(200)]
    images = read_images(iter(files), ImageRules())
    assert int(next(images)[0, 0, 0]) == 0
    time.sleep(0.2)
    assert [int(image[0, 0, 0]) for image in images] == [*range(1, 200)]
