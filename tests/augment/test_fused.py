"""Presets change an image as albumentations does with the same numbers, and draw these as often."""

import inspect
import os
import random

import cv2
import numpy as np
import pytest
from scipy import stats

from foldwise import augment
from foldwise.augment import pipelines
from foldwise.augment.fused import Fused, changed
from foldwise.augment.sampling import Ranges, sample
from foldwise.errors import ConfigError

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
import albumentations as A

N = 60
RNG = np.random.default_rng(0)
SEEDS = RNG.integers(2**63, size=N)
BORDERS = {"reflect": cv2.BORDER_REFLECT_101, "zero": cv2.BORDER_CONSTANT}
KINDS = [(np.float32, 1), (np.float32, 2), (np.float32, 5), (np.uint8, 1), (np.uint8, 3), (np.int16, 4)]


def pixels(dtype, channels, height=20, width=24, n=N):
    return np.random.default_rng(1).uniform(0, 250, size=(n, height, width, channels)).astype(dtype)


def by_albumentations(image, sampled, border):
    """The image (h, w, c), changed by transforms of fixed numbers, one after the other."""
    twice = {name: (float(value),) * 2 for name, value in sampled.items()}
    affine = A.Affine(
        translate_px={"x": (int(sampled["dx"]),) * 2, "y": (int(sampled["dy"]),) * 2},
        rotate=twice["angle"],
        scale={"x": twice["scale_x"], "y": twice["scale_y"]},
        shear={"x": (-float(sampled["shear"]),) * 2, "y": (0.0, 0.0)},  # it takes the sign away again
        border_mode=BORDERS[border],
        p=1,
    )
    flips = [A.HorizontalFlip(p=1)] * bool(sampled["flip_x"]) + [A.VerticalFlip(p=1)] * bool(sampled["flip_y"])
    turns = [A.Rotate((90.0 * sampled["turn"],) * 2, p=1)] if sampled["turn"] else []
    return A.Compose([*flips, *turns, affine])(image=image)["image"]


def row(sampled, i):
    return {name: values[i] for name, values in sampled.items()}


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(("dtype", "channels"), KINDS)
@pytest.mark.parametrize(
    "given",
    [
        {"flip_x": True, "flip_y": True},
        {"flip_x": True, "flip_y": True, "shift": 4},
        {"shift": 4},
        {"rotate": 25.0},
        {"zoom": 0.3},
        {"shear": 20.0},
        {"flip_x": True, "flip_y": True, "shift": 4, "rotate": 180.0, "zoom": 0.2, "shear": 10.0},
    ],
    ids=lambda given: "+".join(given),
)
def test_an_image_is_changed_as_albumentations_changes_it_to_the_last_bit(given, dtype, channels, border):
    ranges, images = Ranges(**given, border=border), pixels(dtype, channels)
    sampled, before = sample(ranges, SEEDS), images.copy()
    found = changed(images, sampled, ranges)
    assert found.dtype == dtype
    for i in range(N):
        assert np.array_equal(found[i], by_albumentations(images[i], row(sampled, i), border))
    assert (found != images).any()
    assert np.array_equal(images, before)


def test_quarter_turns_come_after_flips_and_are_exact():
    ranges, images = Ranges(True, True, True), pixels(np.float32, 2, 20, 20)
    sampled = sample(ranges, SEEDS)
    for image, found, i in zip(images, changed(images, sampled, ranges), range(N), strict=True):
        one = row(sampled, i)
        flipped = image[:: -1 if one["flip_y"] else 1, :: -1 if one["flip_x"] else 1]
        assert np.array_equal(found, np.rot90(flipped, one["turn"]))
    assert len({(sampled["flip_x"][i], sampled["flip_y"][i], sampled["turn"][i]) for i in range(N)}) == 16


def test_quarter_turns_come_before_the_affine_transform():
    ranges, images = Ranges(True, True, True, shift=3, rotate=20.0, zoom=0.2), pixels(np.float32, 1, 20, 20)
    sampled = sample(ranges, SEEDS)
    found = changed(images, sampled, ranges)
    for i in range(N):
        expected = by_albumentations(images[i], row(sampled, i), "reflect")
        assert found[i] == pytest.approx(expected, abs=0.01)  # its turn interpolates, with cosines that are not quite 0


