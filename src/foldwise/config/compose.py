"""From the words of a command to checked settings. The only importer of hydra.

Hydra's compose API is used, not `hydra.main`: Hydra's multirun hands its jobs to a launcher one by one and shows a
failed job at the end, where all recipes of a sweep share one queue of folds here and a wrong word must come before
any work. Hydra also refuses group overrides inside an interpolated default (`- tuned: ${competition}-${model}` whose
YAML says `override /augment`), so that what was tuned for a model is chosen in `_tuned`.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foldwise.config import advice, check
from foldwise.config.yaml_files import explained, read_yaml
from foldwise.errors import ConfigError, choices
from foldwise.settings import Settings

PACKAGED = Path(__file__).parents[1] / "conf"  # in a wheel
CONF = PACKAGED if PACKAGED.is_dir() else Path(__file__).parents[3] / "conf"  # in a checkout
# free text, which is no expression of Hydra's grammar
TEXTS = (
    "root",
    "submission",
    "submit.message",
    "submit.kernel",
    "grade.solution",
    "grade.leaderboard",
    "runs.filter",
    "runs.run",
    "predict.images",
    "predict.raw",
    "predict.sample",
    "predict.bundle",
    "bundle.wheels",
    "imports.oof",
    "imports.test",
    "imports.folds",
    "split.file",
    "tracker.folder",
    "tracker.url",
    "ensemble.options.folder",
)
Files = dict[str, dict[str, list[Path]]]  # of each choice of each group
MOST_COMBINATIONS = 10_000  # of a sweep
NOTHING = ("tuned=null", "experiment=null")  # Hydra cannot leave a group empty that is empty anyway


@dataclass(frozen=True)
class Scope:
    """What a stage reads: groups and keys of the settings, and the group whose prefix may be left out.

    word: the key of that group which a word without an equals sign gives. None: each word is key=value.
    """

    stage: str
    reads: tuple[str, ...]
    group: str | None = None
    word: str | None = None


def configure(*overrides: str, config_dir: Path | None = None) -> Settings:
    """Return the settings that a command line of these words has: `configure("competition=faces", "model=mlp")`.

    Raises ConfigError, naming the key, the value and the valid choices.
    """
    return next(compose_all(list(overrides), config_dir))


def compose_all(
    words: list[str], config_dir: Path | None = None, scope: Scope | None = None, several: bool = False
) -> Iterator[Settings]:
    """Compose and check the settings of a command: one, or with `several` one for each combination of values.

    config_dir: a folder of group folders, looked into before `conf/` of the working folder and foldwise's own.
    scope: what the stage reads; None allows every key.

    Raises ConfigError, naming the key, the value and the valid choices, before anything is read.
    """
    files = _files(config_dir)
    overrides = parsed(words, config_dir, scope)
    search, state = tuple(f"file://{folder.resolve()}" for folder in _own_folders(config_dir)), _state(files)
    for override in overrides:
        if override.is_sweep_override() and not several:
            raise ConfigError(f"{override.input_line}: several values; -m runs them all")
    with _clear_errors():
        from hydra.core.override_parser.overrides_parser import OverridesParser
        from omegaconf import OmegaConf

        parser = OverridesParser.create()
        for job in _combinations(overrides):
            chosen, given = _parted(
                [item for item in job if item not in NOTHING] + _chosen_source(job, files) + _tuned(job, files), files
            )
            config = copy.deepcopy(_composed(tuple(chosen), search, state))
            for override in parser.parse_overrides(given):
                OmegaConf.update(config, override.key_or_group, override.value(), merge=True, force_add=True)
            values: Any = OmegaConf.to_container(config, resolve=True)
            values["competition"].pop("source", None)  # see _chosen_source
            yield check.check(values)


def parsed(words: list[str], config_dir: Path | None, scope: Scope | None) -> list[Any]:
    """Return the words of a command as overrides of Hydra, checked as far as that needs no composition.

    Raises ConfigError, naming the key, the value and the valid choices.
    """
    files = _files(config_dir)
    words = [item for word in words for item in _expanded(word, files, scope)]
    for word in words:  # before Hydra is imported: a mistyped key is reported at once
        _check_key(word, words, files, scope)
        _check_option(word, words, files)
    _check_own_yamls(words, config_dir)
    with _clear_errors():
        from hydra.core.override_parser.overrides_parser import OverridesParser

        overrides = OverridesParser.create().parse_overrides(words)
        for override in overrides:
            _check_choice(override, files)
    return list(overrides)


@contextlib.contextmanager
def _clear_errors() -> Iterator[None]:
    """Turn what Hydra, OmegaConf and the YAML parser raise into a ConfigError of one line."""
    import yaml
    from hydra.errors import HydraException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except OverrideParseException as error:
        raise ConfigError(
            f"{error.override}: {_first_lines(error)}; expected key=value, where the value is a number, a word, a list "
            "such as [1,2], or text in quotes"
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(explained(error)) from error
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_first_lines(error)) from error
    except RecursionError as error:
        raise ConfigError("lists too deep in each other, or a YAML whose defaults lead back to itself") from error


def _parted(words: list[str], files: Files) -> tuple[list[str], list[str]]:
    """Part the words of a command into those that Hydra composes by, and plain values, which are set afterwards.

    Keys were checked before, so that a value may be set although no YAML mentions its key. Where a word adds or deletes
    (+, ~), all are Hydra's, for their order counts.
    """

    def is_value(word: str) -> bool:
        return word.partition("=")[0] not in files and word[0] not in "+~" and "@" not in word

    if any(word[0] in "+~" for word in words):
        return [f"++{one}" if is_value(one) and "." in one.partition("=")[0] else one for one in words], []
    return [word for word in words if not is_value(word)], [word for word in words if is_value(word)]


def _state(files: Files) -> tuple[tuple[str, int], ...]:
    """Return what changes when a YAML does: the paths and the times of all."""
    paths = [CONF / "config.yaml", *(path for group in files.values() for found in group.values() for path in found)]
    return tuple((str(path), path.stat().st_mtime_ns if path.exists() else 0) for path in paths)


@functools.lru_cache(maxsize=256)
def _composed(chosen: tuple[str, ...], search: tuple[str, ...], state: tuple[tuple[str, int], ...]) -> Any:
    """Return the configuration that choices compose: a fifth of a second, and a sweep has many values for each.

    search: addresses of folders of a user's YAMLs; state: as `_state` returns it, so that an edited YAML is read anew.
    """
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=[*chosen, f"hydra.searchpath=[{','.join(map(_quoted, search))}]"])


def _quoted(text: str) -> str:
    """Return text as Hydra's grammar takes it for what it is: a backslash counts before a quote alone.

    >>> _quoted("it's")
    "'it\\\\'s'"
    """
    doubled = re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + found[2].replace("'", r"\'"), text)
    return f"'{doubled}'"


def _check_own_yamls(words: list[str], config_dir: Path | None) -> None:
    """Raise ConfigError where a YAML of the user's that these words choose, or that one's defaults, cannot be read."""
    own = [path for folder in _own_folders(config_dir) for path in sorted(folder.glob("*/*.yaml"))]
    chosen = {name for word in words for name in word.partition("=")[2].split(",")}
    while found := [path for path in own if path.stem in chosen]:
        own = [path for path in own if path not in found]
        for path in found:
            for entry in read_yaml(path).get("defaults", []):
                chosen |= set(map(str, entry.values())) if isinstance(entry, dict) else {entry}


def groups(config_dir: Path | None = None) -> dict[str, list[str]]:
    """Return the groups of the folders of YAMLs and the choices in each."""
    return {group: list(files) for group, files in _files(config_dir).items()}


def chosen_files(words: list[str], config_dir: Path | None = None) -> dict[str, Path]:
    """Return the YAML of each group that the words, or else the defaults, choose, where there is one."""
    import yaml

    files, given = _files(config_dir), _given(words)
    names = _defaults() | {group: given[group] for group in files if group in given}
    with contextlib.suppress(ConfigError, yaml.YAMLError):  # a wrong YAML is explained when a stage runs
        names |= dict(word.split("=") for word in _chosen_source(words, files))
    return {group: files[group][name][0] for group, name in names.items() if name in files.get(group, {})}


def _own_folders(config_dir: Path | None) -> list[Path]:
    """Return the folders of a user's YAMLs: --config-dir, and `conf/` in the working folder."""
    here = Path("conf")
    found = [here] if here.is_dir() and here.resolve() != CONF.resolve() else []
    own = [*([config_dir] if config_dir else []), *found]
    for folder in own:
        if "${" in str(folder.resolve()):
            raise ConfigError(f"{folder.resolve()}: Hydra takes ${{ in the name of a folder for a key; rename it")
    return own


