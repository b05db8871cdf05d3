"""Who is on a scan: told apart by the outline of the body."""

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from foldwise import configure
from foldwise.competitions.passenger_screening import outlines, simulator
from foldwise.errors import FoldwiseError
from foldwise.stages.folds import folds
from foldwise.stages.prepare import prepare


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """30 scans of 6 people to learn from, 10 of 2 others to predict."""
    folder = tmp_path_factory.mktemp("raw")
    simulator.simulate(folder, n_train=30, n_test=10, seed=3, scale=4)
    return folder


@pytest.fixture(scope="module")
def people(raw, tmp_path_factory):
    sheet = tmp_path_factory.mktemp("work") / "new" / "people.png"
    scans = {path.stem: str(path) for path in sorted(raw.rglob("*.aps"))}
    return outlines.people(scans, sheet), sheet


def test_simulated_people_are_told_apart(raw, people):
    truth = pd.read_csv(raw / "persons.csv").set_index("scan")["person"]
    found = pd.Series(people[0])
    assert adjusted_rand_score(truth.loc[found.index], found) > 0.8
    assert not people[0].keys() - set(truth.index)


def test_the_contact_sheet_has_a_strip_for_each_person(people):
    found, sheet = people
    counts = pd.Series(found).value_counts()
    assert cv2.imread(str(sheet), cv2.IMREAD_GRAYSCALE).shape == (83 * len(counts), 64 * counts.max())


def box(width, depth, height=100):
    """A body of boxes in four views of 165 x 128, bright on dark."""
    views = np.zeros((4, 165, 128), np.float32)
    for view, w in zip(views, (width, depth, width, depth), strict=True):
        view[150 - height : 150, 64 - w // 2 : 64 + w // 2] = 100
    return views


def test_an_outline_is_the_widths_of_the_body():
    widths = outlines.outline(box(40, 20))
    assert widths.shape == (330,)
    np.testing.assert_allclose(widths[60:140], 40, atol=4)  # from the front; the blur widens it by 2 on each side
    np.testing.assert_allclose(widths[165 + 60 : 165 + 140], 20, atol=4)  # from the side
    assert not widths[:40].any()


def test_an_outline_does_not_depend_on_brightness_or_size():
    large = np.repeat(np.repeat(box(40, 20), 2, axis=1), 2, axis=2) * 50
    inside = slice(60, 140)
    np.testing.assert_allclose(outlines.outline(large)[inside], outlines.outline(box(40, 20))[inside], atol=4)


def test_three_people_of_four_scans_are_three_clusters():
    rng = np.random.default_rng(0)
    found = outlines.clusters(np.repeat(np.eye(3, 5) * 10, 4, axis=0) + rng.normal(0, 0.1, (12, 5)))
    assert adjusted_rand_score(np.repeat([0, 1, 2], 4), found) == 1


def test_scans_that_are_all_alike_are_one_person():
    assert outlines.clusters(np.ones((6, 4))).tolist() == [0] * 6


def test_too_few_scans_are_refused():
    with pytest.raises(FoldwiseError, match=r"groups=auto: 3 scans are too few"):
        outlines.clusters(np.eye(3))


def test_a_scan_that_cannot_be_read_is_a_person_of_its_own(raw, tmp_path):
    scans = {path.stem: str(path) for path in sorted(raw.rglob("*.aps"))[:20]}
    broken = tmp_path / "broken.aps"
    broken.write_bytes(b"no scan")
    assert outlines.people(scans | {"broken": str(broken)}, tmp_path / "people.png")["broken"] == "broken"


@pytest.mark.parametrize("groups", ["auto", "scan", "persons"])
def test_no_fold_shares_a_group(raw, tmp_path, caplog, groups):
    caplog.set_level("WARNING")
    settings = configure(
        f"root={tmp_path}",
        "competition=passenger_screening",
        "source=kaggle",
        f"competition.options.groups={groups}",
        "competition.options.side=8",
    )
    settings.raw_dir.parent.mkdir(parents=True)
    settings.raw_dir.symlink_to(raw)
    dataset = prepare(settings)
    table = folds(settings).merge(dataset.train.table, on="id")
    assert settings.split.kind == "stratified_group"
    assert (table.groupby("group")["fold"].nunique() == 1).all()
    assert (table.groupby("scan")["fold"].nunique() == 1).all()
    assert ("the score is optimistic" in caplog.text) == (groups == "scan")
    assert (dataset.path / "people.png").is_file() == (groups == "auto")
    assert table["group"].nunique() == {"scan": 30, "persons": 6}.get(groups, table["group"].nunique())
