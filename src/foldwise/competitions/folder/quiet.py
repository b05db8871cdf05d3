"""Catch what C libraries write to the terminal while images are decoded, so that it can be reported by file."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator


class Captured:
    """What arrives at file descriptor 2 inside `with captured.open()`."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115

    def size(self) -> int:
        """Return how many bytes have arrived so far."""
        return os.fstat(self._file.fileno()).st_size

    def lines(self, since: int = 0) -> list[str]:
        """Return the lines that have arrived since the size was `since`."""
        text = os.pread(self._file.fileno(), self.size() - since, since)
        return [line for line in text.decode(errors="replace").splitlines() if line.strip()]

    def close(self) -> None:
        """Forget everything."""
        self._file.close()

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Send file descriptor 2 here; silence the loggers and warnings of the decoding libraries, too."""
        import cv2

        os.ftruncate(self._file.fileno(), 0)
        os.lseek(self._file.fileno(), 0, os.SEEK_SET)
        with contextlib.suppress(AttributeError, ValueError, OSError):
            sys.stderr.flush()
        try:
            saved = os.dup(2)
        except OSError:  # a process without a terminal or log
            saved = None
        level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)  # images are decoded in threads of our own
        loggers = [logging.getLogger(name) for name in ("tifffile", "pydicom", "PIL", "nibabel", "imagecodecs")]
        levels = [logger.level for logger in loggers]
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        os.dup2(self._file.fileno(), 2)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            if saved is None:
                os.close(2)
            else:
                os.dup2(saved, 2)
                os.close(saved)
            cv2.utils.logging.setLogLevel(level)
            cv2.setNumThreads(threads)
            for logger, before in zip(loggers, levels, strict=True):
                logger.setLevel(before)


def forward(lines: list[str]) -> None:
    """Write lines that no image caused to where they were going."""
    if lines:
        with contextlib.suppress(OSError):
            os.write(2, ("\n".join(lines) + "\n").encode())
