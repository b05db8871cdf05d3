"""Stage `download`: the host's raw files, through the kaggle command line."""

from __future__ import annotations

import logging
from pathlib import Path

from foldwise.errors import ConfigError
from foldwise.kaggle import archives
from foldwise.kaggle.download import download as fetch
from foldwise.settings import Settings

log = logging.getLogger(__name__)


def download(settings: Settings) -> Path:
    """Fetch and unpack the competition's files into its raw folder, whole or not at all.

    Where the folder holds archives, put there by hand or left packed, they are unpacked and nothing is fetched.
    """
    raw_dir = settings.raw_dir
    packed = archives.archives_in(raw_dir) if raw_dir.is_dir() else []
    if not packed:
        fetch(slug(settings), raw_dir)
        return raw_dir
    added, names = archives.repair(raw_dir), ", ".join(one.relative_to(raw_dir).as_posix() for one in packed[:8])
    if added:
        log.info("%s: %d files unpacked from %s; nothing was fetched", raw_dir, len(added), names)
    else:
        log.info("%s holds all files of %s already; nothing was fetched", raw_dir, names)
    return raw_dir


def slug(settings: Settings) -> str:
    """Return the competition's name on Kaggle; raise ConfigError where its YAML gives none."""
    if settings.competition.slug is None:
        raise ConfigError(
            f"competition.slug: {settings.competition.name} has no name on Kaggle; set competition.slug=NAME, the last "
            "part of the competition's address"
        )
    return settings.competition.slug
