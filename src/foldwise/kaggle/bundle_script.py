"""Predict the hidden test set of a competition with the bundle that this file lies in, and write submission.csv.

python predict.py [RAW] [BUDGET] [SUBMISSION]

RAW: the folder of the competition's files; by default /kaggle/input/<competition>.
BUDGET: time for the predictions, such as 80m; by default that which the bundle was made with, if any.
SUBMISSION: the file to write; by default submission.csv in the working folder.

No network is used: foldwise, and what it needs that Kaggle's image lacks, are installed from the bundle.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

INPUT = Path("/kaggle/input")


def main(raw: str = "", budget: str = "", submission: str = "submission.csv") -> None:
    """Install foldwise, predict the samples of the folder `raw`, and write the submission."""
    bundle = find_bundle()
    about = json.loads((bundle / "bundle.json").read_text())
    test_data = find_raw(raw, about["slug"])
    with tempfile.TemporaryDirectory() as work:
        bundle = unpacked(bundle, Path(work))
        install(bundle, about)
        compare_versions(about["versions"])
        command = [sys.executable, "-m", "foldwise", "predict", f"bundle={bundle}", f"raw={test_data}", "format=json"]
        budget = budget or about["budget"] or ""
        command += [f"root={work}", *([f"budget={budget}"] if budget else [])]
        done = subprocess.run(command, cwd=work, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"foldwise predict ended with status {done.returncode}; its error stands above")
        result = json.loads(done.stdout)
        shutil.copyfile(result["file"], submission)
    print(f"{result['n_rows']} rows predicted by {result['blend']}: {submission}")


def find_bundle() -> Path:
    """Return the folder of this file, or that of a dataset of the notebook, that holds a bundle."""
    places = [Path(__file__).resolve().parent] if "__file__" in globals() else []
    places += [Path.cwd(), *sorted(INPUT.glob("*")), *sorted(INPUT.glob("datasets/*/*"))]
    found = [place for place in places if (place / "bundle.json").is_file()]
    if not found:
        there = ", ".join(str(place) for place in places) or f"nothing in {INPUT}"
        raise SystemExit(f"no bundle.json in {there}: add the dataset of the bundle to the notebook")
    return found[0]


def find_raw(raw: str, slug: str | None) -> Path:
    """Return the absolute path of the folder of the competition's files."""
    given = [Path(raw)] if raw else [INPUT / slug, INPUT / "competitions" / slug] if slug else []
    found = [place.resolve() for place in given if place.is_dir()]
    if not found:
        what = f"{given[0]}: no such folder" if given else "the competition is not on Kaggle"
        there = ", ".join(sorted(one.name for one in INPUT.glob("*"))) or "nothing"
        raise SystemExit(f"{what}; {INPUT} holds {there}. Give the folder of the test data: main('FOLDER')")
    return found[0]


def unpacked(bundle: Path, work: Path) -> Path:
    """Return the bundle, or a copy of it where its folders are still the archives that they were uploaded as."""
    archives = [one for one in bundle.glob("*.zip") if not (bundle / one.stem).is_dir()]
    if not archives:
        return bundle
    whole = work / "bundle"
    whole.mkdir()
    for one in bundle.iterdir():
        if one in archives:
            shutil.unpack_archive(one, whole / one.stem)
        else:
            (whole / one.name).symlink_to(one)
    return whole


def install(bundle: Path, about: dict[str, Any]) -> None:
    """Install the wheels of the bundle; a package that the image has stays as it is."""
    here = ".".join(map(str, sys.version_info[:2]))
    if here != about["python"]:
        print(
            f"warning: the wheels are for Python {about['python']}, this is {here}; bundle.python={here} makes others"
        )
    pip = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "install", "--quiet"]
    options = ["--no-index", "--no-deps", "--no-cache-dir", "--find-links", str(bundle / "wheels")]
    subprocess.run([*pip, *options, f"foldwise=={about['foldwise']}", *about["packages"]], check=True)


def compare_versions(trained: dict[str, str]) -> None:
    """Print the packages whose version is another one than where the runs were trained."""
    other = []
    for name, version in trained.items():
        here = next(filter(None, (installed(one) for one in (name, name.removesuffix("-cpu")))), None)
        if here != version:
            other.append(f"{name} {here or 'missing'} (trained with {version})")
    if other:
        print(f"warning: predictions may differ in their last digits: {', '.join(other)}", flush=True)


def installed(name: str) -> str | None:
    """Return the version of an installed package, None where there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main(*sys.argv[1:])
