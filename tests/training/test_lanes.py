"""A lane among others is the lane alone, and both are the plain training."""

import os
import signal
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
from helpers import in_lanes
from helpers.in_lanes import CASES
from helpers.shared import made_once


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    if find_spec("jax") is None:
        pytest.skip("jax is not installed")

    def make(folder):
        command = [sys.executable, in_lanes.__file__, str(folder)]
        # compiling takes most of the time; what is compared is computed in one process
        quick = {"XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | quick)
        assert done.returncode == -signal.SIGKILL, done.stderr

    return made_once(tmp_path_factory, "lanes", make)


@pytest.fixture(scope="module")
def computed(folder):
    return dict(np.load(folder / "computed.npz"))


@pytest.mark.parametrize("case", [*CASES, "noise"])
def test_a_lane_among_others_predicts_as_alone(case, computed):
    assert computed[f"{case}: together"] == pytest.approx(computed[f"{case}: alone"], abs=1e-5)
    assert computed[f"{case}: seeds differ"]


@pytest.mark.parametrize("case", CASES)
def test_a_lane_is_the_plain_training(case, computed):
    mean = computed[f"{case}: together"].mean(axis=0)
    assert mean == pytest.approx(computed[f"{case}: plain"], abs=1e-5)
    for what in ("losses", "rates"):
        lane, plain = computed[f"{case}: {what}"]
        assert lane == pytest.approx(plain, abs=1e-5)


def test_held_out_rows_enter_no_lane(computed):
    honest, misled = computed["leak"]
    assert np.isfinite(honest).all()
    assert (honest == misled).all()


def test_folds_that_train_together_write_their_folders(folder):
    written = {path.parent.name + " " + path.name for path in folder.glob("runs/*/*") if path.is_dir()}
    assert sorted(name.split()[1] for name in written) == ["fold_0"] * 3 + ["fold_1"] * 3 + ["refit"]
    for fold in folder.glob("runs/*/*/"):
        assert len(pd.read_parquet(fold / "test.parquet")) == 8
        seeds = pd.read_csv(fold / "history.csv")["seed"].nunique()
        assert len(list(fold.glob("*.weights.h5"))) == seeds
    reports = (folder / "reports.txt").read_text().splitlines()
    assert (
        reports[0] == "images 240"
    )  # 2 epochs: 12 images of five folds, one with two seeds, and 24 of the refit with two
    assert reports[-1].startswith("done")


def test_a_kill_among_lanes_loses_those_alone_that_had_no_folder(folder):
    """Two lanes train at a time; the process was killed when it renamed the second folder."""
    (first,) = [path for path in folder.glob("killed/*/*") if path.is_dir() and path.name[0] != "."]
    undisturbed = folder / "runs" / first.relative_to(folder / "killed")
    for name in ("held_out.parquet", "test.parquet"):
        pd.testing.assert_frame_equal(
            pd.read_parquet(first / name), pd.read_parquet(undisturbed / name), check_exact=False, atol=1e-5, rtol=0
        )
