"""DICOM images by pydicom: frames, rescaled values, windows, and compressed pixels by GDCM."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from foldwise.competitions.folder.decoded import Decoded, Undecodable, chosen_pages
from foldwise.competitions.folder.decoded_size import check_deflated, check_size
from foldwise.competitions.folder.image_rules import ImageRules
from foldwise.errors import FoldwiseError


def decode_dicom(data: bytes, rules: ImageRules, name: str, most: int) -> Decoded:
    """Decode the frames of a DICOM image; black is low and white is high.

    Values are stored value x rescale slope + intercept (or those of the modality's table); MONOCHROME1, in which low
    is white, is inverted within the range of the stored bits; palettes and YBR become RGB. With `window`, values
    become 0 to 1 by the linear function of PS3.3 C.11.2.1.2.1.

    most: bytes that the frames may take.

    Raises Undecodable, and FoldwiseError for a file without the window that is to be taken from it, and for a
    compression that nothing installed decodes.
    """
    import pydicom
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    check_deflated(data, most)
    dataset = pydicom.dcmread(io.BytesIO(data), force=True)
    if "Rows" not in dataset:
        raise Undecodable("it has no pixels")
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian  # the default of the standard
    n = int(dataset.get("NumberOfFrames") or 1)
    check_size(_frame_bytes(dataset) * (n if rules.pages == "all" else rules.slices or 1), most)
    wanted = chosen_pages(n, rules, name)
    try:
        frames = [pixel_array(dataset, index=i) for i in wanted] if n > 1 else [pixel_array(dataset)]
    except (RuntimeError, NotImplementedError) as error:
        if "missing dependencies" in str(error) or isinstance(error, NotImplementedError):
            syntax = dataset.file_meta.TransferSyntaxUID.name
            raise FoldwiseError(f"{name}: nothing installed decodes the DICOM transfer syntax {syntax}") from None
        raise Undecodable(str(error)) from None
    array = np.stack(frames)  # (v, h, w[, c])
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    kind = str(dataset.get("PhotometricInterpretation", "MONOCHROME2"))
    if kind == "PALETTE COLOR":
        array = apply_color_lut(array, dataset)
        return Decoded(array, (0.0, float(np.iinfo(array.dtype).max)), colour=True)
    if int(dataset.get("SamplesPerPixel", 1)) > 1:
        return Decoded(array, _stored_span(dataset), colour=True)
    values, span = _rescaled(array, dataset)
    window = _window(dataset, rules, name)
    if window is not None:
        values, span = linear_window(values, *window), (0.0, 1.0)
    if kind == "MONOCHROME1":
        values = _inverted(values, span)
    return Decoded(values[..., None], span, colour=False)


def _frame_bytes(dataset: Any) -> int:
    """Return the bytes that a frame takes by the header, one at least."""
    sides = int(dataset.Rows), int(dataset.get("Columns") or 1)
    bits = int(dataset.get("SamplesPerPixel") or 1) * int(dataset.get("BitsAllocated") or 8)
    return max(sides[0] * sides[1] * bits // 8, 1)


def linear_window(values: np.ndarray, centre: float, width: float) -> np.ndarray:
    """Return 0 to 1 over a window; the function LINEAR of DICOM PS3.3 C.11.2.1.2.1."""
    if width <= 1:
        return (values > centre - 0.5).astype(np.float64)
    return np.clip((values.astype(np.float64) - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)


def _stored_span(dataset: Any) -> tuple[float, float]:
    bits = int(dataset.BitsStored)
    low = -(1 << (bits - 1)) if int(dataset.get("PixelRepresentation", 0)) else 0
    return float(low), float(low + (1 << bits) - 1)


def _rescaled(array: np.ndarray, dataset: Any) -> tuple[np.ndarray, tuple[float, float]]:
    """Return the values in the modality's units, and those of the least and the greatest stored value."""
    from pydicom.pixels.processing import apply_modality_lut

    low, high = _stored_span(dataset)
    if dataset.get("ModalityLUTSequence"):
        values = apply_modality_lut(array, dataset)
        return values, (0.0, float(np.iinfo(values.dtype).max))
    slope, intercept = float(dataset.get("RescaleSlope") or 1), float(dataset.get("RescaleIntercept") or 0)
    if (slope, intercept) == (1, 0):
        return array, (low, high)
    ends = sorted((low * slope + intercept, high * slope + intercept))
    return array.astype(np.float64) * slope + intercept, (ends[0], ends[1])


def _window(dataset: Any, rules: ImageRules, name: str) -> tuple[float, float] | None:
    if rules.window != "file":
        return rules.window
    if dataset.get("WindowCenter") is None or dataset.get("WindowWidth") is None:
        raise FoldwiseError(
            f"{name} states no window (WindowCenter, WindowWidth); expected competition.options.window=[centre, width]"
        )
    centre, width = (
        float(value[0] if hasattr(value, "__len__") and not isinstance(value, str) else value)
        for value in (dataset.WindowCenter, dataset.WindowWidth)
    )
    return centre, width


def _inverted(values: np.ndarray, span: tuple[float, float]) -> np.ndarray:
    total = np.array(span[0] + span[1]).astype(values.dtype)
    return total - (np.minimum(values, total) if values.dtype.kind == "u" else values)
