"""A local Kaggle, and users with and without credentials."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.kaggle_server import KEY, PREDICTIONS, SLUG, USER, KaggleServer

from foldwise.kaggle import submissions


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and an environment without anything of the user's Kaggle account or proxies."""
    for name in list(os.environ):
        if name.startswith(("KAGGLE_", "XDG_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def stranger(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KaggleServer]:
    """The server, for a user without credentials."""
    monkeypatch.chdir(home)
    with KaggleServer() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(submissions, "POLL_SECONDS", 0.05)
        yield server


@pytest.fixture
def server(stranger: KaggleServer, monkeypatch: pytest.MonkeyPatch) -> KaggleServer:
    """The server, for a user with a name and a key."""
    monkeypatch.setenv("KAGGLE_USERNAME", USER)
    monkeypatch.setenv("KAGGLE_KEY", KEY)
    return stranger


@pytest.fixture
def raw_dir(tmp_path: Path) -> Path:
    return tmp_path / "data" / "raw" / SLUG


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    path = tmp_path / f"{SLUG}_0.15_ab12.csv"
    path.write_bytes(PREDICTIONS)
    return path
