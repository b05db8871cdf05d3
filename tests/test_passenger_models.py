"""The models of passenger screening train on every layout of the simulated scans as its reader prepares them."""

from dataclasses import replace

import numpy as np
import pytest

from foldwise import samples
from foldwise.fit import train_fold
from foldwise.prepare import prepare
from foldwise.runs import make_recipe

SMALL = ["competition=passenger_screening", "source.n_train=12", "source.n_test=4", "source.options.scale=4"]
SMALL += ["source.options.scans_per_person=2", "competition.options.side=16"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("scans")


@pytest.mark.parametrize(
    ("layout", "model"), [("zone", "multi_view"), ("region", "region_nets"), ("scan", "whole_scan")]
)
def test_every_layout_trains_and_answers_every_zone(settings, root, layout, model):
    chosen = settings(
        *SMALL, f"competition.options.layout={layout}", f"model={model}", "fit.epochs=1", "augment=body", root=root
    )
    dataset = prepare(chosen)
    people = dataset.train.table["group"]
    held_out = people.isin(sorted(set(people))[:2]).to_numpy()
    result = train_fold(make_recipe(chosen, "data", "split"), dataset, held_out, 0)
    assert result.held_out.shape == (held_out.sum(), 1)
    assert result.test.shape == (4 * 17, 1)
    assert np.isfinite(result.held_out).all()
    # a test scan that is the mirror image of another is answered alike, zone by partner zone
    structure = samples.structure_of(dataset)
    twins = samples.mirrored({"images": dataset.test.images} | samples.beside(dataset, dataset.test, None), structure)
    table = dataset.test.table.copy()
    if layout == "zone":
        table["zone"] = twins["categories"][:, 0]
        table[[f"angle_{i}" for i in range(twins["angles"].shape[1])]] = twins["angles"]
    other = replace(dataset, test=replace(dataset.test, images=twins["images"], table=table))
    mirrored = train_fold(make_recipe(chosen, "data", "split"), other, held_out, 0).test
    partners = np.array([3, 4, 1, 2, 5, 7, 6, 10, 9, 8, 12, 11, 14, 13, 16, 15, 17]) - 1
    expected = result.test if layout == "zone" else result.test.reshape(4, 17)[:, partners].reshape(-1, 1)
    assert mirrored == pytest.approx(expected, abs=1e-5)