def test_the_eight_symmetries_come_equally_often():
    image = np.arange(4, dtype=np.uint8).reshape(1, 2, 2, 1)
    found = Fused(Ranges(True, True, True))({"images": image.repeat(4000, axis=0)}, np.zeros(4000), np.arange(4000))
    values, counts = np.unique(found[0]["images"].reshape(4000, 4), axis=0, return_counts=True)
    assert len(values) == 8
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize(
    ("name", "options", "transforms"),
    [
        ("radar", {"shift": 4, "rotate": 5.0, "zoom": 0.1}, [A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)]),
        ("radar", {"shift": 2, "rotate": 5.0, "quarter_turns": True}, [A.SquareSymmetry(p=1)]),
        ("digits", {}, []),
    ],
    ids=["radar", "radar, quarter turns", "digits"],
)
def test_presets_move_pixels_as_often_as_the_pipelines_of_albumentations(name, options, transforms):
    """Pixels that hold their own places tell the matrix of each image, whose numbers are compared."""
    defaults = {name: one.default for name, one in inspect.signature(getattr(augment, name)).parameters.items()}
    shift, rotate, zoom = ((defaults | options)[one] for one in ("shift", "rotate", "zoom"))
    shifts = {"x": (-shift, shift), "y": (-shift, shift)}
    affine = A.Affine(translate_px=shifts, rotate=(-rotate, rotate), scale=(1 - zoom, 1 + zoom), p=1)
    pipeline, n = A.Compose([*transforms, affine]), 2000
    y, x = np.mgrid[:31, :31].astype(np.float64)
    image = np.stack([x, y], axis=-1)
    ours = pipelines.build(name, options)({"images": image[None].repeat(n, axis=0)}, np.zeros(n), np.arange(n))
    theirs = np.empty((n, 31, 31, 2))
    for seed in range(n):
        pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))
        theirs[seed] = pipeline(image=image)["image"]
    found = [_matrix(images) for images in (ours[0]["images"], theirs)]
    for one, other in zip(*found, strict=True):
        assert stats.ks_2samp(one, other).pvalue > 1e-3


def _matrix(images):
    """Numbers of the matrix that moved coordinates: derivatives, what came to the centre, and how the scales differ."""
    inner = images[:, 13:18, 13:18]
    along_x, along_y = (inner[:, 2, 4] - inner[:, 2, 0]) / 4, (inner[:, 4, 2] - inner[:, 0, 2]) / 4
    differ = np.linalg.norm(along_x, axis=1) - np.linalg.norm(along_y, axis=1)
    return np.concatenate([along_x, along_y, inner[:, 2, 2], differ[:, None]], axis=1).T.round(3)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("rotate", [0.0, 20.0])
@pytest.mark.parametrize(("dtype", "channels"), [(np.float32, 2), (np.uint8, 1)])
def test_all_views_of_a_sample_change_alike(dtype, channels, rotate, border):
    ranges = Ranges(True, True, True, shift=4, rotate=rotate, gain=2.0, border=border)
    images = pixels(dtype, channels, 12, 12, n=5 * N).reshape(N, 5, 12, 12, channels)
    sampled = sample(ranges, SEEDS)
    found = changed(images, sampled, ranges)
    for view in range(5):
        assert np.array_equal(found[:, view], changed(images[:, view], sampled, ranges))


@pytest.mark.parametrize("rotate", [0.0, 1e-9])
@pytest.mark.parametrize(("border", "mode"), [("reflect", "reflect"), ("zero", "constant")])
def test_shifts_beyond_the_image(border, mode, rotate):
    ranges, images = Ranges(shift=11, rotate=rotate, border=border), pixels(np.float32, 1, 4, 5)
    sampled = sample(ranges, SEEDS)
    padded = np.pad(images, ((0, 0), (11, 11), (11, 11), (0, 0)), mode=mode)
    for i, found in enumerate(changed(images, sampled, ranges)):
        top, left = 11 - sampled["dy"][i], 11 - sampled["dx"][i]
        assert found == pytest.approx(padded[i, top : top + 4, left : left + 5], abs=1e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32])
