"""Any builder becomes a model of several views; views that are missing change nothing, rows keep their order."""

import keras
import numpy as np
import pytest
from helpers.bodies import ANGLES, N_VIEWS, N_ZONES, SIDE, held_out, recipe, scan_data, zone_data
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from foldwise import models
from foldwise.augment.training_rows import TrainingRows
from foldwise.config.check import checked_options
from foldwise.data import batch
from foldwise.data.dataset import Dataset
from foldwise.data.structure import Structure
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.models import introspect, view_layers
from foldwise.models.multi_view import _build_backbone
from foldwise.plugins import public_functions
from foldwise.runs.recipe import make_recipe
from foldwise.settings import AugmentSettings
from foldwise.training import fit
from foldwise.training.batches import Batches
from foldwise.training.build import build_model
from foldwise.training.predict import Predictor

BACKBONES = sorted(
    name for name, builder in public_functions("models").items() if "backbone" not in checked_options(builder, {}, "")
)
SMALL = ["logistic_regression", "mlp", "small_cnn"]  # the pretrained ones share a way in, which one of them stands for
FUSIONS = ["concat", "max", "mean", "attention"]
STRUCTURE = Structure(1, {"zone": 17}, angles=True)


def build(backbone="small_cnn", fusion="concat", structure=STRUCTURE, n_outputs=1, shape=(4, 32, 32, 1), **options):
    plain = {"small_cnn": {"batch_norm_input": False, "dense_dropout": 0.0}, "mlp": {"dropout": 0.0}}
    options["backbone_options"] = plain.get(backbone, {}) | options.get("backbone_options", {})
    model = models.multi_view(shape, n_outputs, structure, backbone=backbone, fusion=fusion, **options)
    for scale in introspect.layers_named(model, "scale"):  # as fit.set_scale does
        scale.adapt_mean.assign([50.0])
        scale.adapt_variance.assign([400.0])
        scale.finalize_state()
    return model


def sample_inputs(n=5, shape=(4, 32, 32, 1), seed=0):
    rng = np.random.default_rng(seed)
    images = rng.uniform(0, 100, size=(n, *shape)).astype(np.float32)
    angles = np.tile(np.float32([0, 22.5, 45, 337.5]), (n, 1))
    angles[0, 1] = angles[1, [0, 3]] = angles[2, 2] = np.nan
    return images, angles, rng.integers(1, 18, size=(n, 1)).astype(np.int32)


@pytest.mark.parametrize(
    ("backbone", "fusion"),
    [("small_cnn", fusion) for fusion in FUSIONS]
    + [("mlp", "concat"), ("mlp", "mean"), ("logistic_regression", "concat"), ("efficientnet_lite0", "concat")],
)
def test_any_builder_becomes_one_of_many_views(backbone, fusion):
    pretrained = backbone not in SMALL
    model = build(backbone, fusion, backbone_options={"weights": "imagenet", "side": 64} if pretrained else {})
    images, angles, zones = sample_inputs()
    logits = np.asarray(model([images, angles, zones], training=False))
    assert logits.shape == (5, 1)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()
    assert introspect.input_names(model) == ["images", "angles", "categories"]
    assert [layer.name for layer in introspect.layers_named(model, "scale")] == ([] if pretrained else ["scale"])
    garbage = np.where(np.isfinite(angles)[..., None, None, None], images, 1e6).astype(np.float32)
    assert np.array_equal(np.asarray(model([garbage, angles, zones], training=False)), logits)
    seen = images.copy()
    seen[:, 0, 6:18, 6:18] += 90  # slot 0 of sample 1 is empty, of the others it is not
    changed = (np.asarray(model([seen, angles, zones], training=False)) != logits)[:, 0]
    assert changed.tolist() == [True, False, True, True, True]
    other_zones = zones % 17 + 1
    assert (np.asarray(model([images, angles, other_zones], training=False)) != logits).all()


@pytest.mark.parametrize(("as_map", "shape"), [(True, (2, 2, 1280)), (False, (1280,))])
def test_a_pretrained_network_gives_its_map_or_its_features(as_map, shape):
    net = _build_backbone("efficientnet_lite0", (32, 32, 1), {"weights": None, "side": 64}, as_map)
    assert net.output.shape[1:] == shape


@pytest.mark.parametrize("fusion", FUSIONS)
def test_an_empty_slot_does_not_touch_the_statistics_of_a_batch(fusion):
    model = build(fusion=fusion, dropout=0.0)
    images, angles, zones = sample_inputs()
    garbage = np.where(np.isfinite(angles)[..., None, None, None], images, 1e6).astype(np.float32)
    first = np.asarray(model([images, angles, zones], training=True))
    assert np.array_equal(np.asarray(model([garbage, angles, zones], training=True)), first)
    seen = np.where(np.isfinite(angles)[..., None, None, None], 100 - images, 0).astype(np.float32)
    assert (np.asarray(model([seen, angles, zones], training=True)) != first).all()


