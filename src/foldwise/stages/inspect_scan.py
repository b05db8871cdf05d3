"""Stage `inspect`: the header of a scan file, and a contact sheet of its views."""

from __future__ import annotations

from pathlib import Path


def inspect_scan(words: list[str]) -> Path:
    """Print the header of the scan file words[0] and write a sheet of its views to words[1] (PNG)."""
    from foldwise.competitions.passenger_screening.inspect_scan import inspect

    return inspect(words)
