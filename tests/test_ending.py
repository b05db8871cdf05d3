"""SIGTERM ends a command as Ctrl-C does: with a line, a status of its own, and nothing that is written half."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from foldwise import __main__ as command_line
from foldwise.errors import FoldwiseError
from foldwise.storage import written_aside

SLOW = """
import sys, time
from foldwise.__main__ import main
from foldwise.data import dataset
write = dataset.write
def slow(*given):
    write(*given)
    print("written", flush=True)
    time.sleep(60)
dataset.write = slow
sys.exit(main(sys.argv[1:]))
"""
GO_ON = "finished folds are kept, and the same command goes on from there"


@pytest.mark.parametrize(
    ("number", "status", "line"),
    [(signal.SIGTERM, 143, f"ended by SIGTERM; {GO_ON}"), (signal.SIGINT, 130, f"interrupted; {GO_ON}")],
)
def test_a_signal_ends_a_command_with_a_line(monkeypatch, capsys, tmp_path: Path, number, status, line) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler), signal.getsignal(signal.SIGTERM)

    def ended(words) -> int:
        with written_aside(tmp_path / "a") as aside:
            aside.write_text("half")
            os.kill(os.getpid(), number)
            time.sleep(10)
        return 0

    monkeypatch.setattr(command_line, "_run", ended)
    try:
        assert command_line.main(["train"]) == status
    finally:
        signal.signal(signal.SIGINT, before[0])
    assert capsys.readouterr().err == f"{line}\n"
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == before[1]


@pytest.mark.parametrize("error", [UnboundLocalError, OSError, FoldwiseError])
def test_an_error_of_a_library_that_is_interrupted_is_an_interrupt(monkeypatch, capsys, error) -> None:
    """Hydra closes a file in a `finally` that an interrupt has kept it from opening."""

    def ended(words) -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            raise error("a file that is not open")
        return 0

    monkeypatch.setattr(command_line, "_run", ended)
    assert command_line.main(["train"]) == 143
    assert capsys.readouterr().err == f"ended by SIGTERM; {GO_ON}\n"


def test_a_second_sigterm_does_not_disturb_the_end(monkeypatch, tmp_path: Path) -> None:
    done = []

    def ended(words) -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("tidied up")
        return 0

    monkeypatch.setattr(command_line, "_run", ended)
    assert command_line.main(["train"]) == 143
    assert done == ["tidied up"]


@pytest.mark.slow
def test_a_stage_that_is_sent_sigterm_leaves_nothing_half(tmp_path: Path) -> None:
    words = ["prepare", "competition=digits_8x8", f"root={tmp_path}"]
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "written\n"
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert err.endswith(f"ended by SIGTERM; {GO_ON}\n")
    assert "Traceback" not in err
    assert [path.name for path in (tmp_path / "data" / "prepared" / "digits_8x8").iterdir()] == []
