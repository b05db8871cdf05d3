"""The stages in the order that data travels them: the table of contents.

download | simulate -> data/raw/<competition>/
prepare             -> data/prepared/<competition>/<data key>/
folds               -> .../folds_<split key>.parquet
train               -> runs/<competition>/<model>-<run key>/fold_<k>/
import              -> runs/<competition>/<name>-<key>/, from predictions made elsewhere
score               -> the out-of-fold log loss of every run
ensemble            -> submissions/<competition>_<nested score>_<key>.csv
grade               -> the true score, where the truth is known
submit              -> kaggle, and a line in submissions/log.csv
report              -> reports/<competition>/index.html
(inspect            -> a scan file's header, and a contact sheet of its views)

A stage is the function of its own name in the module of that name: `stage(settings) -> result`. A stage
calls those before it where their result is not there yet; none reads a later one's folder.
"""

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

from foldwise.errors import ConfigError, FoldwiseError, choices

STAGES = {
    "download": "fetch the competition's raw files from Kaggle",
    "simulate": "write the raw files of a simulated or embedded source",
    "prepare": "turn raw files into memory-mapped arrays and tables",
    "folds": "assign every training row to a fold",
    "train": "train the folds that are not finished",
    "import": "take predictions made elsewhere as runs",
    "score": "show the out-of-fold log loss of every run",
    "ensemble": "blend runs and write a checked submission",
    "grade": "score a submission where the true labels are known",
    "submit": "send a submission to Kaggle",
    "inspect": "show a scan file: its header, and a PNG of its views (foldwise inspect FILE [PNG])",
    "models": "list the models that can be named, with sizes, accuracies and where their weights are",
    "report": "write the HTML report (not built yet)",
}
MODULES = {"import": "outside", "models": "models_table"}  # names that a module cannot have, or another one has


def check_stage(name: str) -> None:
    """Raise ConfigError unless `name` is a stage, and FoldwiseError for one that later work fills."""
    if name not in STAGES:
        raise ConfigError(f"{name}: no such stage; {choices(name, STAGES)}")
    if name == "report":
        raise FoldwiseError("report: the HTML report is not built yet; `foldwise score` prints the table of all runs")


def stage(name: str) -> ModuleType:
    """Import the module of a stage."""
    return importlib.import_module(f"foldwise.{MODULES.get(name, name)}")


def function(name: str, module: ModuleType) -> Callable[..., Any]:
    """Return the function of a stage in its module."""
    found: Callable[..., Any] = getattr(module, "import_" if name == "import" else name)
    return found
