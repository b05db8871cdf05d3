"""foldwise: Hydra configs in, an honest out-of-fold log loss and a valid Kaggle submission out."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foldwise.config import Settings

__version__ = "0.1.0"


def _import_lazily(name: str) -> None:
    """Put off the import of `name` until something of it is used.

    Importing pandas takes most of a second, and a configuration error needs to be told before that.
    """
    spec = importlib.util.find_spec(name)
    if name in sys.modules or spec is None or spec.loader is None:
        return
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)

    class Unloaded(type(module)):  # type: ignore[misc]
        def __getattribute__(self, attribute: str) -> Any:
            # an import statement asks whether the module is being initialised, which is no use of it
            return (
                object.__getattribute__(self, attribute)
                if attribute == "__spec__"
                else super().__getattribute__(attribute)
            )

    module.__class__ = Unloaded


_import_lazily("pandas")


def configure(*overrides: str) -> Settings:
    """Return the settings that a command line of these words has: `configure("competition=faces", "model=mlp")`.

    Raises ConfigError, naming the key, the value and the valid choices.
    """
    from foldwise.__main__ import composed

    return next(iter(composed(list(overrides))))
