"""Train folds in worker processes: one queue of folds, a few workers, one progress line."""

from __future__ import annotations

import multiprocessing
import os
import queue
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from foldwise.data.dataset import read
from foldwise.errors import FoldwiseError
from foldwise.processes import cores, die_with_parent
from foldwise.progress import Progress
from foldwise.runs.recipe import Recipe, versions
from foldwise.runs.store import REFIT, Run, write_fold
from foldwise.settings import ExecutionSettings
from foldwise.training import backend

REPORT_SECONDS = 0.5  # a worker speaks no more often than this


@dataclass(frozen=True)
class FoldTask:
    """One fold to train: the unit of work, of resuming and of distribution."""

    run: Run
    recipe: Recipe
    fit: int
    n_train: int  # images of the data, of which the fold trains on all but its own
    prepared: Path
    folds: Path

    @property
    def name(self) -> str:
        return f"{self.run.name} {'refit' if self.is_refit else f'fold {self.fit}'}"

    @property
    def is_refit(self) -> bool:
        """Whether it trains on all rows and holds none out."""
        return self.fit == REFIT

    @property
    def n_seeds(self) -> int:
        return self.recipe.fit.refit_seeds if self.is_refit else self.recipe.fit.n_seeds

    @property
    def n_images(self) -> int:
        """About how many images the fold trains on, over all epochs and seeds."""
        share = 1 if self.is_refit else 1 - 1 / self.recipe.split.n_folds
        return round(self.n_train * share * self.recipe.fit.epochs * self.n_seeds)