def test_gain_adds_one_number_to_an_image(dtype):
    images = pixels(dtype, 2, n=2000)
    added = pipelines.build("radar", {"shift": 0, "gain": 3.0})
    plain = pipelines.build("radar", {"shift": 0})
    seeds, labels = np.arange(2000), np.zeros(2000)
    with_gain, without = (one({"images": images}, labels, seeds)[0]["images"] for one in (added, plain))
    assert with_gain.dtype == np.float32
    gains = with_gain - without.astype(np.float32)
    assert np.ptp(gains, axis=(1, 2, 3)).max() < 1e-4
    assert stats.kstest(gains.mean(axis=(1, 2, 3)), stats.norm(0, 3).cdf).pvalue > 1e-3


def test_noise_is_new_for_each_value_of_each_image():
    images = pixels(np.float32, 2, n=50)
    ranges = Ranges(noise=0.5)
    noise = Fused(ranges)({"images": images}, np.zeros(50), np.arange(50))[0]["images"] - images
    assert stats.kstest(noise.ravel(), stats.norm(0, 0.5).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.03
    assert np.abs(np.corrcoef(noise.reshape(50, -1)) - np.eye(50)).max() < 0.17  # 5 standard deviations
    alone = Fused(ranges)({"images": images[7:8]}, np.zeros(1), np.array([7]))[0]["images"] - images[7:8]
    assert np.array_equal(alone[0], noise[7])


def test_a_type_that_opencv_lacks_is_interpolated_as_float32():
    images, ranges = pixels(np.float32, 2).round(), Ranges(rotate=20.0)
    sampled = sample(ranges, SEEDS)
    found = changed(images.astype(np.float16), sampled, ranges)
    assert found.dtype == np.float32
    assert np.array_equal(found, changed(images, sampled, ranges))


def test_quarter_turns_of_oblongs_are_refused():
    turned = pipelines.build("radar", {"quarter_turns": True})
    expected = r"quarter_turns=true: the images have 20 x 24 pixels, .* set augment.options.quarter_turns=false"
    with pytest.raises(ConfigError, match=expected):
        turned({"images": pixels(np.float32, 2)}, np.zeros(N), SEEDS)


def test_ranges_are_there_for_other_forms_of_a_preset():
    assert pipelines.ranges_of("none", {}) == Ranges()
    assert pipelines.ranges_of("flips", {}) == Ranges(flip_x=True, flip_y=True)
    radar = Ranges(True, True, True, shift=3, gain=3.0)
    assert pipelines.ranges_of("radar", {"shift": 3, "quarter_turns": True, "gain": 3.0}) == radar
    assert pipelines.ranges_of("digits", {}) == Ranges(shift=2, rotate=10.0, zoom=0.1, border="zero")
    assert pipelines.ranges_of("body", {}) is None
    assert pipelines.ranges_of("transforms", {}) is None


@pytest.mark.parametrize("rotate", [0.0, 20.0])
def test_many_channels_are_changed_as_few_are(rotate):
    ranges, images = Ranges(True, True, True, shift=4, rotate=rotate), pixels(np.float32, 70, 12, 12)
    sampled = sample(ranges, SEEDS)
    found = changed(images, sampled, ranges)
    for part in (slice(0, 4), slice(28, 32), slice(32, 36), slice(68, 70)):
        assert np.array_equal(found[..., part], changed(images[..., part], sampled, ranges))


@pytest.mark.parametrize("dtype", [np.int64, np.float16, np.bool_, np.float64])
def test_pixels_of_any_type_keep_their_bits(dtype):
    ranges, images = Ranges(True, True, shift=3), pixels(np.float32, 2).round().astype(dtype)
    sampled = sample(ranges, SEEDS)
    found = changed(images[:, ::-1], sampled, ranges)  # whatever their layout in memory
    assert found.dtype == dtype
    for i in range(N):
        assert np.array_equal(
            found[i], by_albumentations(images[i, ::-1].astype(np.float32), row(sampled, i), "reflect")
        )