def _files(config_dir: Path | None) -> Files:
    """Return the files of each choice of each group; foldwise's own comes first, and is the one that Hydra takes."""
    found: Files = {}
    for folder in (CONF, *_own_folders(config_dir)):
        for path in sorted(folder.glob("*/*.yaml")):
            found.setdefault(path.parent.name, {}).setdefault(path.stem, []).append(path)
    return found


def _combinations(parsed: list[Any]) -> Iterator[list[str]]:
    """Yield the overrides of each combination of the values that they give, the last key changing fastest.

    Raises ConfigError for more than MOST_COMBINATIONS.
    """
    lists = []
    for override in parsed:
        if override.is_sweep_override():
            if not override.is_discrete_sweep():
                raise ConfigError(f"{override.input_line}: expected a list of values, such as key=1,2,3")
            lists.append([f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()])
        else:
            lists.append([override.input_line])
    if (n := math.prod(map(len, lists))) > MOST_COMBINATIONS:
        raise ConfigError(f"-m: {n:,} combinations of values; expected at most {MOST_COMBINATIONS:,}")
    yield from map(list, itertools.product(*lists))


def _expanded(word: str, files: Files, scope: Scope | None) -> list[str]:
    """Replace `sweep=NAME` by the overrides of its YAML, a stage's own key by its full one, and quote free text."""
    if scope is not None and scope.word is not None and "=" not in word:
        word = f"{scope.word}={word}"
    key, equals, value = word.partition("=")
    if scope is not None and scope.group is not None and check.is_known(f"{scope.group}.{key}"):
        key = f"{scope.group}.{key}"
    if key in TEXTS and value[:1] not in ("'", '"', ""):
        return [f"{key}={_quoted(value)}"]
    if key != "sweep":
        return [f"{key}{equals}{value}"]
    valid = files.get("sweep", {})
    if value not in valid:
        raise ConfigError(f"sweep={value}: no such sweep; {choices(value, valid)}")
    return [f"{k}={v}" for k, v in read_yaml(valid[value][0]).items()]


