"""Two hundred real 25 x 25 images, half of them faces, from scikit-image's wheel."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from foldwise.competitions.usage import usage
from foldwise.errors import ConfigError

VERSION = 1
N_IMAGES = 200  # the first 100 are faces (Labeled Faces in the Wild), the others are not


def write(
    raw_dir: Path,
    *,
    n_train: Annotated[int, Field(ge=20)] = 150,
    n_test: Annotated[int, Field(ge=10)] = 50,
    seed: Annotated[int, Field(ge=0)] = 0,
) -> None:
    """Write `images/*.png`, `train.csv`, `sample_submission.csv` and `solution.csv` into `raw_dir`.

    seed: of the stratified split into train and test. Raises ConfigError beyond 200 images.
    """
    from importlib.resources import as_file, files

    import pandas as pd
    from sklearn.model_selection import train_test_split

    if n_train + n_test > N_IMAGES:
        raise ConfigError(f"source.n_train={n_train} source.n_test={n_test}: there are {N_IMAGES} images in all")
    with as_file(files("skimage.data") / "lfw_subset.npy") as path:
        images = np.round(np.load(path) * 255).astype(np.uint8)  # (200, 25, 25)
    labels = (np.arange(N_IMAGES) < N_IMAGES // 2).astype(int)
    order = np.random.default_rng(seed).permutation(N_IMAGES)  # a name must not reveal the label
    names = np.array([f"image_{i:03d}" for i in np.argsort(order)])
    train, test = train_test_split(
        np.arange(N_IMAGES), train_size=n_train, test_size=n_test, stratify=labels, random_state=seed
    )
    (raw_dir / "images").mkdir()
    for i in (*train, *test):
        cv2.imwrite(str(raw_dir / "images" / f"{names[i]}.png"), images[i])
    pd.DataFrame({"id": names[train], "is_face": labels[train]}).to_csv(raw_dir / "train.csv", index=False)
    pd.DataFrame({"id": names[test], "is_face": 0.5}).to_csv(raw_dir / "sample_submission.csv", index=False)
    solution = pd.DataFrame({"id": names[test], "is_face": labels[test], "Usage": usage(n_test, seed)})
    solution.to_csv(raw_dir / "solution.csv", index=False)
