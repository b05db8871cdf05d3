"""Augmentation samples every outcome equally, differs between epochs, and repeats exactly."""

from collections import Counter

import numpy as np
import pytest

from foldwise import augment
from foldwise.augment import mix, pipelines, views
from foldwise.augment.training_rows import TrainingRows
from foldwise.data.structure import Mirror, Structure
from foldwise.settings import AugmentSettings
from foldwise.training.batches import Batches

CHANGING = sorted(set(augment.__all__) - {"none"})
STRUCTURE = Structure(mirror=Mirror([0], [0]))


def training_rows(images):
    """All of the images, with labels 0 and 1."""
    labels = np.arange(len(images))[:, None] % 2
    return TrainingRows(images, {}, labels.astype(np.float32), np.arange(len(images)), structure=STRUCTURE)


def augmented(name, images, seeds, **options):
    """The images (n, h, w, c), augmented with a seed each."""
    rows = training_rows(images)
    return pipelines.build(name, options, rows)({"images": images}, rows.labels, seeds)[0]["images"]


def epochs_of(settings, epochs=1, n=64, seed=(0, 0), batch_size=16, shape=(12, 12, 2), threads=1):
    """The images of some epochs, put back into the order of the rows."""
    images = np.random.default_rng(1).normal(-20, 5, size=(n, *shape)).astype(np.float32)
    batches = Batches(training_rows(images), batch_size, settings, seed, threads=threads)
    seen = []
    for epoch in range(epochs):
        together = np.concatenate([batch[0] for _, _, batch in batches.between(epoch, epoch + 1)])
        seen.append(together[np.argsort(batches.order(epoch)[0])])
    return images, seen


def test_the_four_flips_come_equally_often():
    images = np.arange(4, dtype=np.float32).reshape(1, 2, 2, 1).repeat(2000, axis=0)
    seeds = np.random.default_rng(0).integers(2**63, size=2000)
    counts = Counter(tuple(image.ravel().astype(int)) for image in augmented("flips", images, seeds))
    assert set(counts) == {(0, 1, 2, 3), (1, 0, 3, 2), (2, 3, 0, 1), (3, 2, 1, 0)}
    assert all(abs(count - 500) < 80 for count in counts.values())  # 4 standard deviations


@pytest.mark.parametrize("name", CHANGING)
def test_epochs_differ_and_a_rerun_repeats(name):
    settings = AugmentSettings(name)
    images, first = epochs_of(settings, epochs=2)
    _, again = epochs_of(settings, epochs=2)
    assert (first[0] != images).any()
    assert (first[0] != first[1]).any()
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    _, other = epochs_of(settings, seed=(0, 1))
    assert (other[0] != first[0]).any()


def test_without_augmentation_images_stay_as_they_are():
    images, (first, second) = epochs_of(AugmentSettings("none"), epochs=2)
    assert (first == images).all()
    assert (second == images).all()


@pytest.mark.parametrize("name", augment.__all__)
def test_a_sample_does_not_depend_on_its_batch(name):
    _, small = epochs_of(AugmentSettings(name), batch_size=5)
    _, large = epochs_of(AugmentSettings(name), batch_size=64)
    assert (small[0] == large[0]).all()


@pytest.mark.parametrize("name", augment.__all__)
def test_threads_change_no_bit(name):
    settings = AugmentSettings(name, mixup=0.0 if name == "body" else 0.4)
    _, one = epochs_of(settings, epochs=2, batch_size=3)
    _, four = epochs_of(settings, epochs=2, batch_size=3, threads=4)
    assert all((a == b).all() for a, b in zip(one, four, strict=True))


def test_an_augmentation_with_a_random_state_has_one_thread():
    rows = training_rows(np.zeros((4, 12, 12, 3), np.uint8))
    threads = {name: Batches(rows, 2, AugmentSettings(name), (0, 0), threads=4).threads for name in augment.__all__}
    assert threads == {"body": 1, "digits": 4, "flips": 4, "none": 4, "radar": 4, "transforms": 1}


