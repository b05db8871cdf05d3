"""Write a submission in the sample's layout, and refuse one that the host would refuse."""

from __future__ import annotations

import json
import types
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise.data.csv_files import CsvForm, read_csv, to_csv
from foldwise.data.dataset import Dataset
from foldwise.data.records import Records
from foldwise.errors import FoldwiseError
from foldwise.plugins import competition_module
from foldwise.scoring.decisions import decide
from foldwise.scoring.metrics import METRICS
from foldwise.settings import ONE_CLASS, Settings
from foldwise.storage import check_is_file, sha256, write_json, written_aside

ROWS_COMPARED = 1000  # of a submission, whose kinds of values are compared with the sample's


def write(settings: Settings, dataset: Dataset, predictions: pd.DataFrame, stem: str, about: dict[str, Any]) -> Path:
    """Write the submission of the test set, as `write_like` does with the sample submission of the data."""
    return write_like(dataset.path / "sample_submission.csv", settings, dataset, predictions, stem, about)


def write_like(
    sample_path: Path | None,
    settings: Settings,
    dataset: Dataset,
    predictions: pd.DataFrame,
    stem: str,
    about: dict[str, Any],
) -> Path:
    """Write `submissions/<stem>.csv`, its probabilities where the host wants labels, and `<stem>.json`.

    sample_path: the sample submission; None: ids and probabilities are written as they are.
    predictions: id and a column of probabilities, or values, for each target, a row for each test sample. Where `about`
    has thresholds, the objective counts decisions, and those are what is submitted.
    Raises FoldwiseError where the result does not agree with the sample submission; nothing is written then.
    """
    check_probabilities(predictions, dataset)
    if dataset.task == "regression" and about.get("metric") == "rmsle":  # as the score counts them
        predictions = predictions.assign(**predictions[dataset.targets].clip(lower=0))
    path = settings.submissions_dir / f"{stem}.csv"
    files = {path: (predictions, CsvForm())}
    if sample_path is not None:
        files = _laid_out(path, sample_path, settings, dataset, predictions, about)
    for file, (table, how) in reversed(files.items()):
        with written_aside(file) as aside:
            to_csv(table, aside, how)
            if file == path:  # the JSON is there before the submission is
                write_json(path.with_suffix(".json"), about | {"sha256": sha256(aside)})
    return path


def check_file(path: Path, about: dict[str, Any], sample_path: Path | None, probabilities: list[str]) -> None:
    """Raise FoldwiseError unless a submission file is as it was written, and fits the sample submission.

    about: its JSON, whose sha256, where it has one, must be that of the file.
    sample_path: the sample submission; None: the file alone is looked at.
    probabilities: names of the columns, where it has them, whose values must lie in [0, 1].
    """
    if about.get("sha256", digest := sha256(path)) != digest:
        raise FoldwiseError(
            f"{path} was changed since foldwise wrote it: expected the SHA-256 {about['sha256'][:12]}..., found "
            f"{digest[:12]}...; `foldwise ensemble` writes it again. A copy under another name is sent as it is"
        )
    table, _ = read_csv(path)
    if not len(table):
        raise FoldwiseError(f"{path} has no rows below its header")
    sample = table if sample_path is None else read_csv(sample_path)[0]
    try:
        check(table, sample)
    except FoldwiseError as error:
        raise FoldwiseError(f"{path}: {error}") from None
    for column in table.columns[1:]:
        numeric = _are_numbers(sample[column]).all() and sample_path is not None
        if not numeric and column not in probabilities:
            continue
        values = pd.to_numeric(table[column], errors="coerce")
        wrong = ~np.isfinite(values) | ((column in probabilities) & ((values < 0) | (values > 1)))
        if wrong.any():
            first = table[wrong].iloc[0]
            wanted = "a probability in [0, 1]" if column in probabilities else "a finite number"
            raise FoldwiseError(
                f"{path}: {int(wrong.sum())} of {len(table)} values of {column} are wrong, the first of "
                f"{first.iloc[0]!r}: expected {wanted}, found {first[column]!r}"
            )


