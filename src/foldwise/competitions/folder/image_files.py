"""From the option `images` and an id to an array: find the files, settle the rules, decode in threads."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foldwise.competitions.folder.containers import OpenContainers
from foldwise.competitions.folder.decode import decode
from foldwise.competitions.folder.decoded import Decoded, Undecodable
from foldwise.competitions.folder.find_images import find_images
from foldwise.competitions.folder.image_rules import Box, Channels, ImageFile, ImageRules
from foldwise.competitions.folder.quiet import Captured, forward
from foldwise.competitions.folder.series import chosen_slices
from foldwise.competitions.folder.shape_images import shaped
from foldwise.errors import FoldwiseError
from foldwise.processes import cores
from foldwise.storage import check_is_file

__all__ = ["Box", "ImageFile", "ImageRules", "find_images", "read_images", "settle"]

log = logging.getLogger(__name__)

SAMPLE = 32  # files that `settle` decodes
AHEAD = 16  # images that each thread decodes before they are taken
HELD = 128e6  # bytes of decoded images that may wait
OPTION = "competition.options"


@dataclass
class Outcome:
    """What came of one file: an image, or the reason why there is none."""

    image: np.ndarray | None
    broken: str = ""  # why it does not decode, with the size of the file
    error: Exception | None = None  # where the rules do not fit the image
    noisy: bool = False  # something was written to the terminal meanwhile
    decoded: Decoded | None = None


def settle(rules: ImageRules, files: Sequence[ImageFile], boxes: Sequence[Box | None] | None = None) -> ImageRules:
    """Return the rules with `channels=auto` decided from a sample of the files, and say in the log what was decided.

    boxes: the parts of the images that `read_images` will cut out.

    The shape and the type of the images are added, which `read_images` then expects of all. Files that do not decode
    are left to `read_images`. Raises FoldwiseError, naming the options, where the files of the sample differ in
    size, channels, depth or pages and the rules leave that open.
    """
    step = max(1, len(files) // SAMPLE)
    sample = list(files[::step])[: SAMPLE + 1]
    parts = None if boxes is None else list(boxes[::step])[: SAMPLE + 1]
    if rules.channels == "auto":
        found: list[Decoded] = []
        for _, one in _outcomes(sample, rules, None, keep=True):
            if one.error is not None:
                raise one.error
            found += [one.decoded] if one.decoded is not None else []
        rules = dataclasses.replace(rules, channels=_auto_channels(found), sampled=True)
        log.info("channels=auto: %s, from a sample of %d of %d images", rules.channels, len(found), len(files))
    like: np.ndarray | None = None
    for file, one in _outcomes(sample, rules, parts):
        if one.error is not None:
            raise one.error
        if one.image is None:
            continue
        if like is None:
            like = one.image
            rules = dataclasses.replace(rules, blank_shape=like.shape, blank_dtype=like.dtype.name)
        _check_like(one.image, rules, file)
    return rules


def read_images(
    files: Iterable[ImageFile], rules: ImageRules, boxes: Iterable[Box | None] | None = None
) -> Iterator[np.ndarray | None]:
    """Yield the image of each file, ([v,] h, w, c), uint8 or float32, in their order; None for a skipped one.

    boxes: the part of each image (x, y, width, height in pixels of the upright image) that is cut out before it
        is brought to `size`; None for the whole image.

    A file that does not decode is refused, skipped or blank, as `rules.broken` says, and listed in the log. A JPEG
    about which the decoder complains (bytes are lost, but there is an image) is used, with a warning in the log;
    `skip` leaves it out. Test rows must be answered: pass rules with `broken="blank"` for them in place of `skip`.
    Memory stays flat: a few images are decoded ahead, in threads. Nothing that a decoder prints reaches the terminal.
    Raises FoldwiseError with the row and the name of the file, also for an image of another shape or type than the
    first one, or than `settle` found.
    """
    n_broken = n_damaged = 0
    for file, one in _outcomes(files, rules, boxes):
        if one.error is not None:
            raise one.error
        damaged = one.image is not None and bool(one.broken)
        if one.image is not None and rules.blank_shape is None:
            rules = dataclasses.replace(rules, blank_shape=one.image.shape, blank_dtype=one.image.dtype.name)
        if one.image is not None and not (damaged and rules.broken == "skip"):
            _check_like(one.image, rules, file)
            if damaged:
                n_damaged += 1
                log.warning("%s: %s is damaged but used: %s", file.where, file.name, one.broken)
            yield one.image
            continue
        n_broken += 1
        if rules.broken == "refuse":
            raise FoldwiseError(
                f"{file.where}: {file.name} does not decode as an image ({one.broken}); {OPTION}.broken=skip leaves "
                "such training rows out, =blank takes a black image"
            )
        state = "skipped" if rules.broken == "skip" else "blank"
        reason = "it is damaged" if damaged else "it does not decode as an image"
        log.warning("%s: %s is %s: %s (%s)", file.where, file.name, state, reason, one.broken)
        yield None if rules.broken == "skip" else _blank(rules, file)
    if n_broken + n_damaged > 1:
        log.warning("%d images do not decode (broken=%s), %d are damaged but used", n_broken, rules.broken, n_damaged)


def _blank(rules: ImageRules, file: ImageFile) -> np.ndarray:
    if rules.blank_shape is None:
        raise FoldwiseError(
            f"{file.where}: {file.name} does not decode as an image, and no image before it shows the size of a blank "
            "one"
        )
    return np.zeros(rules.blank_shape, rules.blank_dtype)


def _check_like(image: np.ndarray, rules: ImageRules, file: ImageFile) -> None:
    """Raise FoldwiseError, naming the options, for an image of another shape or type than the first one."""
    shape, dtype = rules.blank_shape or image.shape, rules.blank_dtype if rules.blank_shape else image.dtype.name
    if image.shape == shape and image.dtype.name == dtype:
        return
    ways = []
    if image.dtype.name != dtype:
        ways.append(f"{OPTION}.depth=8, =16 or =float brings files of different depth to one range")
    if image.shape[-1] != shape[-1]:
        ways.append(f"{OPTION}.channels=auto, =grey or =colour brings them to the same channels")
    if len(image.shape) == 4 and image.shape[0] != shape[0]:
        ways.append(f"{OPTION}.slices={min(shape[0], image.shape[0])} takes as many pages of each, evenly spaced")
    if image.shape[-3:-1] != shape[-3:-1]:
        ways.append(f"{OPTION}.side=N or .size=[height,width] brings them to one size")
    raise FoldwiseError(
        f"{file.where}: expected an image of shape {shape} and type {dtype} like those before it, received "
        f"{image.shape} {image.dtype} from {file.name}; {'; '.join(ways)}"
    )


def _auto_channels(found: Sequence[Decoded]) -> Channels:
    """Return `grey` where no image has colours, `as_is` where one has bands that are none, else `colour`."""
    if any(image.pixels.shape[3] > 4 for image in found):
        return "as_is"
    return "colour" if any(image.colour for image in found) else "grey"


def _outcomes(
    files: Iterable[ImageFile], rules: ImageRules, boxes: Iterable[Box | None] | None, keep: bool = False
) -> Iterator[tuple[ImageFile, Outcome]]:
    """Decode files in threads, and yield each with what came of it.

    Nothing is decoded between two rounds, while the images are taken, since what arrives at the terminal in a round
    is caught. An image during whose decoding something arrived is decoded once more, alone, to see whether it was
    the cause.
    """
    threads = cores()
    work = zip(files, itertools.repeat(None) if boxes is None else boxes, strict=False)
    captured = Captured()
    n, largest = threads, 1
    with OpenContainers() as held, ThreadPoolExecutor(threads) as pool:
        try:
            while tasks := list(itertools.islice(work, n)):
                with captured.open():
                    done = list(pool.map(lambda task: _outcome(task[0], task[1], rules, held, captured, keep), tasks))
                    written = captured.lines()
                    for i, (file, box) in enumerate(tasks):
                        if done[i].noisy and written:
                            before = captured.size()
                            again = _outcome(file, box, rules, held, captured, keep)
                            if again.noisy and again.image is not None:
                                again.broken = "; ".join(dict.fromkeys(captured.lines(before)))
                            done[i] = again
                    caused = Counter(line for line in captured.lines()[len(written) :])
                forward([line for line in written if not caused[line]])
                for (file, _), one in zip(tasks, done, strict=True):
                    if one.image is not None:
                        largest = max(largest, one.image.nbytes)
                    yield file, one
                done.clear()
                n = int(min(AHEAD * threads, max(threads, HELD / largest)))
        finally:
            captured.close()


def _outcome(
    file: ImageFile, box: Box | None, rules: ImageRules, held: OpenContainers, captured: Captured, keep: bool
) -> Outcome:
    before = captured.size()
    n_bytes = 0
    try:
        paths, of_one = chosen_slices(file.path, rules, file.name) if file.is_series else ([file.path], rules)
        views: dict[str, np.ndarray] = {}
        for path in dict.fromkeys(paths[:1] if keep else paths):
            data = held.read(path, file.member, rules.max_decoded) if file.member else _bytes(Path(path))
            n_bytes = len(data)
            decoded = decode(data, file.member or Path(path).name, of_one, box is not None)
            if keep:
                return Outcome(None, decoded=decoded, noisy=captured.size() > before)
            views[path] = shaped(decoded, file.name, of_one, box)
        slices = [views[path] for path in paths]
        one = Outcome(_stacked(slices) if rules.in_views and not of_one.in_views else slices[0])
    except Undecodable as error:
        one = Outcome(None, f"{n_bytes} bytes" + (f": {error}" if str(error) else ""))
    except FoldwiseError as error:
        one = Outcome(None, error=FoldwiseError(f"{file.where}: {error}"))
    except OSError as error:  # no right to read it, a link to nowhere, a disk that fails
        one = Outcome(None, error=FoldwiseError(f"{file.where}: {file.name} cannot be read: {error}"))
    one.noisy = captured.size() > before
    return one


def _bytes(path: Path) -> bytes:
    check_is_file(path)
    return path.read_bytes()


def _stacked(slices: list[np.ndarray]) -> np.ndarray:
    """Return slices (h, w, c) as (v, h, w, c). Raises FoldwiseError where they differ in size or channels."""
    if len({one.shape for one in slices}) > 1:
        shapes = ", ".join(sorted({str(one.shape) for one in slices}))
        raise FoldwiseError(
            f"the slices of a folder differ: {shapes}; {OPTION}.size=[height,width] makes them one size"
        )
    return np.stack(slices)