@pytest.mark.parametrize("name", augment.__all__)
@pytest.mark.parametrize(("dtype", "channels"), [(np.float32, 2), (np.uint8, 1), (np.uint8, 3), (np.float32, 5)])
def test_every_augmentation_keeps_the_shape_and_the_range(name, dtype, channels):
    images = np.random.default_rng(0).uniform(1, 250, size=(8, 16, 16, channels)).astype(dtype)
    before, rows = images.copy(), training_rows(images)
    batch, labels = pipelines.build(name, {}, rows)({"images": images}, rows.labels, np.arange(8))
    assert (batch["images"].shape, labels.shape) == (images.shape, (8, 1))
    assert batch["images"].dtype in (dtype, np.float32)
    assert batch["images"].max() > 200  # decibels and grey levels are not clipped to [0, 1]
    assert (images == before).all()
    assert sorted(labels.ravel()) == sorted(rows.labels.ravel())


def test_shifts_stay_within_their_pixels():
    image = np.zeros((1, 21, 21, 1), np.float32)
    image[0, 10, 10] = 1
    shifted = augmented("digits", image.repeat(300, axis=0), np.arange(300), shift=3, rotate=0.0, zoom=0.0)
    at = np.array([np.unravel_index(one.argmax(), (21, 21)) for one in shifted]) - 10
    assert {tuple(p) for p in at} == {(y, x) for y in range(-3, 4) for x in range(-3, 4)}


def test_all_rows_are_seen_once_an_epoch():
    images = np.arange(10, dtype=np.float32).reshape(10, 1, 1, 1)
    rows = TrainingRows(images, {}, np.zeros((7, 1)), np.arange(3, 10))
    batches = Batches(rows, 4, AugmentSettings("none"), (0, 0))
    assert len(batches) == 2
    every = list(batches.between(0, 2))
    sizes = [(epoch, number, len(batch[0])) for epoch, number, batch in every]
    assert sizes == [(0, 0, 4), (0, 1, 3), (1, 0, 4), (1, 1, 3)]
    seen = np.concatenate([batch[0].ravel() for _, _, batch in every[:2]])
    assert sorted(seen) == [3, 4, 5, 6, 7, 8, 9]


def test_mixup_mixes_labels_as_it_mixes_images():
    images = np.array([0.0, 1.0]).reshape(2, 1, 1, 1).repeat(4, axis=0)
    labels = images[:, 0, 0]
    mixed, mixed_labels = mix.mix(images, labels, 0.4, 0, np.random.default_rng(0))
    assert mixed[:, 0, 0] == pytest.approx(mixed_labels)
    assert ((mixed_labels > 0) & (mixed_labels < 1)).any()


def test_cutmix_mixes_labels_by_the_area_that_is_pasted():
    images = np.array([0.0, 1.0]).repeat(4).reshape(8, 1, 1, 1) * np.ones((1, 16, 16, 1))
    labels = images[:, 0, 0]
    mixed, mixed_labels = mix.mix(images, labels, 0, 1.0, np.random.default_rng(0))
    assert set(np.unique(mixed)) == {0.0, 1.0}
    assert mixed.mean(axis=(1, 2)) == pytest.approx(mixed_labels)


def test_test_time_views():
    image = np.arange(4).reshape(1, 2, 2, 1)
    flat = {
        name: [tuple(view.ravel()) for view in views.views(name, image)] for name in ("identity", "flips", "dihedral")
    }
    assert flat["identity"] == [(0, 1, 2, 3)]
    assert sorted(flat["flips"]) == [(0, 1, 2, 3), (1, 0, 3, 2), (2, 3, 0, 1), (3, 2, 1, 0)]
    assert len(set(flat["dihedral"])) == 8
    line = np.arange(3).reshape(1, 1, 3, 1)
    assert [tuple(view.ravel()) for view in views.views("shifts", line)][3:] == [(0, 0, 1), (1, 2, 2)]
