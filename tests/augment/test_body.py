"""A body is changed as a whole: labels, views and zones move together, and the views of a sample alike."""

import time
from dataclasses import replace

import numpy as np
import pytest
from helpers.bodies import N_ZONES, SLOTS, ZONES, held_out, recipe, scan_data, zone_data
from hypothesis import given, settings
from hypothesis import strategies as st

from foldwise.augment import pipelines
from foldwise.augment.body import blend, body
from foldwise.augment.training_rows import TrainingRows
from foldwise.augment.views import batch_views
from foldwise.data.batch import side_inputs, structure_of
from foldwise.data.structure import Mirror, Structure, mirrored, mirrored_outputs
from foldwise.errors import ConfigError
from foldwise.settings import AugmentSettings
from foldwise.training import fit
from foldwise.training.batches import Batches

STILL = {"mirror": False, "shift": 0, "rotate": 0.0, "zoom": 0.0, "gain": 0.0, "offset": 0.0}


def zone_batch(rows=None, **options):
    """A batch of the zone data, its labels and its structure."""
    dataset = zone_data(**options)
    rows = np.arange(len(dataset.train.table)) if rows is None else rows
    beside = side_inputs(dataset, dataset.train, None)
    batch = {"images": dataset.train.images} | beside
    return {name: v[rows] for name, v in batch.items()}, dataset.labels[rows], structure_of(dataset)


def training_rows(dataset, positions=None):
    """All rows of the data, or those at some positions, as rows to train on."""
    positions = np.arange(len(dataset.train.images)) if positions is None else positions
    inputs = side_inputs(dataset, dataset.train, None)
    labels = dataset.labels[positions]
    return TrainingRows(dataset.train.images, inputs, labels, positions, structure=structure_of(dataset))


def of_images(images, structure=None, labels=None):
    """Training rows of images that have no other inputs."""
    labels = np.zeros((len(images), 1)) if labels is None else labels
    return TrainingRows(images, {}, labels, np.arange(len(images)), structure=structure or Structure())


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k], equal_nan=k == "angles") for k in one)


@st.composite
def laws(draw):
    """A law of mirroring with its structure: orders that undo themselves."""

    def order(n, start=0):
        shuffled = draw(st.permutations(range(n)))
        partners = list(range(n))
        for one, other in zip(shuffled[::2], shuffled[1::2], strict=False):
            if draw(st.booleans()):
                partners[one], partners[other] = other, one
        return [start + partner for partner in partners]

    v, r, zones = draw(st.integers(1, 6)), draw(st.integers(1, 5)), draw(st.integers(1, 6))
    law = {"slots": order(v), "outputs": order(r), "categories": {"zone": order(zones, 1)}}
    return Structure(r, {"zone": zones}, Mirror(**law), angles=True), v, r, zones


@given(laws(), st.integers(0, 2**32), st.integers(1, 3))
def test_mirroring_twice_is_the_identity(law, seed, k):
    structure, v, r, zones = law
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, size=(3, v, 4, 5, 2)).astype(np.uint8)
    angles = np.where(rng.random((3, v)) < 0.3, np.nan, rng.integers(0, 16, size=(3, v)) * 22.5)
    batch = {"images": images, "angles": angles.astype(np.float32)}
    batch["categories"] = rng.integers(1, zones + 1, size=(3, 1)).astype(np.int32)
    once = mirrored(batch, structure)
    assert same(mirrored(once, structure), batch)
    outputs = mirrored_outputs(structure, r * k)
    labels = rng.integers(0, 2, size=(3, r * k))
    assert np.array_equal(labels[:, outputs][:, outputs], labels)
    for i in range(r):  # the k targets of a row stay together
        assert np.array_equal(
            labels[:, outputs].reshape(3, r, k)[:, i], labels.reshape(3, r, k)[:, law[0].mirror.outputs[i]]
        )


