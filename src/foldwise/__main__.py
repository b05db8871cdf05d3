"""The command line: argv in, one stage out."""

from __future__ import annotations

import difflib
import json
import logging
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from foldwise import __version__, pipeline
from foldwise.config import completion, compose
from foldwise.config.check import is_known
from foldwise.config.examples import EXAMPLES
from foldwise.config.help import overview, stage_help
from foldwise.config.next_command import next_command
from foldwise.config.search_space import SearchSpace, search_space
from foldwise.config.yaml_options import yaml_options
from foldwise.errors import ConfigError, FoldwiseError, choices, printable
from foldwise.messages import Messages
from foldwise.pipeline import Stage, resolve
from foldwise.processes import Terminated, as_interrupt
from foldwise.settings import Settings, plain

USAGE = """\
usage: foldwise STAGE [key=value ...] [-m] [--config-dir DIR] [--cfg] [--help]

Hydra configs in, an honest out-of-fold log loss and a valid Kaggle submission out.

stages, in the order that data travels them:
{stages}

options:
  -m, --multirun    a key with several values (model=small_cnn,mlp) runs them all, in one queue of folds
  --config-dir DIR  look for YAMLs there first (DIR/competition/mine.yaml gives competition=mine)
  --cfg             print the composed settings instead of running
  --help            show this, or after a stage what that one does and reads
  --version         show the version
  --completion NAME print the script that completes words in bash, zsh or fish

example: foldwise train competition=statoil model=small_cnn fit.epochs=40
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one stage; return the exit status: 0 done, 1 the work failed, 2 the command is wrong, 130 or 143 ended.

    130 is that of Ctrl-C, 143 that of SIGTERM.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[Messages()])
    try:
        with as_interrupt():
            return _run(arguments)
    except (Exception, KeyboardInterrupt) as error:
        if (interrupt := _interrupt_of(error)) is not None:
            ended = isinstance(interrupt, Terminated)
            how = "ended by SIGTERM" if ended else "interrupted"
            print(f"{how}; finished folds are kept, and the same command goes on from there", file=sys.stderr)
            return 143 if ended else 130
        if not isinstance(error, FoldwiseError | OSError) or os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1


def _interrupt_of(error: BaseException | None) -> KeyboardInterrupt | None:
    """Return the interrupt that an error is, or that was being handled when it came: libraries may fail in that."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error


def _run(arguments: list[str]) -> int:
    if "--version" in arguments:
        print(__version__)
        return 0
    if arguments[:1] in (["--complete"], ["--completion"]):
        print(_completion(*arguments))
        return 0
    words, flags, config_dir = _parse(arguments)
    if not words:
        print(USAGE.format(stages="\n".join(f"  {name:<13}{stage.help}" for name, stage in pipeline.STAGES.items())))
        return 0 if "--help" in flags else 2
    if words[0] == "help":  # foldwise help train
        return _run([*words[1:], "--help"])
    name, *words = words
    stage = pipeline.stage_named(name)
    if "--help" in flags:
        print(_stage_help(name, stage, words, config_dir))
        return 0
    if stage.takes == "words":
        resolve(stage.function)(words)
        return 0
    scope = compose.Scope(name, stage.reads, stage.group, stage.word)
    if stage.takes == "space":
        space = search_space(words, config_dir, scope)
        sweep = [space.settings(space.first())]
    else:
        sweep = list(compose.compose_all(words, config_dir, scope, several="-m" in flags))
    if "--cfg" in flags:
        print("---\n".join(_as_yaml(settings) for settings in sweep), end="")
        return 0
    _run_stage(stage, sweep, space if stage.takes == "space" else None)
    if sweep[0].format == "text" and os.environ.get("FOLDWISE_NEXT") != "off":  # as between the stages of `make demo`
        _show_next(name, stage, words, sweep[0], config_dir)
    return 0


def _run_stage(stage: Stage, sweep: list[Settings], space: SearchSpace | None) -> None:
    """Run a stage for the settings of a command, or its search space, and print what it shows."""
    function, style = resolve(stage.function), sweep[0].format
    if space is not None:
        results = [function(space)]
    else:
        results = [function(sweep)] if stage.takes == "sweep" else [function(settings) for settings in sweep]
    if stage.show is None:
        return
    if style == "json":
        print(json.dumps(results[0] if len(results) == 1 else _joined(results), indent=2))
    else:
        _show(stage, sweep, results)
    if stage.verdict is not None:
        for result in results:
            resolve(stage.verdict)(result)


