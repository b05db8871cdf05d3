"""Write a submission in the sample's layout, and refuse one that the host would refuse."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise.data.dataset import Dataset
from foldwise.errors import FoldwiseError
from foldwise.plugins import competition_module
from foldwise.scoring.decisions import decide
from foldwise.settings import ONE_CLASS, Settings
from foldwise.storage import write_json, written_aside


def write(settings: Settings, dataset: Dataset, predictions: pd.DataFrame, stem: str, about: dict[str, Any]) -> Path:
    """Write `submissions/<stem>.csv`, its probabilities where the host wants labels, and `<stem>.json`.

    predictions: id and a column of probabilities, or values, for each target, a row for each test sample. Where `about`
    has thresholds, the objective counts decisions, and those are what is submitted.
    Raises FoldwiseError where the result does not agree with the sample submission; nothing is written then.
    """
    sample_path = dataset.path / "sample_submission.csv"
    sample = pd.read_csv(sample_path, dtype=str, keep_default_na=False)
    reader = competition_module(settings.competition.reader)
    check_probabilities(predictions, dataset)
    answers = predictions
    if "thresholds" in about:
        decided = decide(predictions[dataset.targets].to_numpy(np.float64), about["thresholds"], dataset.task)
        answers = predictions.assign(**dict(zip(dataset.targets, decided.T.astype(np.int64), strict=True)))
    laid_out = reader.submission(answers, sample)
    check(laid_out, sample)
    ordered = laid_out.set_index(sample.columns[0], drop=False).loc[sample.iloc[:, 0]]
    path = settings.submissions_dir / f"{stem}.csv"
    line_end = "\r\n" if b"\r\n" in sample_path.read_bytes()[:4096] else "\n"
    files = {path: ordered}
    if answers is not predictions or list(laid_out.columns[1:]) != dataset.targets:
        files[path.with_name(f"{stem}_probabilities.csv")] = predictions
    write_json(path.with_suffix(".json"), about)
    for file, table in reversed(files.items()):
        with written_aside(file) as aside:
            table.to_csv(aside, index=False, lineterminator=line_end)
    return path


def check(table: pd.DataFrame, sample: pd.DataFrame) -> None:
    """Raise FoldwiseError unless `table` has the sample's columns, each of its ids once, and nothing missing."""
    if list(table.columns) != list(sample.columns):
        raise FoldwiseError(f"the submission has the columns {', '.join(table)}, the sample {', '.join(sample)}")
    given, wanted = Counter(table.iloc[:, 0]), Counter(sample.iloc[:, 0])
    if given != wanted:
        wrong = min((given - wanted) + (wanted - given))
        raise FoldwiseError(
            f"the submission's ids are not the sample's: {wrong!r} is {given[wrong]} times in the submission and "
            f"{wanted[wrong]} times in the sample"
        )
    missing = table.iloc[:, 1:].isna().any(axis=1)
    if missing.any():
        raise FoldwiseError(f"the submission has no prediction for {table[missing].iloc[0, 0]!r}")


def check_probabilities(predictions: pd.DataFrame, dataset: Dataset) -> None:
    """Raise FoldwiseError unless all probabilities lie in [0, 1], and rows sum to 1 where they are those of classes.

    The predictions of a regression must be finite numbers.
    """
    values = predictions[dataset.targets].to_numpy(np.float64)
    if dataset.task == "regression":
        infinite = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(infinite):
            raise FoldwiseError(
                f"the prediction for {predictions['id'].iloc[infinite[0]]!r} is {values[infinite[0]].tolist()}, "
                "expected finite numbers"
            )
        return
    wrong = ~((values >= 0) & (values <= 1)).all(axis=1)
    if dataset.task in ONE_CLASS:
        wrong |= abs(values.sum(axis=1) - 1) > 1e-6
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise FoldwiseError(
            f"the prediction for {predictions['id'].iloc[row]!r} is {values[row].tolist()}, expected probabilities "
            f"in [0, 1]{' that sum to 1' if dataset.task in ONE_CLASS else ''}"
        )


def chosen(settings: Settings, **wanted: str) -> tuple[Path, dict[str, Any]]:
    """Return the submission that `submission=` names, or the newest of the competition, and its JSON.

    wanted: values that the JSON must have, such as the ids_key of the data or the kind of source.

    Raises FoldwiseError where there is none, or where the JSON of the named one has another value.
    """
    folder = settings.submissions_dir
    wanted = {"competition": settings.competition.name, **wanted}
    if settings.submission is not None:
        path = Path(settings.submission)
        path = path if path.is_file() else folder / path.name
        if not path.is_file():
            raise FoldwiseError(f"submission={settings.submission}: no such file, nor in {folder}")
        about = _about(path.with_suffix(".json"))
        for name, value in wanted.items():
            if about.get(name, value) != value:
                raise FoldwiseError(f"{path} was made from other data: its {name} is {about[name]}, not {value}")
        return path, about
    written = [(p.with_suffix(".csv"), _about(p)) for p in folder.glob("*.json") if p.with_suffix(".csv").is_file()]
    written = [(path, about) for path, about in written if wanted.items() <= about.items()]
    if not written:
        data = "the host's data" if wanted.get("source") == "kaggle" else "this data"
        raise FoldwiseError(
            f"no submission of {settings.competition.name} from {data} in {folder}; `foldwise ensemble "
            f"competition={settings.competition.name} source={wanted.get('source', settings.source.kind)}` writes one"
        )
    return max(written, key=lambda pair: pair[0].stat().st_mtime_ns)


def _about(path: Path) -> dict[str, Any]:
    """Return the JSON of a submission, empty where there is none or it is not one of ours."""
    try:
        about = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}
