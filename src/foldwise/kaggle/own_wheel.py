"""The wheel of foldwise itself: built from the checkout, or put together again from an installed one."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

from foldwise.errors import FoldwiseError

CHECKOUT = Path(__file__).parents[3]
SOURCES = ("src", "conf", "setup.py", "pyproject.toml", "requirements.txt", "MANIFEST.in", "README.md", "LICENSE")
EPOCH = "1577836800"  # 1 January 2020: the same sources give the same bytes, whenever they are built
OF_INSTALLER = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}


def own_wheel(folder: Path) -> Path:
    """Write the wheel of foldwise into a folder and return it.

    From a checkout it is built from a copy, without network, by the environment's own setuptools. Where foldwise was
    installed from a wheel, the installed files are packed again.

    Raises FoldwiseError, with what the build printed, where it fails.
    """
    if all((CHECKOUT / name).exists() for name in SOURCES):
        return _built(folder)
    return repacked("foldwise", folder)


def _built(folder: Path) -> Path:
    with tempfile.TemporaryDirectory() as copy:
        for name in SOURCES:
            if (CHECKOUT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
                shutil.copytree(CHECKOUT / name, Path(copy, name), ignore=ignored)
            else:
                shutil.copy(CHECKOUT / name, copy)
        build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
        done = subprocess.run(
            [*build, "--wheel-dir", str(folder.resolve()), "."],
            cwd=copy,
            env=os.environ | {"SOURCE_DATE_EPOCH": EPOCH},
            capture_output=True,
            text=True,
            check=False,
        )
    found = sorted(folder.glob("foldwise-*.whl"))
    if done.returncode or len(found) != 1:
        lines = [line for line in done.stderr.splitlines() if line.strip()][-3:]
        raise FoldwiseError(
            f"the wheel of foldwise could not be built from its checkout: {' '.join(lines) or 'no wheel was written'}; "
            f"it needs pip and setuptools: {sys.executable} -m ensurepip && {sys.executable} -m pip install setuptools"
        )
    return found[0]


def repacked(name: str, folder: Path) -> Path:
    """Pack the installed files of a distribution into a wheel again, and return it.

    Scripts are left out: pip writes them anew from `entry_points.txt`.
    Raises FoldwiseError where its files are not recorded, as those of an editable installation are not.
    """
    distribution = metadata.distribution(name)
    files = [one for one in distribution.files or [] if ".." not in one.parts and "__pycache__" not in one.parts]
    about = next((one.parent for one in files if one.name == "METADATA"), None)
    if about is None or any(one.name.startswith("__editable__") for one in files):
        raise FoldwiseError(f"{name}: its files are not recorded where it is installed, so that no wheel can be made")
    kept = [one for one in files if not (one.parent == about and one.name in OF_INSTALLER)]
    wheel_lines = (distribution.read_text("WHEEL") or "").splitlines()
    tags = [line.partition(": ")[2] for line in wheel_lines if line.startswith("Tag: ")]
    parts = [sorted(set(part)) for part in zip(*(tag.split("-") for tag in tags), strict=True)]
    tag = "-".join(".".join(part) for part in parts)
    path = folder / f"{str(about).removesuffix('.dist-info')}-{tag}.whl"
    record = io.StringIO()
    rows = csv.writer(record, lineterminator="\n")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for one in kept:
            data = Path(str(distribution.locate_file(one))).read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            rows.writerow([one.as_posix(), f"sha256={digest}", len(data)])
            wheel.writestr(zipfile.ZipInfo(one.as_posix()), data, zipfile.ZIP_DEFLATED)
        rows.writerow([f"{about.as_posix()}/RECORD", "", ""])
        wheel.writestr(zipfile.ZipInfo(f"{about.as_posix()}/RECORD"), record.getvalue(), zipfile.ZIP_DEFLATED)
    return path
