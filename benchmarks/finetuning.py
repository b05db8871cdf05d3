"""Fine-tuning: modes x data from ImageNet's weights and from random ones; features once; against plain Keras by hand.

EfficientNet-Lite0, whose weights a package carries, on three kinds of images: handwritten digits, faces, and radar
chips of ships (where the file is given: FOLDWISE_CHIPS=opensarship_75x75.json.gz, Statoil's format). All runs of one
kind share folds, epochs and schedule. A pair is compared row by row: the mean difference of the out-of-fold losses
with a bootstrap interval over rows. "random, all" may adapt its BatchNorm, which suits it: frozen statistics of
random weights say nothing.

`features once`: five folds of a head of 20 epochs against a Keras loop whose backbone is frozen and runs in every
epoch. All epochs cost the loop the same, so some are measured and the rest is counted from them, which is said.
`by hand`: the same net, weights, epochs and schedule as a script that trains the head and then everything at one
rate; beside it foldwise's own `finetune=all`, whose head keeps its rate of ten times that.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import child, clocks, elapsed, table

DATA = {
    "faces": ["competition=faces", "source.n_train=150", "source.n_test=50"],
    "radar": ["competition=statoil", "source=kaggle", "model.options.values=[-40,5]", "model.options.bands=difference"],
    "digits": ["competition=digit_recognizer", "source.n_train=200", "source.n_test=40"],
}
FOLDS_BY_HAND = 2
MODES = ("head", "last_block", "all")
NET = ["model=efficientnet_lite0", "model.options.dropout=0.2", "fit.batch_size=16", "fit.learning_rate=3e-3"]


def run(quick: bool) -> None:
    """Print the table of modes, the ratio of features once, and the match with a loop by hand."""
    parts = os.environ.get("FOLDWISE_PARTS", "modes,features,by_hand").split(",")
    kept = os.environ.get("FOLDWISE_ROOT")  # a folder that keeps the runs: the same command goes on from there
    with contextlib.nullcontext(kept) if kept else tempfile.TemporaryDirectory() as root:
        if "modes" in parts:
            modes(root, quick)
        if "features" in parts:
            features_once(root, quick)
        if "by_hand" in parts:
            by_hand(root, quick)


def modes(root: str, quick: bool) -> None:
    """Train every mode from both weights on every kind of data, as long as both."""
    from foldwise.data.folds import read_folds
    from foldwise.runs.store import fold_reports
    from foldwise.scoring.compare_runs import difference
    from foldwise.stages.prepare import prepare
    from foldwise.stages.train import train_all

    epochs, side = (2, 32) if quick else (6, 64)
    rows = []
    for kind in DATA:
        if kind == "radar" and not radar_files(Path(root)):
            continue
        asked = {
            (mode, weights): settings_of(root, kind, str(side), *words_of(mode, weights, epochs))
            for mode in MODES
            for weights in ("imagenet", "null")
        }
        runs = dict(zip(asked, train_all(list(asked.values())), strict=True))
        for mode in MODES:
            losses, cells = {}, []
            for weights in ("imagenet", "null"):
                settings, run = asked[mode, weights], runs[mode, weights]
                data = prepare(settings)
                losses[weights] = row_losses(run, data, read_folds(data, settings.split))
                seconds = sum(one["seconds"] for one in fold_reports(run))
                cells += [f"{run.report['log_loss']:.3f}", f"{seconds:.0f}"]
            gap = difference(losses["imagenet"], losses["null"])
            low, high = gap["interval"]
            rows.append([kind, mode, *cells, f"{gap['difference']:+.3f} ({low:+.3f} to {high:+.3f})"])
            print("  ", rows[-1], flush=True)
    table(["data", "mode", "imagenet", "s", "random", "s", "imagenet - random, 95 %"], rows)


def words_of(mode: str, weights: str, epochs: int) -> list[str]:
    """Return the words of one run; what is tuned from random weights has the recipe that suits these."""
    words = [f"model.options.weights={weights}", f"finetune={mode}", f"fit.epochs={epochs}", "split.n_folds=3"]
    if mode != "head":
        words += [f"finetune.head_epochs={epochs // 3}"]
        if weights == "null":
            words += ["finetune.batch_norm=tuned", "finetune.backbone_rate=1", "finetune.layer_decay=1"]
    return words


def row_losses(finished: Any, data: Any, folds: Any) -> np.ndarray:
    """The out-of-fold loss of every training row."""
    from foldwise.runs import store
    from foldwise.scoring import metrics

    predicted = store.out_of_fold(finished, folds, data.train.table["id"], data.targets)
    return metrics.row_losses(data.labels, predicted, data.task)


def radar_files(root: Path) -> bool:
    """Lay the radar chips out as the host's files; False where there are none."""
    named = os.environ.get("FOLDWISE_CHIPS")
    if not named:
        print("  radar is left out: FOLDWISE_CHIPS names no file")
        return False
    chips = json.loads(gzip.decompress(Path(named).read_bytes()))
    raw = root / "data" / "raw" / "statoil"
    raw.mkdir(parents=True, exist_ok=True)
    keys = ("id", "band_1", "band_2", "inc_angle")
    records = [{k: one[k] for k in keys} | {"is_iceberg": int(one["ship_type"] == "Cargo")} for one in chips]
    # a competition has test rows; only the training rows are scored here
    test = [{k: one[k] for k in keys} | {"id": f"test{number}"} for number, one in enumerate(chips[:10])]
    (raw / "train.json").write_text(json.dumps(records))
    (raw / "test.json").write_text(json.dumps(test))
    lines = ["id,is_iceberg", *(f"{one['id']},0.5" for one in test)]
    (raw / "sample_submission.csv").write_text("\r\n".join(lines) + "\r\n")
    return True


