"""How the images of a folder competition are brought to one form, and where one image is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Channels = Literal["as_is", "auto", "grey", "colour"]
Depth = Literal[8, 16, "float"]
Fit = Literal["stretch", "pad", "crop"]
Pages = Literal["first", "all"] | int
Broken = Literal["refuse", "skip", "blank"]
Box = tuple[float, float, float, float]  # x, y (of the left upper corner), width, height, in pixels


class ImageFile(NamedTuple):
    """Where one image is stored.

    path: the file, or the container (parquet, HDF5 or zip) that holds the image; that of a folder of slices ends with
        a slash.
    member: the image's key in a container: a row, the name of a dataset or of a file; empty for a plain file.
    id, where: the id, and its place in the tables ("train.csv, row 3"), for messages.
    """

    path: str
    id: str
    where: str
    member: str = ""

    @property
    def name(self) -> str:
        """The name for messages: that of the file, and the member of a container."""
        base = self.path.replace("\\", "/").rstrip("/").rpartition("/")[2]
        return f"{base}[{self.member}]" if self.member else base

    @property
    def is_series(self) -> bool:
        """Whether the image is a folder of slices."""
        return self.path.endswith("/")


@dataclass(frozen=True)
class ImageRules:
    """How images are decoded; the options of the reader of the same names.

    channels: `as_is`: those of the file (colours as RGB, 4 with alpha); `grey`: 1; `colour`: 3 (RGB);
        `auto`: 1 where the files of a sample are all grey, 3 where one has colours, all bands beyond four.
    depth: None: values as in the file; 8: uint8, 0 to 255; 16: float32, 0 to 65535; `float`: float32, 0 to 1.
    size: (height, width) in pixels; None: as in the file.
    fit: how an image comes to `size`: `stretch` both sides, `pad` with black, or `crop` the middle.
    pages: of a file with several (TIFF, GIF, DICOM frames, NIfTI slices), and of a folder of slices: `first`, `all`
        (v, h, w, c), or the number of one, from 0 on; None refuses such files.
    slices: in place of `pages`: as many of them, evenly spaced (v, h, w, c).
    upright: turn photographs as their EXIF orientation says.
    window: (centre, width) of the values of DICOM images that are kept, in their units (Hounsfield units for
        CT); `file`: as the file has it.
    broken: what becomes of a file that does not decode: `refuse`, `skip` (None in its place), or `blank` (black).
    draft: decode JPEGs at a half, a quarter or an eighth of their size where that is still not below `size`:
        faster, with slightly other values.
    max_decoded: bytes that one image may take when decoded; None: 200 times its file, but 128 MB at least.
    blank_shape, blank_dtype: of an image, as `settle` found them; for `blank` before an image was decoded.
    sampled: whether `settle` chose `channels` from a sample, so that a file of another kind is refused.
    """

    channels: Channels = "as_is"
    depth: Depth | None = None
    size: tuple[int, int] | None = None
    fit: Fit = "stretch"
    pages: Pages | None = None
    slices: int | None = None
    upright: bool = True
    window: tuple[float, float] | Literal["file"] | None = None
    broken: Broken = "refuse"
    draft: bool = False
    max_decoded: int | None = None
    blank_shape: tuple[int, ...] | None = None
    blank_dtype: str = "uint8"
    sampled: bool = False

    @property
    def in_views(self) -> bool:
        """Whether an image is (v, h, w, c), its pages being the views."""
        return self.pages == "all" or self.slices is not None
