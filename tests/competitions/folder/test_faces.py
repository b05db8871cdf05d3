"""Two hundred real images as a folder competition; nothing but the solution tells the test labels."""

import cv2
import numpy as np
import pandas as pd
import pytest
from helpers.raw_files import left_in

from foldwise.competitions.folder.faces import write
from foldwise.errors import ConfigError
from foldwise.stages.prepare import prepare


@pytest.fixture
def faces(settings):
    """The settings and the prepared data of all images."""
    one = settings("competition=faces")
    return one, prepare(one)


def test_two_hundred_images_and_their_tables(faces) -> None:
    one, data = faces
    assert left_in(one.raw_dir) == ["images", "sample_submission.csv", "solution.csv", "source.json", "train.csv"]
    assert left_in(one.raw_dir / "images") == [f"image_{i:03d}.png" for i in range(200)]
    train, sample, solution = (
        pd.read_csv(one.raw_dir / f"{n}.csv") for n in ("train", "sample_submission", "solution")
    )
    assert (list(train), len(train), train["is_face"].sum()) == (["id", "is_face"], 150, 75)
    assert (list(sample), len(sample), set(sample["is_face"])) == (["id", "is_face"], 50, {0.5})
    assert (list(solution), len(solution), solution["is_face"].sum()) == (["id", "is_face", "Usage"], 50, 25)
    assert solution["id"].tolist() == sample["id"].tolist()
    assert solution["Usage"].value_counts().to_dict() == {"Private": 40, "Public": 10}
    assert not set(train["id"]) & set(sample["id"])
    assert (data.train.images.shape, data.train.images.dtype) == ((150, 25, 25, 1), np.uint8)
    assert data.test.images.shape == (50, 25, 25, 1)
    assert data.labels.sum() == 75
    assert list(data.test.table) == ["id"]


def test_the_images_are_those_of_the_package(faces) -> None:
    from importlib.resources import as_file, files

    one, data = faces
    with as_file(files("skimage.data") / "lfw_subset.npy") as path:
        originals = np.round(np.load(path) * 255).astype(np.uint8)
    labels = pd.concat([pd.read_csv(one.raw_dir / f"{name}.csv") for name in ("train", "solution")])
    labels = labels.set_index("id")["is_face"]
    images = {name: cv2.imread(str(one.raw_dir / "images" / f"{name}.png"), -1).tobytes() for name in labels.index}
    assert sorted(images.values()) == sorted(image.tobytes() for image in originals)
    assert {images[name] for name in labels.index[labels == 1]} == {image.tobytes() for image in originals[:100]}
    assert data.train.images[0].tobytes() == images[data.train.table["id"].iloc[0]]


def test_names_do_not_tell_the_label(faces) -> None:
    one, _ = faces
    labels = pd.concat([pd.read_csv(one.raw_dir / f"{name}.csv") for name in ("train", "solution")])
    by_name = labels.sort_values("id")["is_face"].to_numpy()
    assert 40 <= by_name[:100].sum() <= 60
    assert 80 <= (by_name[1:] != by_name[:-1]).sum() <= 120  # as often as for a fair coin
    in_time = sorted((one.raw_dir / "images").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    by_time = labels.set_index("id")["is_face"].loc[[path.stem for path in in_time]].to_numpy()
    assert 40 <= by_time[:100].sum() <= 60


def test_sizes_and_seeds(tmp_path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        write(tmp_path / name, n_train=20, n_test=10, seed=seed)
    same, again, other = ((tmp_path / name / "train.csv").read_bytes() for name in "abc")
    assert same == again != other
    assert len(left_in(tmp_path / "a" / "images")) == 30
    with pytest.raises(ConfigError, match=r"source.n_train=180 source.n_test=50: there are 200 images in all"):
        write(tmp_path, n_train=180)
