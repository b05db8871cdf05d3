"""An image as it was decoded, before it is brought to the form that the options state."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from foldwise.competitions.folder.image_rules import ImageRules
from foldwise.errors import FoldwiseError


class Undecodable(Exception):
    """The file is damaged, or no image."""


@dataclass
class Decoded:
    """Pixels of one image.

    pixels: (v, h, w, c), v pages, colours in RGB order, alpha last.
    span: the values of black and of white, where the format has them (0 and 255 for 8 bits); else None.
    colour: whether it can have colours: False for one band, with alpha or without.
    alpha: whether the last band is alpha.
    """

    pixels: np.ndarray
    span: tuple[float, float] | None
    colour: bool
    alpha: bool = False


def span_of(dtype: np.dtype) -> tuple[float, float] | None:
    """Return the least and the greatest value of unsigned whole numbers; None for other types."""
    return (0.0, float(np.iinfo(dtype).max)) if dtype.kind == "u" else None


def chosen_pages(n: int, rules: ImageRules, name: str) -> list[int]:
    """Return the numbers of the pages to read out of n.

    With `slices`, they are evenly spaced from the first to the last; where there are fewer pages, some come again.
    Raises FoldwiseError for several pages and no option, and for a page that the file does not have.

    >>> chosen_pages(10, ImageRules(slices=4), "brain.nii"), chosen_pages(2, ImageRules(slices=4), "brain.nii")
    ([0, 3, 6, 9], [0, 0, 1, 1])
    """
    pages = rules.pages
    if rules.slices is not None:
        return np.linspace(0, n - 1, rules.slices).round().astype(int).tolist()
    if pages == "all":
        return list(range(n))
    if pages == "first" or (pages is None and n == 1):
        return [0]
    if pages is None:
        raise FoldwiseError(
            f"{name} has {n} pages (or frames); expected one, or the option that says which: "
            f"competition.options.pages=first, =all (the views of one sample) or =0 to {n - 1}; "
            "competition.options.slices=16 takes 16 of them, evenly spaced"
        )
    if not 0 <= pages < n:
        raise FoldwiseError(
            f"{name} has {n} pages; competition.options.pages={pages}: valid are first, all, 0 to {n - 1}"
        )
    return [pages]


def from_array(array: np.ndarray, rules: ImageRules, name: str) -> Decoded:
    """Return a plain array as an image: (h, w), (h, w, c), (c, h, w) with c up to 4 below h and w, or (v, h, w, c).

    Logical values become 0 and 255. Raises Undecodable for another shape or type.
    """
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind not in "uif" or array.dtype == np.float16 or array.size == 0:
        if array.dtype != np.float16 or array.size == 0:
            raise Undecodable(f"an array of type {array.dtype} and shape {array.shape}")
        array = array.astype(np.float32)
    if array.ndim == 2:
        array = array[:, :, None]
    elif array.ndim == 3 and array.shape[0] <= 4 < min(array.shape[1:]):
        array = np.moveaxis(array, 0, 2)
    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4:
        raise Undecodable(f"an array of shape {array.shape}, expected (h, w), (h, w, c) or (pages, h, w, c)")
    array = array[chosen_pages(len(array), rules, name)]
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return Decoded(native, span_of(native.dtype), colour=native.shape[3] > 1)
