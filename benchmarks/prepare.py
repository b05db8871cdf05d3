"""Reading 200 MB of JSON: `statoil.read` and `dataset.write` against pandas and against ijson.

A simulated train.json of 1,640 records in the host's format is turned into an array file (n, 75, 75, 2) of
float32 by foldwise, which also checks every pixel and writes the tables; by `pandas.read_json`, stacking both
bands and `np.save`; and by ijson with its fastest backend, record by record, stacking and `np.save`. Each
runs in a fresh process, in turn, over a file that is in the page cache; the medians of five rounds are
printed. The arrays are compared.

Memory is the peak of the resident set (VmHWM) of the process: in all, above that of a bare interpreter
(`python -c pass`), and above that of the same process after its imports. Seconds are those of the whole
process; "work" leaves out the start of the interpreter and the imports, which foldwise has more of.

The ratios depend on how fast one core parses numbers beside how fast it copies memory, hardly on the disk
(90 MB are written). The memory of pandas and ijson grows with the file, that of foldwise does not.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.measure import MB, Measured, child, clocks, elapsed, peak_memory, table

SIDE = 75


def run(quick: bool) -> None:
    """Print seconds and memory of the three readers, and foldwise's ratios."""
    from foldwise.competitions.statoil.simulator import simulate

    n, rounds = (100, 1) if quick else (1640, 5)
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw"
        raw.mkdir()
        simulate(raw, n_train=n, n_test=10)
        size = len((raw / "train.json").read_bytes()) / MB  # in the page cache from here on
        found: dict[str, list[Measured]] = {name: [] for name in READERS}
        for _ in range(rounds):
            for name, measured in found.items():
                measured.append(child(__name__, name, str(raw), folder))
        arrays = {name: np.load(Path(folder) / name / "train.npy", mmap_mode="r") for name in READERS}
        backend = found["ijson"][0].said["backend"]
        bare = float(subprocess.check_output([sys.executable, "-c", BARE]))
        print(f"  {size:.0f} MB, {n} records; median of {rounds} rounds; ijson backend: {backend}; MB are 10^6 bytes")
        _print_table(found, bare)
        for name in ("pandas", "ijson"):
            difference = max(float(abs(a - b).max()) for a, b in zip(arrays["foldwise"], arrays[name], strict=True))
            print(f"  arrays of foldwise and {name}: largest difference {difference:g}")


# a bare interpreter can say its peak only by reading it, which costs it nothing worth counting
BARE = "print(int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) * 1024)"


def _print_table(found: dict[str, list[Measured]], bare: float) -> None:
    header = ["", "s", "CPU s", "work s", "work CPU s", "peak MB", "above bare", "above imports"]
    columns = {
        name: [
            statistics.median(values)
            for values in zip(
                *(
                    [
                        m.seconds,
                        m.cpu_seconds,
                        *m.said["work"],
                        m.said["peak"] / MB,
                        (m.said["peak"] - bare) / MB,
                        (m.said["peak"] - m.said["imported"]) / MB,
                    ]
                    for m in measured
                ),
                strict=True,
            )
        ]
        for name, measured in found.items()
    }
    rows = [
        [name, *(f"{v:.2f}" for v in values[:4]), *(f"{v:.0f}" for v in values[4:])] for name, values in columns.items()
    ]
    for name in ("pandas", "ijson"):
        ratios = [theirs / ours for theirs, ours in zip(columns[name], columns["foldwise"], strict=True)]
        rows.append([f"{name} / foldwise", *(f"{ratio:.1f}" for ratio in ratios)])
    table(header, rows)


@contextlib.contextmanager
def measured(**about: str) -> Iterator[None]:
    """Print, as JSON, what the block took, beside what the process held before it."""
    imported, started = peak_memory(), clocks()
    yield
    print(json.dumps({"work": elapsed(started), "imported": imported, "peak": peak_memory(), **about}))


def read_foldwise(raw: Path, out: Path) -> None:
    """Read as the stage `prepare` does."""
    from foldwise.competitions.statoil import reader
    from foldwise.data import dataset

    with measured():
        dataset.write(reader.read(raw), out, "benchmark")


def read_pandas(raw: Path, out: Path) -> None:
    """Read as most public notebooks do."""
    import pandas as pd

    with measured():
        table = pd.read_json(raw / "train.json")
        bands = [np.stack([np.array(band, np.float32) for band in table[name]]) for name in ("band_1", "band_2")]
        np.save(out / "train.npy", np.stack(bands, axis=-1).reshape(-1, SIDE, SIDE, 2))


def read_ijson(raw: Path, out: Path) -> None:
    """Read record by record with ijson."""
    import ijson

    with measured(backend=ijson.backend):
        images = []
        with (raw / "train.json").open("rb") as file:
            for record in ijson.items(file, "item", use_float=True):
                bands = np.array([record["band_1"], record["band_2"]], np.float32)
                images.append(bands.T.reshape(SIDE, SIDE, 2))
        np.save(out / "train.npy", np.stack(images))


READERS = {"foldwise": read_foldwise, "pandas": read_pandas, "ijson": read_ijson}


if __name__ == "__main__":
    target = Path(sys.argv[3]) / sys.argv[1]
    target.mkdir(exist_ok=True)
    READERS[sys.argv[1]](Path(sys.argv[2]), target)