@pytest.mark.parametrize("fusion", ["max", "mean", "attention"])
def test_without_places_the_order_of_views_and_empty_slots_do_not_matter(fusion):
    model = build(fusion=fusion)
    images, angles, zones = sample_inputs()
    logits = np.asarray(model([images, angles, zones], training=False))
    order = [2, 0, 3, 1]
    assert np.asarray(model([images[:, order], angles[:, order], zones], training=False)) == pytest.approx(
        logits, abs=1e-5
    )


def test_a_view_that_is_shown_twice_weighs_twice_in_the_mean():
    model = build("mlp", "mean", dense=(), dropout=0.0, embedding=0)
    images = sample_inputs()[0][:1]
    images[0, 2], nothing = images[0, 0], np.nan

    def logit(*angles):
        return float(np.asarray(model([images, np.float32([angles])], training=False))[0, 0])

    alone, other = logit(90, nothing, nothing, nothing), logit(nothing, 90, nothing, nothing)
    assert logit(90, 90, nothing, nothing) == pytest.approx((alone + other) / 2, abs=1e-5)
    assert logit(90, 90, 90, nothing) == pytest.approx((2 * alone + other) / 3, abs=1e-5)


VIEWS = arrays(np.float32, (3, 4, 2), elements=st.floats(-9, 9, width=16))
PRESENT = arrays(bool, (3, 4))


@given(VIEWS, PRESENT)
def test_fusions_are_those_of_the_present_views(features, there):
    present = there[..., None].astype(np.float32)
    scores = features[..., :1]
    fused = {
        "mean": view_layers.mean(features, present),
        "max": view_layers.maximum(features, present),
        "attention": view_layers.attention(features, present, scores),
    }
    for i in range(3):
        shown = features[i][there[i]]
        if not len(shown):
            assert all((np.asarray(values)[i] == 0).all() for values in fused.values())
            continue
        weights = np.exp(shown[:, :1] - shown[:, :1].max())
        assert np.asarray(fused["mean"])[i] == pytest.approx(shown.mean(axis=0), abs=1e-5)
        assert np.asarray(fused["max"])[i] == pytest.approx(shown.max(axis=0), abs=1e-5)
        expected = (weights * shown).sum(axis=0) / weights.sum()
        assert np.asarray(fused["attention"])[i] == pytest.approx(expected, abs=1e-4)


def test_views_are_taken_and_put_back_by_hand():
    images = np.arange(12, dtype=np.float32).reshape(2, 3, 1, 2, 1)
    angles = np.float32([[0, np.nan, 90], [np.nan, 180, np.nan]])
    taken = np.asarray(view_layers.TakePresent()(images, angles))
    assert taken[:, 0, :, 0].tolist() == [[0, 1], [4, 5], [8, 9]]
    back = np.asarray(view_layers.PutBack()(taken[:, 0, :, 0], angles))
    assert back.tolist() == [[[0, 1], [0, 0], [4, 5]], [[0, 0], [8, 9], [0, 0]]]
    nothing = np.full((2, 3), np.nan, np.float32)
    taken = np.asarray(view_layers.TakePresent()(images, nothing))
    assert taken[:, 0, :, 0].tolist() == [[0, 1]]  # for the layers' sake, and
    assert not np.asarray(view_layers.PutBack()(taken[:, 0, :, 0], nothing)).any()  # put nowhere
    encoded = np.asarray(view_layers.EncodeAngles()(angles))
    assert encoded[0] == pytest.approx(np.array([[0, 1, 1], [0, 0, 0], [1, 0, 1]]), abs=1e-6)


def test_weights_by_hand():
    options = {"filters": (8, 16), "batch_norm": False, "batch_norm_input": False}
    model = build(backbone_options=options, fusion_width=4, dense=(5,), pooling="mean", n_outputs=17)
    # convolutions 3*3*1*8 + 8 and 3*3*8*16 + 16; 1x1: 4 views * 16 * 4, batch norm 2*4; zones 18*8;
    # head (4 + 4*3 angles + 8 zone) * 5 + 5; 5*17 + 17
    expected = (80 + 1168) + (256 + 8) + 144 + (24 * 5 + 5) + (5 * 17 + 17)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == expected


