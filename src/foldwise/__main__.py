"""The command line: Hydra in, one stage out. The only importer of hydra."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foldwise import __version__, config, pipeline
from foldwise.errors import ConfigError, FoldwiseError, choices

CONF = Path(__file__).parents[2] / "conf"
TEXTS = ("root", "message", "submission", "oof", "test", "folds", "ensemble.options.folder")
NOTHING = ("tuned=null", "experiment=null")  # Hydra cannot be told to leave a group empty that is empty anyway

USAGE = """\
usage: foldwise STAGE [key=value ...] [-m] [--config-dir DIR] [--cfg] [--help]

Hydra configs in, an honest out-of-fold log loss and a valid Kaggle submission out.

stages, in the order that data travels them:
{stages}

options:
  -m, --multirun    a key with several values (model=small_cnn,mlp) runs them all, in one queue of folds
  --config-dir DIR  look for YAMLs there too (DIR/competition/mine.yaml gives competition=mine)
  --cfg             print the composed settings instead of running
  --help            show this, after a stage with the groups and their choices
  --version         show the version

example: foldwise train competition=statoil model=small_cnn fit.epochs=40
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one stage; return the exit status: 0 done, 1 the work failed, 2 the command is wrong, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        return _run(arguments)
    except (FoldwiseError, OSError) as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        print("interrupted; finished folds are kept, and the same command goes on from there", file=sys.stderr)
        return 130


def _run(arguments: list[str]) -> int:
    if "--version" in arguments:
        print(__version__)
        return 0
    overrides, flags, config_dir = _parse(arguments)
    if not overrides or "--help" in flags:
        print(USAGE.format(stages="\n".join(f"  {name:<10}{text}" for name, text in pipeline.STAGES.items())))
        if overrides:
            print(_groups_help(config_dir))
        return 0 if "--help" in flags else 2
    name, *overrides = overrides
    pipeline.check_stage(name)
    if name == "inspect":  # of a file, not of a competition
        pipeline.stage(name).inspect(overrides)
        return 0
    sweep = list(composed(overrides, config_dir, several="-m" in flags))
    if "--cfg" in flags:
        _print_settings(sweep)
        return 0
    module = pipeline.stage(name)  # imported once the settings are known to be right: errors come at once
    if len(sweep) > 1:
        return _run_sweep(name, module, sweep)
    settings = sweep[0]
    result = pipeline.function(name, module)(settings)
    if hasattr(module, "show"):
        _print(module, result, settings.format)
    if hasattr(module, "details") and settings.format == "text":
        print(module.details(settings, result), end="")
    return 0


def _run_sweep(name: str, module: Any, sweep: list[config.Settings]) -> int:
    """Run a stage for several settings; recipes are trained in one queue, and a table closes."""
    if name == "train":
        from foldwise import objective, score

        metric = sweep[0].competition.metric
        reports = sorted(module.train_all(sweep).values(), key=lambda report: objective.cost(metric, score.of(report)))
        _print(score, reports, sweep[0].format)
        return 0
    results = [pipeline.function(name, module)(settings) for settings in sweep]
    if hasattr(module, "show") and sweep[0].format == "json":  # one list, whatever a single command prints
        lists = [result if isinstance(result, list) else [result] for result in results]
        print(json.dumps([one for several in lists for one in several], indent=2))
    elif hasattr(module, "show"):
        for result in results:
            _print(module, result, "text")
    return 0


def composed(overrides: list[str], config_dir: Path | None = None, several: bool = False) -> Iterator[config.Settings]:
    """Compose and check the settings of a command: one, or with `several` one for each combination of values.

    Raises ConfigError, naming the key, the value and the valid choices, before anything is read.
    """
    import yaml
    from hydra import compose, initialize_config_dir
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException, OverrideParseException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    overrides = [item for override in overrides for item in _expanded(override, config_dir)]
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            parsed = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader()).parse_overrides(
                overrides
            )
            for override in parsed:
                _check_override(override, config_dir)
            if not several and any(override.is_sweep_override() for override in parsed):
                swept = next(override for override in parsed if override.is_sweep_override())
                raise ConfigError(f"{swept.input_line}: several values; say -m to run them all")
            for job in BasicSweeper.split_arguments(parsed, None)[0]:
                search = [f"hydra.searchpath=[file://{config_dir.resolve()}]"] if config_dir else []
                job = [_forced(item) for item in job if item not in NOTHING] + _tuned(job, config_dir)
                composition = compose("config", overrides=job + search)
                values: Any = OmegaConf.to_container(composition, resolve=True)
                yield config.check(values)
    except OverrideParseException as error:
        raise ConfigError(f"{error.override}: {_first_lines(error)}") from error
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise ConfigError(_first_lines(error)) from error


