"""What is shown while folds are trained: lines in a log, a bar in a terminal."""

import io
import logging
import re
from types import SimpleNamespace

import pytest

from foldwise import progress
from foldwise.messages import Messages
from foldwise.progress import Progress

TWO = ["mlp-1 fold 0", "mlp-1 fold 1"]


class Clock:
    """A clock that the test sets."""

    now = 10.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=found.monotonic))
    return found


def test_a_log_without_a_terminal_has_plain_lines(capsys):
    with Progress({0: 1000, 1: 1000}, TWO, workers=2, threads=1) as shown:
        shown.update("device", "CPU")
        shown.update("device", "CPU")
        shown.update("done", 0, 500.0, 2.0)
        shown.update("done", 1, 500.0, 2.0)
    assert capsys.readouterr().err.splitlines() == [
        "starting TensorFlow",
        "training 2 folds on CPU: 2 at once, 1 thread each",
        "mlp-1 fold 0: done in 2 s at 500 images/s (1/2 folds, 0:02 left)",  # one worker is idle
        "mlp-1 fold 1: done in 2 s at 500 images/s (2/2 folds in 0:00)",
    ]


def test_the_time_that_is_left_is_a_bound_where_a_speed_is_unknown(capsys):
    with Progress({0: 1000, 1: 4000}, ["mlp-1 fold 0", "small_cnn-2 fold 0"], workers=1, threads=1) as shown:
        shown.update("done", 0, 500.0, 2.0)
        assert "at least 0:08 left" in capsys.readouterr().err  # 4,000 images at 500 images/s, or slower
        shown.update("done", 1, 100.0, 40.0)
        assert "2/2 folds in 0:00" in capsys.readouterr().err


def test_the_time_that_is_left_counts_what_a_fold_does_besides_its_steps(capsys):
    with Progress({0: 1000, 1: 1000}, TWO, workers=1, threads=1) as shown:
        shown.update("done", 0, 500.0, 7.0)  # five seconds to compile and predict
        assert "(1/2 folds, 0:07 left)" in capsys.readouterr().err


def test_a_fold_with_more_images_than_the_data_takes_longer(capsys):
    with Progress({0: 1000, 1: 1000}, TWO, workers=1, threads=1) as shown:
        shown.update("images", 1, 3000)  # with pseudo-labelled ones
        shown.update("step", 1, 1, 2000, 0.5)
        shown.update("done", 0, 500.0, 2.0)
        assert "(1/2 folds, 0:02 left)" in capsys.readouterr().err


