"""TIFF: several pages, more than four bands, signed and floating point values, by tifffile."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from foldwise.competitions.folder.decode_common import decode_opencv, upright
from foldwise.competitions.folder.decoded import Decoded, Undecodable, chosen_pages, span_of
from foldwise.competitions.folder.decoded_size import check_size
from foldwise.competitions.folder.headers import ORIENTATION
from foldwise.competitions.folder.image_rules import ImageRules


def decode_tiff(data: bytes, rules: ImageRules, name: str, most: int) -> Decoded:
    """Decode a TIFF; thumbnails and the smaller copies of a pyramid are no pages.

    One plain page of 1, 8 or 16 bits is decoded by OpenCV, which is faster; CMYK becomes RGB.

    most: bytes that its pages may take.

    Raises Undecodable and FoldwiseError.
    """
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        pages = [page for page in file.pages if not _is_thumbnail(page)] or list(file.pages)
        if not pages:
            raise Undecodable
        first: Any = pages[0].aspage()
        if len(pages) == 1 and file.is_imagej and file.series[0].ndim > first.ndim:
            check_size(file.series[0].nbytes, most)
            return _hyperstack(file.series[0], rules, name)
        wanted = chosen_pages(len(pages), rules, name)
        check_size(sum(_n_bytes(pages[i].aspage()) for i in wanted), most)
        turned = ORIENTATION in first.tags and not rules.upright  # OpenCV turns every TIFF
        if len(pages) == 1 and _is_plain(first) and not turned:
            try:
                return decode_opencv(data, "tiff", rules)
            except Undecodable:  # a compression that OpenCV lacks
                pass
        images = [_page(pages[i].aspage(), rules) for i in wanted]
    if len({image.shape for image in images}) > 1:
        shapes = ", ".join(sorted({str(image.shape) for image in images}))
        raise Undecodable(f"its pages have different shapes: {shapes}")
    pixels = np.stack(images)
    n = pixels.shape[3]
    return Decoded(pixels, span_of(pixels.dtype), colour=n > 2, alpha=n in (2, 4) and bool(first.extrasamples))


def _is_plain(page: Any) -> bool:
    """Return whether OpenCV reads a page as it is.

    It multiplies colours by alpha, mixes up bands that are stored one after the other, and returns zeros for a
    compression that it lacks.
    """
    compressions = ("NONE", "CCITTRLE", "CCITTFAX3", "CCITTFAX4", "LZW", "JPEG", "ADOBE_DEFLATE", "DEFLATE", "PACKBITS")
    return (
        page.bitspersample in (1, 8, 16)
        and page.sampleformat == 1
        and page.samplesperpixel in (1, 3)
        and (page.samplesperpixel == 1 or page.planarconfig == 1)
        and page.imagedepth == 1
        and page.compression.name in compressions
    )


def _n_bytes(page: Any) -> int:
    """Return the bytes that a page takes when decoded: its pixels, or one of its tiles where that is larger."""
    itemsize = 8 if page.dtype is None else page.dtype.itemsize
    tile = page.tilewidth * page.tilelength * page.tiledepth * page.samplesperpixel if page.is_tiled else 0
    return max(page.size, tile) * itemsize * (1 if page.colormap is None else 3)


def _is_thumbnail(page: Any) -> bool:
    return bool(page.is_reduced or page.is_mask)


def _page(page: Any, rules: ImageRules) -> np.ndarray:
    """Return the pixels (h, w, c) of a page: palettes as colours, white-is-zero inverted, logical as 0 and 255."""
    import tifffile

    array = page.asarray()
    if page.axes.startswith("S") and array.ndim == 3:  # bands one after the other
        array = np.moveaxis(array, 0, -1)
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
        array = np.moveaxis((page.colormap[:, array] // 256).astype(np.uint8), 0, -1)
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and array.dtype.kind == "u":
        array = np.iinfo(array.dtype).max - array
    if page.photometric == tifffile.PHOTOMETRIC.SEPARATED and array.shape[2:] == (4,) and array.dtype.kind == "u":
        array = _cmyk_to_rgb(array)
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    if array.ndim not in (2, 3) or array.dtype.kind not in "uif":
        raise Undecodable(f"a page of shape {array.shape} and type {array.dtype}")
    array = array[:, :, None] if array.ndim == 2 else array
    tag = page.tags.get(ORIENTATION)
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return upright(native, int(tag.value)) if tag is not None and rules.upright else native


def _cmyk_to_rgb(array: np.ndarray) -> np.ndarray:
    """Return (1 - ink) * (1 - black) of the ink's range, as OpenCV and Pillow do; no colour profile is applied."""
    white = float(np.iinfo(array.dtype).max)
    light = white - array[..., 3:].astype(np.float64)
    return np.rint(light - array[..., :3] * light / white).astype(array.dtype)


def _hyperstack(series: Any, rules: ImageRules, name: str) -> Decoded:
    """Return a stack that ImageJ stores in one page: all axes before those of an image are pages."""
    array = series.asarray()
    if not series.axes.endswith("S"):
        array = array[..., None]
    array = array.reshape(-1, *array.shape[-3:])[chosen_pages(int(np.prod(array.shape[:-3])), rules, name)]
    return Decoded(array, span_of(array.dtype), colour=array.shape[3] > 1)
