"""The options of a function as a YAML sets them, each with the comment beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from foldwise.config.check import function_of
from foldwise.config.yaml_files import read_yaml
from foldwise.errors import ConfigError
from foldwise.plugins import option_schema

MOST = 40  # characters of a value that is shown


@dataclass(frozen=True)
class YamlOption:
    """An option, the text of its value, the comment on its line, and the annotation of the function's argument."""

    name: str
    value: str
    comment: str
    annotation: Any = None


def yaml_options(group: str, path: Path) -> list[YamlOption]:
    """Return the entries below `options:` of the YAML of a group; a long value is shown as three dots.

    A YAML that is wrong has none: running the stage explains what is wrong with it.
    """
    import yaml

    try:
        read_yaml(path)  # refuses what would harm the parser
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        entries = {key.value: node for key, node in _entries(yaml.compose(text, yaml.SafeLoader))}
        named = entries.get("reader" if group == "competition" else "name")
        function = function_of(group, named.value) if named is not None else None
    except (yaml.YAMLError, ConfigError):
        return []
    schema = option_schema(function) if function is not None else {}
    found = []
    if "options" in entries:
        for name, value in _entries(entries["options"]):
            one_line = value.start_mark.line == name.start_mark.line == value.end_mark.line
            shown = lines[value.start_mark.line][value.start_mark.column : value.end_mark.column] if one_line else "..."
            after = lines[name.start_mark.line][value.end_mark.column if one_line else name.end_mark.column :]
            comment = re.search(r"#\s*(.*)", after)
            option = YamlOption(name.value, shown if len(shown) <= MOST else "...", comment[1] if comment else "")
            found.append(replace(option, annotation=schema.get(name.value, (None,))[0]))
    return found


def _entries(node: Any) -> list[tuple[Any, Any]]:
    """Return the pairs of nodes of a mapping; none of anything else."""
    return list(node.value) if node is not None and node.tag.endswith(":map") else []
