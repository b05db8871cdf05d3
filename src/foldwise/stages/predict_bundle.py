"""What `foldwise predict bundle=FOLDER` reads in place of prepared data and runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from foldwise.config.check import checked_options
from foldwise.data.dataset import Dataset
from foldwise.errors import ConfigError
from foldwise.plugins import competition_module
from foldwise.runs import packing
from foldwise.runs.store import Run
from foldwise.settings import Settings


def bundled(settings: Settings) -> tuple[Settings, Dataset, str, dict[str, Any], list[Run]]:
    """Return settings of a bundle's competition, data without images, the blend's name and JSON, and its runs.

    The folder is only read. Raises FoldwiseError where it is no bundle.
    """
    folder = Path(str(settings.predict.bundle))
    competition = packing.packed_competition(folder)
    if settings.submission is not None:
        raise ConfigError("predict: bundle=FOLDER holds one blend; leave submission= out")
    reader = competition_module(competition.reader)
    options = checked_options(reader.read, competition.options, "competition.options")
    about = packing.read_json(folder, packing.BLEND)
    name = packing.packed_blend(folder)
    runs = packing.packed_runs(folder, about)
    known = packing.packed_data(folder)
    return replace(settings, competition=replace(competition, options=options)), known, name, about, runs
