"""What the first bytes of an image file show before it is decoded: its kind, its orientation, its size."""

from __future__ import annotations

import struct
from typing import Literal, NamedTuple

Kind = Literal["jpeg", "png", "gif", "webp", "bmp", "tiff", "dicom", "npy", "npz", "nifti", "gzip", "other"]
SIGNATURES: tuple[tuple[bytes, Kind], ...] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),  # BigTIFF
    (b"MM\0+", "tiff"),
    (b"\x93NUMPY", "npy"),
    (b"PK\x03\x04", "npz"),
    (b"BM", "bmp"),
    (b"\x1f\x8b", "gzip"),
)
STARTS_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers that carry a JPEG's size
ORIENTATION = 0x0112  # the tag of EXIF and TIFF


class JpegHeader(NamedTuple):
    """Size in pixels as stored, number of components, and EXIF orientation (1 to 8) of a JPEG."""

    height: int
    width: int
    components: int
    orientation: int


def kind_of(data: bytes, name: str) -> Kind:
    """Return the kind of a file by its contents; DICOM without a preamble and NIfTI by their suffix."""
    if data[128:132] == b"DICM":  # before others: its first 128 bytes may make it a TIFF too
        return "dicom"
    for signature, kind in SIGNATURES:
        if data.startswith(signature):
            return "nifti" if kind == "gzip" and name.lower().endswith(".nii.gz") else kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    lower = name.lower()
    if lower.endswith((".dcm", ".dicom")):
        return "dicom"
    if data[344:348] in (b"n+1\0", b"ni1\0") or lower.endswith((".nii", ".nii.gz")):
        return "nifti"
    return "other"


def jpeg_header(data: bytes) -> JpegHeader | None:
    """Read the markers of a JPEG up to its size; None where they are damaged."""
    at, orientation, end = 2, 1, len(data)
    while at + 9 < end:
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        length = (data[at + 2] << 8) | data[at + 3]
        if marker in STARTS_OF_FRAME:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return JpegHeader(height, width, data[at + 9], orientation)
        if marker == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            orientation = exif_orientation(data[at + 10 : at + 2 + length])
        at += 2 + length
    return None


def png_colour_type(data: bytes) -> int:
    """Return the colour type of a PNG: 0 grey, 2 RGB, 3 palette, 4 grey with alpha, 6 RGB with alpha."""
    return data[25] if len(data) > 25 else -1


def orientation_of(data: bytes, kind: Kind) -> int:
    """Return the EXIF orientation (1 to 8) of a PNG or WEBP; 1, upright as stored, where it has none."""
    if kind == "png":
        at = 8
        while at + 8 <= len(data):
            length, name = struct.unpack_from(">I4s", data, at)
            if name == b"eXIf":
                return exif_orientation(data[at + 8 : at + 8 + length])
            if name == b"IEND":
                break
            at += 12 + length
    if kind == "webp":
        at = 12
        while at + 8 <= len(data):
            name, length = struct.unpack_from("<4sI", data, at)
            if name == b"EXIF":
                return exif_orientation(data[at + 8 : at + 8 + length].removeprefix(b"Exif\0\0"))
            at += 8 + length + length % 2
    return 1


def exif_orientation(exif: bytes) -> int:
    """Return the orientation in a block of EXIF, which is laid out as a TIFF; 1 where it is absent or damaged."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 8:
        return 1
    at = struct.unpack_from(order + "I", exif, 4)[0]
    if at + 2 > len(exif):
        return 1
    for i in range(struct.unpack_from(order + "H", exif, at)[0]):
        entry = at + 2 + 12 * i
        if entry + 12 > len(exif):
            break
        tag, _, _, value = struct.unpack_from(order + "HHIH", exif, entry)
        if tag == ORIENTATION:
            return value if 1 <= value <= 8 else 1
    return 1


def is_animated(data: bytes, kind: Kind) -> bool:
    """Return whether a GIF, PNG or WEBP may hold several frames, by its header."""
    if kind == "webp":
        return data[12:16] == b"VP8X" and len(data) > 20 and bool(data[20] & 2)
    if kind == "png":  # the chunk of an animation comes before the pixels
        at = data.find(b"acTL", 8, max(0, data.find(b"IDAT")))
        return at > 0 and data[at - 4 : at] == b"\0\0\0\x08"
    return kind == "gif"
