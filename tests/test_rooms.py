"""The house: which package may import which, and no circle of imports anywhere, not even inside a function."""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import foldwise

SOURCE = Path(foldwise.__file__).parent
# from the ground up: a module may import from its own line and from those above it in this list, never from below
FLOORS = (
    {"errors", "settings", "messages", "time_left"},
    {"storage", "processes", "progress", "plugins", "devices"},
    {"data"},
    {"scoring", "augment", "models"},
    {"blends"},
    {"runs"},
    {"training"},
    {"competitions", "kaggle"},
    {"execution", "config"},
    {"report", "trackers"},
    {"stages"},
    {"pipeline"},
    {"__main__", "__init__"},
)


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


MODULES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}


def imports(name: str, source: str) -> set[str]:
    """The modules of foldwise that a module imports, at its top, inside functions and under TYPE_CHECKING alike."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inside & MODULES.keys()) or {node.module}
            found |= {node.module} if len(inside & MODULES.keys()) < len(inside) else set()
    return {one for one in found if one in MODULES} - {name}


@cache
def all_imports() -> dict[str, set[str]]:
    return {name: imports(name, path.read_text()) for name, path in MODULES.items()}


def floor(module: str) -> int:
    room = module.split(".")[1]
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def test_every_room_has_a_floor():
    rooms = {name.split(".")[1] for name in MODULES}
    assert rooms == set().union(*FLOORS)


@pytest.mark.parametrize("name", MODULES)
def test_no_module_imports_from_a_floor_above_it(name):
    above = {other for other in all_imports()[name] if other != "foldwise.__init__" and floor(other) > floor(name)}
    assert not above


def test_there_is_no_circle():
    try:
        list(TopologicalSorter(all_imports()).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_a_hidden_import_is_seen():
    hidden = "def f():\n    from foldwise.stages import score\n    from foldwise.runs.store import Run\n"
    assert imports("foldwise.errors", hidden) == {"foldwise.stages.score", "foldwise.runs.store"}
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from foldwise.data.dataset import Dataset\n"
    assert imports("foldwise.errors", typed) == {"foldwise.data.dataset"}
