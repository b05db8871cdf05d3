"""Write a recipe as an experiment: a YAML with which `experiment=NAME` repeats it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from foldwise.config import compose
from foldwise.config.search_space import SearchSpace
from foldwise.errors import FoldwiseError
from foldwise.settings import Settings, changed, plain
from foldwise.storage import written_aside

NAMED = ("model", "augment")  # groups whose choice is the name of a function, with options
OTHERS = ("fit", "finetune", "split", "pseudo")


def write_experiment(settings: Settings, name: str, space: SearchSpace) -> Path:
    """Write the recipe of the settings to `conf/experiment/NAME.yaml` in the folder `root`; return the file.

    Raises FoldwiseError where the file would not give the same recipe, which is then not kept.
    """
    given = dict(word.partition("=")[::2] for word in space.fixed)
    competition = given.get("competition", settings.competition.name)
    overrides = [{"override /competition": competition}]
    values: dict[str, Any] = {}
    for group in NAMED:
        of_group = getattr(settings, group)
        overrides.append({f"override /{group}": of_group.name})
        values[group] = {key: value for key, value in plain(of_group).items() if key != "name"}
    values |= {group: found for group in OTHERS if (found := changed(getattr(settings, group)))}
    path = Path(settings.root) / "conf" / "experiment" / f"{name}.yaml"
    text = f"# @package _global_\n# foldwise train experiment={name}\n"
    with written_aside(path) as aside:
        aside.write_text(text + yaml.safe_dump({"defaults": overrides, **values}, sort_keys=False))
    words = [word for word in space.fixed if word.startswith(("source", "root", "competition."))]
    again = compose.configure(*words, f"experiment={name}", config_dir=path.parents[1])
    if any(getattr(again, group) != getattr(settings, group) for group in ("competition", *NAMED, *OTHERS)):
        path.unlink()
        raise FoldwiseError(f"{path}: an experiment cannot hold this recipe; give its settings on the command line")
    return path
