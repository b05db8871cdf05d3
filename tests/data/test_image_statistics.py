"""Statistics of images become columns of the rows that they answer."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers.data import make_dataset

from foldwise.data.dataset import Split
from foldwise.data.image_statistics import statistics, with_image_statistics
from foldwise.data.structure import Structure


def test_the_statistics_are_those_of_all_pixels_of_a_channel():
    image = np.array([[[1, 0], [2, 0]], [[3, 0], [6, 8]]], np.uint8)
    found = statistics(np.stack([image, image + 1]))
    assert found[0] == pytest.approx([3, np.sqrt(3.5), 1, 2.5, 6, 2, np.sqrt(12), 0, 0, 8])
    assert found[1] - found[0] == pytest.approx([1, 0, 1, 1, 1, 1, 0, 1, 1, 1])


def test_those_of_many_images_and_views_are_those_of_each():
    images = np.random.default_rng(0).normal(size=(300, 3, 4, 5, 2)).astype(np.float32)
    found = statistics(images)
    assert found.shape == (300, 10)
    for i in (0, 84, 85, 299):
        assert found[i] == pytest.approx(statistics(images[i : i + 1])[0])
        assert found[i, 6] == pytest.approx(images[i, ..., 1].std(dtype=np.float64))


def test_rows_of_one_image_have_the_same_and_no_image_is_read_without_need():
    images = np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1)
    table = pd.DataFrame({"id": list("abcd"), "t0": [0, 1, 0, 1]})
    data = replace(
        make_dataset(),
        train=Split(images, table),
        test=Split(images[:1], table[:2]),
        structure=Structure(rows_per_image=2),
    )
    assert with_image_statistics(data, ["angle"]) is data
    found = with_image_statistics(data, ["angle", "image_mean_0"])
    assert found.train.table["image_mean_0"].tolist() == [1.5, 1.5, 5.5, 5.5]
    assert found.test.table["image_max_0"].tolist() == [3, 3]
    assert list(table) == ["id", "t0"]
    packed = replace(found, train=replace(found.train, images=images[:0]))  # as a bundle holds it
    assert with_image_statistics(packed, ["image_mean_0"]).train.table.equals(found.train.table)