@pytest.mark.parametrize(("fusion", "dtype"), zip(FUSIONS, [np.uint8, np.float16] * 2, strict=True))
def test_every_fusion_learns(fusion, dtype):
    dataset = zone_data(dtype=dtype)
    result = fit.train_fold(recipe(options={"fusion": fusion}, epochs=14), dataset, held_out(dataset), 0)
    truth = dataset.test.table[["threat"]].to_numpy()
    assert ((result.test > 0.5) == truth).mean() > 0.9
    assert result.held_out.shape == (held_out(dataset).sum(), 1)


@pytest.mark.parametrize("model", ["whole_scan", "region_nets"])
def test_one_image_answers_several_rows_in_their_order(model):
    dataset = scan_data()
    mask = held_out(dataset)
    result = fit.train_fold(recipe(model, epochs=30), dataset, mask, 0)
    assert (result.held_out.shape, result.test.shape) == ((mask.sum(), 1), (12, 1))
    for predicted, table in ((result.test, dataset.test.table), (result.held_out, dataset.train.table[mask])):
        assert ((predicted[:, 0] > 0.5) == table["threat"].to_numpy()).mean() > 0.9


def test_region_nets_put_the_outputs_of_regions_where_they_belong():
    dataset = scan_data()
    model = build_model(recipe("region_nets"), dataset)
    images = dataset.train.images[:3].astype(np.float32)
    logits = np.asarray(model(images, training=False))
    arms = np.asarray(model.get_layer("region_both_arms")(images, training=False))
    legs = np.asarray(model.get_layer("region_legs")(images[:, [1, 2]], training=False))
    assert np.array_equal(logits, np.column_stack([arms[:, 1], arms[:, 0], legs[:, 0]]))
    images[:, [0, 3]] += 9  # views that the legs do not see
    changed = np.asarray(model(images, training=False)) != logits
    assert changed[:, :2].all()
    assert not changed[:, 2].any()
    assert len(introspect.layers_named(model, "scale")) == 2
    with pytest.raises(ConfigError, match="the data have no regions"):
        build_model(recipe("region_nets"), scan_data(regions=False))


def test_a_fold_that_cuts_an_image_is_refused():
    dataset = scan_data()
    mask = held_out(dataset)
    mask[1] = False
    with pytest.raises(FoldwiseError, match=r"holds 2 of the 3 rows of image 0; .* split=stratified_group"):
        fit.train_fold(recipe("whole_scan"), dataset, mask, 0)


def test_several_rows_of_a_multiclass_task_are_refused():
    dataset = scan_data()
    dataset.task = "multiclass"
    with pytest.raises(FoldwiseError, match="3 rows of a multiclass task"):
        batch.by_image(dataset)


def test_rows_of_an_image_become_its_targets():
    dataset = scan_data(n_scans=2)
    whole = batch.by_image(dataset)
    assert whole.targets == ["threat_0", "threat_1", "threat_2"]
    assert whole.task == "multilabel"
    assert whole.labels.tolist() == dataset.labels.reshape(2, 3).tolist()
    assert whole.train.table["id"].tolist() == ["s0_Zone1", "s1_Zone1"]
    assert batch.by_image(whole) is whole


def test_empty_slots_do_not_count_in_the_scale():
    dataset = zone_data()
    mask = held_out(dataset)
    model = fit.train_fold(recipe(epochs=1), dataset, mask, 0).models[0].loaded()
    (scale,) = introspect.layers_named(model, "scale")
    there = batch.present({"angles": dataset.train.angles})[~mask]
    pixels = dataset.train.images[~mask][there].astype(float)
    assert there.mean() == pytest.approx(10 / 12)  # one slot of zones 1 and 2 is empty
    assert float(np.asarray(scale.mean).item()) == pytest.approx(pixels.mean(), rel=1e-5)
    assert float(np.asarray(scale.variance).item()) == pytest.approx(pixels.var(), rel=1e-4)


def test_pixels_of_empty_slots_change_no_prediction():
    settings = AugmentSettings("body", {"drop_views": 0.2, "transplant": 0.5}, test_views="mirror")
    results = []
    for value in (0, 200):
        dataset = zone_data()
        for split in (dataset.train, dataset.test):
            split.images[~np.isfinite(split.angles)] = value
        results.append(fit.train_fold(recipe(augment=settings), dataset, held_out(dataset), 0))
    assert np.array_equal(results[0].held_out, results[1].held_out)
    assert np.array_equal(results[0].test, results[1].test)


