"""Stage `download`: the host's raw files, through the kaggle command line."""

from __future__ import annotations

import logging
from pathlib import Path

from foldwise.errors import ConfigError
from foldwise.kaggle import archives
from foldwise.kaggle import download as host
from foldwise.settings import Settings
from foldwise.storage import size_in_bytes

log = logging.getLogger(__name__)


def download(settings: Settings) -> Path:
    """Fetch and unpack the competition's files into its raw folder, whole or not at all.

    With `files=[...]` the files of those names or patterns alone. Where the folder holds archives, put there by hand or
    left packed, they are unpacked and nothing is fetched.
    """
    given, raw_dir = settings.download, settings.raw_dir
    most, most_unpacked = (
        size_in_bytes(f"download.{name}", getattr(given, name)) for name in ("max_size", "max_unpacked")
    )
    if given.files is not None:
        added = host.download_some(slug(settings), raw_dir, given.files, most)
        log.info("%s: %d files added", raw_dir, len(added))
        return raw_dir
    if most is not None:
        raise ConfigError(
            "download.max_size limits download.files; the whole archive is as large as it is: leave it out"
        )
    packed = archives.archives_in(raw_dir) if raw_dir.is_dir() else []
    if not packed:
        added = host.download(slug(settings), raw_dir, most_unpacked)
        if not added:
            log.info("%s holds all files that were downloaded; nothing was fetched", raw_dir)
        return raw_dir
    repaired = archives.repair(raw_dir, most_unpacked)
    names = ", ".join(one.relative_to(raw_dir).as_posix() for one in packed[:8])
    if repaired:
        log.info("%s: %d files unpacked from %s; nothing was fetched", raw_dir, len(repaired), names)
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