def test_a_log_has_a_line_of_a_long_fold_after_ever_longer_pauses(capsys, clock):
    with Progress({0: 1000}, TWO[:1], workers=1, threads=1, epochs=[10]) as shown:
        for second in range(1, 101):
            clock.now = 10.0 + second
            shown.update("step", 0, second // 10, 10 * second, 0.08349)
    assert capsys.readouterr().err.splitlines() == [
        "starting TensorFlow",
        "mlp-1 fold 0: epoch 4/10, loss 0.083 (0/1 folds, 1:10 left)",  # after 30 s, then after 60 s more
        "mlp-1 fold 0: epoch 10/10, loss 0.083 (0/1 folds, 0:10 left)",
    ]


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


def drawn(shown, width=120):
    """The lines of the display."""
    from rich.console import Console

    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(shown._drawn())
    return [line.strip() for line in console.file.getvalue().splitlines()]


def test_a_terminal_has_a_bar_below_the_lines(terminal, clock):
    screen = terminal()
    with Progress({0: 1000, 1: 1000}, TWO, workers=1, threads=2, epochs=[5, 5]) as shown:
        clock.now += 3
        assert drawn(shown)[0].endswith("0 % starting TensorFlow, 0:03")
        shown.update("device", "CPU")
        clock.now += 1
        assert drawn(shown)[0].endswith("0 % reading the data, 0:01")
        shown.update("images", 0, 1000)
        clock.now += 90
        first, second = drawn(shown)
        assert first == "mlp-1 fold 0: compiling, 1:30"
        assert second.endswith("0 % 0/2 folds")
        shown.update("step", 0, 0, 200, 0.7)
        clock.now += 2
        shown.update("step", 0, 2, 600, 0.083)  # 400 images in 2 s
        first, second = drawn(shown)
        assert first == "mlp-1 fold 0: epoch 3/5, loss 0.083, 200 images/s"
        assert re.fullmatch(r"training \S+\s+30 % 0/2 folds, 0:07 left", second)
        shown.update("step", 0, 4, 1000, 0.08)
        assert drawn(shown)[0].startswith("mlp-1 fold 0: predicting")
        shown.update("done", 0, 250.0, 4.0)
        (last,) = drawn(shown)
        assert last.endswith("50 % 1/2 folds, 0:04 left")
    lines = [line.strip() for line in re.split(r"[\r\n]+", screen.text())]
    assert "training 2 folds on CPU: 1 at once, 2 threads each" in lines
    assert "mlp-1 fold 0: done in 4 s at 250 images/s" in lines
    assert lines[-2].endswith("50 % 1/2 folds, 0:04 left")  # the bar stays when it ends
    assert " 0 images/s" not in screen.text()


@pytest.mark.parametrize(
    ("width", "first"),
    [
        ("120", "logistic_regression-0123456789ab fold 0: epoch 12/40, loss 0.083, 320 images/s"),
        ("76", "logistic_regression-0123 fold 0: epoch 12/40, loss 0.083, 320 images/s"),
        ("62", "logistic_regression-0123 fold 0: epoch 12/40, loss 0.083"),
        ("40", "fold 0: epoch 12/40, loss 0.083"),
        ("32", "fold 0: epoch 12/40, loss 0.083"),
    ],
)
def test_a_narrow_window_keeps_the_epoch_and_the_loss(width, first, terminal, monkeypatch, clock):
    terminal()
    monkeypatch.setenv("COLUMNS", width)
    names = ["logistic_regression-0123456789ab fold 0"]
    with Progress({0: 32000}, names, workers=1, threads=2, epochs=[40]) as shown:
        shown.update("device", "CPU")
        shown.update("step", 0, 0, 320, 0.7)
        clock.now += 29
        shown.update("step", 0, 11, 9600, 0.0834)
        lines = drawn(shown, int(width))
    assert lines[0] == first
    assert len(lines) == 2  # nothing wraps
    assert lines[1].endswith("30 % 0/1 folds, 1:10 left")


def test_a_narrow_window_keeps_the_share_and_the_time(terminal, monkeypatch, clock):
    terminal()
    monkeypatch.setenv("COLUMNS", "40")
    with Progress({0: 1000, 1: 4000}, ["mlp-1 fold 0", "small_cnn-2 fold 0"], workers=1, threads=1) as shown:
        assert drawn(shown, 40) == ["0 % starting TensorFlow, 0:00"]
        shown.update("device", "CPU")
        shown.update("done", 0, 500.0, 2.0)
        assert drawn(shown, 40) == ["20 % 1/2 folds, at least 0:08 left"]


def test_what_is_logged_meanwhile_comes_above_the_bar(terminal):
    screen = terminal()
    logger = logging.Logger("foldwise.a_test")
    logger.addHandler(Messages())
    with Progress({0: 1000}, TWO[:1], workers=1, threads=2) as shown:
        shown.update("device", "CPU")
        logger.info("mlp-1: out-of-fold log loss 0.5")
        assert "[0]" not in screen.text()
    lines = [line.strip() for line in re.split(r"[\r\n]+", screen.text())]
    assert "mlp-1: out-of-fold log loss 0.5" in lines


def test_without_colours_or_on_a_terminal_that_moves_no_cursor(terminal, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    screen = terminal()
    with Progress({0: 1000}, TWO[:1], workers=1, threads=2):
        pass
    assert not re.search(r"\x1b\[(3|4|9)[0-9;]*m", screen.getvalue())
    monkeypatch.setenv("TERM", "dumb")
    screen = terminal()
    with Progress({0: 1000}, TWO[:1], workers=1, threads=2) as shown:
        shown.update("device", "CPU")
    assert screen.getvalue().splitlines() == [
        "starting TensorFlow",
        "training 1 fold on CPU: 1 at once, 2 threads each",
    ]


def test_track_shows_a_bar_in_a_terminal_only(terminal, monkeypatch):
    screen = terminal()
    assert list(progress.track(iter("abc"), "reading scans", 3)) == ["a", "b", "c"]
    assert "reading scans" in screen.text()
    assert "100%" in screen.text()
    silent = io.StringIO()
    monkeypatch.setattr("sys.stderr", silent)
    assert list(progress.track(iter("abc"), "reading scans", 3)) == ["a", "b", "c"]
    assert silent.getvalue() == ""