def test_mirroring_by_hand():
    structure = Structure(1, {"zone": 3}, Mirror([0, 2, 1], None, {"zone": [2, 1, 3]}), angles=True)
    images = np.arange(6).reshape(1, 3, 1, 2, 1)
    batch = {"images": images, "angles": np.float32([[0, 22.5, np.nan]]), "categories": np.int32([[1]])}
    seen = mirrored(batch, structure)
    assert seen["images"][0, :, 0, :, 0].tolist() == [[1, 0], [5, 4], [3, 2]]
    assert np.array_equal(seen["angles"], np.float32([[0, np.nan, 337.5]]), equal_nan=True)
    assert seen["categories"].tolist() == [[2]]
    assert batch["categories"].tolist() == [[1]]


def coded_scans():
    """A scan of 4 views and 3 zones: a pixel is 100 * (zone's label) + 10 * zone + view, zone k in column k.

    The columns hold zone 1, zone 3, zone 2: mirrored, zones 1 and 2 change places.
    """
    zones, labels = np.array([1, 3, 2]), np.array([[1, 0, 1], [0, 1, 1], [1, 0, 0]])
    images = np.zeros((3, 4, 2, 3, 1), np.float32)
    for scan, view, column in np.ndindex(3, 4, 3):
        zone = zones[column]
        images[scan, view, :, column] = 100 * labels[scan, zone - 1] + 10 * zone + view
    law = {"slots": [0, 3, 2, 1], "outputs": [1, 0, 2], "categories": {"zone": [2, 1, 3]}}
    return images, labels.astype(np.float32), Structure(3, mirror=Mirror(**law)), zones


def test_labels_views_and_zones_move_together():
    images, labels, structure, zones = coded_scans()
    augmentation = body(of_images(images, structure, labels), **(STILL | {"mirror": True}))
    seen = set()
    for seed in range(20):
        batch, moved = augmentation({"images": images}, labels, np.arange(3) + 3 * seed)
        for scan in range(3):
            mirror = not np.array_equal(batch["images"][scan], images[scan])
            seen.add(mirror)
            assert np.array_equal(moved[scan], labels[scan][[1, 0, 2]] if mirror else labels[scan])
            for view, column in np.ndindex(4, 3):
                pixel = int(batch["images"][scan, view, 0, column, 0])
                label, zone, from_view = pixel // 100, pixel // 10 % 10, pixel % 10
                role = {1: 2, 2: 1, 3: 3}[zone] if mirror else zone  # what the part is now
                assert role == zones[column]  # the right side of the picture is still the right side of a body
                assert moved[scan, role - 1] == label
                assert from_view == ((-view) % 4 if mirror else view)
    assert seen == {True, False}


def test_a_mirrored_zone_is_its_partner_with_the_partners_empty_slots():
    batch, labels, structure = zone_batch()
    dataset = zone_data()
    result, moved = body(training_rows(dataset), **STILL | {"mirror": True})(batch, labels, np.arange(len(labels)))
    mirror = (result["images"] != batch["images"]).any(axis=(1, 2, 3, 4))
    assert 0.3 < mirror.mean() < 0.7
    assert np.array_equal(moved, labels)
    partners = np.array([0, *ZONES["zone"]])
    expected = np.where(mirror, partners[batch["categories"][:, 0]], batch["categories"][:, 0])
    assert np.array_equal(result["categories"][:, 0], expected)
    for angles, zone in zip(result["angles"], expected, strict=True):
        assert np.isnan(angles).tolist() == [zone == 2, False, False, zone == 1]
    whole = mirrored(batch, structure)
    assert np.array_equal(result["images"][mirror], whole["images"][mirror].astype(np.float32))
    assert np.array_equal(whole["images"], batch["images"][:, SLOTS][:, :, :, ::-1])