def _bare_key(word: str, words: list[str], files: Files, scope: Scope) -> str:
    """Return what is wrong with a word whose key is no group and lies in none."""
    key, _, value = word.lstrip("+~").partition("=")
    given = _given(words)
    names = {group: given.get(group, choice) for group, choice in _defaults().items() if group in scope.reads}
    paths = {group: files[group][name][0] for group, name in names.items() if name in files.get(group, {})}
    options = {group: read_yaml(path).get("options") or {} for group, path in paths.items()}
    return advice.bare_key(key, value, scope.reads, options, scope.stage)


def _check_key(word: str, words: list[str], files: Files, scope: Scope | None) -> None:
    """Raise ConfigError unless the key of a word is a group or a setting, and one that the stage reads."""
    key = word.partition("=")[0].lstrip("+~").partition("@")[0]
    if key.startswith("hydra"):
        return
    is_group = key in files
    if "=" not in word and word[0] != "~":
        reads, stage = (None, "STAGE") if scope is None else (scope.reads, scope.stage)
        raise ConfigError(advice.bare_word(word, files, reads, stage))
    if key == "competition.source":
        raise ConfigError(f"{word}: a key of a competition's YAML; on the command line it is source=...")
    if not is_group:
        if scope is not None and "." not in key and not check.is_known(key):
            raise ConfigError(_bare_key(word, words, files, scope))
        check.known_key(key)
    if scope is not None and key.partition(".")[0] not in scope.reads:
        raise ConfigError(
            f"{word}: `foldwise {scope.stage}` does not read {key}; leave it out. It reads {', '.join(scope.reads)}"
        )
    if not is_group:
        check.check_plain(key, word.partition("=")[2])


def _check_option(word: str, words: list[str], files: Files) -> None:
    """Raise ConfigError where an option is none of the function that the words or the defaults choose.

    Where a YAML may choose the function, composition decides, and the check after it.
    """
    key, _, text = word.lstrip("+").partition("=")
    group, _, option = key.partition(".options.")
    given = _given(words)
    if not option or given.keys() & {"experiment", "tuned", f"{group}.name", f"{group}.reader"}:
        return

    def chosen(of_group: str) -> Any:
        paths = files.get(of_group, {}).get(given.get(of_group, _defaults().get(of_group, "")), [])
        return read_yaml(paths[0]) if paths else {}

    overridden = [entry for entry in chosen("competition").get("defaults", []) if f"override /{group}" in str(entry)]
    about = chosen(group)
    name = about.get("reader" if group == "competition" else "name")
    if name and not overridden:
        check.check_option(group, name, option, text)


