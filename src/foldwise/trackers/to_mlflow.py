"""Runs in MLflow: in a SQLite file, or at a server."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from foldwise.runs.store import Run, fit_name
from foldwise.storage import content_key, sha256
from foldwise.trackers import logged

# the client's own limits are two minutes an attempt and eight attempts; one's own values of these count
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # it sends what is called to its makers otherwise
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
}
MOST_METRICS, MOST_PARAMETERS, MOST_LETTERS = 1000, 100, 500  # of a request, and of a parameter's value


class MLflow:
    """Log runs to MLflow, one run there for each run here, found again by its tag `foldwise.run`.

    url: of a server, or of a database such as sqlite:///mlflow.db.
    experiment: name of the experiment in MLflow. None: that of the competition.
    artifacts: folder that a new experiment in a local database has for files; foldwise writes none.

    Tags hold hashes of what is logged: what is there is not logged again, and a run of which a fold was trained again
    is replaced, as MLflow keeps every value that a curve ever had.
    """

    def __init__(self, url: str, experiment: str | None = None, artifacts: Path | None = None) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow.tracking import MlflowClient

        for noisy in ("mlflow", "alembic", "urllib3"):  # of tables that are made, and of each attempt at a server
            logging.getLogger(noisy).setLevel(logging.ERROR)
        self._client, self._experiment, self._artifacts = MlflowClient(url), experiment, artifacts
        self._known: dict[Path, tuple[str, dict[str, str]]] = {}  # the run there and its tags, by the folder here

    def log_fit(self, run: Run, fit: int) -> None:
        """Log the recipe, and the learning curves of a finished fit."""
        path, tag = logged.history_path(run, fit), f"foldwise.{fit_name(fit)}"
        run_id, tags = self._entry(run)
        digest = sha256(path)[:12] if path.is_file() else "no history"
        if tags.get(tag) == digest:
            return
        if tag in tags:
            self._client.delete_run(run_id)
            del self._known[run.path]
            for one in run.fits:
                if run.fold_path(one).is_dir():
                    self.log_fit(run, one)
            return
        from mlflow.entities import Metric

        metrics = [
            Metric(f"{name}/{curve.name}", value, round(1000 * time), epoch)
            for curve in logged.curves(run, fit)
            for name, values in curve.values.items()
            for value, time, epoch in zip(values, curve.times, curve.epochs, strict=True)
        ]
        self._log_metrics(run_id, metrics)
        self._set_tag(run, tag, digest)

    def log_scores(self, run: Run, report: Mapping[str, Any]) -> None:
        """Log the out-of-fold scores of a finished run, which then counts as finished there, too."""
        from mlflow.entities import Metric

        run_id, tags = self._entry(run)
        found, when = logged.scores(report), _milliseconds(run.path / "run.json")
        digest = content_key(found)
        if tags.get("foldwise.scores") == digest:
            return
        self._log_metrics(run_id, [Metric(name, value, when, 0) for name, value in found.items()])
        self._client.set_terminated(run_id, "FINISHED", when)
        self._set_tag(run, "foldwise.scores", digest)

    def _entry(self, run: Run) -> tuple[str, dict[str, str]]:
        """Return the id and the tags of a run in MLflow, which is made with its parameters where there is none."""
        if run.path not in self._known:
            experiment = self._experiment_id(self._experiment or run.path.parent.name)
            found = self._client.search_runs([experiment], f"tags.`foldwise.run` = '{run.name}'", max_results=1)
            one = found[0] if found else self._created(experiment, run)
            self._known[run.path] = one.info.run_id, dict(one.data.tags)
            if "foldwise.recipe" not in one.data.tags:  # else a command was stopped before they were all there
                self._log_parameters(one.info.run_id, run)
                self._set_tag(run, "foldwise.recipe", run.name.rpartition("-")[2])
        return self._known[run.path]

    def _created(self, experiment: str, run: Run) -> Any:
        tags = {"foldwise.run": run.name, "foldwise.folder": str(run.path.resolve())}
        return self._client.create_run(experiment, _milliseconds(run.path / "recipe.yaml"), tags, run.name)

    def _experiment_id(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        return str(self._client.create_experiment(name, str(self._artifacts) if self._artifacts else None))

    def _log_parameters(self, run_id: str, run: Run) -> None:
        from mlflow.entities import Param

        given = [Param(key, value[:MOST_LETTERS]) for key, value in logged.parameters(run).items()]
        for part in _parts(given, MOST_PARAMETERS):
            self._client.log_batch(run_id, params=part)

    def _log_metrics(self, run_id: str, metrics: list[Any]) -> None:
        for part in _parts(metrics, MOST_METRICS):
            self._client.log_batch(run_id, metrics=part)

    def _set_tag(self, run: Run, key: str, value: str) -> None:
        run_id, tags = self._known[run.path]
        self._client.set_tag(run_id, key, value)
        tags[key] = value


def _parts(values: list[Any], most: int) -> Iterator[list[Any]]:
    for start in range(0, len(values), most):
        yield values[start : start + most]


def _milliseconds(path: Path) -> int:
    return round(1000 * path.stat().st_mtime)
