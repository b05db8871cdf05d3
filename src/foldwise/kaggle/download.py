"""Download a competition's raw files."""

import shutil
from pathlib import Path

from foldwise.errors import FoldwiseError
from foldwise.kaggle.archives import unpack
from foldwise.kaggle.cli import check_ready, run_cli
from foldwise.storage import own_files, written_aside

STALL_SECONDS = 300.0


def download(slug: str, raw_dir: Path) -> list[Path]:
    """Download the competition's archive, check and unpack it into `raw_dir`, and return the files.

    `raw_dir` is complete or absent. Raises FoldwiseError if it already holds files, without credentials or
    access, when no byte has come for 5 minutes, and for what `archives.unpack` refuses.
    """
    target = raw_dir.resolve()
    if target.exists() and (not target.is_dir() or any(own_files(target))):
        raise FoldwiseError(
            f"{raw_dir} already holds files: nothing is fetched; move or delete it, then download again"
        )
    check_ready(slug)
    if target.exists():
        shutil.rmtree(target)
    with written_aside(target) as aside:
        store = aside / ".kaggle-download"
        store.mkdir(parents=True)
        options = (f"--path={store}", "--quiet")
        run_cli(["competitions", "download", slug, *options], slug, STALL_SECONDS, growing=store)
        names = sorted(path.name for path in store.iterdir())
        if names != [f"{slug}.zip"]:
            raise FoldwiseError(f"expected kaggle to leave {slug}.zip, but it left {names}")
        unpack(store / names[0], aside)
        shutil.rmtree(store)
    return sorted(path for path in raw_dir.rglob("*") if path.is_file())
