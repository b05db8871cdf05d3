"""How much memory an image takes when decoded, by its header: too much is refused before anything is decoded."""

from __future__ import annotations

import gzip
import io
import math
import re
import struct
import zlib

import numpy as np

from foldwise.competitions.folder.decoded import Undecodable
from foldwise.competitions.folder.headers import Kind, jpeg_header

# Blank photographs and masks shrink to a hundredth; what shrinks to less is small, or made to fill the memory
LEAST_LIMIT, LIMIT_RATIO = 128 * 10**6, 200
PNG_BYTES = {0: 1, 2: 3, 3: 4, 4: 4, 6: 4}  # of a decoded pixel of 8 bits, by the colour type
AXES = (b"-Y (\\d+) \\+X (\\d+)\n", b"WIDTH (\\d+)\nHEIGHT (\\d+)\n")  # Radiance HDR, PAM
SUN_RASTER = b"\x59\xa6\x6a\x95"
DEFLATED = b"1.2.840.10008.1.2.1.99"  # the transfer syntax of DICOM that compresses the whole file
META = 144  # bytes of a DICOM file up to the rest of its first group, whose length ends there


def limit_of(n_bytes: int, given: int | None) -> int:
    """Return the bytes that an image may take when decoded.

    n_bytes: of its file.
    given: by the option `max_decoded`; None: 200 times its file, but 128 MB at least.
    """
    return max(LEAST_LIMIT, LIMIT_RATIO * n_bytes) if given is None else given


def check_size(n_bytes: int, most: int) -> None:
    """Raise Undecodable where an image takes more bytes than allowed."""
    if n_bytes > most:
        raise Undecodable(
            f"refused: decoded it takes {n_bytes:,} bytes, of {most:,} allowed; if you trust it, set "
            "competition.options.max_decoded=SIZE, such as 2GB"
        )


def check_header(data: bytes, kind: Kind, most: int) -> None:
    """Raise Undecodable where an image that OpenCV or Pillow decodes takes more bytes than allowed."""
    if kind == "png" and len(data) > 25:
        width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
        check_size(height * width * PNG_BYTES.get(colour, 4) * (2 if depth == 16 else 1), most)
        at = 8
        while at + 8 <= len(data):  # OpenCV asks for the memory that a chunk claims
            length = int.from_bytes(data[at : at + 4], "big")
            check_size(length, most)
            at += 12 + length
    elif kind == "gif" and len(data) > 9:
        width, height = struct.unpack_from("<HH", data, 6)
        check_size(height * width * 4, most)
    elif kind == "jpeg":
        header = jpeg_header(data)
        if header is not None:
            check_size(header.height * header.width * max(3, header.components), most)
    else:
        check_size(4 * _pixels(data), most)


def _pixels(data: bytes) -> int:
    """Return the number of pixels of an image by its header; 0 where nothing shows it."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.width * image.height
    except Image.DecompressionBombError as error:  # at more pixels than Pillow decodes
        found = re.search(r"(\d+) pixels", str(error))
        return int(found[1]) if found else 2**31
    except Exception:  # Pillow does not know the kind, or the header is damaged
        pass
    if data[:4] == SUN_RASTER and len(data) >= 12:
        return math.prod(struct.unpack_from(">II", data, 4))
    for axes in AXES:
        if size := re.search(axes, data[:4096]):
            return int(size[1][:10]) * int(size[2][:10])
    return 0


def load_npy(data: bytes) -> np.ndarray:
    """Return the array of an .npy file. Raises Undecodable where its header claims more than the file holds."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise Undecodable(f"the version {version} of its format")
    shape, _, dtype = read(file)
    claimed = math.prod(shape) * dtype.itemsize
    if min(shape, default=1) < 0 or claimed > len(data):
        raise Undecodable(f"its header claims the shape {shape}, which takes {claimed:,} bytes")
    return np.load(io.BytesIO(data), allow_pickle=False)


def gunzip(data: bytes, most: int) -> bytes:
    """Return what a gzip file holds. Raises Undecodable where that is more than allowed."""
    parts, n_bytes = [], 0
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        while part := file.read(2**20):
            n_bytes += len(part)
            check_size(n_bytes, most)
            parts.append(part)
    return b"".join(parts)


def check_deflated(data: bytes, most: int) -> None:
    """Raise Undecodable where a DICOM file is compressed as a whole, and holds more than allowed."""
    start = META + int.from_bytes(data[META - 4 : META], "little")
    if DEFLATED in data[:start]:
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        n_bytes, rest = 0, data[start:]
        while part := inflate.decompress(rest, 2**20):
            n_bytes += len(part)
            check_size(n_bytes, most)
            rest = inflate.unconsumed_tail
