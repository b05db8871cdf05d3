"""Every notebook is stored with the outputs of the code that it holds, and its numbers are right."""

import hashlib
import re
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EXECUTE = ROOT / "notebooks" / "execute.py"

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def printed(notebook):
    """All that the cells print, as one text."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


@every_notebook
def test_outputs_are_current(path):
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    code = hashlib.sha256("\0".join(cell.source for cell in cells).encode()).hexdigest()
    assert notebook.metadata.foldwise.code_sha256 == code, f"run make notebooks ARGS={path.stem}"
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert len(cells) <= 12


@every_notebook
def test_a_notebook_is_small_and_fit_for_readers(path):
    assert path.stat().st_size < 400_000
    text = path.read_text()
    assert '"image/png"' in text
    notebook = nbformat.read(path, as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not any(output.get("name") == "stderr" for output in outputs)
    assert not re.search(r"/(?:work|home|root|tmp|Users)/|Warning|Traceback", text)


@every_notebook
def test_links_lead_to_files(path):
    notebook = nbformat.read(path, as_version=4)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("http")]
    assert "../docs/glossary.md" in links
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize(
    ("name", "line"),
    [
        # -ln .8, -ln .01 and ln 2
        ("01_what_learning_means", "predicted 0.80: loss 0.2231"),
        ("01_what_learning_means", "predicted 0.01: loss 4.6052"),
        ("01_what_learning_means", "weights 0: loss 0.6931"),
        ("01_what_learning_means", "after    0 steps: training loss 2.3026"),  # ln 10
        # score 1: p = 1 / (1 + 1/e), -ln p = ln(1 + 1/e); p - 1 = -.26894, times 2, times the inputs 1 and 2
        ("02_from_one_layer_to_deep", "score 1.0, probability 0.7311, loss 0.3133"),
        ("02_from_one_layer_to_deep", "hidden weights [[-0.5379, 0.0], [-1.0758, 0.0]]"),
        # three rows of 0 + 0 - 9; (224 + 2 - 7) / 2 rounded down, plus 1; 7 * 7 * 3 * 96 + 96
        ("03_convolutions", "by hand\n[[-27 -27  27  27]"),
        ("03_convolutions", "224 pixels, window 7, padding 1, stride 2: 110"),
        ("03_convolutions", "conv1  (110, 110, 96)       14,208 weights   formula 110"),
        # 113 of 240: -.47083 ln .47083 - .52917 ln .52917
        ("04_iceberg_or_ship", "constant prediction: log loss 0.6914"),
        # the host's header: num_x_pts follows the increments, at byte 348
        ("05_passenger_screening", "bytes 348 to 351  num_x_pts          256"),
        ("05_passenger_screening", "512 + 256 * 330 * 16 * 2 bytes = 2,703,872, and the file has 2,703,872"),
        # a weight for each of 1,280 features, and a bias; half of the images are faces: ln 2
        ("06_fine_tuning", "of which the new head: 1,281"),
        ("06_fine_tuning", "constant prediction    log loss 0.693"),
        # .5 + .5 / 10: the variance of a mean of ten errors whose correlation is .5
        ("07_ensembles", "correlation 0.5, 10 models: formula 0.550"),
    ],
)
def test_printed_numbers(name, line):
    assert line in printed(nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4))


@pytest.mark.trains
def test_a_notebook_runs_again_with_the_same_numbers(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(EXECUTE.parent))
    monkeypatch.delitem(sys.modules, "execute", raising=False)
    import execute

    stored = ROOT / "notebooks" / "01_what_learning_means.ipynb"
    copy = tmp_path / stored.name
    before = nbformat.read(stored, as_version=4)
    copy.write_text(stored.read_text())
    execute.execute(copy)
    after = nbformat.read(copy, as_version=4)
    assert printed(after) == printed(before)
    assert after.metadata == before.metadata


@pytest.mark.trains
def test_a_warning_is_not_stored(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(EXECUTE.parent))
    monkeypatch.delitem(sys.modules, "execute", raising=False)
    import execute

    path = tmp_path / "warns.ipynb"
    cell = nbformat.v4.new_code_cell("import sys; print('careful', file=sys.stderr)")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    before = path.read_text()
    with pytest.raises(SystemExit, match="cell 1 prints on stderr:\ncareful"):
        execute.execute(path)
    assert path.read_text() == before
