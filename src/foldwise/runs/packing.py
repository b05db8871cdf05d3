"""Copy what predictions of new data need out of runs and prepared data: a folder that holds no image and no path."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import TypeAdapter, ValidationError

from foldwise.data import dataset as datasets
from foldwise.data.dataset import Dataset
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.plugins import competition_module
from foldwise.runs import store
from foldwise.runs.store import Run
from foldwise.settings import CompetitionSettings, is_folder_name, plain
from foldwise.storage import write_json

BUNDLE, BLEND, COMPETITION = "bundle.json", "blend.json", "competition.yaml"


def pack_data(known: Dataset, folds: Path, folder: Path) -> None:
    """Write the tables of prepared data, arrays of no image and the folds, as `foldwise.data.dataset.read` opens them.

    folds: the parquet of the folds.
    """
    folder.mkdir(parents=True)
    about = json.loads((known.path / "dataset.json").read_text())
    write_json(folder / "dataset.json", about | {"n_test": 0})
    for name, split in (("train", known.train), ("test", known.test)):
        like = np.empty(known.train.images.shape[1:], known.train.images.dtype)
        datasets.ImageWriter(folder / f"{name}.npy", like=like).close()
        table = split.table if name == "train" else split.table.iloc[:0]
        table.to_parquet(folder / f"{name}.parquet", index=False)
    shutil.copy(folds, folder)


def pack_run(run: Run, folder: Path, fits: list[int] | None, half: bool) -> list[int]:
    """Write a run's recipe, its out-of-fold predictions and the weights of the fits that predict; return those fits.

    Of a run to which the blend gives no weight, none do.

    fits: the folds whose weights are packed; None: all. A run with a refit predicts by that alone.
    half: write weights of 32 bits in 16, see `halve`.

    Raises ConfigError for a fold that the run does not have, FoldwiseError where weights are missing.
    """
    chosen = [fit for fit in run.predicting if run.refits or fits is None or fit in fits]
    unknown = [] if fits is None or run.refits else sorted(set(fits) - set(run.predicting))
    if run.predicting and (unknown or not chosen):
        raise ConfigError(
            f"bundle.folds={fits}: {run.name} has the folds 0 to {run.n_fits - 1}; name some of them, "
            "or leave bundle.folds out for all"
        )
    target = folder / run.name
    target.mkdir(parents=True)
    (target / "recipe.yaml").write_text(yaml.safe_dump(_short(run.recipe), sort_keys=False))
    shutil.copy(run.path / "run.json", target)
    for fit in run.fits:
        source, copy = run.fold_path(fit), target / store.fit_name(fit)
        copy.mkdir()
        if (source / "held_out.parquet").is_file():
            shutil.copy(source / "held_out.parquet", copy)
        if fit in chosen:
            shutil.copy(source / "fold.json", copy)
            for path in store.weight_files(run, fit):
                shutil.copy(path, copy)
                if half:
                    halve(copy / path.name)
    return chosen


def halve(path: Path) -> None:
    """Write the weights of a file in 16 bits where they have 32; Keras turns them back when it loads them.

    Weights that are too large or too small for 16 bits (beyond 65,504, or not 0 but below 6e-8) stay as they are, all
    of their tensor.
    """
    import h5py

    aside = path.with_name(f"{path.name}.half")

    def copy(source: Any, target: Any) -> None:
        target.attrs.update(source.attrs)
        for name, item in source.items():
            if isinstance(item, h5py.Group):
                copy(item, target.create_group(name))
                continue
            values = item[()]
            if item.dtype == np.float32:
                with np.errstate(over="ignore"):
                    short = values.astype(np.float16)
                if np.isfinite(short).all() and not ((short == 0) & (values != 0)).any():
                    values = short
            target.create_dataset(name, data=values).attrs.update(item.attrs)

    with h5py.File(path, "r") as source, h5py.File(aside, "w") as target:
        copy(source, target)
    aside.replace(path)


def pack_competition(competition: CompetitionSettings, folder: Path) -> None:
    """Write the settings of the competition; options that name a file or an address of this machine are left out."""
    values = plain(competition)
    reader = competition_module(competition.reader)
    for name in (*getattr(reader, "FILES", ()), "raw_url"):  # they are about the training data
        values["options"].pop(name, None)
    (folder / COMPETITION).write_text(yaml.safe_dump(_short(values), sort_keys=False))


def packed_competition(folder: Path) -> CompetitionSettings:
    """Return the settings of the competition of a bundle; raise FoldwiseError where the folder is none."""
    path = folder / COMPETITION
    if not (path.is_file() and (folder / BUNDLE).is_file() and (folder / BLEND).is_file()):
        there = ", ".join(sorted(one.name for one in folder.iterdir())[:8]) if folder.is_dir() else None
        raise FoldwiseError(
            f"bundle={folder}: expected a folder that `foldwise bundle` wrote, with {BUNDLE}, {BLEND}, {COMPETITION}; "
            + ("there is no such folder" if there is None else f"it holds {there or 'nothing'}")
        )
    try:
        return TypeAdapter(CompetitionSettings).validate_python(yaml.safe_load(path.read_text()))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise _damaged(path, f"{key}={first['input']}: {first['msg']}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _damaged(path, str(error)) from None


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """Return a JSON of a bundle; raise FoldwiseError, which names it, where it is damaged."""
    try:
        found = json.loads((folder / name).read_text())
    except (ValueError, RecursionError) as error:
        raise _damaged(folder / name, str(error)) from None
    if not isinstance(found, dict):
        raise _damaged(folder / name, f"a {type(found).__name__} in place of keys and values")
    return found


def packed_blend(folder: Path) -> str:
    """Return the name of the blend of a bundle, which those of its predictions begin with."""
    name = read_json(folder, BUNDLE).get("blend")
    if not is_folder_name(name):
        raise _damaged(folder / BUNDLE, f"blend={name!r}: expected a name without a slash")
    return str(name)


def _damaged(path: Path, why: str) -> FoldwiseError:
    return FoldwiseError(f"{path}: not as `foldwise bundle` wrote it ({' '.join(why.split())}); copy the bundle again")


def packed_data(folder: Path) -> Dataset:
    """Return the data of a bundle, without images; the folds lie in their folder."""
    return datasets.read(folder / "data")


def packed_runs(folder: Path, about: dict[str, Any]) -> list[Run]:
    """Return the runs of a bundle, each with the fits whose weights it holds."""
    fits = read_json(folder, BUNDLE).get("fits")
    try:
        return [Run(folder / "runs" / run_name(one), tuple(fits[one["run"]])) for one in about["members"]]  # type: ignore[index]
    except (LookupError, TypeError, AttributeError):
        raise _damaged(folder / BLEND, "expected the runs of the blend, and their fits in bundle.json") from None


def run_name(member: dict[str, Any]) -> str:
    """Return the name of the run that a member of a blend is; raise FoldwiseError for one that leads elsewhere."""
    name = member.get("run")
    if not is_folder_name(name):
        raise FoldwiseError(f"the blend has the run {name!r}; expected the name of a folder: make the blend again")
    return str(name)


def _short(value: Any) -> Any:
    """Return a recipe, or settings, in which a path of this machine, or an address, is its last part alone."""
    if isinstance(value, dict):
        return {name: _short(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_short(one) for one in value]
    if isinstance(value, str) and len(value) > 1 and ("://" in value or (Path(value).is_absolute() and _exists(value))):
        return Path(value).name
    return value


def _exists(value: str) -> bool:
    """Tell whether a path is one of this machine, and no regular expression that begins with a slash."""
    try:
        return any(one.exists() for one in Path(value).parents[:-1] or [Path(value)])
    except OSError:
        return False