def test_all_views_of_a_sample_change_alike():
    rng = np.random.default_rng(0)
    view = rng.uniform(50, 200, size=(40, 1, 20, 20, 1)).astype(np.float32)
    images = view.repeat(4, axis=1)
    augmentation = body(of_images(images), mirror=False)
    result, _ = augmentation({"images": images}, np.zeros((40, 1)), np.arange(40))
    assert (result["images"] == result["images"][:, :1]).all()
    assert (result["images"] != images).any(axis=(1, 2, 3, 4)).all()
    still = body(of_images(images), mirror=False, shift=0, rotate=0.0, zoom=0.0)
    changed, _ = still({"images": images}, np.zeros((40, 1)), np.arange(40))
    pairs = zip(images, changed["images"], strict=True)
    gains = np.array([np.polyfit(one.ravel(), other.ravel(), 1)[0] for one, other in pairs])
    assert gains.min() == pytest.approx(0.9, abs=0.02)
    assert gains.max() == pytest.approx(1.1, abs=0.02)


def test_shifts_stay_within_their_pixels():
    images = np.zeros((200, 2, 21, 21, 1), np.uint8)
    images[:, :, 10, 10] = 200
    augmentation = body(of_images(images), **(STILL | {"shift": 3}))
    result = augmentation({"images": images}, np.zeros((200, 1)), np.arange(200))[0]["images"][:, 0, :, :, 0]
    weight = result / result.sum(axis=(1, 2), keepdims=True)
    at = np.stack([(weight.sum(axis=2) * np.arange(21)).sum(axis=1), (weight.sum(axis=1) * np.arange(21)).sum(axis=1)])
    assert np.abs(at - 10).max() <= 3.05
    assert (at.max(axis=1) - at.min(axis=1)).min() > 5.5


def test_half_of_the_samples_stay_as_sharp_as_at_test_time():
    images = np.random.default_rng(0).integers(0, 256, size=(300, 2, 20, 20, 1)).astype(np.uint8)
    augmentation = body(of_images(images), **(STILL | {"shift": 2, "rotate": 4.0, "zoom": 0.06}))
    result = augmentation({"images": images}, np.zeros((300, 1)), np.arange(300))[0]["images"]
    inner, shifts = images[:, :, 4:16, 4:16], [(y, x) for y in range(2, 7) for x in range(2, 7)]
    found = [
        [np.array_equal(one[:, y : y + 12, x : x + 12], part) for y, x in shifts]
        for one, part in zip(result, inner, strict=True)
    ]
    exact = np.any(found, axis=1)
    assert 0.4 < exact.mean() < 0.6
    for drawn in zip(*(shifts[np.argmax(one)] for one in np.array(found)[exact]), strict=True):
        assert set(drawn) == {2, 3, 4, 5, 6}
    spread = result.std(axis=(1, 2, 3, 4))
    assert spread[~exact].max() < spread[exact].min()  # interpolated noise is smoother


@pytest.mark.parametrize("dtype", [np.uint8, np.float16])
def test_a_sample_does_not_depend_on_its_batch_and_a_rerun_repeats(dtype):
    dataset = zone_data(dtype=dtype)
    rows = training_rows(dataset)
    chosen = AugmentSettings("body", {"drop_views": 0.3, "transplant": 0.5})

    def epoch(batch_size, seed=(0, 0)):
        batches = Batches(rows, batch_size, chosen, seed, ["images", "angles", "categories"])
        parts = [batch for _, _, batch in batches.between(0, 1)]
        back = np.argsort(batches.order(0)[0])
        return [np.concatenate([part[0][i] for part in parts])[back] for i in range(3)] + [
            np.concatenate([part[1] for part in parts])[back]
        ]

    small, large, other = epoch(7), epoch(64), epoch(64, (0, 1))
    assert all(np.array_equal(a, b, equal_nan=a.dtype != np.int32) for a, b in zip(small, large, strict=True))
    assert not np.array_equal(large[0], other[0])
    assert small[0].dtype == np.float32


