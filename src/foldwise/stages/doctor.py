"""Stage `doctor`: what keeps this machine, or this account, from the competition."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from foldwise import __version__
from foldwise.devices import jax_has_cuda, visible_gpus
from foldwise.errors import FoldwiseError
from foldwise.kaggle.account import Check, check_account
from foldwise.runs.recipe import installed_version
from foldwise.settings import Settings

LITTLE = 5e9  # bytes of free disk below which there is a warning
SHOWN = ("keras", "tensorflow", "tensorflow-cpu", "jax", "torch")


def doctor(settings: Settings) -> dict[str, Any]:
    """Check the machine, the kaggle command line, the credentials and the way into the competition.

    Returns `ok` and `checks`, each with name, state (ok, warning, problem or skipped), what was found and the repair.
    Nothing is written, and nothing is sent but questions.
    """
    root = _existing(Path(settings.root))
    checks = [_versions(), _device(), _disk(root), _folders(settings)]
    checks += check_account(settings.competition.slug)
    return {"ok": all(check.state != "problem" for check in checks), "checks": [asdict(check) for check in checks]}


def show(result: dict[str, Any], width: int) -> str:
    """Return a line for each check, and below it what repairs it."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in result["checks"]:
        repair = f"\n-> {check['repair']}" if check["repair"] else ""
        state = {"skipped": "-"}.get(check["state"], check["state"])
        table.add_row(state, check["name"], check["found"] + repair)
    console = Console(width=max(width, 60), no_color=True, highlight=False, markup=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip()


def verdict(result: dict[str, Any]) -> None:
    """Raise FoldwiseError where a check found a problem."""
    wrong = [check["name"] for check in result["checks"] if check["state"] == "problem"]
    if wrong:
        raise FoldwiseError(f"{len(wrong)} of {len(result['checks'])} checks failed: {', '.join(wrong)}")


def _versions() -> Check:
    found = [f"foldwise {__version__}", f"Python {platform.python_version()}"]
    installed = {one: installed_version(one) for one in SHOWN}
    found += [f"{name} {version}" for name, version in installed.items() if version is not None]
    return Check("versions", "ok", ", ".join(found))


def _device() -> Check:
    """Tell whether the driver shows a GPU, and whether a backend is built for one; nothing is imported for that."""
    n_cores = f"{os.cpu_count()} CPU cores"
    gpus = len(visible_gpus())
    if not gpus:
        return Check("device", "ok", f"{n_cores}, no NVIDIA GPU")
    if not jax_has_cuda() and installed_version("tensorflow") is None and installed_version("torch") is None:
        found = f"{n_cores}, and a GPU that the installed builds of TensorFlow and JAX do not use"
        return Check("device", "warning", found, "make setup GPU=1")
    return Check("device", "ok", f"{n_cores}, and {'a GPU' if gpus == 1 else f'{gpus} GPUs'}")


def _disk(root: Path) -> Check:
    free = shutil.disk_usage(root).free
    found = f"{free / 1e9:.0f} GB free in {root.resolve()}"
    if free < LITTLE:
        return Check("disk", "warning", found, "root=PATH keeps data/, runs/ and submissions/ on another disk")
    return Check("disk", "ok", found)


def _folders(settings: Settings) -> Check:
    folders = [settings.raw_dir, settings.prepared_dir, settings.runs_dir, settings.submissions_dir]
    closed = [str(folder) for folder in folders if not os.access(_existing(folder), os.W_OK | os.X_OK)]
    if closed:
        repair = "give yourself write access, or choose another place by root=PATH"
        return Check("folders", "problem", f"cannot be written: {', '.join(closed)}", repair)
    return Check("folders", "ok", "data, runs and submissions can be written")


def _existing(path: Path) -> Path:
    """Return the nearest folder that exists: the path or one that holds it."""
    return next(one for one in (path.absolute(), *path.absolute().parents) if one.is_dir())