def _show(stage: Stage, sweep: list[Settings], results: list[Any]) -> None:
    """Print the results of a stage as text."""
    assert stage.show is not None  # else nothing is printed
    width = shutil.get_terminal_size((100, 24)).columns
    for settings, result in zip(sweep, results, strict=False):  # a sweep that is taken at once has one result
        print(resolve(stage.show)(result, width).rstrip())
        if stage.details is not None and len(results) == 1:
            print(resolve(stage.details)(settings, result), end="")


def _show_next(name: str, stage: Stage, words: list[str], settings: Settings, config_dir: Path | None) -> None:
    """Print the command that comes after a stage, and what it does where the line has room for that."""
    reads = {other: row.reads for other, row in pipeline.STAGES.items()}
    found = next_command(name, stage.then, reads, words, settings, config_dir)
    if found is None:
        return
    following, command = found
    line = f"next: {command}"
    explained = f"{line}    # {pipeline.STAGES[following].help}"
    width = shutil.get_terminal_size((100, 24)).columns
    print(explained if len(explained) <= width else line, file=sys.stderr)


def _joined(results: list[Any]) -> list[Any]:
    """Return one list of the results of several settings, each a list or a single one."""
    return [one for result in results for one in (result if isinstance(result, list) else [result])]


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
            if not waiting or not waiting[0] or not Path(waiting[0]).is_dir():
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
            raise ConfigError(_wrong_option(argument, waiting))
        else:
            words.append(argument)
    return words, flags, config_dir


def _wrong_option(argument: str, following: list[str]) -> str:
    """Return what is wrong with an option that there is not: settings are words without dashes."""
    key, equals, value = argument.lstrip("-").replace("-", "_").partition("=")
    flags = ["-m", "--config-dir", "--cfg", "--help", "--version", "--completion"]
    is_setting = is_known(key) or not difflib.get_close_matches(argument, flags, n=1)
    if is_setting and (equals or following):
        return f"{argument}: no such option; a setting is a word without dashes: {key}={value or following[0]}"
    return f"{argument}: no such option; {choices(argument, flags)}"


def _completion(option: str, *words: str) -> str:
    """Return the script that completes words in a shell, or what it asks for: the words that may come next."""
    scopes = {name: compose.Scope(name, row.reads, row.group, row.word) for name, row in pipeline.STAGES.items()}
    if option == "--complete":
        return "\n".join(completion.candidates(words, scopes))
    if len(words) != 1 or words[0] not in completion.SCRIPTS:
        raise ConfigError(f"--completion {' '.join(words)}: expected one of {', '.join(completion.SCRIPTS)}")
    return completion.SCRIPTS[words[0]]


def _as_yaml(settings: Settings) -> str:
    import yaml

    text: str = yaml.safe_dump(plain(settings), sort_keys=False)
    return text


def _stage_help(name: str, stage: Stage, words: list[str], config_dir: Path | None) -> str:
    """Return what a stage does and what it reads; each choice of a group is a commented YAML in conf/<group>/."""
    width = shutil.get_terminal_size((100, 24)).columns
    choices = compose.groups(config_dir)
    takes = "[key=value ...]" if stage.takes != "words" else "FILE [PNG]"
    takes = takes if stage.word is None else f"{stage.word.upper()} {takes}"
    lines = [f"usage: foldwise {name} {takes}", "", f"{stage.help}.", ""]
    lines.append(overview(stage.reads, choices, EXAMPLES.get(name, ()), width))
    if stage.reads:
        files = {group: path for group, path in compose.chosen_files(words, config_dir).items() if group in stage.reads}
        options = {group: yaml_options(group, path) for group, path in files.items()}
        lines += [
            "",
            "Each choice of a group is a YAML in conf/, which sets the group's keys;",
            "key=value on the command line changes one of them.",
            *([f"The prefix {stage.group}. may be left out."] if stage.group is not None else []),
            *(["Options are those of the choices on the command line."] if any(options.values()) else []),
            "",
            stage_help(stage.reads, choices, options, width),
        ]
    return "\n".join(lines)


def main_and_exit() -> None:
    """Run the command line as a process."""
    sys.exit(main())


if __name__ == "__main__":
    main_and_exit()
