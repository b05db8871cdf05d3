"""On simulated radar images the Grad-CAM of a trained net lies on the object that the simulator planted."""

import cv2
import keras
import numpy as np
import pytest

from foldwise.competitions.statoil import chips, simulator
from foldwise.data.structure import Structure
from foldwise.models import small_cnn
from foldwise.training import explain
from foldwise.training.build import set_scale

N_TRAIN, N_TEST = 320, 120
SIDE, GROWN = 60, 4  # pixels of the middle that are used; pixels around the object that count to it: a cell of the map


def planted(monkeypatch):
    """Images (n, 60, 60, 2) in dB, labels (n,), and where the object lies 3 dB and more over the sea (n, 60, 60)."""
    kept, to_dn = [], chips.to_dn

    def keeping(rng, texture, level, body, sea, angle):
        kept.append((10 * np.log10(1 + body)).max(axis=0) > 3)
        return to_dn(rng, texture, level, body, sea, angle)

    monkeypatch.setattr(chips, "to_dn", keeping)
    rows, _, _ = simulator.draw_tables(N_TRAIN + N_TEST, 20, seed=0)
    images = [
        20 * np.log10(simulator.draw_row(rows, i, 0, simulator.TRAIN)) - chips.offset(float(rows.angle[i]))
        for i in range(N_TRAIN + N_TEST)
    ]
    inner = slice((75 - SIDE) // 2, (75 - SIDE) // 2 + SIDE)
    pixels = np.ascontiguousarray(np.moveaxis(np.array(images, np.float32), 1, -1)[:, inner, inner])
    return pixels, np.asarray(rows.label), np.array(kept)[:, inner, inner]


@pytest.mark.slow
def test_the_heat_lies_on_the_planted_object(monkeypatch):
    """Of the correct predictions 60 % have half of the heat on the object and 4 pixels around it, a sixth of the image,
    and 80 % have the hottest pixel there. Measured: 90 % and 95 %; two other seeds gave 58 % and 88 % at least.
    """
    images, labels, objects = planted(monkeypatch)
    keras.utils.set_random_seed(0)
    model = small_cnn((SIDE, SIDE, 2), 1, filters=(8, 16, 24))
    set_scale(model, images, np.arange(N_TRAIN))
    model.compile(keras.optimizers.Adam(2e-3), keras.losses.BinaryCrossentropy(from_logits=True))
    train, y = images[:N_TRAIN], labels[:N_TRAIN, None].astype(np.float32)
    model.fit(np.concatenate([train, train[:, :, ::-1]]), np.concatenate([y, y]), epochs=6, batch_size=32, verbose=0)
    logits = model.predict(images[N_TRAIN:], verbose=0)[:, 0]
    right = np.flatnonzero((logits > 0) == (labels[N_TRAIN:] == 1))
    assert len(right) > 0.65 * N_TEST
    evidence = explain.Evidence(np.zeros(len(right), int), np.where(logits[right] > 0, 1, -1))
    heat = explain.grad_cam(model, {"images": images[N_TRAIN:][right]}, evidence, Structure())
    assert heat.shape[1:] == (15, 15)
    heat = np.array([cv2.resize(one, (SIDE, SIDE)) for one in heat])
    around = np.ones((2 * GROWN + 1, 2 * GROWN + 1))
    near = np.array([cv2.dilate(one.astype(np.uint8), around) for one in objects[N_TRAIN:][right]])
    assert near.mean() < 0.18
    shares = (heat * near).sum(axis=(1, 2)) / heat.sum(axis=(1, 2))
    assert (shares > 0.5).mean() >= 0.6
    hottest = np.array([one.ravel()[at.argmax()] for one, at in zip(near, heat, strict=True)])
    assert hottest.mean() >= 0.8
