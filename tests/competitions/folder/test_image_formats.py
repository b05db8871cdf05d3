"""Pixels of every format, depth and kind of colour are those that an independent reader gives."""

import gzip
import warnings
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image
from pydicom.data import get_testdata_file

from foldwise.competitions.folder.image_files import read_images
from foldwise.competitions.folder.image_rules import ImageFile, ImageRules

H, W = 13, 17  # odd and unequal, so that a transposed or padded image shows


def read(path, **rules):
    """Return the image ([v,] h, w, c) that the reader makes of a file."""
    (image,) = read_images([ImageFile(str(path), path.name, path.name)], ImageRules(**rules))
    return image


def smooth(channels, most=255.0):
    """A smooth image (h, w, channels), which lossy formats hardly change."""
    y, x = np.mgrid[:H, :W]
    planes = [np.sin(x / (5 + k)) * np.cos(y / (4 + k)) / 2 + 0.5 for k in range(channels)]
    return np.stack(planes, axis=-1) * most


def pillow(mode):
    """An image of a mode of Pillow."""
    rgb = Image.fromarray(np.round(smooth(3)).astype("u1"))
    if mode == "P":
        return rgb.quantize(64)
    if mode == "I;16":
        return Image.fromarray(np.round(smooth(1, 65535)[..., 0]).astype("u2"))
    image = rgb.convert(mode.removesuffix("A") if mode in ("LA", "RGBA") else mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(Image.fromarray(np.round(smooth(1)[..., 0]).astype("u1")))
    return image


def expected_of(image, channels):
    """What Pillow makes of an image: the bands as they are with palettes as colours, grey or colour without alpha."""
    if image.mode.startswith("I;16"):
        array = np.asarray(image, np.float32)[..., None]
        return np.repeat(array, 3, axis=2) if channels == "colour" else array
    if channels == "as_is":
        image = image.convert("RGBA") if image.mode == "LA" else image  # as OpenCV decodes it
        to = {"P": "RGB", "1": "L", "CMYK": "RGB"}.get(image.mode, image.mode)
    else:
        to = "L" if channels == "grey" else "RGB"
    if "A" in image.mode and channels != "as_is":  # colours below transparent pixels stay
        image = Image.merge(image.mode[:-1], image.split()[:-1])
    if image.mode in ("P", "CMYK"):
        image = image.convert("RGB")
    array = np.asarray(image.convert(to))
    return array[..., None] if array.ndim == 2 else array


MODES = {
    "png": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "jpg": ("L", "RGB", "CMYK"),
    "bmp": ("1", "L", "P", "RGB"),
    "webp": ("RGB", "RGBA"),
    "gif": ("L", "P"),
    "tif": ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16"),
    "jp2": ("L", "RGB"),
    "ppm": ("L", "RGB"),
}
# within: the largest difference; decoders of JPEG and conversions to grey round differently
WITHIN = {"jpg": 4, "jp2": 2}


@pytest.mark.parametrize("channels", ["as_is", "grey", "colour"])
@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind, modes in MODES.items() for mode in modes])
def test_bands_are_those_of_pillow(tmp_path, kind, mode, channels):
    path = tmp_path / f"x.{kind}"
    options = {"jpg": {"quality": 98}, "webp": {"lossless": True, "exact": True}, "jp2": {"irreversible": False}}
    pillow(mode).save(path, **options.get(kind, {}))
    with Image.open(path) as stored:
        stored.load()
        expected = expected_of(stored, channels)
    found = read(path, channels=channels)
    assert found.dtype == expected.dtype
    if kind == "gif" and channels == "as_is":  # a GIF has a palette, whose colours may all be grey
        expected = np.broadcast_to(expected, (H, W, 3))[..., : found.shape[2]]
    assert found.shape == expected.shape
    assert np.abs(found.astype(float) - expected).max() <= WITHIN.get(kind, 1 if channels == "grey" else 0)


@pytest.mark.parametrize("bands", [1, 3, 5])
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8"])
def test_numbers_of_tiffs_are_those_of_tifffile(tmp_path, dtype, bands):
    values = smooth(bands, 100.0) - (50 if dtype[0] in "if" else 0)
    array = values.astype(dtype)
    path = tmp_path / "x.tif"
    photometric = "rgb" if bands == 3 else "minisblack"
    tifffile.imwrite(
        path,
        array if bands > 1 else array[..., 0],
        photometric=photometric,
        planarconfig=None if bands == 1 else "contig",
    )
    found = read(path)
    assert found.dtype == (np.uint8 if dtype == "u1" else np.float32)
    assert (found == tifffile.imread(path).reshape(H, W, bands).astype(found.dtype)).all()


