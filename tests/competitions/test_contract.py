"""Every competition's reader keeps the contract of foldwise.competitions, and one that does not is refused by name."""

import inspect
import pkgutil
from types import SimpleNamespace

import pytest

from foldwise import competitions, plugins
from foldwise.errors import ConfigError

NAMES = sorted(module.name for module in pkgutil.iter_modules(competitions.__path__) if module.ispkg)


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_defines_what_the_stages_call(name):
    reader = plugins.competition_module(name)
    assert isinstance(reader.VERSION, int)
    assert set(reader.SOURCES) <= {"simulated", "embedded"}
    assert all("VERSION" in source.__globals__ for source in reader.SOURCES.values())
    assert next(iter(inspect.signature(reader.read).parameters)) == "raw_dir"
    assert set(getattr(reader, "FILES", ())) <= set(plugins.option_schema(reader.read))


@pytest.mark.parametrize("absent", ["VERSION", "SOURCES", "read", "submission", "truth"])
def test_a_reader_that_lacks_something_is_refused_by_name(absent, monkeypatch):
    whole = vars(plugins.competition_module("statoil"))
    half = SimpleNamespace(**{name: value for name, value in whole.items() if name != absent})
    monkeypatch.setattr(
        plugins.importlib, "import_module", lambda name: half if name.endswith(".reader") else competitions
    )
    with pytest.raises(ConfigError, match=f"competition.reader=statoil: .*reader has no {absent}"):
        plugins.competition_module("statoil")
