"""Malformed configurations: YAMLs, words of the command line, and folders given by --config-dir."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.malformed import Case, check

from foldwise.__main__ import main

Write = Callable[[Path], object]
MINE = "train --cfg --config-dir {root}/conf competition=mine"
USUAL = "name: mine\nreader: folder\noptions:\n  task: binary\n"


def nothing(root: Path) -> None:
    """Write nothing."""


def yaml(content: str | bytes, name: str = "competition/mine.yaml") -> Write:
    """Write a YAML into a folder of configurations."""

    def write(root: Path) -> None:
        path = root / "conf" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return write


def special(make: Callable[[Path], object]) -> Write:
    """Make something else than a file in place of a YAML."""

    def write(root: Path) -> None:
        (root / "conf/competition").mkdir(parents=True)
        make(root / "conf/competition/mine.yaml")

    return write


def folder(name: str) -> Write:
    """Make a folder of configurations of this name, with one in it."""

    def write(root: Path) -> None:
        (root / name / "competition").mkdir(parents=True)
        (root / name / "competition/mine.yaml").write_text("name: mine\nreader: folder\n")

    return write


def laughs() -> str:
    """A YAML of 400 bytes whose aliases stand for 10 ** 9 words."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    return "\n".join(lines)


CASES = [
    # YAMLs
    Case(
        "a YAML that holds itself",
        yaml("name: mine\nreader: folder\noptions: &a\n  more: *a\n"),
        MINE,
        "conf/competition/mine.yaml, line 4: &a holds itself",
        2,
    ),
    Case(
        "a YAML whose list holds itself",
        yaml("name: mine\nreader: folder\noptions: {classes: &a [*a]}\n"),
        MINE,
        "conf/competition/mine.yaml, line 3: &a holds itself",
        2,
    ),
    Case(
        "a YAML 3,000 lists deep",
        yaml("name: mine\noptions: " + "[" * 3000 + "]" * 3000),
        MINE,
        "conf/competition/mine.yaml, line 2: more than 50 lists and mappings in each other",
        2,
    ),
    Case(
        "a YAML 100,000 lists deep",
        yaml("name: " + "[" * 100_000 + "]" * 100_000),
        MINE,
        "conf/competition/mine.yaml, line 1: more than 50 lists and mappings in each other",
        2,
    ),
    Case(
        "a YAML 3,000 mappings deep",
        yaml("name: " + "{a: " * 3000 + "}" * 3000),
        MINE,
        "conf/competition/mine.yaml, line 1: more than 50 lists and mappings in each other",
        2,
    ),
    Case(
        "a YAML whose aliases stand for a billion words",
        yaml(USUAL + laughs()),
        MINE,
        "conf/competition/mine.yaml: more than 100,000 values, with what its aliases stand for",
        2,
    ),
    Case(
        "a YAML in latin-1",
        yaml(b"# caf\xe9\nname: mine\n"),
        MINE,
        "conf/competition/mine.yaml: expected UTF-8: invalid continuation byte at byte 6; save it as UTF-8",
        2,
    ),
    Case(
        "a YAML in UTF-16",
        yaml(USUAL.encode("utf-16")),
        MINE,
        "conf/competition/mine.yaml: expected UTF-8: invalid start byte at byte 1; save it as UTF-8",
        2,
    ),
    Case(
        "a YAML of zeros", yaml(bytes(100)), MINE, "conf/competition/mine.yaml: control characters are not allowed", 2
    ),
    Case(
        "a YAML of control characters",
        yaml("name: \x07\x1b[2J\n"),
        MINE,
        "conf/competition/mine.yaml: control characters are not allowed",
        2,
    ),
    Case("an empty YAML", yaml(""), MINE, "competition.name: not set; give it on the command line or in a YAML", 2),
    Case(
        "a YAML that is a list",
        yaml("- a\n- b\n"),
        MINE,
        "conf/competition/mine.yaml: expected keys with values, such as `name: mine`, found list",
        2,
    ),
    Case(
        "a YAML that is a word",
        yaml("mine\n"),
        MINE,
        "conf/competition/mine.yaml: expected keys with values, such as `name: mine`, found str",
        2,
    ),
    Case(
        "a YAML that is a number",
        yaml("17\n"),
        MINE,
        "conf/competition/mine.yaml: expected keys with values, such as `name: mine`, found int",
        2,
    ),
    Case(
        "a YAML of two documents",
        yaml("name: mine\n---\nname: other\n"),
        MINE,
        "conf/competition/mine.yaml, line 2, column 1: expected a single document in the stream, but found",
        2,
    ),
    Case(
        "a YAML with a tab",
        yaml("name: mine\noptions:\n\ttask: binary\n"),
        MINE,
        "conf/competition/mine.yaml, line 3, column 1: while scanning for the next token, found character that",
        2,
    ),
    Case(
        "a YAML with a key twice",
        yaml("name: mine\nname: other\nreader: folder\n"),
        MINE,
        "conf/competition/mine.yaml, line 2, column 1: while constructing a mapping, found duplicate key name",
        2,
    ),
    Case(
        "a YAML with a list as a key",
        yaml("name: mine\nreader: folder\n? [a, b]\n: 1\n"),
        MINE,
        "conf/competition/mine.yaml, line 3, column 3: while constructing a mapping, found unhashable key",
        2,
    ),
    Case(
        "a YAML that calls Python",
        yaml("name: !!python/object/apply:os.system ['touch x']\n"),
        MINE,
        "conf/competition/mine.yaml, line 1, column 7: could not determine a constructor for the tag",
        2,
    ),
    Case(
        "a YAML with an unknown anchor",
        yaml("name: *nothing\n"),
        MINE,
        "conf/competition/mine.yaml, line 1, column 7: found undefined alias",
        2,
    ),
    Case(
        "a YAML with an open quote",
        yaml('name: "mine\n'),
        MINE,
        "conf/competition/mine.yaml, line 2, column 1: while scanning a quoted scalar, found unexpected end of",
        2,
    ),
    Case(
        "a YAML with an unknown interpolation",
        yaml(USUAL + "  side: ${nothing}\n"),
        MINE,
        "Interpolation key 'nothing' not found",
        2,
    ),
    Case(
        "a YAML with an interpolation of itself",
        yaml(USUAL + "  side: ${competition.options.side}\n"),
        MINE,
        "Recursive interpolation detected",
        2,
    ),
    Case(
        "a YAML with an open interpolation",
        yaml(USUAL + '  labels: "${"\n'),
        MINE,
        "no viable alternative at input '${'",
        2,
    ),
    Case(
        "a YAML with a default that is missing",
        yaml("defaults:\n  - nothing\nname: mine\nreader: folder\n"),
        MINE,
        "In 'competition/mine': Could not load 'competition/nothing'.",
        2,
    ),
    Case(
        "a YAML with itself as a default",
        yaml("defaults:\n  - mine\nname: mine\nreader: folder\n"),
        MINE,
        "lists too deep in each other, or a YAML whose defaults lead back to itself",
        2,
    ),
    Case(
        "a YAML with a word as defaults",
        yaml("defaults: mine\nname: mine\nreader: folder\n"),
        MINE,
        "conf/competition/mine.yaml: defaults: expected a list, such as `- override /model: mlp`, found 'mine'",
        2,
    ),
    Case(
        "a YAML with a number among defaults",
        yaml("defaults:\n  - 3\nname: mine\nreader: folder\n"),
        MINE,
        "conf/competition/mine.yaml: defaults: expected a list, such as `- override /model: mlp`, found [3]",
        2,
    ),
    Case(
        "a YAML with options that are a list",
        yaml("name: mine\nreader: folder\noptions: [a]\n"),
        MINE,
        "competition.options=['a']: input should be a valid dictionary",
        2,
    ),
    Case(
        "a YAML with options that are nothing",
        yaml("name: mine\nreader: folder\noptions:\n"),
        MINE,
        "competition.options=None: input should be a valid dictionary",
        2,
    ),
    Case(
        "a YAML with an option that is a number",
        yaml("name: mine\nreader: folder\noptions:\n  3: 4\n"),
        MINE,
        "competition.options.3.[key]=3: input should be a valid string",
        2,
    ),
    Case(
        "a YAML with a key that is nothing",
        yaml("name: mine\nreader: folder\n~: 4\n"),
        MINE,
        "conf/competition/mine.yaml: expected names as keys, found None",
        2,
    ),
    Case(
        "a YAML without a name",
        yaml("reader: folder\n"),
        MINE,
        "competition.name: not set; give it on the command line or in a YAML",
        2,
    ),
    Case(
        "a YAML with a reader that is a list",
        yaml("name: mine\nreader: [folder]\n"),
        MINE,
        "competition.reader=['folder']: input should be a valid string",
        2,
    ),
    Case(
        "a YAML with a reader in another folder",
        yaml("name: mine\nreader: ../x\n"),
        MINE,
        "competition.reader=../x: no such competition; Valid choices: digit_recognizer, folder,",
        2,
    ),
    Case(
        "a YAML with a source that is a list",
        yaml("name: mine\nreader: folder\nsource: [a]\n"),
        MINE,
        "conf/competition/mine.yaml: source: ['a']: no such choice; Valid choices: embedded, embedded_8x8,",
        2,
    ),
    Case(
        "a YAML with a side of 1e400",
        yaml(USUAL + "  side: 1e400\n"),
        MINE,
        "competition.options.side=inf: input should be a finite number",
        2,
    ),
    Case(
        "a YAML with a side of 5,000 digits",
        yaml(USUAL + f"  side: {'9' * 5000}\n"),
        MINE,
        "conf/competition/mine.yaml: Exceeds the limit (4300 digits) for integer string conversion: value has",
        2,
    ),
    Case(
        "a YAML with a side that is NaN",
        yaml(USUAL + "  side: .nan\n"),
        MINE,
        "competition.options.side=nan: input should be a finite number",
        2,
    ),
    Case(
        "a YAML with a date",
        yaml(USUAL + "  labels: 2020-01-01\n"),
        MINE,
        "source=simulated: mine has no such source; Valid choices: kaggle, embedded. For files in data/raw/mine",
        2,
    ),
    Case(
        "a YAML with a date that is none",
        yaml(USUAL + "  labels: 2020-99-99\n"),
        MINE,
        "conf/competition/mine.yaml: month must be in 1..12",
        2,
    ),
    Case(
        "a named pipe in place of a YAML",
        special(os.mkfifo),
        MINE,
        "conf/competition/mine.yaml: expected a file, found a named pipe; remove it, or put the file there",
        2,
    ),
    Case(
        "a folder in place of a YAML",
        special(Path.mkdir),
        MINE,
        "conf/competition/mine.yaml: expected a file, found a folder; remove it, or put the file there",
        2,
    ),
    Case(
        "a link to nothing in place of a YAML",
        special(lambda path: path.symlink_to("nothing")),
        MINE,
        "conf/competition/mine.yaml",
        2,
    ),
    Case(
        "a sweep that is a list",
        yaml("- a\n", "sweep/mine.yaml"),
        "train --cfg --config-dir {root}/conf sweep=mine -m",
        "conf/sweep/mine.yaml: expected keys with values, such as `name: mine`, found list",
        2,
    ),
    Case(
        "an experiment that is a list",
        yaml("- a\n", "experiment/mine.yaml"),
        "train --cfg --config-dir {root}/conf experiment=mine",
        "conf/experiment/mine.yaml: expected keys with values, such as `name: mine`, found list",
        2,
    ),
    Case(
        "an experiment whose defaults are a number",
        yaml("defaults: 3\n", "experiment/mine.yaml"),
        "train --cfg --config-dir {root}/conf experiment=mine",
        "conf/experiment/mine.yaml: defaults: expected a list, such as `- override /model: mlp`, found 3",
        2,
    ),
    # folders
    Case(
        "a --config-dir that is a file",
        yaml(""),
        "train --cfg --config-dir {root}/conf/competition/mine.yaml",
        "conf/competition/mine.yaml: expected a folder with group folders of YAMLs",
        2,
    ),
    Case(
        "a --config-dir that is not there",
        nothing,
        "train --cfg --config-dir {root}/none",
        "none: expected a folder with group folders of YAMLs",
        2,
    ),
    Case(
        "a --config-dir that is empty",
        nothing,
        "train --cfg --config-dir=",
        "--config-dir : expected a folder with group folders of YAMLs",
        2,
    ),
    Case(
        "a --config-dir that is an interpolation",
        folder("a${b}"),
        "train --cfg --config-dir {root}/a${b}",
        "a${b}: Hydra takes ${ in the name of a folder for a key; rename it",
        2,
    ),
    # words
    Case(
        "a word that is an equals sign",
        nothing,
        "train --cfg =",
        ": no such setting; Valid choices: competition, source, experiment, root, split, model, augment, fit,",
        2,
    ),
    Case(
        "a word without a key",
        nothing,
        "train --cfg =3",
        ": no such setting; Valid choices: competition, source, experiment, root, split, model, augment, fit,",
        2,
    ),
    Case(
        "a word of dots",
        nothing,
        "train --cfg ...=3",
        "...: no such setting; Valid choices: competition, source, model, augment, fit, split, ensemble,",
        2,
    ),
    Case(
        "a word that deletes nothing",
        nothing,
        "train --cfg ~nothing",
        "nothing: no such setting; Valid choices: competition, source, experiment, root, split, model, augment,",
        2,
    ),
    Case(
        "a word that deletes the model",
        nothing,
        "train --cfg ~model",
        "model=None: no such choice; Valid choices: application, densenet161, efficientnet_lite0, fbresnet152,",
        2,
    ),
    Case(
        "a word that adds a group",
        nothing,
        "train --cfg +nothing=3",
        "nothing: no such setting; Valid choices: competition, source, experiment, root, split, model, augment,",
        2,
    ),
    Case(
        "an open bracket",
        nothing,
        "train --cfg fit.epochs=[",
        "fit.epochs=[: no viable alternative at input '['; expected key=value, where the value is a number, a",
        2,
    ),
    Case(
        "brackets 2,000 deep",
        nothing,
        "train --cfg fit.epochs=" + "[" * 2000,
        "fit.epochs=[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        2,
    ),
    Case(
        "an epoch that is an interpolation",
        nothing,
        "train --cfg fit.epochs=${nothing}",
        "Interpolation key 'nothing' not found",
        2,
    ),
    Case(
        "an epoch that is itself",
        nothing,
        "train --cfg fit.epochs=${fit.epochs}",
        "Recursive interpolation detected",
        2,
    ),
    Case(
        "epochs of 5,000 digits",
        nothing,
        "train --cfg fit.epochs=" + "9" * 5000,
        "fit.epochs=9999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999",
        2,
    ),
    Case(
        "a rate that is NaN",
        nothing,
        "train --cfg fit.learning_rate=nan",
        "fit.learning_rate=nan: input should be a finite number",
        2,
    ),
    Case(
        "a rate that is infinite",
        nothing,
        "train --cfg fit.learning_rate=inf",
        "fit.learning_rate=inf: input should be a finite number",
        2,
    ),
    Case(
        "a rate of 1e400",
        nothing,
        "train --cfg fit.learning_rate=1e400",
        "fit.learning_rate=1e400: input should be a finite number",
        2,
    ),
    Case(
        "a group that is a list",
        nothing,
        "train --cfg model=[mlp]",
        "model=[mlp]: expected one name; did you mean 'mlp'? Valid choices: mlp, application, densenet161,",
        2,
    ),
    Case(
        "a group that is a mapping",
        nothing,
        "train --cfg model={name:mlp}",
        "model={name:mlp}: expected one name; Valid choices: application, densenet161, efficientnet_lite0,",
        2,
    ),
    Case(
        "a group that is empty",
        nothing,
        "train --cfg model=",
        "model=: no such choice; Valid choices: application, densenet161, efficientnet_lite0, fbresnet152,",
        2,
    ),
    Case(
        "a group in another folder",
        nothing,
        "train --cfg competition=../competition/statoil",
        "competition=../competition/statoil: no such choice; Valid choices: digit_recognizer, digits_8x8, faces,",
        2,
    ),
    Case(
        "a hydra setting",
        nothing,
        "train --cfg hydra.run.dir=/tmp/elsewhere",
        "hydra: no such setting; Valid choices: competition, source, model, augment, fit, split, ensemble,",
        2,
    ),
    Case("a package of hydra", nothing, "train --cfg model@fit=mlp", "Could not override 'model@fit'.", 2),
    Case(
        "a sweep that is an interval",
        nothing,
        "train --cfg -m fit.learning_rate=interval(0,1)",
        "fit.learning_rate=interval(0,1): expected a list of values, such as key=1,2,3",
        2,
    ),
    Case(
        "lists in lists in a word, 2,000 deep",
        nothing,
        "train --cfg fit.epochs=" + "[" * 2000 + "]" * 2000,
        "lists too deep in each other, or a YAML whose defaults lead back to itself",
        2,
    ),
    Case(
        "a sweep of 100**6 combinations",
        nothing,
        "train --cfg -m "
        + " ".join(
            f"{key}={','.join(map(str, range(1, 101)))}"
            for key in ("fit.epochs", "fit.batch_size", "fit.seed", "split.seed", "split.repeats", "source.seed")
        ),
        "-m: 1,000,000,000,000 combinations of values; expected at most 10,000",
        2,
    ),
]


@pytest.mark.parametrize(
    "name",
    ["a^b", "a,b", "a'b", "a b", "a$b", "a=b", "a[b]", "[", "a\\b", "a\\\\b", "a\\'b", "b\\", "a#b", "a%20b", "é", '"'],
)
def test_a_folder_of_configurations_may_have_any_name(name: str, tmp_path: Path, capsys) -> None:
    path = tmp_path / name / "competition/mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("name: my_own\nreader: folder\nsource: kaggle\n")
    assert main(["train", "--cfg", "--config-dir", str(tmp_path / name), "competition=mine"]) == 0
    assert "name: my_own" in capsys.readouterr().out


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_malformed_configs(case: Case, tmp_path: Path, capsys) -> None:
    check(case, tmp_path, capsys)
