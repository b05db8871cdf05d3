"""Passenger screening: reading one view, and preparing scans, against what a user would write.

Reading: one view of an .aps file by foldwise (header checked, view upright)
against `np.fromfile` of the same 675,840 bytes, which checks nothing; files in the page cache, a different file
and view each time, medians of rounds.

Preparing: 200 simulated scans of the real size (2.2 GB, in the page cache) into crops of 64 x 64 by foldwise (layout
zone) in one process and in as many as there are cores, and by the usual loop: read the whole scan as float32,
transpose, flip, cut the same boxes out, `cv2.resize` with area averaging, scale to 8 bits, stack in a list and
`np.save`. Each in a fresh process; memory is the peak of the resident set (VmHWM) of the process above that after
its imports. foldwise writes tables too and its results survive a kill. Mapped pages of raw files count as resident.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.measure import MB, child, clocks, elapsed, peak_memory, table


def run(quick: bool) -> None:
    """Print both comparisons."""
    with tempfile.TemporaryDirectory() as folder:
        reading(Path(folder) / "full", 4 if quick else 16, 2 if quick else 40)
        preparing(Path(folder) / "scans", 12 if quick else 200, quick)


def reading(raw: Path, n_files: int, rounds: int) -> None:
    """Print the speed of reading one view."""
    from foldwise.competitions.passenger_screening import scan_format

    raw.mkdir()
    words = np.random.default_rng(0).integers(0, 65536, (16, 660, 512)).astype(np.uint16)
    paths = [raw / f"{i}.aps" for i in range(n_files)]
    for path in paths:
        scan_format.write(path, words)
        path.read_bytes()  # into the page cache
    size = words[0].nbytes

    def plain(path: Path, view: int) -> np.ndarray:
        return np.fromfile(path, np.uint16, words[0].size, offset=512 + view * size)

    def checked(path: Path, view: int) -> np.ndarray:
        return scan_format.read_view(path, view)

    plain(paths[0], 0), checked(paths[0], 0)  # what is done once is not measured
    seconds: dict[str, list[float]] = {"np.fromfile": [], "foldwise": []}
    for turn in range(rounds):
        for name, read in (("np.fromfile", plain), ("foldwise", checked)):
            started = time.perf_counter()
            for i, path in enumerate(paths):
                read(path, (i + turn) % 16)
            seconds[name].append((time.perf_counter() - started) / n_files)
    rate = {name: size / statistics.median(times) / MB for name, times in seconds.items()}
    table(
        ["one .aps view", "MB/s", "of np.fromfile"],
        [[n, f"{r:.0f}", f"{r / rate['np.fromfile']:.2f}"] for n, r in rate.items()],
    )


def preparing(raw: Path, n: int, quick: bool) -> None:
    """Print time and memory of preparing n scans."""
    from foldwise.competitions.passenger_screening.simulator import simulate

    raw.mkdir()
    simulate(raw, n_train=n - 4, n_test=4, scale=4 if quick else 1)
    measured = {}
    for name in ("usual loop", "foldwise, 1 process", "foldwise, all cores"):
        with tempfile.TemporaryDirectory() as out:
            said = child("benchmarks.passenger", name, str(raw), out).said
        measured[name] = said
    usual = measured["usual loop"]
    table(
        [f"{n} scans", "seconds", "MB above imports", "times as fast", "of the memory"],
        [
            [
                name,
                f"{said['wall']:.1f}",
                f"{said['memory'] / MB:.0f}",
                f"{usual['wall'] / said['wall']:.2f}",
                f"{said['memory'] / usual['memory']:.2f}",
            ]
            for name, said in measured.items()
        ],
    )


def foldwise_prepares(raw: Path, out: Path, processes: int | None) -> None:
    """Prepare as the stage does."""
    from foldwise.competitions.passenger_screening import reader
    from foldwise.data import dataset

    if processes:
        reader.cores = lambda: processes
    else:
        reader.LOCAL_SCANS = 1  # it would not start processes for so few
    dataset.write(reader.read(raw, out / "work", side=64), out / "data", "key")


def usual_loop(raw: Path, out: Path) -> None:
    """Prepare as the notebooks of the competition do."""
    import cv2

    from foldwise.competitions.passenger_screening.crops import zone_table

    boxes = zone_table()
    samples = []
    for path in sorted(raw.rglob("*.aps")):
        with path.open("rb") as file:
            header = file.read(512)
            nx, ny, _, nt = np.frombuffer(header[348:364], np.int32)
            data = np.fromfile(file, np.uint16, nx * ny * nt).astype(np.float32)
        data *= np.frombuffer(header[292:296], np.float32)[0]
        data = np.flipud(data.reshape(nx, ny, nt, order="F").transpose(1, 0, 2)).copy()
        data *= 255 / np.percentile(data[::8], 99.9)
        scale = nx / 512
        for row in boxes:
            views = []
            for crop in row:
                if crop is None:
                    views.append(np.zeros((64, 64), np.uint8))
                    continue
                x0, y0, x1, y1 = (int(edge * scale) for edge in crop[1:])
                views.append(
                    cv2.resize(
                        np.minimum(data[y0:y1, x0:x1, crop.view], 255), (64, 64), interpolation=cv2.INTER_AREA
                    ).astype(np.uint8)
                )
            samples.append(np.stack(views)[..., None])
    np.save(out / "train.npy", np.stack(samples))


def main(name: str, raw: Path, out: Path) -> None:
    """Run one of the three and print its figures."""
    import cv2  # noqa: F401
    import foldwise.dataset  # noqa: F401
    import pandas

    pandas.DataFrame()  # it is imported lazily
    before, since = peak_memory(), clocks()
    if name == "usual loop":
        usual_loop(raw, out)
    else:
        foldwise_prepares(raw, out, 1 if "1" in name else None)
    wall, cpu = elapsed(since)
    print(json.dumps({"wall": wall, "cpu": cpu, "memory": peak_memory() - before}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
