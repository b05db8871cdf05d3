"""The wheels that foldwise needs and that Kaggle's image lacks, and the licences of what they hold."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from foldwise.errors import FoldwiseError

IMAGE = Path(__file__).with_name("image.yaml")
LICENCE = re.compile(
    r"\.dist-info/.*(licen[cs]e|copying|notice|copyright)[^/]*$|\.dist-info/licen[cs]es?/.*[^/]$"
    r"|/licen[cs]es?/[^/]*(?<!\.py)$",  # of libraries that a package has in it
    re.IGNORECASE,
)
TIMEOUT = 600.0  # seconds for one package


@dataclass(frozen=True)
class Needed:
    """A package that the image lacks, in the version that is installed here."""

    name: str
    version: str
    licence: str

    @property
    def pin(self) -> str:
        return f"{self.name}=={self.version}"


def image() -> dict[str, Any]:
    """Return what `image.yaml` holds: python, platforms, and what the image lacks."""
    loaded: dict[str, Any] = yaml.safe_load(IMAGE.read_text())
    return loaded


def needed(reader: str) -> list[Needed]:
    """Return the packages that the image lacks and that predictions of a reader's competitions need.

    reader: a package of `foldwise.competitions`, such as folder.
    Raises FoldwiseError where one is not installed here.
    """
    found = []
    for name, about in image()["lacks"].items():
        if about["readers"] != "all" and reader not in about["readers"]:
            continue
        try:
            found.append(Needed(name, metadata.version(name), about["licence"]))
        except metadata.PackageNotFoundError:
            raise FoldwiseError(
                f"{name} is not installed here, so that its version is not known; run: python -m pip install {name}"
            ) from None
    return found


def collect(packages: list[Needed], folder: Path, python: str, source: Path | None = None) -> list[Path]:
    """Put the wheel of each package into a folder, for Linux on x86_64, and return them.

    python: version such as 3.12.
    source: a folder that holds the wheels; None: pip downloads them, and builds one where only its source is published.

    Raises FoldwiseError, naming the package and what to do, where there is no wheel.
    """
    return [_copied(one, folder, python, source) if source else _downloaded(one, folder, python) for one in packages]


def _copied(package: Needed, folder: Path, python: str, source: Path) -> Path:
    tag = f"cp{python.replace('.', '')}"
    prefix = f"{package.name.replace('-', '[-_.]')}-{re.escape(package.version)}-"
    matching = [path for path in sorted(source.glob("*.whl")) if re.match(prefix, path.name, re.IGNORECASE)]
    fitting = [path for path in matching if _fits(path.name, tag)]
    if not fitting:
        there = ", ".join(path.name for path in matching) or ", ".join(sorted(p.name for p in source.iterdir())[:8])
        raise FoldwiseError(
            f"bundle.wheels={source}: no wheel of {package.pin} for Python {python} on Linux x86_64; the folder holds "
            f"{there or 'nothing'}. With a network: {_command(package, source, python)}"
        )
    return Path(shutil.copy(fitting[0], folder))


def _fits(name: str, tag: str) -> bool:
    """Tell whether a wheel of this name installs on CPython `tag` (cp312), Linux, x86_64."""
    interpreters, abi, platform = name.removesuffix(".whl").split("-")[-3:]
    stable = abi == "abi3" and any(
        one.startswith("cp3") and int(one[3:]) <= int(tag[3:]) for one in interpreters.split(".")
    )
    return (
        stable or (bool({tag, "py3"} & set(interpreters.split("."))) and (abi == "none" or tag in abi.split(".")))
    ) and (platform == "any" or ("linux" in platform and "x86_64" in platform))


def _downloaded(package: Needed, folder: Path, python: str) -> Path:
    before = set(folder.glob("*.whl"))
    pip = [sys.executable, "-m", "pip"]
    options = [word for platform in image()["platforms"] for word in ("--platform", platform)]
    wanted = ["--no-deps", "--only-binary=:all:", "--python-version", python, "--implementation", "cp", *options]
    error = _run([*pip, "download", "--quiet", *wanted, "--dest", str(folder), package.pin])
    if error and not set(folder.glob("*.whl")) - before:  # perhaps its source alone is published
        again = _run([*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), package.pin])
        error = again and error
    new = sorted(set(folder.glob("*.whl")) - before)
    if len(new) != 1 or not _fits(new[0].name, f"cp{python.replace('.', '')}"):
        built = f"{new[0].name} was built, which is for this machine alone" if new else "there is none"
        raise FoldwiseError(
            f"{package.pin}: no wheel for Python {python} on Linux x86_64 from pip's index: {error or built}. Without "
            f"a network, give a folder of wheels: bundle.wheels=FOLDER, made elsewhere by "
            f"`{_command(package, Path('FOLDER'), python)}`"
        )
    return new[0]


def _command(package: Needed, folder: Path, python: str) -> str:
    return (
        f"python -m pip download --no-deps --only-binary=:all: --python-version {python} --platform "
        f"manylinux_2_28_x86_64 --dest {folder} {package.pin}"
    )


def _run(command: list[str]) -> str:
    """Run pip; return the last line of its error, or an empty string."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return f"pip did not end in {TIMEOUT:g} s"
    if not done.returncode:
        return ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
    return lines[-1].removeprefix("ERROR: ") if lines else f"pip ended with status {done.returncode}"


def write_licences(wheels: list[Path], folder: Path, licences: dict[str, str]) -> None:
    """Write the licence texts of each wheel to `<folder>/<package>/`; a wheel without any gets a line on its licence.

    licences: the licence of each package by its name in small letters with underscores.
    """
    for path in wheels:
        name = path.name.partition("-")[0].lower()
        own = folder / name
        own.mkdir(parents=True)
        with zipfile.ZipFile(path) as wheel:
            texts = [one for one in wheel.namelist() if LICENCE.search(one) and not one.endswith("/")]
            for one in texts:
                inside = one.partition(".dist-info/")[2].removeprefix("licenses/") or one.rpartition("/")[2]
                (own / inside.replace("/", "_")).write_bytes(wheel.read(one))
        if not texts:
            what = licences.get(name, "see its metadata")
            (own / "LICENCE.txt").write_text(f"{path.name} carries no licence text. Its licence: {what}.\n")
