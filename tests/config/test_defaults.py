"""A YAML and the signature or the dataclass that it fills give one default: the command line and Python agree."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from foldwise.config.compose import CONF
from foldwise.plugins import default_options, public_functions
from foldwise.settings import (
    AugmentSettings,
    EnsembleSettings,
    ExecutionSettings,
    FinetuneSettings,
    FitSettings,
    ModelSettings,
    SplitSettings,
    TrackerSettings,
    differences,
    plain,
)

GROUPS = {
    "model": ModelSettings(""),
    "augment": AugmentSettings(""),
    "ensemble": EnsembleSettings(),
    "finetune": FinetuneSettings(),
    "fit": FitSettings(),
    "split": SplitSettings(),
    "execution": ExecutionSettings(),
    "tracker": TrackerSettings(),
}
ROOMS = {"model": "models", "augment": "augment", "ensemble": "blends"}
PHOTOS = CONF / "augment" / "photos.yaml"
SMALL_BACKBONE = {"batch_norm_input": False, "dense_dropout": 0.0}
# why a YAML gives another value than the function or the dataclass
DIFFERENCES: dict[str, dict[str, Any]] = {
    # null is the backbone's own defaults, so that another backbone can be named; the YAML's backbone is a smaller one
    "model/multi_view": {"backbone_options": {"filters": [16, 32, 64]} | SMALL_BACKBONE},
    "model/region_nets": {"backbone_options": {"filters": [16, 32, 64, 64]} | SMALL_BACKBONE},
    "model/whole_scan": {"backbone_options": {"filters": [16, 32, 64, 64]} | SMALL_BACKBONE},
    # blends that were made before it could stand on several are predicted again as they were
    "ensemble/neighbours": {"base": "auto"},
    # a variant of another function of the group
    "augment/small_digits": {"shift": 1},
    # whatever a YAML of one's own may list; the default stands for augment=flips
    "augment/photos": {"transforms": yaml.safe_load(PHOTOS.read_text())["options"]["transforms"]},
    # the views of test time that suit the augmentation
    "augment/body": {"test_views": "mirror"},
    "augment/flips": {"test_views": "flips"},
    "augment/radar": {"test_views": "flips"},
    "augment/radar_gain": {"gain": 3.0, "test_views": "flips"},
    # a choice is its kind or its mode
    "finetune/all": {"mode": "all"},
    "finetune/gradual": {"mode": "gradual"},
    "finetune/head": {"mode": "head"},
    "finetune/last_block": {"mode": "last_block", "layer_decay": 1.0},  # one stage trains: it has no earlier one
    "tracker/mlflow": {"kind": "mlflow"},
    "tracker/tensorboard": {"kind": "tensorboard"},
    "split/file": {"kind": "file"},
    "execution/ray": {"executor": "ray"},
    "execution/slurm": {"executor": "slurm"},
    "split/group": {"kind": "group"},
    "split/iterative": {"kind": "iterative"},
    "split/iterative_group": {"kind": "iterative_group"},
    "split/other": {"kind": "other"},
    "split/stratified_group": {"kind": "stratified_group"},
}
FILES = sorted(path for group in GROUPS for path in (CONF / group).glob("*.yaml"))


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("path", FILES, ids=named)
def test_a_yaml_gives_the_defaults_of_what_it_fills(path):
    group, values = path.parent.name, yaml.safe_load(path.read_text())
    options = values.pop("options", {})
    functions = public_functions(ROOMS[group]) if group in ROOMS else {}
    name = values.pop("name", None)
    defaults = default_options(functions[name]) if name else {}
    assert options.keys() <= defaults.keys()
    assert values.keys() <= plain(GROUPS[group]).keys()
    found = differences(options, defaults) | differences(values, plain(GROUPS[group]))
    assert found == DIFFERENCES.get(named(path), {})


def test_no_exception_outlives_its_yaml():
    assert DIFFERENCES.keys() <= {named(path) for path in FILES}
    assert {path.parent.name for path in FILES} == GROUPS.keys()
