"""foldwise: Hydra configs in, an honest out-of-fold log loss and a valid Kaggle submission out."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = ["configure"]


def __getattr__(name: str) -> Any:
    """Import `foldwise.configure` when it is used: `import foldwise` stays instant."""
    if name != "configure":
        raise AttributeError(f"module 'foldwise' has no attribute {name!r}")
    from foldwise.config.compose import configure

    return configure
