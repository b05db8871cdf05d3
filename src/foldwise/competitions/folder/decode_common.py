"""JPEG, PNG, BMP, WEBP, JPEG 2000 and what else OpenCV reads; animations by Pillow."""

from __future__ import annotations

import io

import cv2
import numpy as np

from foldwise.competitions.folder.decoded import Decoded, Undecodable, chosen_pages, span_of
from foldwise.competitions.folder.decoded_size import check_size
from foldwise.competitions.folder.headers import JpegHeader, Kind, jpeg_header, orientation_of, png_colour_type
from foldwise.competitions.folder.image_rules import ImageRules

# `auto` decodes as the file is, to see whether it has colours
FLAGS = {
    "as_is": cv2.IMREAD_UNCHANGED,
    "auto": cv2.IMREAD_UNCHANGED,
    "grey": cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION,
    "colour": cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION,
}
REDUCED = {  # by (factor, whether grey): libjpeg leaves out the finer coefficients of each block
    (2, True): cv2.IMREAD_REDUCED_GRAYSCALE_2,
    (4, True): cv2.IMREAD_REDUCED_GRAYSCALE_4,
    (8, True): cv2.IMREAD_REDUCED_GRAYSCALE_8,
    (2, False): cv2.IMREAD_REDUCED_COLOR_2,
    (4, False): cv2.IMREAD_REDUCED_COLOR_4,
    (8, False): cv2.IMREAD_REDUCED_COLOR_8,
}


def decode_opencv(data: bytes, kind: Kind, rules: ImageRules, boxed: bool = False) -> Decoded:
    """Decode one page as OpenCV does.

    With `channels=grey`, colours are weighed .299 R + .587 G + .114 B, and with `grey` and `colour` alpha is left
    out: colours below transparent pixels stay. Palettes become colours, CMYK becomes RGB, one bit becomes 0 and 255.
    boxed: whether a box is cut out afterwards, in pixels of the whole image, which forbids a smaller decode.
    Raises Undecodable.
    """
    channels = "auto" if rules.sampled else rules.channels
    flags, orientation, is_bgr = FLAGS[channels], 1, False
    if kind == "jpeg":
        header = jpeg_header(data)
        if header is not None:
            orientation = header.orientation
            if flags == cv2.IMREAD_UNCHANGED and header.components == 3:
                flags = FLAGS["colour"]  # the same values, in RGB order
            if rules.draft and rules.size is not None and not boxed:
                reduced = _reduced(header, rules, rules.size)
                flags, is_bgr = (reduced, True) if reduced else (flags, False)
    elif rules.upright:
        orientation = orientation_of(data, kind)
    if kind == "tiff" and flags == FLAGS["colour"]:  # in RGB order OpenCV 5.0.0 returns no pixels of 16-bit TIFFs
        flags, is_bgr = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION, True
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error:  # a size that OpenCV refuses
        image = None
    if image is None:
        raise Undecodable
    image = image[:, :, None] if image.ndim == 2 else image
    colour = image.shape[2] > 2
    if flags == cv2.IMREAD_UNCHANGED or is_bgr:
        image = to_rgb(image)
        if kind == "png" and png_colour_type(data) == 4:
            colour = False  # grey with alpha, which OpenCV decodes to four bands
        elif kind == "gif":
            colour = bool((image[..., :3] != image[..., :1]).any())  # every GIF has a palette
    if rules.upright:
        image = upright(image, orientation)
    n = image.shape[2]
    return Decoded(image[None], span_of(image.dtype), colour=colour, alpha=n in (2, 4))


def to_rgb(image: np.ndarray) -> np.ndarray:
    """Return an image that OpenCV decoded in BGR or BGRA order in RGB or RGBA order."""
    if image.shape[2] not in (3, 4):
        return image
    if image.dtype in (np.uint8, np.uint16, np.float32):
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
    return np.ascontiguousarray(image[:, :, [2, 1, 0, 3][: image.shape[2]]])


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Turn and mirror an image (h, w, c) as the tag of EXIF and TIFF tells (Exif 2.32, 4.6.4 A: 1 to 8)."""
    if orientation == 1:
        return image
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def _reduced(header: JpegHeader, rules: ImageRules, size: tuple[int, int]) -> int | None:
    """Return the flags for the smallest decode that is not below `size` in either direction; None for a full one."""
    if header.components not in (1, 3):
        return None
    height, width = size[::-1] if rules.upright and header.orientation > 4 else size
    factor = next((f for f in (8, 4, 2) if header.height >= f * height and header.width >= f * width), 1)
    if factor == 1:
        return None
    grey = rules.channels == "grey" or (rules.channels != "colour" and header.components == 1)
    return REDUCED[factor, grey] | cv2.IMREAD_IGNORE_ORIENTATION


def decode_animated(data: bytes, rules: ImageRules, name: str, most: int) -> Decoded:
    """Decode the frames of a GIF, WEBP or PNG, each as it is shown, as RGBA, or as RGB where all is opaque.

    most: bytes that the frames may take.

    Raises Undecodable and FoldwiseError.
    """
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        wanted = chosen_pages(getattr(image, "n_frames", 1), rules, name)
        check_size(4 * image.width * image.height * len(wanted), most)
        frames = []
        for number in wanted:
            image.seek(number)
            frames.append(np.asarray(image.convert("RGBA")))
    pixels = np.stack(frames)
    rgb, opaque = pixels[..., :3], bool((pixels[..., 3] == 255).all())
    colour = bool((rgb != rgb[..., :1]).any())
    return Decoded(rgb if opaque else pixels, (0.0, 255.0), colour=colour, alpha=not opaque)


def n_frames(data: bytes) -> int:
    """Return how many frames a GIF, WEBP or PNG has. Raises OSError where it is damaged."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        return getattr(image, "n_frames", 1)


def decode_pillow(data: bytes, rules: ImageRules) -> Decoded:
    """Decode a kind that OpenCV does not read, by Pillow. Raises Undecodable."""
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(data)) as image:
        if image.format == "EPS":
            raise Undecodable("PostScript is a program, and is not run")
        found = ImageOps.exif_transpose(image) if rules.upright else image
        if found.mode in ("P", "CMYK", "YCbCr", "LAB", "HSV", "PA", "RGBX"):
            found = found.convert("RGBA" if "transparency" in found.info or found.mode == "PA" else "RGB")
        array = np.asarray(found)
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    if array.ndim < 2:
        raise Undecodable
    array = array[:, :, None] if array.ndim == 2 else array
    alpha = array.shape[2] in (2, 4)
    return Decoded(array[None], span_of(array.dtype), colour=array.shape[2] > 2, alpha=alpha)
