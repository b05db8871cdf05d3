"""foldwise: Hydra configs in, an honest out-of-fold log loss and a valid Kaggle submission out."""

import importlib.util
import sys

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


_import_lazily("pandas")
