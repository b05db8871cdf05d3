"""Stage `download`: the host's raw files, through the kaggle command line."""

from pathlib import Path

from foldwise.errors import ConfigError
from foldwise.kaggle import client
from foldwise.settings import Settings


def download(settings: Settings) -> Path:
    """Fetch and unpack the competition's files into its raw folder, whole or not at all."""
    client.download(slug(settings), settings.raw_dir)
    return settings.raw_dir


def slug(settings: Settings) -> str:
    """Return the competition's name on Kaggle; raise ConfigError where its YAML gives none."""
    if settings.competition.slug is None:
        raise ConfigError(
            f"competition.slug: {settings.competition.name} has no name on Kaggle; set competition.slug=NAME, the last "
            "part of the competition's address"
        )
    return settings.competition.slug