def test_views_are_left_out_but_never_all_of_them():
    batch, labels, _ = zone_batch()
    before = np.isfinite(batch["angles"])
    result, _ = body(training_rows(zone_data()), **STILL | {"drop_views": 0.6})(batch, labels, np.arange(len(labels)))
    after = np.isfinite(result["angles"])
    assert not (after & ~before).any()
    assert after.any(axis=1).all()
    assert 0.3 < after.sum() / before.sum() < 0.55  # 40 %, and the last view of a sample stays
    assert np.isfinite(batch["angles"]).sum() == before.sum()


# Transplants


def donors(seed=3):
    """Data in which every sample is told from its pixels: sample i is i + 1 everywhere, a threat adds 100."""
    dataset = zone_data(seed=seed)
    dataset.train.images = np.zeros(dataset.train.images.shape, np.float32)
    for i, label in enumerate(dataset.labels[:, 0]):
        dataset.train.images[i] = i + 1
        if label:
            dataset.train.images[i, :, 4:8, 4:8] += 100
    return dataset


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_a_threat_moves_into_a_negative_training_sample_of_its_zone(seed):
    dataset = donors()
    training = np.flatnonzero(~held_out(dataset))
    zones, labels = dataset.train.table["zone"].to_numpy(), dataset.labels[:, 0]
    augmentation = body(training_rows(dataset, training), **STILL | {"transplant": 0.99})
    batch = {"images": dataset.train.images} | side_inputs(dataset, dataset.train, None)
    batch = {name: values[training].copy() for name, values in batch.items()}
    seeds = np.random.default_rng(seed).integers(2**63, size=len(training))
    result, moved = augmentation(batch, dataset.labels[training], seeds)
    assert np.array_equal(moved[:, 0], labels[training])  # as many positives as before, with their label
    n_moved = 0
    for place, row in enumerate(training):
        there = np.isfinite(result["angles"][place])
        corners = result["images"][place][there][:, 0, 0, 0]
        assert len(set(corners.tolist())) == 1
        canvas = int(corners[0]) - 1
        if labels[row] == 0:
            assert canvas == row
        elif canvas != row:
            n_moved += 1
            assert canvas in training
            assert labels[canvas] == 0
            assert zones[canvas] == zones[row]
            patch = result["images"][place][there][:, 5:7, 5:7, 0]
            assert (patch > 50).all()  # the threat is in every view that both show
    assert n_moved > 0.8 * labels[training].sum()


def test_a_patch_is_feathered_where_the_donor_is_odd():
    mean, spread = np.full((2, 20, 20, 1), 50.0, np.float32), np.full((2, 20, 20, 1), 5.0, np.float32)
    donor, canvas = mean.copy(), mean - 20
    donor[0, 3:8, 12:17], donor[1, 12:17, 3:8] = 120, 120
    result, masks = blend(canvas, donor, mean, spread, np.random.default_rng(0))
    assert masks[0, 5, 14] == masks[1, 14, 5] == 1
    assert masks[0, 14, 5] == masks[1, 5, 14] == 0
    assert ((masks > 0.1) & (masks < 0.9)).any()
    assert np.abs(np.diff(masks, axis=1)).max() < 0.5
    assert result == pytest.approx(canvas + masks[..., None] * (donor - canvas), abs=1e-4)
    assert result[0, 5, 14] == pytest.approx(120)


def test_transplants_are_refused_where_an_image_has_several_answers():
    settings = AugmentSettings("body", {"transplant": 0.1, "mirror": False})
    dataset = scan_data()
    with pytest.raises(ConfigError, match=r"augment.options.transplant=0.1: one image answers 3 questions"):
        fit.train_fold(recipe("whole_scan", augment=settings), dataset, held_out(dataset), 0)


# Test time


