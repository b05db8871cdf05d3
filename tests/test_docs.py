"""What docs/your_competition.md says to set can be set."""

import itertools
import re
from pathlib import Path

import pytest
import yaml

from foldwise.config.compose import compose_all

DOCS = Path(__file__).parents[1] / "docs" / "your_competition.md"
ROWS = [line.split(" | ") for line in DOCS.read_text().splitlines() if line.startswith("| ") and "`" in line]


def alternatives(cell):
    """Return (options, words) for each combination of the lines that a cell of the table names."""
    spans = re.findall(r"`([^`]+)`", cell)
    words = [span for span in spans if re.match(r"[\w.]+=", span)]
    by_key = {}
    for line in (span for span in spans if re.match(r"\w+: ", span)):
        ((key, value),) = yaml.safe_load(line).items()
        by_key.setdefault(key, []).append(value)
    combinations = [dict(zip(by_key, values, strict=True)) for values in itertools.product(*by_key.values())]
    return [(options, words) for options in combinations]


@pytest.mark.parametrize(
    ("options", "words"),
    [one for _, cell in ROWS for one in alternatives(cell)],
    ids=str,
)
def test_every_line_of_the_tables_is_an_option(options, words, tmp_path):
    folder = tmp_path / "competition"
    folder.mkdir()
    (folder / "mine.yaml").write_text(yaml.safe_dump({"name": "mine", "reader": "folder", "options": options}))
    words = " ".join(words).split()
    words = [f"competition.metric={word[7:]}" if word.startswith("metric=") else word for word in words]
    words += ["model=multi_view"] if any("auxiliary" in word for word in words) else []
    (settings,) = compose_all(["competition=mine", "source=kaggle", *words], tmp_path)
    for name, value in options.items():
        read = settings.competition.options[name]
        assert (list(read) if isinstance(read, tuple) else read) == value


def test_the_tables_were_found():
    assert len(ROWS) > 30


@pytest.mark.parametrize(
    "block", re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL), ids=lambda text: text[:40]
)
def test_every_yaml_composes(block, tmp_path):
    kind = "augment" if "transforms" in block else "competition"
    (tmp_path / kind).mkdir()
    (tmp_path / kind / "leaves.yaml").write_text(block)
    (settings,) = compose_all([f"{kind}=leaves", *(["source=kaggle"] if kind == "competition" else [])], tmp_path)
    assert getattr(settings, kind).name == yaml.safe_load(block)["name"]
