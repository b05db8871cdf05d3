"""One row for each image, and what a model gets along with it."""

import numpy as np
import pytest
from helpers.bodies import N_ZONES, scan_data, zone_data

from foldwise.data import batch
from foldwise.errors import FoldwiseError


def test_one_row_an_image_keeps_what_counts_the_rows_of_an_image():
    dataset = scan_data(n_scans=2)
    whole = batch.by_image(dataset).structure
    assert (whole.rows_per_image, whole.categories) == (1, {})
    assert whole.mirror == dataset.structure.mirror
    assert whole.regions == dataset.structure.regions


def test_categories_that_tell_the_rows_of_an_image_apart_are_no_inputs():
    assert batch.structure_of(scan_data()).categories == {}
    assert set(batch.side_inputs(scan_data(), scan_data().test, None)) == set()
    inputs = batch.side_inputs(zone_data(n_scans=1), zone_data(n_scans=1).train, np.ones((3, 2)))
    assert inputs["categories"].tolist() == [[1], [2], [3]]
    assert sorted(inputs) == ["angles", "auxiliary", "categories"]
    assert batch.structure_of(zone_data()).categories == {"zone": N_ZONES}


def test_slots_without_an_angle_are_empty():
    assert batch.present({"angles": np.float32([[0, np.nan]])}).tolist() == [[True, False]]
    assert batch.present({"auxiliary": np.ones((1, 2))}) is None


def test_images_of_a_fold():
    assert batch.images_of(np.array([True, True, False, False, True, True]), 2).tolist() == [True, False, True]
    with pytest.raises(FoldwiseError, match=r"holds 1 of the 3 rows of image 1; .* split=stratified_group"):
        batch.images_of(np.array([True, True, True, False, True, False]), 3)