def test_batches_give_what_the_model_takes_in_its_order():
    dataset = zone_data()
    beside = batch.side_inputs(dataset, dataset.train, None)
    assert {name: (v.dtype.name, v.shape) for name, v in beside.items()} == {
        "angles": ("float32", (60, 4)),
        "categories": ("int32", (60, 1)),
    }
    rows = np.arange(60)
    names = ["images", "categories", "angles"]
    training = TrainingRows(dataset.train.images, beside, dataset.labels, rows, structure=batch.structure_of(dataset))
    batches = Batches(training, 7, AugmentSettings("none"), (0, 0), names)
    _, _, ((images, categories, angles), labels) = next(batches.between(0, 1))
    drawn = batches.order(0)[0][:7]
    assert images.dtype == np.uint8  # it becomes float32 on the device
    assert np.array_equal(images, dataset.train.images[drawn])
    assert categories[:, 0].tolist() == dataset.train.table["zone"].iloc[drawn].tolist()
    assert np.array_equal(angles, dataset.train.angles[drawn], equal_nan=True)
    assert np.array_equal(labels, dataset.labels[drawn])


def test_weights_of_a_nested_model_reload(tmp_path):
    dataset = scan_data()
    settings = recipe("region_nets", ema=0.9)
    result = fit.train_fold(settings, dataset, held_out(dataset), 0)
    result.models[0].save_weights(tmp_path / "model.weights.h5")
    keras.backend.clear_session()
    rebuilt = build_model(settings, dataset)
    rebuilt.load_weights(tmp_path / "model.weights.h5")
    predict = Predictor(rebuilt, "multilabel", "identity")
    assert predict(dataset.test.images, None, np.arange(4)).ravel() == pytest.approx(result.test[:, 0], abs=1e-6)


def test_few_views_are_computed_at_once():
    assert batch.rows_at_once(np.empty((100, 9, 9, 1)), 256) == 256
    assert batch.rows_at_once(np.empty((100, 16, 9, 9, 1)), 256) == 16
    assert batch.rows_at_once(np.empty((2, 999, 1, 1, 1)), 256) == 1


def test_16_bit_floats_keep_pixels_and_logits_whole():
    dataset = zone_data()
    result = fit.train_fold(recipe(mixed_precision=True), dataset, held_out(dataset), 0)
    model = result.models[0].loaded()
    assert model.get_layer("logits").compute_dtype == "float32"
    assert introspect.layers_named(model, "take_present")[0].compute_dtype == "float32"
    assert model.get_layer("put_back").compute_dtype == "bfloat16"
    assert np.isfinite(result.test).all()


@pytest.mark.parametrize("other", BACKBONES)
def test_the_options_of_the_backbone_are_filled_in_and_decide_the_run(settings, other):
    chosen = settings("model=multi_view", f"model.options.backbone={other}", "~model.options.backbone_options")
    expected = checked_options(public_functions("models")[other], {}, "")
    assert chosen.model.options["backbone_options"] == expected
    code = {make_recipe(one, "data", "split").model_code for one in (chosen, settings("model=multi_view"))}
    assert len(code) == (1 if other == "small_cnn" else 2)


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["model.options.backbone=smal_cnn"], "backbone=smal_cnn: .* did you mean 'small_cnn'?"),
        (["model.options.backbone=multi_view"], "backbone=multi_view: no such builder of single images"),
        (
            ["+model.options.backbone_options.filter=3"],
            "backbone_options.filter: small_cnn has no such option; did you",
        ),
        (["model.options.backbone_options.filters=[x]"], "backbone_options.filters.0=x: .*integer"),
        (["model.options.backbone=mlp"], "backbone_options.filters: mlp has no such option"),
        (["model.options.fusion=mena"], "fusion=mena: did you mean 'mean'?"),
    ],
)
def test_a_wrong_backbone_is_one_clear_message(settings, words, advice):
    with pytest.raises(ConfigError, match=advice.replace("?", r"\?")):
        settings("model=multi_view", *words)


@pytest.mark.parametrize("model", ["region_nets", "whole_scan"])
def test_every_model_of_views_checks_its_backbone(settings, model):
    with pytest.raises(ConfigError, match=r"backbone=smal_cnn: .* did you mean 'small_cnn'\?"):
        settings(f"model={model}", "model.options.backbone=smal_cnn")


def test_the_data_say_what_a_builder_may_know():
    structure = batch.structure_of(zone_data())
    assert (structure.categories, structure.angles) == ({"zone": N_ZONES}, True)
    structure = batch.structure_of(scan_data())
    assert (structure.categories, structure.angles, list(structure.regions)) == ({}, False, ["both arms", "legs"])
    assert zone_data().train.angles[2].tolist() == ANGLES
    photos = Dataset(*[zone_data().train] * 2, "binary", ["threat"], [], None, "", "")
    photos.train.images = photos.train.images[:, 0]
    assert batch.structure_of(photos) == Structure()
    assert zone_data().train.images.shape[1:3] == (N_VIEWS, SIDE)
