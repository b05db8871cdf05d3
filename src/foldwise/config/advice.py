"""What was probably meant by a word that is no setting: a choice without its group, a key without it, another name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from foldwise.errors import choices
from foldwise.settings import Settings

# names of other programs, and what people type
SYNONYMS = {
    "lr": "learning_rate",
    "rate": "learning_rate",
    "bs": "batch_size",
    "batch": "batch_size",
    "wd": "weight_decay",
    "decay": "weight_decay",
    "opt": "optimizer",
    "n_epochs": "epochs",
    "num_epochs": "epochs",
    "max_epochs": "epochs",
    "folds": "n_folds",
    "k": "n_folds",
    "nfolds": "n_folds",
    "warmup": "warmup_epochs",
    "smoothing": "label_smoothing",
    "amp": "mixed_precision",
    "fp16": "mixed_precision",
    "tta": "test_views",
    "random_state": "seed",
    "jobs": "workers",
    "n_jobs": "workers",
    "num_workers": "workers",
}


def nearest(name: str, valid: Iterable[str]) -> str:
    """List the valid names, the one first that `name` is in other programs, or else those that are spelt alike.

    >>> nearest("lr", ["seed", "learning_rate"])
    "did you mean 'learning_rate'? Valid choices: learning_rate, seed"
    """
    names = list(valid)
    return choices(SYNONYMS[name] if SYNONYMS.get(name) in names else name, names)


def bare_word(word: str, files: Mapping[str, Iterable[str]], reads: Iterable[str] | None, stage: str) -> str:
    """Return what is wrong with a word that has no equals sign: the choice of a group, as in `foldwise train faces`.

    files: the choices of each group; reads: the groups that the stage reads. None: all.
    """
    if word == "=" or word in files or "." in word:
        return f"{word}: expected key=value in one word, without blanks around the equals sign"
    groups = [group for group in files if reads is None or group in reads]
    found = [f"{group}={word}" for group in groups if word in files[group]]
    if not found:
        by_name = {f"{group}={name}": name for group in groups for name in files[group]}
        near = difflib.get_close_matches(word, by_name.values(), n=1, cutoff=0.75)
        found = [full for full, name in by_name.items() if name in near]
    if found:
        return f"{word}: expected key=value; did you mean {' or '.join(found)}?"
    return f"{word}: expected key=value, such as fit.epochs=5; `foldwise {stage} --help` lists the keys"


def bare_key(
    key: str, value: str, reads: Iterable[str] | None, options: Mapping[str, Iterable[str]], stage: str
) -> str:
    """Return what is wrong with a key of no group, such as `epochs=3`, and what was meant.

    reads: the groups and keys that the stage reads. None: all.
    options: of each group that it reads, the names of those of the function that is chosen.
    """
    known = [*_keys(reads), *(f"{group}.options.{name}" for group, names in options.items() for name in names)]
    alone = list(dict.fromkeys([*reads] if reads is not None else get_type_hints(Settings)))
    last = {full: full.rpartition(".")[2] for full in known}
    found = [full for full in known if last[full] in {key, SYNONYMS.get(key, key)}]
    if not found and not difflib.get_close_matches(key, alone, n=1):
        elsewhere = [full for full in _keys(None) if full.rpartition(".")[2] == key]
        if elsewhere:
            return f"{key}: no such setting of `foldwise {stage}`; another stage has {' and '.join(elsewhere)}"
        near = difflib.get_close_matches(key, set(last.values()), n=1, cutoff=0.8)
        found = [full for full in known if last[full] in near]
    if not found:
        return f"{key}: no such setting; {choices(key, alone)}"
    return (
        f"{key}: no such setting; did you mean {' or '.join(f'{full}={_mended(full, value)}' for full in found[:4])}?"
    )


def _keys(reads: Iterable[str] | None) -> list[str]:
    """Return the full keys of the options of all groups that are read."""
    groups = {name: hint for name, hint in get_type_hints(Settings).items() if is_dataclass(hint)}
    return [
        f"{name}.{one.name}"
        for name, group in groups.items()
        if reads is None or name in reads
        for one in fields(group)
        if one.name != "options"
    ]


def _mended(full: str, value: str) -> str:
    """Return a value of a setting, or the choice that is spelt most like it."""
    schema: Any = Settings
    for part in full.split("."):
        if not is_dataclass(schema):
            return value
        schema = get_type_hints(schema)[part]
    parts = get_args(schema) if get_origin(schema) is Union else (schema,)
    valid = [str(choice) for part in parts if get_origin(part) is Literal for choice in get_args(part)]
    if not valid or value in valid:
        return value
    ordered = choices(value, valid).rpartition("Valid choices: ")[2].split(", ")
    return ordered[0] if difflib.get_close_matches(value, valid) else value
