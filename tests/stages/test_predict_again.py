"""`foldwise predict` answers the original test data of each competition as the submission did, bit for bit."""

from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from helpers.pool import PoolHere
from pydicom.data import get_testdata_file

from foldwise.__main__ import main

SMALL = "model.options.filters=[4]"
SERIES = """\
name: series
reader: folder
options: {task: binary, images: series, slices: 4, side: 8, depth: 8, channels: grey, label_columns: [bleeds]}
"""
STATOIL = ("competition=statoil", "source.n_train=60", "source.n_test=24")
DIGITS = ("competition=digits_8x8", "source.n_train=60", "source.n_test=20")
UNCHECKED = ("ensemble.options.checked=false", "ensemble.options.columns=[image_mean_0,image_max_1]")
SCANS = ("competition=passenger_screening", "source.n_train=10", "source.n_test=4", "competition.options.side=16")


@pytest.fixture
def done(monkeypatch):
    """The names of the tasks that were done, in this process."""
    monkeypatch.setattr("foldwise.execution.executors.LocalPool", PoolHere)
    monkeypatch.setattr(PoolHere, "done", [])
    return PoolHere.done


def write_series(raw: Path) -> None:
    """DICOM series of 3 to 6 slices, as a competition ships them."""
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
    rng, ids = np.random.default_rng(0), [f"1.2.826.{i}" for i in range(32)]
    for i, id_ in enumerate(ids):
        (raw / "series" / id_).mkdir(parents=True)
        for j in range(3 + i % 4):
            pixels = rng.integers(0, 1000, (16, 16)) + 800 * (i % 2)
            dataset.PixelData, dataset.Rows, dataset.Columns = pixels.astype(np.int16).tobytes(), 16, 16
            dataset.ImagePositionPatient = [0, 0, 5 * j]
            dataset.save_as(raw / "series" / id_ / f"{rng.integers(10**6):06}.dcm")
    labelled = pd.DataFrame({"id": ids[:24], "bleeds": [i % 2 for i in range(24)]})
    labelled.to_csv(raw / "train.csv", index=False)
    pd.DataFrame({"id": ids[24:], "bleeds": 0.5}).to_csv(raw / "sample_submission.csv", index=False)


@pytest.mark.slow
@pytest.mark.trains
@pytest.mark.parametrize(
    ("data", "train", "ensemble", "n_fits"),
    [
        # the second level looks at rows of like incidence angle, new ones among them, and at their images
        (STATOIL, ["model=logistic_regression"], ["ensemble=neighbours", *UNCHECKED], 2),
        # the model without weight need not predict
        (DIGITS, ["-m", "model=logistic_regression,mlp"], ["ensemble=single"], 2),
        (SCANS, ["model=multi_view", "model.options.backbone_options.filters=[4]"], ["ensemble=mean"], 2),
        (
            ("competition=series", "source=kaggle"),
            ["model=multi_view", "model.options.backbone_options.filters=[4]"],
            ["ensemble=mean"],
            2,
        ),
    ],
    ids=["statoil", "digits", "scans", "series"],
)
def test_the_original_test_data_get_the_same_submission(data, train, ensemble, n_fits, done, tmp_path):
    (tmp_path / "conf" / "competition").mkdir(parents=True)
    (tmp_path / "conf" / "competition" / "series.yaml").write_text(SERIES)
    name = data[0].partition("=")[2]
    raw = tmp_path / "data" / "raw" / name
    if name == "series":
        write_series(raw)
    words = ["--config-dir", str(tmp_path / "conf"), *data, f"root={tmp_path}"]
    assert main(["train", *train, *words, "fit.epochs=1", "split.n_folds=2"]) == 0
    assert main(["ensemble", *words, *ensemble, "split.n_folds=2"]) == 0
    files = sorted((tmp_path / "submissions").glob("*.csv"))  # probabilities too, where the host wants labels
    done.clear()
    assert main(["predict", *words, f"raw={raw}"]) == 0
    assert len(done) == n_fits
    again = sorted(set((tmp_path / "submissions").glob("*.csv")) - set(files))
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in files]
    assert len(pd.read_csv(files[0])) > 7
