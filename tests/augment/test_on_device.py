"""Operations of Keras change an image as the CPU does, from the same draws."""

import keras
import numpy as np
import pytest

from foldwise.augment.fused import changed
from foldwise.augment.on_device import changed as changed_on_device
from foldwise.augment.sampling import Ranges, sample

N = 40
SEEDS = np.random.default_rng(0).integers(2**63, size=N)
PIXELS = np.random.default_rng(1).uniform(0, 250, size=(N, 4, 14, 14, 1)).astype(np.float32)


@pytest.mark.parametrize("views", [1, 4], ids=["images", "views"])
@pytest.mark.parametrize("border", ["reflect", "zero"])
@pytest.mark.parametrize(
    ("given", "tolerance"),
    [
        ({"flip_x": True, "flip_y": True}, 0),
        ({"flip_x": True, "flip_y": True, "quarter_turns": True, "shift": 4}, 0),
        ({"shift": 30}, 0),
        ({"rotate": 180.0, "shift": 3}, 0.01),
        ({"zoom": 0.4}, 0.01),
        ({"shear": 30.0}, 0.01),
        ({"flip_x": True, "flip_y": True, "quarter_turns": True, "shift": 4, "rotate": 20.0, "zoom": 0.2}, 0.01),
    ],
    ids=lambda given: "+".join(given) if isinstance(given, dict) else "",
)
def test_pixels_move_as_on_the_cpu(given, tolerance, border, views):
    ranges, images = Ranges(**given, border=border), PIXELS if views == 4 else PIXELS[:, 0]
    sampled = sample(ranges, SEEDS)
    found = keras.ops.convert_to_numpy(changed_on_device(images, sampled, ranges))
    expected = changed(images, sampled, ranges)
    assert found == pytest.approx(expected, abs=tolerance)
    assert (found != images).any()


def test_oblong_images_of_bytes_and_several_channels():
    images = np.random.default_rng(1).integers(0, 256, size=(N, 9, 14, 3), dtype=np.uint8)
    ranges = Ranges(True, True, shift=4, border="zero")
    sampled = sample(ranges, SEEDS)
    found = keras.ops.convert_to_numpy(changed_on_device(images, sampled, ranges))
    assert found.dtype == np.float32
    assert np.array_equal(found, changed(images, sampled, ranges))


def test_gain_and_noise():
    ranges = Ranges(gain=3.0, noise=0.5)
    sampled, noise = sample(ranges, SEEDS), np.random.default_rng(2).normal(size=PIXELS.shape).astype(np.float32)
    found = keras.ops.convert_to_numpy(changed_on_device(PIXELS, sampled, ranges, noise))
    assert found == pytest.approx(PIXELS + sampled["gain"].reshape(N, 1, 1, 1, 1) + 0.5 * noise, abs=1e-3)
