"""Stage `bundle`: pack a finished blend into a folder from which new data are predicted without network."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import foldwise
from foldwise.data.image_statistics import with_image_statistics
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.execution.budget import seconds_of
from foldwise.kaggle import notebook, push, wheels
from foldwise.kaggle.own_wheel import own_wheel
from foldwise.runs import packing, submission
from foldwise.runs.recipe import installed_version
from foldwise.settings import EnsembleSettings, Settings
from foldwise.stages.predict import members
from foldwise.stages.prepare import prepared
from foldwise.storage import write_json, written_aside

log = logging.getLogger(__name__)

MIB = 2**20
PREDICTING = (
    "tensorflow",
    "tensorflow-cpu",
    "keras",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "opencv-python-headless",
    "Pillow",
    "tifffile",
    "pydicom",
    "h5py",
)


def bundle(settings: Settings) -> dict[str, Any]:
    """Pack the blend of a submission (the newest, or `submission=FILE`) into `bundles/<blend>/`.

    The folder holds the wheels of foldwise and of what Kaggle's image lacks, the weights of the chosen folds, the
    tables that the blend is learned again from, a script and a notebook, their metadata for Kaggle's client, and
    licence texts; no image and no path of this machine. A folder of the same name is replaced.

    Returns the folder, its files and bytes, and with push=true the dataset and the notebook on Kaggle.

    Raises FoldwiseError where a member has no weights, a wheel cannot be had, or Kaggle refuses what is pushed.
    """
    given = settings.bundle
    _check_budget(given.budget)
    known = prepared(settings)
    path, about = submission.chosen(settings, with_csv=False, data_key=known.data_key)
    runs = members(settings, path, about)
    owner = given.owner or (push.owner() if given.push else None)  # before any work
    python = given.python or wheels.image()["python"]
    packages = wheels.needed(settings.competition.reader)
    folder = settings.bundles_dir / f"{path.stem}{_suffix(settings)}"
    with written_aside(folder, replace_folder=True) as aside:
        aside.mkdir()
        (aside / "wheels").mkdir()
        log.info("%s: packing wheels for Python %s", path.stem, python)
        source = None if given.wheels is None else Path(given.wheels)
        if source is not None and not source.is_dir():
            raise FoldwiseError(f"bundle.wheels={source}: no such folder")
        files = [own_wheel(aside / "wheels"), *wheels.collect(packages, aside / "wheels", python, source)]
        licences = {one.name.replace("-", "_"): one.licence for one in packages}
        wheels.write_licences(files, aside / "licences", licences)
        fits = {run.name: packing.pack_run(run, aside / "runs", given.folds, given.float16) for run in runs}
        columns = EnsembleSettings(**about["ensemble"]).options.get("columns", [])
        known = with_image_statistics(known, columns)
        packing.pack_data(known, known.path / f"folds_{about['split_key']}.parquet", aside / "data")
        packing.pack_competition(settings.competition, aside)
        write_json(aside / packing.BLEND, about)
        described = {
            "competition": settings.competition.name,
            "slug": settings.competition.slug,
            "blend": path.stem,
            "foldwise": foldwise.__version__,
            "python": python,
            "packages": [one.name for one in packages],
            "versions": {name: version for name in PREDICTING if (version := installed_version(name)) is not None},
            "fits": fits,
            "float16": given.float16,
            "budget": given.budget,
        }
        write_json(aside / packing.BUNDLE, described)
        notebook.write_script(aside)
        notebook.write_notebook(aside, settings.competition.name)
        name = given.name or notebook.dataset_name(settings.competition.name)
        notebook.write_metadata(aside, name, owner, settings.competition.slug, given.gpu)
    sizes = [one.stat().st_size for one in folder.rglob("*") if one.is_file()]
    result = {"folder": str(folder), "blend": path.stem, "n_files": len(sizes), "bytes": sum(sizes), "fits": fits}
    return result | (push.push(folder, path.stem) if given.push else {})


def show(result: dict[str, Any], width: int) -> str:
    """Return the folder and its size, what was pushed, or the commands that push it."""
    lines = [f"{result['folder']}: {result['n_files']} files, {result['bytes'] / MIB:.1f} MiB"]
    if "kernel" in result:
        lines += [
            f"dataset {result['dataset']}, notebook {result['kernel']}, version {result['version']}: {result['url']}"
        ]
    else:
        lines += ["try it: python predict.py RAW in that folder; `foldwise bundle push=true` sends it to Kaggle"]
    return "\n".join(lines)


def _check_budget(budget: str | None) -> None:
    """Raise ConfigError for a text that is no time, here and not in the notebook."""
    try:
        seconds_of(budget or "1")
    except ConfigError as error:
        raise ConfigError(str(error).replace("predict.budget", "bundle.budget")) from None


def _suffix(settings: Settings) -> str:
    """Return what tells bundles of one blend apart: which folds, and float16."""
    given = settings.bundle
    folds = "" if given.folds is None else f"_folds_{'_'.join(map(str, sorted(set(given.folds))))}"
    return folds + ("_float16" if given.float16 else "")