def test_the_mirror_at_test_time_asks_for_the_partner_zone():
    dataset = zone_data()
    settings = AugmentSettings("body", test_views="mirror")
    result = fit.train_fold(recipe(augment=settings), dataset, held_out(dataset), 0)
    structure = structure_of(dataset)
    batch = {"images": dataset.test.images.astype(np.float32)} | side_inputs(dataset, dataset.test, None)
    ways = [batch, mirrored(batch, structure)]
    assert ways[1]["categories"][:3, 0].tolist() == [2, 1, 3]
    given = [[way[name] for name in ("images", "angles", "categories")] for way in ways]
    logits = [np.asarray(result.models[0].loaded()(one, training=False), float) for one in given]
    assert result.test == pytest.approx(np.mean([1 / (1 + np.exp(-one)) for one in logits], axis=0), abs=1e-6)
    assert logits[0] != pytest.approx(logits[1], abs=1e-4)


def test_the_mirror_at_test_time_brings_outputs_back_to_their_zones():
    images, labels, structure, _ = coded_scans()

    views = batch_views("mirror", {"images": images}, structure, N_ZONES)
    for batch, outputs in views:  # a model that reads the labels off the pixels, by the columns of the zones
        read = batch["images"][:, 0, 0, [0, 2, 1], 0] // 100
        assert np.array_equal(read[:, outputs], labels)


@pytest.mark.parametrize(
    ("settings", "options", "message"),
    [
        (AugmentSettings("none", test_views="mirror"), {}, "does not define what left-right mirroring does"),
        (AugmentSettings("body", {"mirror": True}), {}, "does not define what left-right mirroring does"),
    ],
)
def test_mirroring_needs_a_law(settings, options, message):
    dataset = zone_data()
    dataset.structure = replace(dataset.structure, mirror=None)
    with pytest.raises(ConfigError, match=message):
        fit.train_fold(recipe(augment=settings, options=options), dataset, held_out(dataset), 0)


def test_an_auxiliary_column_that_mirroring_would_change_is_refused():
    dataset = zone_data()
    dataset.auxiliary = ["zone", "angle_0"]
    for name in dataset.auxiliary:
        settings = recipe(options={"auxiliary": (name,)}, augment=AugmentSettings("none", test_views="mirror"))
        with pytest.raises(ConfigError, match=f"changes '{name}'; leave it out"):
            fit.train_fold(settings, dataset, held_out(dataset), 0)


def test_other_pipelines_treat_all_views_alike():
    view = np.random.default_rng(0).uniform(0, 255, size=(30, 1, 12, 12, 1)).astype(np.uint8)
    images = np.concatenate([view, view, view], axis=1)
    augment, labels = pipelines.build("radar", {"rotate": 5.0}), np.zeros((30, 1))
    result = augment({"images": images}, labels, np.arange(30))[0]["images"]
    assert (result == result[:, :1]).all()
    assert (result != images).any()
    alone = augment({"images": view[:, 0]}, labels, np.arange(30))[0]["images"]
    assert (result[:, 0] == alone).all()


def test_batches_are_built_faster_than_they_are_trained_on():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, size=(64, 6, 48, 48, 1)).astype(np.uint8)
    structure = Structure(mirror=Mirror([0, 5, 4, 3, 2, 1]))
    augmentation = body(of_images(images, structure), mirror=True)
    times = []
    for _ in range(7):
        started = time.perf_counter()
        augmentation({"images": images}, np.zeros((64, 1)), np.arange(64))
        times.append(time.perf_counter() - started)
    assert min(times) < 0.05  # a step takes some .2 s


def test_samples_of_different_zones_are_not_mixed():
    dataset = zone_data()
    mixing = AugmentSettings("none", mixup=0.2)
    with pytest.raises(ConfigError, match=r"augment.mixup=0.2, augment.cutmix=0.0: samples differ in their angles"):
        fit.train_fold(recipe(augment=mixing), dataset, held_out(dataset), 0)
    dataset = scan_data(n_scans=5, n_test=1)
    result = fit.train_fold(recipe("whole_scan", augment=mixing, epochs=1), dataset, held_out(dataset), 0)
    assert np.isfinite(result.test).all()
