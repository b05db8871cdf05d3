"""The script and the notebook of a bundle, and the metadata by which Kaggle's client uploads them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from foldwise.storage import write_json

SCRIPT = Path(__file__).with_name("bundle_script.py")
OWNER = "INSERT_USERNAME_HERE"  # where the user's name on Kaggle is not known
LAST = '\n\nif __name__ == "__main__":\n'


def write_script(folder: Path) -> None:
    """Write `predict.py`, which installs foldwise from the folder, predicts, and writes `submission.csv`."""
    (folder / "predict.py").write_text(SCRIPT.read_text())


def write_notebook(folder: Path, competition: str) -> None:
    """Write `predict.ipynb`, which does what `predict.py` does."""
    source = SCRIPT.read_text()
    docstring, _, code = source.partition('"""\n\n')
    code = code.partition(LAST)[0].rstrip("\n")
    title = docstring.removeprefix('"""').splitlines()[0]
    title = title.replace("the bundle that this file lies in", "a bundle of foldwise")
    cells = [
        _cell(
            "about", "markdown", f"# {competition}\n\n{title}\n\n`main(raw, budget, submission)` takes other folders."
        ),
        _cell("functions", "code", code),
        _cell("predict", "code", "main()"),
        _cell("look", "code", "import pandas as pd\n\npd.read_csv('submission.csv').describe()"),
    ]
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    write_json(folder / "predict.ipynb", {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5})


def dataset_name(competition: str) -> str:
    """Return the dataset's name on Kaggle: 6 to 50 letters, digits and hyphens.

    >>> dataset_name("passenger_screening")
    'foldwise-passenger-screening'
    """
    return f"foldwise-{re.sub('[^a-z0-9]+', '-', competition.lower()).strip('-')}"[:50].rstrip("-")


def kernel_name(dataset: str) -> str:
    """Return the notebook's name on Kaggle, which its title must come to.

    >>> kernel_name("foldwise-statoil")
    'foldwise-statoil-predict'
    """
    return f"{dataset[:42].rstrip('-')}-predict"


def write_metadata(folder: Path, dataset: str, owner: str | None, slug: str | None, gpu: bool) -> None:
    """Write `dataset-metadata.json` and `kernel-metadata.json`, as kaggle 2.2.5 reads them.

    dataset: its name on Kaggle; owner: the user's name there; slug: the competition's name there.
    """
    owner = owner or OWNER
    write_json(
        folder / "dataset-metadata.json",
        {
            "title": dataset.replace("-", " "),
            "id": f"{owner}/{dataset}",
            "licenses": [{"name": "other"}],  # of several works: their texts are in licences/
        },
    )
    kernel = kernel_name(dataset)
    values: dict[str, Any] = {
        "id": f"{owner}/{kernel}",
        "title": kernel.replace("-", " "),
        "code_file": "predict.ipynb",
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": gpu,
        "enable_tpu": False,
        "enable_internet": False,
        "dataset_sources": [f"{owner}/{dataset}"],
        "competition_sources": [slug] if slug else [],
        "kernel_sources": [],
        "model_sources": [],
    }
    write_json(folder / "kernel-metadata.json", values)


def names_in(folder: Path) -> tuple[str, str]:
    """Return the ids OWNER/NAME of the dataset and of the notebook of a bundle."""
    files = (folder / f"{kind}-metadata.json" for kind in ("dataset", "kernel"))
    dataset, kernel = (str(json.loads(file.read_text())["id"]) for file in files)
    return dataset, kernel


def _cell(name: str, kind: str, source: str) -> dict[str, Any]:
    """Return a cell of a notebook as nbformat 4.5 wants it."""
    cell: dict[str, Any] = {"cell_type": kind, "id": name, "metadata": {}, "source": source}
    return cell if kind == "markdown" else cell | {"execution_count": None, "outputs": []}
