"""Malformed inputs: how each is written, the command that meets it, and what is shown."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from foldwise.__main__ import main
from foldwise.errors import FoldwiseError
from foldwise.pipeline import STAGES


class Case(NamedTuple):
    """One malformed input.

    name: what is wrong, in a few words: the row of the table in docs/reliability.md.
    write: writes the input below an empty folder, which becomes `root` of the command.
    command: the stage and its words; {root} is replaced by the folder.
    message: a part of the line that is shown.
    status: the exit status: 1 the work failed, 2 the command is wrong, 0 the input is skipped with a line.
    reader: the function of the folder that meets the input, where the command would train first; it is called instead.
    """

    name: str
    write: Callable[[Path], object]
    command: str
    message: str
    status: int = 1
    reader: Callable[[Path], object] | None = None


def check(case: Case, root: Path, capsys, caplog=None) -> None:
    """Run the command of a case in this process: no traceback, the expected line, and no file outside its root."""
    root = root / "root"
    root.mkdir()
    case.write(root)
    around = sorted(root.parent.iterdir())
    if case.reader is not None:
        with pytest.raises(FoldwiseError) as caught:
            case.reader(root)
        shown = str(caught.value)
        assert case.message in shown, shown
        assert "\n" not in shown
        assert sorted(root.parent.iterdir()) == around
        return
    words = [word.replace("{root}", str(root)) for word in case.command.split()]
    takes_settings = STAGES[words[0]].takes != "words"
    status = main([*words, f"root={root}"] if takes_settings else words)
    shown = capsys.readouterr().err + (caplog.text if caplog else "")  # pytest takes what is logged
    assert case.message in shown, shown
    assert status == case.status
    assert sorted(root.parent.iterdir()) == around
    assert not list(root.rglob(".*.partial-*"))
