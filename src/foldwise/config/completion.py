"""Completion of the command line: scripts for three shells, which ask foldwise what may come next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from foldwise.config import compose
from foldwise.config.compose import Scope
from foldwise.config.type_words import type_words
from foldwise.config.yaml_options import yaml_options
from foldwise.settings import Settings

FLAGS = ("--help", "-m", "--config-dir", "--cfg")

# bash takes = for the end of a word, so that what stands before it is cut off what it shall insert
BASH = r"""# foldwise --completion bash: add to ~/.bashrc:  eval "$(foldwise --completion bash)"
_foldwise() {
    local line="${COMP_LINE:0:COMP_POINT}" IFS=$'\n'
    local -a words
    IFS=' ' read -r -a words <<< "$line"
    [[ "$line" == *' ' ]] && words+=("")
    local current="${words[-1]}"
    COMPREPLY=($(foldwise --complete "${words[@]:1}" 2>/dev/null))
    [[ "$current" == *=* ]] && COMPREPLY=("${COMPREPLY[@]#"${current%%=*}="}")
    [[ "${COMPREPLY[0]}" == *[=.] ]] && compopt -o nospace
}
complete -o default -F _foldwise foldwise
"""
ZSH = r"""#compdef foldwise
# foldwise --completion zsh: add to ~/.zshrc, after compinit:  eval "$(foldwise --completion zsh)"
_foldwise() {
    local -a found
    found=("${(@f)$(foldwise --complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    compadd -S '' -- ${(M)found:#*[=.]}
    compadd -- ${found:#*[=.]}
}
compdef _foldwise foldwise
"""
FISH = r"""# foldwise --completion fish > ~/.config/fish/completions/foldwise.fish
complete -c foldwise -a '(foldwise --complete (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def candidates(words: Sequence[str], stages: Mapping[str, Scope]) -> list[str]:
    """Return the words that may stand where the last of the given ones, which may be empty, begins.

    A key ends with =, a group whose keys follow with a dot.

    stages: what each stage reads.
    """
    *before, current = words or [""]
    plain = [word for word in before if not word.startswith("-")]
    if not plain:
        return [name for name in (*stages, "--help", "--version", "--completion") if name.startswith(current)]
    scope = stages.get(plain[0])
    if scope is None:
        return []
    key, equals, value = current.partition("=")
    if not equals:
        found = [*_keys(scope, plain[1:], current), *FLAGS]
        found += _runs(plain[1:]) if scope.word == "run" else []
        return [one for one in found if one.startswith(current)]
    first, comma, last = value.rpartition(",")  # of several values
    return [f"{key}={first}{comma}{one}" for one in _values(scope, key) if one.startswith(last)]


def _keys(scope: Scope, words: list[str], current: str) -> list[str]:
    """Return the keys that a stage reads: those of a group once its name and a dot are there."""
    hints, choices = get_type_hints(Settings), compose.groups()
    found = []
    for name in scope.reads:
        is_group = is_dataclass(hints.get(name))
        found += [f"{name}="] if name in choices or not is_group else []
        found += [f"{name}."] if is_group and not current.startswith(f"{name}.") else []
        if is_group and current.startswith(f"{name}."):
            found += [f"{name}.{one.name}=" for one in fields(hints[name]) if one.name != "options"]
            path = compose.chosen_files(words).get(name)
            found += [f"{name}.options.{one.name}=" for one in (yaml_options(name, path) if path else [])]
    return found + ([f"{one.name}=" for one in fields(hints[scope.group])] if scope.group else [])


def _values(scope: Scope, key: str) -> list[str]:
    """Return the values of a key, where they are words of a list."""
    if key in (choices := compose.groups()):
        return choices[key]
    schema: Any = Settings
    full = f"{scope.group}.{key}" if scope.group and "." not in key and key not in scope.reads else key
    for part in full.split("."):
        schema = get_type_hints(schema, include_extras=True).get(part) if is_dataclass(schema) else None
    words = type_words(schema).split(" | ")
    return (
        words
        if len(words) > 1 and not {"text", "number", "whole number"} & {word.split(",")[0] for word in words}
        else []
    )


def _runs(words: list[str]) -> list[str]:
    """Return the names of the runs below the root of a command."""
    given = dict(word.split("=", 1) for word in words if "=" in word)
    return sorted(path.parent.name for path in Path(given.get("root", ".")).glob("runs/*/*/recipe.yaml"))
