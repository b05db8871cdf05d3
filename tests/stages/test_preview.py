"""The contact sheet of an augmentation."""

import numpy as np
from helpers.report_pages import make_data

from foldwise.data import dataset
from foldwise.settings import AugmentSettings, PreviewSettings
from foldwise.stages.preview import augmented, contact_sheet

GIVEN = PreviewSettings(images=3, views=2)


def test_each_line_has_an_image_and_its_views(tmp_path):
    data = make_data(tmp_path / "data")
    shown = augmented(data, AugmentSettings("flips"), GIVEN)
    images = data.train.images[[0, 29, 59]]
    assert shown.shape == (3, 3, 4, 4, 2)
    assert (shown[:, 0] == images).all()
    for view in shown[:, 1:].reshape(-1, 4, 4, 2):
        flips = [one[::a, ::b] for one in images for a in (1, -1) for b in (1, -1)]
        assert any((view == one).all() for one in flips)
    assert (shown == augmented(data, AugmentSettings("flips"), GIVEN)).all()
    other = augmented(data, AugmentSettings("flips"), PreviewSettings(images=3, views=2, seed=1))
    assert (shown != other).any()


def test_the_data_are_left_as_they_are(tmp_path):
    data = make_data(tmp_path / "data")
    before = np.array(data.train.images)
    augmented(data, AugmentSettings("radar", {"shift": 1}, mixup=0.4), GIVEN)
    assert (dataset.read(data.path).train.images == before).all()


def test_the_sheet_has_lines_of_cells_with_gaps(tmp_path):
    """Two bands of 4 pixels side by side are 8 wide, enlarged eight times: 64 x 32 a cell; gaps of 12 and 4."""
    data = make_data(tmp_path / "data")
    sheet = contact_sheet(data, augmented(data, AugmentSettings("none"), GIVEN))
    assert sheet.shape == (3 * 32 + 2 * 4, 3 * 64 + 12 + 4)
    assert (sheet[:32, :64] == sheet[:32, 76:140]).all()
