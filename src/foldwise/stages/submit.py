"""Stage `submit`: send a submission through the kaggle command line, and note it in the log."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from foldwise.data.dataset import Dataset
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.kaggle import submissions
from foldwise.kaggle.submission_calls import Entry
from foldwise.runs import submission
from foldwise.scoring.metrics import METRICS
from foldwise.settings import Settings, SourceSettings
from foldwise.stages.download import slug
from foldwise.stages.prepare import prepared

log = logging.getLogger(__name__)

LONGEST_MESSAGE = 500  # characters


def submit(settings: Settings) -> dict[str, Any]:
    """Send a submission (the newest, or `submission=FILE`), or a notebook's version; with dry_run=true do all but send.

    The file is checked again, what is sent is shown, and a question is put unless `yes`. The line of the submission
    in `submissions/log.csv` is returned, with left_today, the submissions that are left of this day (UTC).

    Raises ConfigError where there is no terminal to put the question on; FoldwiseError where the file was changed or
    does not fit the sample, and as `foldwise.kaggle.submissions.submit` does.
    """
    given = settings.submit
    if (given.kernel is None) != (given.version is None):
        raise ConfigError("submit: expected kernel=OWNER/NAME and version=NUMBER together, received one of them")
    entry, about = _notebook(settings) if given.kernel else _file(settings)
    if not (given.yes or given.dry_run or sys.stdin.isatty()):
        raise ConfigError("submit: there is no terminal for the question whether to send; add yes=true to send it")
    nested = about.get("nested_score")
    message = given.message or default_message(entry, about)
    log.info("%s\n%s", entry.title if entry.path is None else entry.path, _described(about, message))
    return submissions.submit(
        entry,
        slug(settings),
        message,
        settings.submissions_dir / "log.csv",
        nested=nested,
        confirm=lambda left: _confirm(left, entry, slug(settings), given.yes),
        again=given.again,
        dry_run=given.dry_run,
        timeout=given.wait,
    )


def default_message(entry: Entry, about: dict[str, Any]) -> str:
    """Return the note of a submission: its nested score, and the runs in it.

    >>> default_message(Entry("a.csv"), {"nested_score": 0.15, "members": [{"run": "mlp-1a"}, {"run": "cnn-2b"}]})
    'nested log loss 0.15000; mlp-1a, cnn-2b'
    """
    label = METRICS[about.get("metric", "log_loss")].label
    nested = about.get("nested_score")
    parts = [entry.title] if nested is None or entry.kernel else []
    parts += [] if nested is None else [f"nested {label} {nested:.5f}"]
    runs = [one["run"] for one in about.get("members", []) if isinstance(one, dict) and "run" in one]
    parts += [", ".join(runs)] if runs else []
    parts += [f"predicted by {about['predicted_by']}"] if "predicted_by" in about else []
    return "; ".join(parts)[:LONGEST_MESSAGE]


def show(result: dict[str, Any], width: int) -> str:
    """Return the status and the scores in one line."""
    scores = [
        f"{name.replace('_', ' ')} {result[name]}"
        for name in ("nested_score", "public_score", "private_score")
        if result.get(name) is not None
    ]
    name = f"{result['kernel']} version {result['version']}" if result.get("kernel") else result["file"]
    left = result.get("left_today")
    scores += [] if left is None else [f"{left} submissions left today"]
    return f"{name}: {', '.join([str(result['status']).lower(), *scores])}"


def _file(settings: Settings) -> tuple[Entry, dict[str, Any]]:
    """Return the file that is submitted, checked again, and its JSON."""
    path, about = submission.chosen(settings, source="kaggle")  # no simulated submission gets there
    if path.stat().st_size == 0:
        raise FoldwiseError(f"{path} is empty: expected a submission")
    data = None if "predicted_by" in about else _prepared(settings)
    sample = None if data is None else data.path / "sample_submission.csv"
    if sample is None or not sample.is_file():
        log.warning("%s is not compared with the sample submission of the data, which is not here", path)
        sample = None
    probabilities = [] if data is None or data.task == "regression" else data.targets
    submission.check_file(path, about, sample, probabilities)
    return Entry(path.name, Path(path)), about


def _notebook(settings: Settings) -> tuple[Entry, dict[str, Any]]:
    """Return the notebook that is submitted, and the JSON of the blend in it: the newest, or that of `submission=`."""
    entry = Entry("submission.csv", kernel=settings.submit.kernel, version=settings.submit.version)
    try:
        path, about = submission.chosen(settings, with_csv=False, source="kaggle")
    except FoldwiseError as error:
        if settings.submission is not None:
            raise
        log.warning("the nested score of %s is not known: %s", entry.title, error)
        return entry, {}
    log.info("%s is taken for the blend in the notebook; submission=FILE names another", path.stem)
    return entry, about


def _prepared(settings: Settings) -> Dataset | None:
    """Return the prepared data of the host's files, where they are here."""
    try:
        return prepared(replace(settings, source=SourceSettings("kaggle")))
    except FoldwiseError:
        return None


def _described(about: dict[str, Any], message: str) -> str:
    """Return what is known of a submission, in lines."""
    lines = []
    if about.get("nested_score") is not None:
        label = METRICS[about.get("metric", "log_loss")].label
        low, high = about.get("nested_score_interval") or (None, None)
        interval = "" if low is None else f"  (95 % interval {low:.5f} to {high:.5f})"
        lines.append(f"  nested {label:<10}{about['nested_score']:.5f}{interval}")
    return "\n".join([*lines, f"  message          {message}"])


def _confirm(left: int | None, entry: Entry, name: str, yes: bool) -> None:
    """Show the submissions that are left, and put the question; raise FoldwiseError unless the answer is yes."""
    log.info("  left today       %s", "unknown" if left is None else left)
    if yes:
        return
    print(f"Send {entry.title} to {name}? [y/N] ", end="", file=sys.stderr, flush=True)  # stdout is for results
    answer = sys.stdin.readline().strip()
    if answer.lower() not in ("y", "yes"):
        raise FoldwiseError(f"nothing was sent: the answer was {answer!r}, not y")
