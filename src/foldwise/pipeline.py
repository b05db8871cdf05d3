"""The stages in the order that data travels them: the table of contents.

download | simulate -> data/raw/<competition>/
prepare             -> data/prepared/<competition>/<data key>/
folds               -> .../folds_<split key>.parquet
train               -> runs/<competition>/<model>-<run key>/fold_<k>/
(tune               -> many such runs, and conf/experiment/<name>.yaml of the best)
import              -> runs/<competition>/<name>-<key>/, from predictions made elsewhere
score               -> the out-of-fold score of every run
(runs, show         -> what was trained so far, and one run in full)
ensemble            -> submissions/<competition>_<nested score>_<key>.csv
grade               -> the true score, where the truth is known
report              -> reports/<competition>/index.html: runs, blends and curves on one page
(preview            -> reports/<competition>/preview_<augmentation>.png: images as an augmentation changes them)
predict             -> submissions/<blend>_<folder>.csv: new data, answered by the runs of a blend
bundle              -> bundles/<blend>/: wheels, weights and a notebook, for prediction without network
submit              -> kaggle, and a line in submissions/log.csv
submissions         -> the scores of all of them in that log, nested against public and private
(verify             -> the files that are not as they were written, by their checksums)
(doctor             -> what keeps this machine or account from the competition)
(inspect            -> a scan file's header, and a contact sheet of its views)

A stage is a plain function of the settings in a module of `foldwise.stages`. A stage that writes calls those before
it where their result is not there yet; one that reads (score, grade) writes nothing. None reads a later one's folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any, Literal

from foldwise.errors import ConfigError, choices

DATA = ("competition", "source", "experiment", "root")  # settings that decide which data a stage is about
RECIPE = ("split", "model", "augment", "fit", "finetune", "pseudo", "tuned")


@dataclass(frozen=True)
class Stage:
    """A row of the table of stages; its functions are imported when the stage runs, so that `--help` is instant.

    help: a line for `foldwise --help`.
    function: "module:function" below `foldwise.stages`; its argument depends on `takes`.
    reads: the groups and keys of the settings that it reads; any other one on its command line is refused.
    show: "module:function" that turns the result and a width into text; None prints nothing.
    details: "module:function" of the settings and the result, whose text follows that of `show`.
    verdict: "module:function" of the result, which raises FoldwiseError, once it is shown, where it is bad news.
    group: the group of settings that this stage alone reads; its prefix may be left out (oof= for imports.oof=).
    word: the key of its group that a word without an equals sign gives.
    then: the stages that may come next, of which the first that is possible is shown.
    takes: one settings object, all settings of a sweep at once, a search space, or the words of the command line as
        they are.
    """

    help: str
    function: str
    reads: tuple[str, ...]
    show: str | None = None
    details: str | None = None
    verdict: str | None = None
    group: str | None = None
    word: str | None = None
    then: tuple[str, ...] = ()
    takes: Literal["settings", "sweep", "space", "words"] = "settings"


STAGES = {
    "download": Stage(
        "fetch the competition's raw files from Kaggle",
        "download:download",
        (*DATA, "download"),
        group="download",
        then=("prepare",),
    ),
    "simulate": Stage(
        "write the raw files of a simulated or embedded source", "simulate:simulate", DATA, then=("prepare",)
    ),
    "prepare": Stage(
        "turn raw files into memory-mapped arrays and tables",
        "prepare:prepare",
        (*DATA, "execution"),
        show="prepare:show",
        then=("train",),
    ),
    "folds": Stage(
        "assign every training row to a fold", "folds:folds", (*DATA, "split"), show="folds:show", then=("train",)
    ),
    "train": Stage(
        "train the folds that are not finished",
        "train:train_all",
        (*DATA, *RECIPE, "execution", "tracker", "format"),
        show="score:show",
        details="sweep:details",
        then=("ensemble",),
        takes="sweep",
    ),
    "tune": Stage(
        "search for a good recipe among values and intervals of settings",
        "tune:tune",
        (*DATA, *RECIPE, "execution", "tracker", "tune", "format"),
        show="tune:show",
        group="tune",
        then=("ensemble",),
        takes="space",
    ),
    "import": Stage(
        "take predictions made elsewhere as runs",
        "import_predictions:import_predictions",
        (*DATA, "split", "imports", "format"),
        show="score:show",
        group="imports",
        then=("ensemble",),
    ),
    "score": Stage(
        "show the out-of-fold score of every run",
        "score:score",
        (*DATA, "split", "by", "details", "format"),
        show="score:show",
        details="score:details",
        then=("ensemble",),
    ),
    "runs": Stage(
        "list all runs, finished or not, or the difference of two recipes",
        "list_runs:runs",
        (*DATA, "runs", "format"),
        show="list_runs:show_runs",
        group="runs",
    ),
    "show": Stage(
        "show all that is known of a run (foldwise show RUN)",
        "list_runs:show_run",
        (*DATA, "runs", "format"),
        show="list_runs:show_one",
        group="runs",
        word="run",
    ),
    "ensemble": Stage(
        "blend runs and write a checked submission",
        "ensemble:ensemble",
        (*DATA, "split", "ensemble", "by", "format"),
        show="ensemble:show",
        then=("predict", "grade", "submit"),
    ),
    "grade": Stage(
        "score a submission where the true labels are known",
        "grade:grade",
        (*DATA, "submission", "by", "grade", "format"),
        show="grade:show",
        group="grade",
        then=("submit", "report"),
    ),
    "report": Stage(
        "write a page of all runs and blends, with curves, that opens in a browser",
        "report:report",
        (*DATA, "split", "by", "report", "execution", "format"),
        show="report:show",
        group="report",
    ),
    "preview": Stage(
        "write a contact sheet of an augmentation: training images, and what training would see of them",
        "preview:preview",
        (*DATA, "augment", "preview", "format"),
        show="preview:show",
        group="preview",
    ),
    "predict": Stage(
        "answer new data with the runs of a finished blend",
        "predict:predict",
        (*DATA, "submission", "predict", "execution", "format"),
        show="predict:show",
        group="predict",
    ),
    "bundle": Stage(
        "pack a finished blend for prediction without network, as Kaggle's code competitions want it",
        "bundle:bundle",
        (*DATA, "submission", "bundle", "format"),
        show="bundle:show",
        group="bundle",
    ),
    "submit": Stage(
        "send a submission to Kaggle",
        "submit:submit",
        (*DATA, "submission", "submit", "format"),
        show="submit:show",
        group="submit",
        then=("submissions",),
    ),
    "submissions": Stage(
        "refresh the scores of all submissions from Kaggle, and compare them with the nested ones",
        "submissions:submissions",
        (*DATA, "format"),
        show="submissions:show",
    ),
    "doctor": Stage(
        "check the machine, the kaggle command line, the credentials and the way into the competition",
        "doctor:doctor",
        (*DATA, "format"),
        show="doctor:show",
        verdict="doctor:verdict",
        then=("download",),
    ),
    "verify": Stage(
        "compare prepared data, runs and submissions with their checksums",
        "verify:verify",
        (*DATA, "format"),
        show="verify:show",
        verdict="verify:verdict",
    ),
    "inspect": Stage(
        "show a scan file: its header, and a PNG of its views (foldwise inspect FILE [PNG])",
        "inspect_scan:inspect_scan",
        (),
        takes="words",
    ),
    "models": Stage(
        "list the models that can be named, with sizes, accuracies and where their weights are",
        "list_models:list_models",
        ("format",),
        show="list_models:show",
    ),
}


def stage_named(name: str) -> Stage:
    """Return a row of the table; raise ConfigError, naming the nearest stages, where there is none."""
    if name not in STAGES:
        raise ConfigError(f"{name}: no such stage; {choices(name, STAGES)}")
    return STAGES[name]


def resolve(reference: str) -> Callable[..., Any]:
    """Import the function that a reference "module:function" of the table means."""
    function: Callable[..., Any] = resolve_name(f"foldwise.stages.{reference}")
    return function
