"""The models of passenger screening train on every layout of the simulated scans as its reader prepares them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from foldwise.data import batch
from foldwise.data.dataset import Split
from foldwise.data.structure import mirrored
from foldwise.runs.recipe import make_recipe
from foldwise.stages.prepare import prepare
from foldwise.training.fit import train_fold

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
    # the test scans, and behind them their mirror images, which must be answered alike, zone by partner zone
    structure, test = batch.structure_of(dataset), dataset.test
    twins = mirrored({"images": test.images} | batch.side_inputs(dataset, test, None), structure)
    table = test.table.copy()
    if layout == "zone":
        table["zone"] = twins["categories"][:, 0]
        table[[f"angle_{i}" for i in range(twins["angles"].shape[1])]] = twins["angles"]
    images = np.concatenate([test.images, twins["images"]])
    both = replace(dataset, test=Split(images, pd.concat([test.table, table], ignore_index=True)))
    result = train_fold(make_recipe(chosen, "data", "split"), both, held_out, 0)
    assert result.held_out.shape == (held_out.sum(), 1)
    assert np.isfinite(result.held_out).all()
    answers, of_twins = result.test.reshape(2, 4, 17)
    partners = np.array([3, 4, 1, 2, 5, 7, 6, 10, 9, 8, 12, 11, 14, 13, 16, 15, 17]) - 1
    assert of_twins == pytest.approx(answers if layout == "zone" else answers[:, partners], abs=1e-5)
    assert np.ptp(answers) > 0.001