def _laid_out(
    path: Path,
    sample_path: Path,
    settings: Settings,
    dataset: Dataset,
    predictions: pd.DataFrame,
    about: dict[str, Any],
) -> dict[Path, tuple[pd.DataFrame, CsvForm]]:
    """Return the tables to write, and how, by their files: the submission, and its probabilities where it has none."""
    sample, form = read_csv(sample_path)
    reader = competition_module(settings.competition.reader)
    answers = predictions
    if "thresholds" in about:
        decided = decide(predictions[dataset.targets].to_numpy(np.float64), about["thresholds"], dataset.task)
        answers = predictions.assign(**dict(zip(dataset.targets, decided.T.astype(np.int64), strict=True)))
    laid_out = reader.submission(answers, sample, **settings.competition.options)
    check(laid_out, sample)
    ordered = laid_out.set_index(sample.columns[0], drop=False).loc[sample.iloc[:, 0]]
    files = {path: (ordered, form)}
    values = laid_out.iloc[:, 1:]
    are_probabilities = list(values) == dataset.targets and all(kind.kind == "f" for kind in values.dtypes)
    if answers is not predictions or not are_probabilities:
        files[path.with_name(f"{path.stem}_probabilities.csv")] = predictions, CsvForm(line_end=form.line_end)
    return files


def try_layout(reader: types.ModuleType, records: Records, options: dict[str, Any]) -> None:
    """Lay dummy predictions out as the sample submission, before any image is read.

    Raises FoldwiseError where no predictions of these targets and test ids can be submitted.
    """
    if records.sample_submission is None:
        return
    sample, _ = read_csv(records.sample_submission)
    ids = list(sample.iloc[:, 0]) if records.test_ids is None else records.test_ids
    predictions = pd.DataFrame(dict.fromkeys(records.targets, 1 / max(2, len(records.targets))), index=range(len(ids)))
    predictions.insert(0, "id", ids)
    check(reader.submission(predictions, sample, **options), sample)


def check(table: pd.DataFrame, sample: pd.DataFrame) -> None:
    """Raise FoldwiseError unless `table` has the sample's columns, each of its ids once, and nothing missing.

    A column whose values are names in the sample holds names in the submission too.
    """
    if list(table.columns) != list(sample.columns):
        raise FoldwiseError(f"the submission has the columns {', '.join(table)}, the sample {', '.join(sample)}")
    given, wanted = Counter(table.iloc[:, 0].tolist()), Counter(sample.iloc[:, 0].tolist())
    if dict(given) != dict(wanted):
        wrong = min((given - wanted) + (wanted - given))
        raise FoldwiseError(
            f"the submission's ids are not the sample's: {wrong!r} is {given[wrong]} times in the submission and "
            f"{wanted[wrong]} times in the sample"
        )
    missing = table.iloc[:, 1:].isna().any(axis=1)
    if missing.any():
        raise FoldwiseError(f"the submission has no prediction for {table[missing].iloc[0, 0]!r}")
    for column in table.columns[1:]:
        named = sample[column][(sample[column] != "") & ~_are_numbers(sample[column])]
        wrong = _are_numbers(table[column].head(ROWS_COMPARED))
        if len(named) and wrong.any() and not table[column].isin(sample[column]).all():
            row = int(np.flatnonzero(wrong)[0])
            raise FoldwiseError(
                f"the submission's column {column!r} holds the number {table[column].iloc[row]} for "
                f"{table.iloc[row, 0]!r}, the sample's names such as {named.iloc[0]!r}"
            )


def _are_numbers(values: pd.Series) -> pd.Series:
    return pd.to_numeric(values, errors="coerce").notna()


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


