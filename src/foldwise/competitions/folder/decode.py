"""Decode the bytes of an image file by what they are, whatever the file's suffix."""

from __future__ import annotations

import io
import math
import zipfile
from typing import Any

import numpy as np

from foldwise.competitions.folder.decode_common import decode_animated, decode_opencv, decode_pillow, n_frames
from foldwise.competitions.folder.decode_dicom import decode_dicom
from foldwise.competitions.folder.decode_tiff import decode_tiff
from foldwise.competitions.folder.decoded import Decoded, Undecodable, from_array
from foldwise.competitions.folder.decoded_size import check_header, check_size, gunzip, limit_of, load_npy
from foldwise.competitions.folder.headers import is_animated, kind_of
from foldwise.competitions.folder.image_rules import ImageRules
from foldwise.errors import FoldwiseError

__all__ = ["decode"]


def decode(data: bytes | np.ndarray, name: str, rules: ImageRules, boxed: bool = False) -> Decoded:
    """Return the pages of an image that the rules choose.

    data: the bytes of a file, or the pixels where a container holds pixels.
    name: of the file, for its suffix and for messages.
    boxed: whether a box is cut out afterwards.
    Raises Undecodable for a damaged file and FoldwiseError where the rules leave open what to read.
    """
    try:
        if isinstance(data, np.ndarray):
            return from_array(data, rules, name)
        return _decode_bytes(data, name, rules, boxed, limit_of(len(data), rules.max_decoded))
    except (FoldwiseError, Undecodable):
        raise
    except MemoryError:
        raise FoldwiseError(f"{name} takes more memory than there is when it is decoded") from None
    except Exception as error:  # each library has errors of its own for damaged files
        kind = type(error).__name__
        raise Undecodable("" if kind == "UnidentifiedImageError" else f"{kind}: {error}") from error


def _decode_bytes(data: bytes, name: str, rules: ImageRules, boxed: bool, most: int) -> Decoded:
    """Return the pages of an image whose pixels take at most so many bytes."""
    kind = kind_of(data, name)
    if kind == "tiff":
        return decode_tiff(data, rules, name, most)
    if kind == "dicom":
        return decode_dicom(data, rules, name, most)
    if kind == "npy":
        return from_array(load_npy(data), rules, name)
    if kind == "npz":
        return from_array(_only_array(data, name, most), rules, name)
    if kind == "nifti":
        return _decode_nifti(data, rules, name, most)
    if kind == "gzip":
        return _decode_bytes(gunzip(data, most), name.removesuffix(".gz"), rules, boxed, most)
    check_header(data, kind, most)
    if is_animated(data, kind) and n_frames(data) > 1:
        return decode_animated(data, rules, name, most)
    try:
        return decode_opencv(data, kind, rules, boxed)
    except Undecodable:
        if kind != "other" or not data:
            raise
    return decode_pillow(data, rules)


def _only_array(data: bytes, name: str, most: int) -> np.ndarray:
    """Return the array of an .npz file; raise FoldwiseError where it holds several, none of them named `image`."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        names = list(arrays)
        chosen = names[0] if len(names) == 1 else next((n for n in ("image", "arr_0") if n in names), None)
        if chosen is None:
            raise FoldwiseError(f"{name} holds the arrays {', '.join(names)}; expected one, or one named `image`")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        check_size(archive.getinfo(f"{chosen}.npy").file_size, most)
        return load_npy(archive.read(f"{chosen}.npy"))


def _decode_nifti(data: bytes, rules: ImageRules, name: str, most: int) -> Decoded:
    """Decode a NIfTI volume: its pages are the slices along the third axis; values as its header scales them.

    Rows are the second axis and columns the first, as stored: nothing is turned.
    """
    try:
        import nibabel
    except ImportError:
        raise FoldwiseError(f"{name}: NIfTI files need the package nibabel: pip install 'foldwise[nifti]'") from None
    if data[:2] == b"\x1f\x8b":
        data = gunzip(data, most)
    second = 540 in (int.from_bytes(data[:4], "little"), int.from_bytes(data[:4], "big"))  # the header of NIfTI-2
    image: Any = (nibabel.Nifti2Image if second else nibabel.Nifti1Image).from_bytes(data)
    check_size(8 * math.prod(image.shape), most)  # values are scaled to float64
    volume = np.asanyarray(image.dataobj)
    volume = volume.reshape(volume.shape[0], volume.shape[1], -1)  # times follow one another
    return from_array(volume.transpose(2, 1, 0)[..., None], rules, name)
