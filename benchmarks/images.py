"""Decoding JPEGs of 512 x 512 pixels to 224 x 224: the reader of folders against a bare OpenCV loop.

The bare loops call `cv2.imread` (to RGB) and `cv2.resize` (INTER_AREA), into an .npy file: one image after
the other, where OpenCV itself uses all cores to resize, and in a pool of as many threads as there are cores.
foldwise finds the images of all ids, takes the sample that settles the rules, decodes in its threads, checks every
image and writes the same file; `draft` decodes at half the size first, which changes values slightly. Each runs in a
fresh process, in turn, over files that are in the page cache; medians of five rounds are printed. The arrays are
compared.

"of the loop" compares the images per second with those of the faster bare loop. Where other programs use the cores,
the seconds of the processor say more than those of the wall. Memory is the peak of the resident set above that after
the imports; it does not grow with the number of images.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from benchmarks.measure import MB, Measured, child, clocks, elapsed, peak_memory, table

SIDE, TARGET = 512, 224


def run(quick: bool) -> None:
    """Print the images per second of the loops and of foldwise, and how far apart their pixels are."""
    n, rounds = (40, 1) if quick else (2000, 5)
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder) / "images", n)
        found: dict[str, list[Measured]] = {name: [] for name in WAYS}
        for _ in range(rounds):
            for name, measured in found.items():
                measured.append(child(__name__, name, folder))
        rates = {name: [n / statistics.median(m.said["work"][i] for m in found[name]) for i in (0, 1)] for name in WAYS}
        best = [max(rates[name][i] for name in ("loop", "threads")) for i in (0, 1)]
        rows = [
            [
                name,
                *(f"{rate:.0f}" for rate in rates[name]),
                *(f"{rate / other:.0%}" for rate, other in zip(rates[name], best, strict=True)),
                f"{statistics.median(m.said['memory'] for m in found[name]) / MB:.0f}",
            ]
            for name in WAYS
        ]
        print(f"  {n} JPEGs of {SIDE} x {SIDE} to {TARGET} x {TARGET}; medians of {rounds} rounds")
        table(["", "images/s", "images/CPU s", "of the loop", "of its CPU", "MB"], rows)
        arrays = {name: np.load(Path(folder) / f"{name}.npy", mmap_mode="r").astype(np.int16) for name in WAYS}
        for name in ("foldwise", "draft"):
            difference = np.abs(arrays[name] - arrays["loop"])
            about = f"largest difference {difference.max()}, mean {difference.mean():.2f}"
            print(f"  pixels of {name} and the loop: {about}")


def write_images(folder: Path, n: int) -> None:
    """Write n JPEGs of quality 90: parts of one smooth random picture, about 60 kB each."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    picture = cv2.GaussianBlur(rng.integers(0, 256, (SIDE + 100, SIDE + 100, 3), dtype=np.uint8), (0, 0), 1.5)
    for i in range(n):
        y, x = rng.integers(0, 100, 2)
        cv2.imwrite(str(folder / f"{i}.jpg"), picture[y : y + SIDE, x : x + SIDE], [cv2.IMWRITE_JPEG_QUALITY, 90])


def bare(path: Path) -> np.ndarray:
    """Read one image as a user would by hand."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    assert image is not None
    return cv2.resize(image, (TARGET, TARGET), interpolation=cv2.INTER_AREA)


def loop(paths: list[Path], out: np.ndarray) -> None:
    """Read one image after the other."""
    for i, path in enumerate(paths):
        out[i] = bare(path)


def threads(paths: list[Path], out: np.ndarray) -> None:
    """Read in as many threads as there are cores."""
    from foldwise.processes import cores

    cv2.setNumThreads(1)

    def one(i: int) -> None:
        out[i] = bare(paths[i])

    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(one, range(len(paths))))


def foldwise(paths: list[Path], out: np.ndarray, draft: bool = False) -> None:
    """Read as the reader of folders does."""
    from foldwise.competitions.folder.image_files import ImageRules, find_images, read_images, settle

    ids = [path.stem for path in paths]
    files = find_images(paths[0].parent.parent, "images", ids, ids)
    rules = settle(ImageRules(size=(TARGET, TARGET), draft=draft), files)
    for i, image in enumerate(read_images(files, rules)):
        out[i] = image


def drafts(paths: list[Path], out: np.ndarray) -> None:
    """Read as the reader of folders does with `draft=true`."""
    foldwise(paths, out, draft=True)


WAYS = {"loop": loop, "threads": threads, "foldwise": foldwise, "draft": drafts}


def main(name: str, folder: Path) -> None:
    """Read all images in one way, and print the seconds and the memory as JSON."""
    paths = [folder / "images" / f"{i}.jpg" for i in range(len(list((folder / "images").iterdir())))]
    out = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.uint8, (len(paths), TARGET, TARGET, 3))
    import foldwise.competitions.folder.image_files  # noqa: F401

    before, started = peak_memory(), clocks()
    WAYS[name](paths, out)
    print(json.dumps({"work": elapsed(started), "memory": peak_memory() - before - out.nbytes}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