@pytest.mark.parametrize("compression", ["lzw", "zlib", "zstd", "packbits", "lzma", "jpeg2000"])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_compressed_tiffs_are_those_of_tifffile(tmp_path, compression, dtype):
    array, path = smooth(3, 200).astype(dtype), tmp_path / "x.tif"
    tifffile.imwrite(path, array, photometric="rgb", compression=compression)
    assert (read(path) == tifffile.imread(path)).all()


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_byte_orders_and_planes_of_tiffs(tmp_path, planar):
    array, path = smooth(3, 60000).astype("u2"), tmp_path / "x.tif"
    given = array if planar == "contig" else np.moveaxis(array, -1, 0)
    tifffile.imwrite(path, given, byteorder=">", photometric="rgb", planarconfig=planar)
    assert (read(path) == array.astype(np.float32)).all()


@pytest.mark.parametrize("suffix", ["npy", "npz", "npy.gz"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "f4"])
def test_arrays_of_numpy(tmp_path, suffix, dtype):
    array, path = smooth(2, 90).astype(dtype), tmp_path / f"x.{suffix}"
    if suffix == "npz":
        np.savez(path, array)
    elif suffix == "npy":
        np.save(path, array)
    else:
        np.save(tmp_path / "x.npy", array)
        path.write_bytes(gzip.compress((tmp_path / "x.npy").read_bytes()))
    assert (read(path) == array).all()


DICOMS = [  # that pydicom's wheel carries
    "CT_small.dcm",  # int16, rescaled to Hounsfield units
    "MR_small.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_RLE.dcm",
    "JPEG2000.dcm",
    "MR_small_jp2klossless.dcm",
    "examples_jpeg2k.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "JPEGLSNearLossless_16.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "SC_rgb_rle_16bit.dcm",
    "SC_rgb_small_odd_big_endian.dcm",
    "SC_ybr_full_422_uncompressed.dcm",
    "SC_rgb_rle.dcm",
    "examples_rgb_color.dcm",
    "examples_palette.dcm",
]


@pytest.mark.parametrize("name", DICOMS)
def test_dicoms_are_those_of_pydicom(name):
    found_file = get_testdata_file(name, download=False)
    if found_file is None:
        pytest.skip(f"pydicom carries no {name}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(found_file)
        expected = pydicom.pixels.apply_rescale(dataset.pixel_array, dataset)
        if dataset.PhotometricInterpretation == "PALETTE COLOR":
            expected = pydicom.pixels.apply_color_lut(dataset.pixel_array, dataset)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        expected = expected.max() + expected.min() - expected
    found = read(Path(found_file))
    expected = expected[..., None] if expected.ndim == 2 else expected
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.astype(float), expected.astype(float), rtol=1e-6, atol=1e-3)


SKIMAGE = Path(pytest.importorskip("skimage").__file__).parent / "data"


@pytest.mark.parametrize("path", sorted(SKIMAGE.glob("*.[pjtg][npi][gf]*")), ids=lambda path: path.name)
def test_images_of_scikit_image_are_those_of_imageio(path):
    expected = imageio.imread(path)
    if path.name.startswith("multipage") or path.suffix == ".gif" or path.name == "chessboard_RGB.png":
        pytest.skip("several pages, or 16-bit colours, which imageio gives 8 bits")
    expected = expected[..., None] if expected.ndim == 2 else expected
    found = read(path)
    assert found.shape == expected.shape
    assert np.abs(found.astype(float) - expected).max() <= (4 if path.suffix in (".jpg", ".jpeg") else 0)


def test_pages_are_views(tmp_path):
    pages = np.round(smooth(3)).astype("u1").transpose(2, 0, 1)  # (3, h, w)
    tifffile.imwrite(tmp_path / "x.tif", pages, photometric="minisblack")
    path = tmp_path / "x.tif"
    assert (read(path, pages="all")[..., 0] == pages).all()
    assert (read(path, pages="first")[..., 0] == pages[0]).all()
    assert (read(path, pages=2)[..., 0] == pages[2]).all()