def parallelism(execution: ExecutionSettings, n_tasks: int) -> tuple[int, int]:
    """Return (workers, threads per fold).

    A fold may use a fifth of the cores, and two at least, even where every core has a fold of its own: a last
    fold that is alone is then not left with one. The threads depend on the machine alone, not on how many folds
    are left to train, because the bits of a prediction depend on them. On a GPU one fold is trained at a time.
    """
    gpu = driver_shows_gpu() and not execution.allow_cpu
    threads = execution.threads_per_fold or max(min(2, cores()), cores() // 5)
    workers = execution.workers or (1 if gpu else min(cores(), max(1, 2 * cores() // threads)))
    return min(workers, n_tasks), threads


def driver_shows_gpu() -> bool:
    """Whether the NVIDIA driver of this machine lists a GPU, whatever TensorFlow thinks."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):  # hidden on purpose
        return False
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return False
    listed = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False)
    return listed.returncode == 0 and "GPU " in listed.stdout


def train_folds(tasks: list[FoldTask], execution: ExecutionSettings, finished: Callable[[Run], None]) -> None:
    """Train the tasks, several at once; call `finished` for every run as soon as its last fold is written.

    Raises FoldwiseError, naming the fold, when one fails; folds that were finished by then are kept.
    """
    workers, threads = parallelism(execution, len(tasks))
    gpu = driver_shows_gpu()
    context = multiprocessing.get_context("spawn")
    reports = context.Queue()
    images = {number: task.n_images for number, task in enumerate(tasks)}
    os.environ.update(backend.environment())
    pool = ProcessPoolExecutor(
        workers,
        context,
        initializer=_start,
        initargs=(reports, threads, gpu and not execution.allow_cpu),
        max_tasks_per_child=1 if gpu else None,  # TensorFlow returns a GPU's memory only when its process ends
    )
    with Progress(images, [task.name for task in tasks], workers, threads) as progress:
        try:
            futures = {pool.submit(_train_task, number, task): task for number, task in enumerate(tasks)}
            for future in _as_completed(futures, reports, progress):
                task = futures[future]
                _result(future, task)
                if task.run.is_finished():
                    finished(task.run)
            pool.shutdown()
        except BaseException:
            for process in list((pool._processes or {}).values()):
                process.terminate()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _as_completed(futures: dict[Future[None], FoldTask], reports: Any, progress: Progress) -> Iterator[Future[None]]:
    """Yield futures as they complete, showing what the workers report meanwhile."""
    pending = set(futures)
    while pending:
        done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
        while True:
            try:
                progress.update(*reports.get_nowait())
            except queue.Empty:
                break
        yield from done


def _result(future: Future[None], task: FoldTask) -> None:
    try:
        future.result()
    except BrokenProcessPool:
        raise FoldwiseError(
            f"{task.name}: a worker process was killed, most likely for want of memory; lower fit.batch_size or "
            "execution.workers and run the same command again: finished folds are kept"
        ) from None
    except FoldwiseError as error:
        raise type(error)(f"{task.name}: {error}") from None
    except Exception as error:  # whatever TensorFlow raises; its traceback is kept for HYDRA_FULL_ERROR=1
        memory = backend.is_out_of_memory(error)
        advice = ": memory ran out; lower fit.batch_size, model.options.side or execution.workers" if memory else ""
        raise FoldwiseError(f"{task.name}{advice}: {type(error).__name__}: {error}") from error


_state: dict[str, Any] = {}  # of a worker process: its queue to the parent, and whether a GPU stays unused


def _start(reports: Any, threads: int, needs_gpu: bool) -> None:
    """Start TensorFlow in a worker."""
    _state["reports"] = reports
    threading.Thread(target=die_with_parent, daemon=True).start()
    backend.start(threads)
    reports.put(("device", backend.device_name()))
    _state["gpu_unused"] = needs_gpu and not backend.has_gpu()


_GPU_UNUSED = (
    "the driver shows a GPU, but TensorFlow does not use it: `make setup GPU=1` installs the CUDA build; "
    "execution.allow_cpu=true trains on the CPU all the same"
)


def _train_task(number: int, task: FoldTask) -> None:
    import pandas as pd

    pass
    from foldwise.training.features import can_be_stored, features
    from foldwise.training.fit import train_fold
    from foldwise.training.pseudo import find_pseudo_labels

    if _state["gpu_unused"]:  # told here because an error in an initializer would be hidden
        raise FoldwiseError(_GPU_UNUSED)
    dataset = read(task.prepared)
    folds = pd.read_parquet(task.folds)
    number_of_fit = task.recipe.n_fits if task.is_refit else task.fit
    repeat, fold = divmod(number_of_fit, task.recipe.split.n_folds)  # no row is held out in a repeat after the last
    rows = folds[(folds["repeat"] == repeat) & (folds["fold"] == fold)]
    mask = dataset.train.table["id"].isin(rows["id"]).to_numpy()
    last_report = started = time.perf_counter()

    def report(epoch: int, images: int, loss: float) -> None:
        nonlocal last_report
        if (now := time.perf_counter()) - last_report >= REPORT_SECONDS:
            last_report = now
            _state["reports"].put(("step", number, epoch, images, loss))

    recipe = replace(task.recipe, fit=replace(task.recipe.fit, n_seeds=task.n_seeds))
    added = find_pseudo_labels(task.run, recipe, task.fit, dataset)
    n_images = int((~mask).sum()) // dataset.structure.rows_per_image + (0 if added is None else len(added.positions))
    n_images *= recipe.fit.epochs * task.n_seeds
    _state["reports"].put(("images", number, n_images))
    stored = features(recipe, dataset) if can_be_stored(recipe) and added is None else None
    result = train_fold(recipe, dataset, mask, number_of_fit, report, stored, added)
    seconds = time.perf_counter() - started
    ids, targets = dataset.train.table["id"][mask], dataset.targets
    held_out = pd.DataFrame(result.held_out, columns=targets)
    held_out.insert(0, "id", ids.to_numpy())
    held_out["repeat"], held_out["fold"] = np.int8(repeat), np.int8(fold)
    test = pd.DataFrame(result.test, columns=targets)
    test.insert(0, "id", dataset.test.table["id"].to_numpy())
    about = {
        "seconds": seconds,
        "images_per_second": n_images / result.history["seconds"].sum(),
        "device": backend.device_name(),
        "versions": versions(),
        **({} if added is None else {"pseudo_images": len(added.positions)}),
    }
    write_fold(task.run, task.fit, None if task.is_refit else held_out, test, result.history, result.models, about)
    _state["reports"].put(("done", number, about["images_per_second"], seconds))
