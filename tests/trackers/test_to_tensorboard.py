"""Event files, read back by TensorBoard's own reader."""

import subprocess
import sys
from importlib.util import find_spec
from types import ModuleType

import pytest
from helpers.tracked import finished_run, log_all

from foldwise.trackers.to_tensorboard import TensorBoard

pytestmark = pytest.mark.skipif(find_spec("tensorboard") is None, reason="the extra `trackers` is not installed")


@pytest.fixture
def logged(settings):
    ours = settings("competition=statoil")
    run, report = finished_run(ours)
    log_all(TensorBoard(), run, report)
    return run, report


def read(folder):
    sys.modules.setdefault("tensorboard.compat.notf", ModuleType("notf"))  # else the reader imports TensorFlow
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder)).Reload()


def values(events, name):
    return [event.tensor_proto.float_val[0] for event in events.Tensors(name)]


def test_the_curves_of_each_fold_are_read_back(logged):
    run, _ = logged
    folders = sorted(path.name for path in (run.path / "tensorboard").iterdir() if path.is_dir())
    assert folders == ["fold_0", "fold_1", "fold_2", "fold_3", "fold_4"]
    events = read(run.path / "tensorboard" / "fold_3")
    assert sorted(events.Tags()["tensors"]) == ["held_out_loss", "learning_rate", "loss"]
    assert [event.step for event in events.Tensors("held_out_loss")] == [1, 2, 3]
    assert values(events, "held_out_loss") == pytest.approx([1.2, 0.9, 0.8])
    (loss, *_) = events.Tensors("loss")
    assert loss.wall_time == pytest.approx((run.fold_path(3) / "history.csv").stat().st_mtime)


def test_recipe_and_scores_are_read_back(logged):
    run, report = logged
    events = read(run.path / "tensorboard")
    assert values(events, "out_of_fold/log_loss") == pytest.approx([report["log_loss"]])
    assert values(events, "out_of_fold/log_loss_low") == pytest.approx(report["log_loss_interval"][:1])
    (text,) = events.Tensors("recipe")
    table = text.tensor_proto.string_val[0].decode()
    assert "| fit.epochs | 3 |" in table
    assert f"| folder | {run.path.resolve()} |" in table
    from tensorboard.plugins.hparams import plugin_data_pb2

    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    session = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    assert session.hparams["fit.epochs"].number_value == 3
    assert session.hparams["model"].string_value == "net"
    assert session.group_name == "net-0123"


def files(folder):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_a_run_that_is_logged_again_changes_no_file(logged):
    run, report = logged
    before = files(run.path / "tensorboard")
    assert len(before) == 6
    log_all(TensorBoard(), run, report)
    assert files(run.path / "tensorboard") == before


def test_a_fold_that_was_trained_again_replaces_its_curves(logged):
    run, _ = logged
    history = run.fold_path(0) / "history.csv"
    history.write_text(history.read_text().replace("1.2", "7.0"))
    (run.path / "run.json").unlink()
    TensorBoard().log_fit(run, 0)
    assert values(read(run.path / "tensorboard/fold_0"), "held_out_loss") == pytest.approx([7.0, 0.9, 0.8])
    assert "out_of_fold/log_loss" not in read(run.path / "tensorboard").Tags()["tensors"]  # of the fold before


def test_a_folder_of_its_own_holds_competition_and_run(settings, tmp_path):
    run, report = finished_run(settings("competition=statoil"))
    log_all(TensorBoard(tmp_path / "events"), run, report)
    assert not (run.path / "tensorboard").exists()
    assert read(tmp_path / "events/statoil/net-0123/fold_0").Tensors("loss")


def test_writing_imports_neither_tensorflow_nor_pytorch(logged):
    run, _ = logged
    program = (
        "import sys; from pathlib import Path; from foldwise.runs.store import Run; "
        "from foldwise.trackers.to_tensorboard import TensorBoard; "
        f"TensorBoard(Path({str(run.path.parent / 'other')!r})).log_fit(Run(Path({str(run.path)!r})), 0); "
        "print([one for one in ('tensorflow', 'torch', 'keras') if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