def features_once(root: str, quick: bool) -> None:
    """Compare five folds of a head of 20 epochs with the Keras loop."""
    n, side, measured = (40, 32, 1) if quick else (1500, 224, 1)
    ours = child(__name__, "head", root, str(n), str(side))
    said = child(__name__, "loop_head", root, str(n), str(side), str(measured), TF_CPP_MIN_LOG_LEVEL="3").said
    loop = [
        start + 5 * (20 * epoch + predict)
        for start, epoch, predict in zip(said["start"], said["epoch"], said["predict"], strict=True)
    ]
    print(
        f"  features once: {n} digits at {side} pixels, 5 folds, 20 epochs; of the loop {measured} epochs of one fold"
    )
    print(
        f"  were measured, {said['epoch'][0]:.1f} s each ({said['epoch'][1]:.1f} s of CPU), and all counted from them"
    )
    rows = [
        ["foldwise", f"{ours.seconds:.0f}", f"{ours.cpu_seconds:.0f}"],
        ["Keras, counted", f"{loop[0]:.0f}", f"{loop[1]:.0f}"],
        ["times", f"{loop[0] / ours.seconds:.1f}", f"{loop[1] / ours.cpu_seconds:.1f}"],
    ]
    table(["", "s", "s of CPU"], rows)


def by_hand(root: str, quick: bool) -> None:
    """Compare fine-tuning of everything with the script that its author would write."""
    side, epochs = (32, 2) if quick else (64, 6)
    arguments = (root, str(side), str(epochs))
    same = ("finetune.head_rate=0.1", "finetune.layer_decay=1", "fit.weight_decay=0")
    ours = child(__name__, "all", *arguments, *same)
    default = child(__name__, "all", *arguments)
    hand = child(__name__, "loop_all", *arguments, TF_CPP_MIN_LOG_LEVEL="3", TF_ENABLE_ONEDNN_OPTS="1")
    print(f"  by hand: faces, {FOLDS_BY_HAND} folds, {epochs} epochs, a third of them the head alone")
    rows = [
        [name, f"{m.said['log_loss']:.4f}", f"{m.seconds:.0f}", f"{m.cpu_seconds:.0f}"]
        for name, m in (("foldwise", ours), ("foldwise, its own rates", default), ("Keras", hand))
    ]
    table(["", "log loss", "s", "s of CPU"], rows)
    times = [f"{hand.seconds / ours.seconds:.2f}", f"{hand.cpu_seconds / ours.cpu_seconds:.2f}"]
    print(f"  foldwise is {times[0]} times as fast, and {times[1]} times by CPU")


def settings_of(root: str, kind: str, side: str, *more: str) -> Any:
    """Compose the settings of one run."""
    from foldwise.config.compose import compose_all

    size = [f"model.options.side={side}", "model.options.dropout=0"]
    return next(compose_all([f"root={root}", *DATA[kind], *NET, *size, *more]))


def head(root: str, n: str, side: str) -> dict[str, Any]:
    """Train heads as foldwise does."""
    from foldwise.stages.train import train

    more = [f"source.n_train={n}", "finetune=head", "fit.epochs=20"]
    return {"log_loss": train(settings_of(root, "digits", side, *more)).report["log_loss"]}


