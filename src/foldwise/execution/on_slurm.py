"""Folds as jobs of SLURM, by submitit: one job for each fold, on a folder that all machines see."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import submitit

from foldwise.devices import gpus_per_fold
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.execution.lanes import Queued
from foldwise.execution.local import check_gpu, killed_error, named_error, parallelism
from foldwise.execution.task import Report
from foldwise.settings import Backend, ExecutionSettings
from foldwise.training import backend

POLL_SECONDS = 1.0  # between two looks at what has ended; SLURM itself is asked every 15 seconds at most
LOGS = ".slurm"  # in the folder of the runs: what submitit writes for each job


class SlurmPool:
    """Jobs of SLURM that train, each with the cores and GPUs of one fold.

    work, name: what a job does with a task, and with which backend, as `foldwise.execution.local.LocalPool` has it.
    workers: jobs; SLURM decides how many run at once.
    threads: of one fold, as they are on one machine, so that the bits of a prediction are the same.

    On leaving a `with` block the jobs that have not ended are cancelled.
    """

    def __init__(
        self, execution: ExecutionSettings, n_tasks: int, work: Callable[[Any, Report], Any], name: Backend | None
    ) -> None:
        _, self.threads = parallelism(execution, n_tasks)
        self.workers, self._work, self._name = n_tasks, work, name
        self._parameters = dict(execution.slurm)
        self._gpus = int(gpus_per_fold(execution))
        self._executor: Any = None  # once a task tells where the runs are
        self._jobs: dict[int, tuple[Any, Queued]] = {}
        self._read: dict[int, int] = {}  # bytes that were read of the reports of each task

    def __enter__(self) -> SlurmPool:
        return self

    def __exit__(self, *_: object) -> None:
        for job, _ in self._jobs.values():
            job.cancel()

    def submit(self, number: int, task: Queued) -> None:
        """Queue a task, whose reports come with its number."""
        if self._executor is None:
            self._start(task.run.path.parent / LOGS)
        about = (self.threads, self._name, bool(self._gpus))
        self._jobs[number] = self._executor.submit(_do, self._work, task, about, self._reports(number)), task

    def as_completed(
        self, report: Callable[..., None], until: float | None = None
    ) -> Iterator[tuple[Queued, FoldwiseError | None]]:
        """Yield the tasks as they end, see `foldwise.execution.local.LocalPool.as_completed`."""
        while self._jobs and (until is None or time.monotonic() < until):
            for number, (job, task) in list(self._jobs.items()):
                ended = job.done()
                self._pass_on(number, report)
                if ended:
                    del self._jobs[number]
                    yield task, _error_of(job, task)
            time.sleep(POLL_SECONDS)

    def _start(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix="reports-", dir=folder))
        parameters = self._parameters
        try:
            self._executor = submitit.AutoExecutor(folder / "%j", cluster=parameters.pop("cluster", None))
            self._executor.update_parameters(
                name="foldwise", cpus_per_task=self.threads, gpus_per_node=self._gpus, **parameters
            )
        except (RuntimeError, ValueError, NameError, TypeError) as error:
            first = str(error).splitlines()[0]
            raise ConfigError(
                f"execution.slurm={self._parameters}: {first}; expected parameters of submitit.AutoExecutor on a "
                "machine with sbatch, or cluster: local"
            ) from None

    def _reports(self, number: int) -> Path:
        return self._folder / f"{number}.jsonl"

    def _pass_on(self, number: int, report: Callable[..., None]) -> None:
        """Call `report` with what a task has reported since it was looked at last."""
        path = self._reports(number)
        if not path.is_file():
            return
        with path.open("rb") as file:
            file.seek(self._read.get(number, 0))
            for line in file:
                if line.endswith(b"\n"):  # else it is being written
                    kind, *values = json.loads(line)
                    report(kind, *([] if kind == "device" else [number]), *values)
                    self._read[number] = self._read.get(number, 0) + len(line)


def _error_of(job: Any, task: Queued) -> FoldwiseError | None:
    """Return why a job failed; None where it did not."""
    try:
        error = job.exception()
    except submitit.core.utils.UncompletedJobError:  # it was killed: there is no result
        return killed_error(f"{task.name} (SLURM job {job.job_id}, {job.state}, log {job.paths.stderr})")
    if error is None:
        return None
    if isinstance(error, submitit.core.utils.FailedJobError):  # the text of its traceback is all that there is
        last = str(error).strip().splitlines()[-1]
        return FoldwiseError(f"{task.name}: {last} (log {job.paths.stderr})")
    return named_error(error, task.name)


def _do(
    work: Callable[[Any, Report], Any], task: Queued, about: tuple[int, Backend | None, bool], reports: Path
) -> None:
    """Do the work of a task in a job; what is reported becomes lines of a file."""
    threads, name, needs_gpu = about

    def report(*words: Any) -> None:
        with reports.open("a") as file:
            file.write(json.dumps(words) + "\n")

    if name is not None:
        os.environ.update(backend.environment(name))
        backend.start(threads, name)
        report("device", backend.device_name())
        if needs_gpu:
            check_gpu(name)
    work(task, report)
