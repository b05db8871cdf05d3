"""Messages for the user go to stderr, one a line."""

from __future__ import annotations

import logging
import sys
from typing import TextIO


class Messages(logging.StreamHandler[TextIO]):
    """Write log records to the standard error of the moment, which a progress bar redirects to lines above it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        self.stream = sys.stderr
        super().emit(record)
