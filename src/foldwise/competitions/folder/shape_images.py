"""Bring a decoded image to the channels, the part, the size and the depth that the rules state."""

from __future__ import annotations

import cv2
import numpy as np

from foldwise.competitions.folder.decoded import Decoded
from foldwise.competitions.folder.image_rules import Box, Depth, Fit, ImageRules
from foldwise.errors import FoldwiseError

RESIZABLE = ("uint8", "uint16", "int16", "float32", "float64")  # types that OpenCV averages areas of


def shaped(image: Decoded, name: str, rules: ImageRules, box: Box | None = None) -> np.ndarray:
    """Return (h, w, c), or (v, h, w, c) with `pages=all` or `slices`: uint8 or float32.

    The order is: channels, box, depth, size. With depth None, sizes change in the file's own type, so that 16-bit
    values are whole numbers before they become float32. Raises FoldwiseError, naming the options, where the rules do
    not fit the image.
    """
    pixels = to_channels(image, name, rules)
    if box is not None:
        pixels = cut(pixels, box, name)
    depth = 8 if rules.depth is None and image.span == (0.0, 1.0) else rules.depth  # 0 to 1: windowed DICOM
    pixels = to_depth(pixels, image.span, depth, name)
    if rules.size is not None:
        pages = [resized(page, rules.size, rules.fit) for page in pixels]
        pixels = pages[0][None] if len(pages) == 1 else np.stack(pages)
    pixels = pixels if pixels.dtype == np.uint8 else pixels.astype(np.float32)
    if rules.slices is not None and len(pixels) == 1:  # a file of a kind that has no pages
        pixels = np.repeat(pixels, rules.slices, axis=0)
    return pixels if rules.in_views else pixels[0]


def to_channels(image: Decoded, name: str, rules: ImageRules) -> np.ndarray:
    """Return (v, h, w, c) with c = 1 for `grey`, 3 for `colour`, or as the file has them."""
    pixels, channels = image.pixels, rules.channels
    n = pixels.shape[3]
    if channels in ("as_is", "auto"):
        return pixels
    if n > 4 or (n == 2 and not image.alpha):
        raise FoldwiseError(f"{name} has {n} bands, which are no colours; expected competition.options.channels=as_is")
    if rules.sampled and channels == "grey" and image.colour:
        raise FoldwiseError(
            f"{name} has colours, where the files of the sample had none; "
            "expected competition.options.channels=colour or =grey in place of auto"
        )
    if channels == "colour":
        return pixels[..., :3] if n >= 3 else np.repeat(pixels[..., :1], 3, axis=3)
    if n < 3 or not image.colour:
        return pixels[..., :1]
    rgb = pixels[..., :3]
    rgb = rgb if pixels.dtype in (np.uint8, np.uint16, np.float32) else rgb.astype(np.float32)
    return np.stack([cv2.cvtColor(np.ascontiguousarray(page), cv2.COLOR_RGB2GRAY)[:, :, None] for page in rgb])


def cut(pixels: np.ndarray, box: Box, name: str) -> np.ndarray:
    """Return the part of an image (v, h, w, c) inside a box, whose edges are rounded and end at those of the image.

    Raises FoldwiseError where no pixel is inside.
    """
    height, width = pixels.shape[1:3]
    x, y, w, h = box
    if not np.isfinite(box).all():
        raise FoldwiseError(f"{name}: the box (x, y, width, height) is {box}; expected numbers")
    left, right = (int(min(max(round(v), 0), width)) for v in (x, x + w))
    top, bottom = (int(min(max(round(v), 0), height)) for v in (y, y + h))
    if left >= right or top >= bottom:
        raise FoldwiseError(
            f"{name}: the box x={x:g} y={y:g} width={w:g} height={h:g} holds no pixel of the image, which is {width} "
            f"pixels wide and {height} high"
        )
    return pixels[:, top:bottom, left:right]


def to_depth(pixels: np.ndarray, span: tuple[float, float] | None, depth: Depth | None, name: str) -> np.ndarray:
    """Return values of one range, black and white being `span` in the file.

    8: uint8, 0 to 255 (16 bits: value / 257, rounded); 16: float32, 0 to 65535 (8 bits: value * 257); float:
    float32, unsigned whole numbers divided by white (8 bits: value / 255), others unchanged.
    Raises FoldwiseError for 8 and 16 where the file's values have no such range: signed and floating point numbers.
    """
    if depth is None:
        return pixels
    if depth == "float":
        if pixels.dtype.kind == "u" and span is not None:
            return (pixels / np.float64(span[1])).astype(np.float32)
        return pixels.astype(np.float32)
    if span is None:
        raise FoldwiseError(
            f"{name} has values of type {pixels.dtype}, in which black and white are not defined; expected "
            f"competition.options.depth=float in place of {depth}"
        )
    low, high = span
    white = 255 if depth == 8 else 65535
    if (low, high) == (0, white) and (depth == 16 or pixels.dtype == np.uint8):
        return pixels if depth == 8 else pixels.astype(np.float32)
    scaled = np.clip((pixels.astype(np.float64) - low) * (white / (high - low)), 0, white)
    return np.rint(scaled).astype(np.uint8) if depth == 8 else scaled.astype(np.float32)


def resized(page: np.ndarray, size: tuple[int, int], fit: Fit) -> np.ndarray:
    """Return (height, width, c) of one page, averaging areas (cv2.INTER_AREA).

    stretch: both sides by themselves; pad: the whole image, centred on black; crop: the middle, which fills all.
    """
    if page.dtype.name not in RESIZABLE:
        page = page.astype(np.float64)
    height, width = size
    if fit != "stretch":
        scales = height / page.shape[0], width / page.shape[1]
        scale = min(scales) if fit == "pad" else max(scales)
        inner = tuple(max(1, round(side * scale)) for side in page.shape[:2])
        page = _area(page, (inner[0], inner[1]))
        if fit == "crop":
            top, left = (inner[0] - height) // 2, (inner[1] - width) // 2
            return page[top : top + height, left : left + width]
        padded = np.zeros((height, width, page.shape[2]), page.dtype)
        top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
        padded[top : top + inner[0], left : left + inner[1]] = page
        return padded
    return _area(page, size)


def _area(page: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    page = cv2.resize(page, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    return page[:, :, None] if page.ndim == 2 else page
