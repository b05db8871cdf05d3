"""`ensemble=files`: blend submissions that have no out-of-fold predictions, with no score to trust."""

from __future__ import annotations

from typing import Any


def files(*, folder: str | None = None) -> None:
    """Blend."""


def ensemble(settings: Any) -> dict[str, Any]:
    raise NotImplementedError


def show(result: Any, width: int) -> str:
    raise NotImplementedError