def _given(words: list[str]) -> dict[str, str]:
    """Return the value of each key that words set."""
    return {word.lstrip("+").partition("=")[0]: word.partition("=")[2] for word in words}


@functools.cache
def _defaults() -> dict[str, str]:
    """Return the choice of each group that foldwise's own `conf/config.yaml` makes."""
    entries = read_yaml(CONF / "config.yaml")["defaults"]
    return {group: choice for entry in entries if entry != "_self_" for group, choice in entry.items()}


def _check_choice(override: Any, files: Files) -> None:
    """Raise ConfigError where an override of a group names a choice that there is not."""
    key, valid = override.key_or_group, files
    if key not in valid:
        return
    if override.is_sweep_override() and not override.is_discrete_sweep():
        raise ConfigError(f"{override.input_line}: expected names; {choices('', valid[key])}")
    for name in override.sweep_string_iterator() if override.is_sweep_override() else [override.value()]:
        if isinstance(name, list | dict):
            raise ConfigError(f"{override.input_line}: expected one name; {choices(name, valid[key])}")
        if name not in valid[key] and not (name is None and key in ("tuned", "experiment")):
            if key == "model" and (words := _network(str(name))):
                raise ConfigError(f"model={name}: a network of keras.applications; write {words}")
            raise ConfigError(f"{key}={name}: no such choice; {choices(name, valid[key])}")
        first, *others = valid[key].get(name) or [CONF]
        hidden = [path for path in others if path.read_bytes() != first.read_bytes()]
        if hidden:
            raise ConfigError(
                f"{key}={name}: {hidden[0]} and {first} have one name; rename yours, for example my_{name}.yaml"
            )


def _chosen_source(words: list[str], files: Files) -> list[str]:
    """Return the source that the YAML of the competition names by `source: kaggle`, unless the words choose one.

    Raises ConfigError where there is no such source.
    """
    given = _given(words)
    if "source" in given:
        return []
    recipe = files.get("experiment", {}).get(given.get("experiment", ""))
    overridden = (
        {
            key.removeprefix("override /").partition("@")[0]: choice
            for entry in read_yaml(recipe[0]).get("defaults", [])
            if isinstance(entry, dict)
            for key, choice in entry.items()
        }
        if recipe
        else {}
    )
    if "source" in overridden:
        return []
    competition = given.get("competition", overridden.get("competition", _defaults()["competition"]))
    path = files["competition"].get(competition, [None])[0]
    about = {} if path is None else read_yaml(path)
    if "source" not in about:
        return []
    name = about["source"]
    if not isinstance(name, str) or name not in files["source"]:
        raise ConfigError(f"{path}: source: {name}: no such choice; {choices(name, files['source'])}")
    return [f"source={name}"]


def _network(name: str) -> str | None:
    """Return the words that choose a network of keras.applications, whatever its capitals; None for another name."""
    from foldwise.models.pretrained import zoo

    names = {entry.name.lower(): entry.name for entry in zoo.entries().values() if entry.builder == "application"}
    found = names.get(name.lower().replace("-", "").replace("_", ""))
    return f"model=application model.options.name={found}" if found else None


def _tuned(job: list[str], files: Files) -> list[str]:
    """Choose what was tuned for the model on the competition, unless the command names its recipe otherwise."""
    given = _given(job)
    if given.keys() & {"tuned", "experiment", "fit"}:
        return []
    defaults = _defaults()
    competition, model = (given.get(group, defaults[group]) for group in ("competition", "model"))
    there = files.get("tuned", {})
    return next(([f"tuned={name}"] for name in (f"{competition}-{model}", model) if name in there), [])


def _first_lines(error: Exception) -> str:
    """Return Hydra's own words without its location boilerplate."""
    lines = [
        line
        for line in (str(error) or str(error.__cause__ or type(error).__name__)).splitlines()
        if line.strip() and not re.match(r"\s*(full_key|object_type|reference_type|See https)", line)
    ]
    return "\n".join(lines[:6])
