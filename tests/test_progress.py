"""What is shown while folds are trained: lines in a log, a bar in a terminal."""

import io
import re
from types import SimpleNamespace

import pytest

from foldwise import progress
from foldwise.progress import Progress


def test_a_log_without_a_terminal_has_plain_lines(capsys):
    with Progress({0: 1000, 1: 1000}, ["mlp-1 fold 0", "mlp-1 fold 1"], workers=2, threads=1) as shown:
        shown.update("device", "CPU")
        shown.update("device", "CPU")
        shown.update("done", 0, 500.0, 2.0)
        shown.update("done", 1, 500.0, 2.0)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "training 2 folds on CPU: 2 at once, 1 thread each"
    # 1,000 images are left for two workers, of which one is idle: as if both went on at 500 images/s
    assert lines[1] == "mlp-1 fold 0: done in 2 s at 500 images/s (1/2, 0:01 left)"
    assert lines[-1] == "mlp-1 fold 1: done in 2 s at 500 images/s (2/2, 0:00 left)"


def test_the_time_that_is_left_has_a_plus_where_a_speed_is_unknown(capsys):
    with Progress({0: 1000, 1: 4000}, ["mlp-1 fold 0", "small_cnn-2 fold 0"], workers=1, threads=1) as shown:
        shown.update("done", 0, 500.0, 2.0)
        assert "0:08+ left" in capsys.readouterr().err  # 4,000 images at 500 images/s, or slower
        shown.update("done", 1, 100.0, 40.0)
        assert "0:00 left" in capsys.readouterr().err


def test_a_fold_with_more_images_than_the_data_takes_longer(capsys):
    with Progress({0: 1000, 1: 1000}, ["mlp-1 fold 0", "mlp-1 fold 1"], workers=1, threads=1) as shown:
        shown.update("images", 1, 3000)  # with pseudo-labelled ones
        shown.update("step", 1, 1, 2000, 0.5)
        shown.update("done", 0, 500.0, 2.0)
        assert "(1/2, 0:02 left)" in capsys.readouterr().err


class Terminal(io.StringIO):
    """A terminal that keeps what is written to it."""

    def isatty(self) -> bool:
        return True

    def text(self) -> str:
        """What was written, without the codes that move the cursor and choose colours."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue())


@pytest.fixture
def terminal(monkeypatch):
    """Return a function that makes stderr a terminal of 120 columns; pytest sets its own when the test begins."""
    for name, value in {"COLUMNS": "120", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)

    def start():
        stderr = Terminal()
        monkeypatch.setattr("sys.stderr", stderr)
        return stderr

    return start


def test_a_terminal_has_a_bar_below_the_lines(terminal, monkeypatch):
    seconds = iter([10.0, 12.0])
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    screen = terminal()
    with Progress({0: 1000, 1: 1000}, ["mlp-1 fold 0", "mlp-1 fold 1"], workers=1, threads=2) as shown:
        assert "starting TensorFlow" in screen.text()
        shown.update("device", "CPU")
        shown.update("step", 0, 0, 200, 0.7)
        shown.update("step", 0, 1, 600, 0.6)  # 400 images in 2 s
        (bar,) = shown.bars.tasks
        assert (bar.percentage, bar.fields["note"]) == (30, "0/2, 200 images/s a fold, 0:07 left")
        shown.bars.refresh()
        shown.update("done", 0, 250.0, 4.0)
        assert (bar.percentage, bar.fields["note"]) == (50, "1/2, 250 images/s a fold, 0:04 left")
    lines = [line.strip() for line in re.split(r"[\r\n]+", screen.text())]
    assert "training 2 folds on CPU: 1 at once, 2 threads each" in lines
    assert "mlp-1 fold 0: done in 4 s at 250 images/s (1/2, 0:04 left)" in lines
    (during,) = {line for line in lines if line.startswith("folds") and "0/2" in line}
    assert re.fullmatch(r"folds\s+\S+\s+30%\s+0/2, 200 images/s a fold, 0:07 left", during)
    assert lines[-2].endswith("50% 1/2, 250 images/s a fold, 0:04 left")  # the bar stays when it ends


def test_track_shows_a_bar_in_a_terminal_only(terminal, monkeypatch):
    screen = terminal()
    assert list(progress.track(iter("abc"), "reading scans", 3)) == ["a", "b", "c"]
    assert "reading scans" in screen.text()
    assert "100%" in screen.text()
    silent = io.StringIO()
    monkeypatch.setattr("sys.stderr", silent)
    assert list(progress.track(iter("abc"), "reading scans", 3)) == ["a", "b", "c"]
    assert silent.getvalue() == ""
