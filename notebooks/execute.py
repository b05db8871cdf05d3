"""Execute notebooks in place, and note in each which code its outputs are from: `make notebooks`.

    python notebooks/execute.py [01_what_learning_means ...]      all of them without a name

A notebook runs from its first cell to its last in an empty folder, which is deleted afterwards: it finds nothing there
and leaves nothing behind. What it prints on stderr is an error here, because readers should see no warnings. The
SHA-256 of its code cells is stored in its metadata; tests/test_notebooks.py compares it with the cells.
"""

import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "CUDA_VISIBLE_DEVICES": "",
    "NO_COLOR": "1",
    "COLUMNS": "100",
}


def code_hash(notebook: nbformat.NotebookNode) -> str:
    """Return the SHA-256 of the sources of the code cells, joined by a null character."""
    return hashlib.sha256("\0".join(c.source for c in notebook.cells if c.cell_type == "code").encode()).hexdigest()


def execute(path: Path) -> None:
    """Run a notebook, and write its outputs and the hash of its code into it.

    Raises CellExecutionError for a cell that fails, and SystemExit where anything was printed on stderr; the file
    stays as it was then.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=600,
            kernel_name="python3",
            record_timing=False,
            coalesce_streams=True,
            extra_arguments=["--log-level=ERROR"],
        )
        client.execute(cwd=folder, env={**os.environ, **QUIET})
    for number, cell in enumerate(notebook.cells, 1):
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                raise SystemExit(f"{path.name}: cell {number} prints on stderr:\n{output['text']}")
    notebook.metadata.language_info.pop("version", None)  # of Python, which the outputs do not depend on
    notebook.metadata["foldwise"] = {"code_sha256": code_hash(notebook)}
    nbformat.write(notebook, path)


def main(names: list[str]) -> None:
    for path in [HERE / f"{name}.ipynb" for name in names] or sorted(HERE.glob("*.ipynb")):
        started = time.monotonic()
        execute(path)
        print(f"{path.name}: {time.monotonic() - started:.0f} s, {path.stat().st_size / 1e3:.0f} kB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