def tune_all(root: str, side: str, epochs: str, *rates: str) -> dict[str, Any]:
    """Train everything as foldwise does."""
    from foldwise.stages.train import train

    more = [
        "finetune=all",
        f"fit.epochs={epochs}",
        f"finetune.head_epochs={int(epochs) // 3}",
        f"split.n_folds={FOLDS_BY_HAND}",
        *rates,
    ]
    return {"log_loss": train(settings_of(root, "faces", side, *more)).report["log_loss"]}


def _arrays(settings: Any) -> tuple[Any, ...]:
    """The images as a script has them: resized to three channels, in memory; the labels, and foldwise's folds."""
    import tensorflow as tf

    from foldwise.data.folds import read_folds
    from foldwise.stages.prepare import prepare

    data = prepare(settings)
    side = settings.model.options["side"]
    images = np.repeat(np.asarray(data.train.images, np.float32), 3, axis=3)
    folds = read_folds(data, settings.split).set_index("id").loc[data.train.table["id"]]["fold"].to_numpy()
    return (tf.image.resize(images, (side, side), antialias=True).numpy() - 127) / 128, data.labels, folds


def _net(side: int, n_outputs: int) -> tuple[Any, Any]:
    """The same backbone and weights, and a head."""
    import importlib

    import keras

    from foldwise.models.pretrained.checkpoints import read_checkpoint
    from foldwise.models.pretrained.fetch import fetch_weights
    from foldwise.models.pretrained.load import load_tensors

    lite = importlib.import_module("foldwise.models.pretrained.efficientnet_lite0")
    backbone = lite._trunk((side, side, 3))
    load_tensors(backbone, read_checkpoint(fetch_weights("efficientnet_lite0")), lite.timm_name, "lite0")
    inputs = keras.Input((side, side, 3))
    x = keras.layers.GlobalAveragePooling2D()(backbone(inputs, training=False))
    activation = "sigmoid" if n_outputs == 1 else "softmax"
    return backbone, keras.Model(inputs, keras.layers.Dense(n_outputs, activation=activation)(x))


def loop_head(root: str, n: str, side: str, measured: str) -> dict[str, Any]:
    """Time the frozen Keras loop by both clocks: its start, an epoch after the first, and the prediction."""
    began = clocks()
    settings = settings_of(root, "digits", side, f"source.n_train={n}")
    images, labels, folds = _arrays(settings)
    backbone, model = _net(int(side), 10)
    backbone.trainable = False
    model.compile("adam", "categorical_crossentropy")
    fit, rest = folds != 0, folds == 0
    model.fit(images[fit][:32], labels[fit][:32], batch_size=16, epochs=1, verbose=0)  # traces the step
    start = elapsed(began)
    began = clocks()
    model.fit(images[fit], labels[fit], batch_size=16, epochs=int(measured), verbose=0)
    epoch = [seconds / int(measured) for seconds in elapsed(began)]
    began = clocks()
    model.predict(images[rest], batch_size=32, verbose=0)
    return {"start": start, "epoch": epoch, "predict": elapsed(began)}


def loop_all(root: str, side: str, epochs: str) -> dict[str, Any]:
    """Fine-tune by hand: the head for a third of the epochs, then all at a tenth of the rate, BatchNorm frozen."""
    import keras

    settings = settings_of(root, "faces", side, f"split.n_folds={FOLDS_BY_HAND}")
    images, labels, folds = _arrays(settings)
    first, losses = int(epochs) // 3, np.zeros(len(labels))
    for fold in range(FOLDS_BY_HAND):
        keras.utils.set_random_seed(fold)
        fit, rest = folds != fold, folds == fold
        backbone, model = _net(int(side), 1)
        for trains, n_epochs, rate in ((False, first, 3e-3), (True, int(epochs) - first, 3e-4)):
            backbone.trainable = trains
            for layer in backbone.layers:  # as Keras' guide to EfficientNet advises
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.trainable = False
            steps = n_epochs * -(-int(fit.sum()) // 16)
            schedule = keras.optimizers.schedules.CosineDecay(rate, max(steps, 1))
            model.compile(keras.optimizers.AdamW(schedule, weight_decay=0.0), "binary_crossentropy")
            model.fit(images[fit], labels[fit], batch_size=16, epochs=n_epochs, verbose=0)
        p = np.clip(model.predict(images[rest], verbose=0)[:, 0].astype(float), 1e-7, 1 - 1e-7)
        y = labels[rest, 0]
        losses[rest] = -(y * np.log(p) + (1 - y) * np.log(1 - p))
    return {"log_loss": float(losses.mean())}


if __name__ == "__main__":
    function = {"head": head, "all": tune_all, "loop_head": loop_head, "loop_all": loop_all}[sys.argv[1]]
    print(json.dumps(function(*sys.argv[2:])))
