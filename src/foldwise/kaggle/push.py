"""Send a bundle to Kaggle: its folder as a dataset, its notebook as a kernel that uses it."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import Any

from foldwise.errors import FoldwiseError
from foldwise.kaggle.cli import TryLater, check_credentials, check_version, last_lines, run_cli
from foldwise.kaggle.notebook import names_in

POLL_SECONDS = 5.0
UPLOAD_SECONDS = 3 * 3600.0
READY_SECONDS = 1800.0
COMMAND_SECONDS = 300.0


def owner() -> str:
    """Return the user's name on Kaggle, as the client knows it; raise FoldwiseError without credentials or a name."""
    check_credentials()
    check_version()
    answer = run_cli(["config", "view"], "", COMMAND_SECONDS)
    name = re.search(r"^- username: (\S+)$", answer, re.MULTILINE)
    if name is None or name[1] == "None":
        raise FoldwiseError(
            "kaggle does not know your user name: give it, bundle.owner=NAME, or run `kaggle auth login`"
        )
    return name[1]


def push(folder: Path, message: str) -> dict[str, Any]:
    """Create the dataset of a bundle, or a new version of it, wait until it is ready, and push the notebook.

    message: note of the dataset's version.
    Returns dataset and kernel (OWNER/NAME), the kernel's version, and its address.

    Raises FoldwiseError with what the client printed where Kaggle refuses one of them or names a source that the
    notebook may not use; TryLater where it cannot be reached.
    """
    dataset, kernel = names_in(folder)
    print(f"kaggle: uploading {folder} as the dataset {dataset}", file=sys.stderr)
    _send_dataset(folder, dataset, message)
    _wait_until_ready(dataset)
    answer = run_cli(["kernels", "push", "--path", str(folder)], dataset, COMMAND_SECONDS)
    refused = re.findall(
        r"The following are not valid (.*?) sources and could not be added to the kernel: (.*)", answer
    )
    if refused:
        raise FoldwiseError(
            f"the notebook {kernel} was pushed without its {refused[0][0]} source {refused[0][1]}; accept the rules of "
            "the competition (https://www.kaggle.com/c/<name>/rules), see that the dataset is yours, and push again"
        )
    done = re.search(r"Kernel version (\d+)? ?successfully pushed\.\s+Please check progress at (\S+)", answer)
    if done is None:
        raise FoldwiseError(f"Kaggle did not take the notebook {kernel}; kaggle printed:{last_lines(answer)}")
    return {"dataset": dataset, "kernel": kernel, "version": int(done[1]) if done[1] else None, "url": done[2]}


def _send_dataset(folder: Path, dataset: str, message: str) -> None:
    upload = ["--path", str(folder), "--dir-mode", "zip", "--quiet"]
    answer = run_cli(["datasets", "create", *upload], dataset, UPLOAD_SECONDS)
    if "is already in use by a dataset" in answer:
        answer = run_cli(["datasets", "version", *upload, "--message", message], dataset, UPLOAD_SECONDS)
    if "is being created" not in answer:
        raise FoldwiseError(f"Kaggle did not take the dataset {dataset}; kaggle printed:{last_lines(answer)}")


def _wait_until_ready(dataset: str) -> None:
    """Wait until Kaggle has unpacked the dataset: a notebook that starts before would not see its files."""
    deadline, pause = time.monotonic() + READY_SECONDS, POLL_SECONDS
    while True:
        try:
            status = run_cli(["datasets", "status", dataset], dataset, COMMAND_SECONDS).strip().rpartition("\n")[2]
        except TryLater as error:
            status, pause = "unknown", max(pause, error.seconds)
        if status == "ready":
            return
        page = f"https://www.kaggle.com/datasets/{dataset}"
        if status in ("failed", "deleted"):
            raise FoldwiseError(f"Kaggle could not unpack the dataset {dataset}: its status is {status}; see {page}")
        if time.monotonic() + pause > deadline:
            raise FoldwiseError(
                f"the dataset {dataset} is not ready after {READY_SECONDS:g} s (status: {status}): see {page}, and "
                "push again when it is"
            )
        print(f"kaggle: the dataset is {status}", file=sys.stderr)
        time.sleep(pause)