def groups(config_dir: Path | None = None) -> dict[str, list[str]]:
    """The groups of `conf/` and the choices in each."""
    found: dict[str, list[str]] = {}
    for folder in filter(None, (CONF, config_dir)):
        for path in sorted(folder.glob("*/*.yaml")):
            found.setdefault(path.parent.name, []).append(path.stem)
    return found


def _parse(arguments: list[str]) -> tuple[list[str], set[str], Path | None]:
    """Split the arguments into words, flags and the additional config folder."""
    words, flags, config_dir = [], set(), None
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        if argument.startswith("--config-dir="):
            argument, _, folder = argument.partition("=")
            waiting.insert(0, folder)
        if argument == "--config-dir":
            if not waiting or not Path(waiting[0]).is_dir():
                raise ConfigError(
                    f"--config-dir {' '.join(waiting[:1])}: expected a folder with group folders of YAMLs"
                )
            config_dir = Path(waiting.pop(0))
        elif argument in ("-m", "--multirun"):
            flags.add("-m")
        elif argument in ("--help", "-h"):
            flags.add("--help")
        elif argument == "--cfg":
            flags.add(argument)
        elif argument.startswith("-"):
            raise ConfigError(
                f"{argument}: no such option; {choices(argument, ['-m', '--config-dir', '--cfg', '--help'])}"
            )
        else:
            words.append(argument)
    return words, flags, config_dir


def _expanded(override: str, config_dir: Path | None) -> list[str]:
    """Replace `sweep=NAME` by the overrides that conf/sweep/NAME.yaml lists."""
    key, _, value = override.partition("=")
    if key in TEXTS and value[:1] not in ("'", '"', ""):
        quoted = value.replace("\\", r"\\").replace("'", r"\'")
        return [f"{key}='{quoted}'"]  # free text is no expression of Hydra's grammar
    if key != "sweep":
        return [override]
    import yaml

    valid = groups(config_dir).get("sweep", [])
    if value not in valid:
        raise ConfigError(f"sweep={value}: no such sweep; {choices(value, valid)}")
    folder = next(f for f in (config_dir, CONF) if f and (f / "sweep" / f"{value}.yaml").is_file())
    return [f"{k}={v}" for k, v in yaml.safe_load((folder / "sweep" / f"{value}.yaml").read_text()).items()]


def _check_override(override: Any, config_dir: Path | None) -> None:
    key = override.key_or_group
    if key.startswith("hydra"):
        return
    valid = groups(config_dir)
    if key not in valid:
        config.known_key(key)
        return
    for name in override.sweep_string_iterator() if override.is_sweep_override() else [override.value()]:
        if name not in valid[key] and not (name is None and key in ("tuned", "experiment")):
            raise ConfigError(f"{key}={name}: no such choice; {choices(name, valid[key])}")


def _tuned(job: list[str], config_dir: Path | None) -> list[str]:
    """Choose what was tuned for the model on the competition, unless the command names its recipe otherwise."""
    said = {override.lstrip("+").partition("=")[0]: override.partition("=")[2] for override in job}
    if said.keys() & {"tuned", "experiment", "fit"}:
        return []
    import yaml

    defaults = {
        k: v
        for entry in yaml.safe_load((CONF / "config.yaml").read_text())["defaults"]
        if entry != "_self_"
        for k, v in entry.items()
    }
    competition, model = (said.get(group, defaults[group]) for group in ("competition", "model"))
    there = groups(config_dir).get("tuned", [])
    return next(([f"tuned={name}"] for name in (f"{competition}-{model}", model) if name in there), [])


def _forced(override: str) -> str:
    """Let a known key be set although no YAML mentions it: keys were checked against the schema before."""
    key = override.partition("=")[0]
    return f"++{override}" if "." in key and not key.startswith(("+", "~", "hydra")) else override


def _first_lines(error: Exception) -> str:
    """Say Hydra's error in its own words, without its location boilerplate."""
    lines = [
        line
        for line in str(error).splitlines()
        if line.strip() and not re.match(r"\s*(full_key|object_type|reference_type)", line)
    ]
    return "\n".join(lines[:6])


def _print(module: Any, result: Any, style: str) -> None:
    if style == "json":
        print(json.dumps(result, indent=2))
    else:
        print(module.show(result, shutil.get_terminal_size((100, 24)).columns).rstrip())


def _print_settings(sweep: list[config.Settings]) -> None:
    import yaml

    print("---\n".join(yaml.safe_dump(config.plain(settings), sort_keys=False) for settings in sweep), end="")


def _groups_help(config_dir: Path | None) -> str:
    lines = [f"  {group:<12} {', '.join(names)}" for group, names in groups(config_dir).items()]
    return "\n".join(["groups, said as group=choice; each choice is a commented YAML in conf/<group>/:", *lines])


def main_and_exit() -> None:
    """Run the command line as a process."""
    sys.exit(main())


if __name__ == "__main__":
    main_and_exit()