def chosen(settings: Settings, with_csv: bool = True, **wanted: str) -> tuple[Path, dict[str, Any]]:
    """Return the submission that `submission=` names, or the newest of the competition, and its JSON.

    with_csv: whether it must be a file to submit; a blend for which there was no test set has its JSON alone.
    wanted: values that the JSON must have, such as the ids_key of the data or the kind of source.

    Raises FoldwiseError where there is none, or where the JSON of the named one has another value.
    """
    folder = settings.submissions_dir
    wanted = {"competition": settings.competition.name, **wanted}

    def needed(path: Path) -> Path:
        return path if with_csv else path.with_suffix(".json")

    if settings.submission is not None:
        path = Path(settings.submission)
        path = path if path.is_file() else folder / path.name
        path = path if with_csv else path.with_suffix(".csv")
        if not needed(path).is_file():
            raise FoldwiseError(f"submission={settings.submission}: no such file, nor in {folder}")
        about = read_about(path.with_suffix(".json"))
        if not about:
            _check_readable(path.with_suffix(".json"))
        for name, value in wanted.items():
            if about.get(name, value) != value:
                raise FoldwiseError(f"{path} was made from other data: its {name} is {about[name]}, not {value}")
        check_about(path.with_suffix(".json"), about)
        return path, about
    written = [(p.with_suffix(".csv"), read_about(p)) for p in folder.glob("*.json")]
    written = [(path, about) for path, about in written if needed(path).is_file() and wanted.items() <= about.items()]
    if not written:
        data = "the host's data" if wanted.get("source") == "kaggle" else "this data"
        raise FoldwiseError(
            f"no submission of {settings.competition.name} from {data} in {folder}; `foldwise ensemble "
            f"competition={settings.competition.name} source={wanted.get('source', settings.source.kind)}` writes one"
        )
    path, about = max(written, key=lambda pair: needed(pair[0]).stat().st_mtime_ns)
    check_about(path.with_suffix(".json"), about)
    return path, about


def _check_readable(path: Path) -> None:
    """Raise FoldwiseError where the JSON of a submission is there and cannot be read."""
    check_is_file(path)
    try:
        json.loads(path.read_text())
    except FileNotFoundError:
        return
    except (ValueError, RecursionError) as error:
        raise FoldwiseError(f"{path}: cannot be read as JSON: {error}; remove it to use the file as it is") from None


def check_about(path: Path, about: dict[str, Any]) -> None:
    """Raise FoldwiseError where a value in the JSON of a submission is of another kind than foldwise writes."""
    forms: dict[str, tuple[str, Callable[[Any], bool]]] = {
        "nested_score": ("a number or null", lambda value: value is None or _is_number(value)),
        "nested_score_interval": ("two numbers or null", lambda value: value is None or _are_all(value, _is_number, 2)),
        "metric": (f"one of {', '.join(METRICS)}", lambda value: isinstance(value, str) and value in METRICS),
        "members": ("a list of runs or of files", lambda value: _are_all(value, _is_member)),
        "thresholds": ("a list of numbers", lambda value: _are_all(value, _is_number)),
        "sha256": ("64 hexadecimal digits", lambda value: isinstance(value, str)),
    }
    for name, (expected, fits) in forms.items():
        if name in about and not fits(about[name]):
            raise FoldwiseError(
                f"{path} was changed since foldwise wrote it: its {name} is {about[name]!r}, expected {expected}; "
                "`foldwise ensemble` writes it again"
            )


def _are_all(values: Any, fits: Callable[[Any], bool], n: int | None = None) -> bool:
    return isinstance(values, list) and all(fits(value) for value in values) and n in (None, len(values))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def _is_member(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, dict) and isinstance(value.get("run", ""), str))


def read_about(path: Path) -> dict[str, Any]:
    """Return the JSON of a submission, empty where there is none or it is not one of ours."""
    if not path.is_file():  # opening a named pipe would wait for ever
        return {}
    try:
        about = json.loads(path.read_text())
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return about if isinstance(about, dict) else {}
