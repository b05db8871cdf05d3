"""Run the benchmarks: `python -m benchmarks [NAME ...] [--quick]`."""

import argparse
import importlib
import subprocess
import sys
from pathlib import Path

NAMES = {
    "prepare": "read 200 MB of JSON: foldwise, pandas, ijson",
    "images": "2,000 JPEGs of 512 px to 224 px: foldwise, bare OpenCV loops",
    "training": "five folds: worker processes against a hand-written Keras loop",
    "augmentation": "images of the presets in one go, against pipelines of albumentations",
    "overhead": "a training step of foldwise against a bare one",
    "gpu": "lanes of one program against plain Keras and PyTorch loops, on whatever device JAX finds",
    "zoo": "every pretrained network: the start of a second fold, and JAX against TensorFlow",
    "finetuning": "pretrained weights: modes, features once, and plain Keras by hand",
    "more": "snapshots, refit, pseudo-labels, distillation: each beside the recipe without it",
    "agreement": "the nested score against the graded one, over 20 simulated competitions",
    "selection": "greedy selection: foldwise against AutoGluon",
    "second_level": "the second level over the angle, where it tells and where it does not",
    "library": "blends of a made-up library of 94 members, with the angle and without, over ten seeds",
    "scale": "300 runs x 1,000,000 rows in 4 GB",
    "report": "the page of 200 runs x 20,000 rows: seconds, size, and how fast a browser has it",
    "scaling": "Ray: its cost for a fold, and the driver over ten thousand of them",
    "many_folds": "300 folds in one command: memory and open files of the parent, and seconds a fold",
    "realism": "simulated against real Statoil figures",
    "passenger": "read a view and prepare 200 body scans: foldwise, numpy and cv2 by hand",
    "passenger_realism": "how hard simulated body scans are, beside the real figures",
}


def realism(quick: bool) -> None:
    """Print the figures of the simulator beside the real ones."""
    script = Path(__file__).with_name("statoil_realism.py")
    subprocess.run([sys.executable, str(script), *(["--n-train", "400"] if quick else [])], check=False)


def main() -> None:
    """Run the named benchmarks, or all of them."""
    listed = "\n".join(f"  {name:<18}{text}" for name, text in NAMES.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", formatter_class=argparse.RawDescriptionHelpFormatter, epilog=listed
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="all of those below by default")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it works, measures nothing")
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in NAMES]:
        parser.error(f"{unknown[0]}: no such benchmark; there are {', '.join(NAMES)}")
    for name in given.names or NAMES:
        print(f"== {name}: {NAMES[name]}{' (quick: sizes too small to measure anything)' if given.quick else ''}")
        run = realism if name == "realism" else importlib.import_module(f"benchmarks.{name}").run
        run(given.quick)
        print(flush=True)


if __name__ == "__main__":
    main()
