"""Every benchmark loads and is listed; what they measure is run by hand."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if not path.stem.startswith("__")}


@pytest.fixture(autouse=True)
def _checkout(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def listed():
    return importlib.import_module("benchmarks.__main__").NAMES


def test_every_benchmark_is_listed_and_what_is_listed_exists():
    helpers, scripts = {"measure"}, {"realism": "statoil_realism"}
    assert {scripts.get(name, name) for name in listed()} == FILES - helpers


@pytest.mark.parametrize("name", sorted(FILES - {"measure", "statoil_realism"}))
def test_a_benchmark_runs_by_a_function_of_quick_alone(name):
    run = importlib.import_module(f"benchmarks.{name}").run
    assert list(inspect.signature(run).parameters) == ["quick"]


def test_the_script_of_realism_takes_no_required_argument():
    script = importlib.import_module("benchmarks.statoil_realism")
    required = [p for p in inspect.signature(script.main).parameters.values() if p.default is p.empty]
    assert required == []


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.stem
)
def test_the_docs_name_benchmarks_that_exist(page):
    named = set(re.findall(r"python -m\s+benchmarks\s+(\w+)", page.read_text()))
    assert named <= listed().keys()
