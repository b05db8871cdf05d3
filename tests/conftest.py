"""Settings with a folder of their own."""

import copy
import functools
import gc
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import hypothesis
import pytest

from foldwise.config.compose import CONF, configure
from foldwise.processes import cores
from foldwise.settings import Settings

# several processes run tests: threads that wait for each other took a quarter of their time
for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

hypothesis.settings.register_profile("foldwise", deadline=None)  # a busy machine fails no test
hypothesis.settings.load_profile("foldwise")


@pytest.fixture(autouse=True)
def _new_network() -> Iterator[None]:
    """Let each test build and trace its own models."""
    yield
    if network := sys.modules.get("foldwise.training.network"):
        network.forget()


@functools.cache
def _configured(overrides: tuple[str, ...]) -> Settings:
    """Compose settings from foldwise's own YAMLs once: hundreds of tests want the same ones."""
    return configure(*overrides)


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    """Compose settings as a command would; data/, runs/ and the rest lie in `tmp_path`, or in `root`."""

    def compose(*overrides: str, root: Path = tmp_path, config_dir: Path | None = None) -> Settings:
        of_user = config_dir is not None or (Path("conf").is_dir() and Path("conf").resolve() != CONF)
        found = configure(*overrides, config_dir=config_dir) if of_user else copy.deepcopy(_configured(overrides))
        return replace(found, root=str(root))

    return compose


# modules whose tests train networks, build large ones, compute with Keras or start worker processes; `make check`
# leaves them out, but for execution/test_task.py, whose tiny training runs in the process of the tests
TRAINING = (
    "augment/test_body.py",
    "augment/test_on_device.py",
    "competitions/passenger_screening",
    "execution/test_explanation.py",
    "execution/test_prediction.py",
    "stages/test_predict_members.py",
    "models/",
    "training/",
    "test_line.py",
    "test_processes.py",
    "test_wheel.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that train."""
    here = Path(__file__).parent
    for item in items:
        if item.path.relative_to(here).as_posix().startswith(TRAINING):
            item.add_marker(pytest.mark.trains)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave modules that train out where none of their tests is wanted: importing them takes longer than many tests."""
    name = collection_path.relative_to(Path(__file__).parent).as_posix()
    return True if "not trains" in config.option.markexpr and name.startswith(TRAINING) else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many processes run tests: one more than cores where all run, as many wait for other processes."""
    return min(cores() if config.option.markexpr else cores() + 1, 4)


def pytest_collection_finish() -> None:
    """Leave what was imported out of later garbage collections: Keras collects before each model, .5 s otherwise."""
    gc.collect()
    gc.freeze()
