"""YAML files of configurations: read with bounds, since they may come from strangers, and refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foldwise.errors import ConfigError, FoldwiseError
from foldwise.storage import check_is_file

MOST_BYTES = 1 << 20
DEEPEST = 50  # lists and mappings in each other; the parser crashes at some ten thousands
MOST_NODES = 100_000  # with what aliases stand for, of which 400 bytes can make a billion


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds; an empty file holds an empty one.

    Raises ConfigError, naming the file and where possible the line, for anything that is no mapping by names, for
    another encoding than UTF-8, and for a file beyond the bounds above.
    """
    import yaml

    safe_loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the fast parser where PyYAML has it
    try:
        text = _text(path)
        _check_nodes(path, yaml.parse(text, safe_loader))
        values = yaml.load(text, safe_loader)
    except yaml.YAMLError as error:
        raise ConfigError(explained(error, path)) from None
    except ValueError as error:  # a date or a number that is none
        raise ConfigError(f"{path}: {error}") from None
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected keys with values, such as `name: mine`, found {type(values).__name__}")
    for key in values:
        if not isinstance(key, str):
            raise ConfigError(f"{path}: expected names as keys, found {key!r}")
    _check_defaults(path, values.get("defaults", []))
    return values


def _text(path: Path) -> str:
    try:
        check_is_file(path)
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise ConfigError(f"{path}: a configuration of {size:,} bytes; expected at most {MOST_BYTES:,}")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: expected UTF-8: {error.reason} at byte {error.start + 1}; save it as UTF-8"
        ) from None
    except (FoldwiseError, OSError) as error:
        raise ConfigError(str(error)) from None


def _check_nodes(path: Path, events: Any) -> None:
    """Raise ConfigError where nodes lie too deep in each other, are too many, or hold themselves.

    events: of the parser, which needs no memory for them.
    """
    import yaml

    sizes: dict[str, int] = {}  # nodes in what an anchor names
    open_nodes: list[list[Any]] = [[None, 0]]  # anchor and nodes so far
    for event in events:
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, size = open_nodes.pop()
            open_nodes[-1][1] += size
            if anchor is not None:
                sizes[anchor] = size
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append([event.anchor, 1])
            if len(open_nodes) > DEEPEST:
                line = event.start_mark.line + 1
                raise ConfigError(f"{path}, line {line}: more than {DEEPEST} lists and mappings in each other")
        elif isinstance(event, yaml.AliasEvent):
            if any(event.anchor == anchor for anchor, _ in open_nodes):
                raise ConfigError(f"{path}, line {event.start_mark.line + 1}: &{event.anchor} holds itself")
            open_nodes[-1][1] += sizes.get(event.anchor, 1)
        elif isinstance(event, yaml.ScalarEvent):
            open_nodes[-1][1] += 1
        if open_nodes[-1][1] > MOST_NODES:
            raise ConfigError(f"{path}: more than {MOST_NODES:,} values, with what its aliases stand for")


def _check_defaults(path: Path, defaults: Any) -> None:
    """Raise ConfigError unless the list of defaults holds names, and names of groups with their choices."""
    are_names = isinstance(defaults, list) and all(isinstance(entry, str | dict) for entry in defaults)
    if not are_names:
        raise ConfigError(f"{path}: defaults: expected a list, such as `- override /model: mlp`, found {defaults!r}")


def explained(error: Any, path: Path | None = None) -> str:
    """Return an error of the parser in one line; path: of the file, where the error may not know it."""
    mark = getattr(error, "problem_mark", None)
    name: Any = path or getattr(mark, "name", "a YAML")
    place = f"{name}, line {mark.line + 1}, column {mark.column + 1}" if mark is not None else str(name)
    parts = [getattr(error, field, None) for field in ("context", "problem", "reason")]
    return f"{place}: {', '.join(part for part in parts if part) or str(error)}"
