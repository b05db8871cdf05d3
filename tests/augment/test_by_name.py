"""Any transform of albumentations by its name, with its own arguments, tried before training."""

import inspect
import os
import random

import cv2
import numpy as np
import pytest
import yaml

from foldwise import configure
from foldwise.augment import by_name, pipelines
from foldwise.augment.training_rows import TrainingRows
from foldwise.config.compose import CONF
from foldwise.errors import ConfigError
from foldwise.runs import recipe
from foldwise.settings import AugmentSettings
from foldwise.training.batches import Batches

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
import albumentations as A

RNG = np.random.default_rng(0)
IMAGES = {
    "grey": RNG.integers(0, 256, (4, 24, 24, 1), np.uint8),
    "colour": RNG.integers(0, 256, (4, 24, 24, 3), np.uint8),
    "radar": RNG.normal(-20, 5, (4, 24, 24, 2)).astype(np.float32),
    "views": RNG.normal(-20, 5, (2, 8, 24, 24, 2)).astype(np.float32),
}
TOLERANCE = {"grey": 0, "colour": 0, "radar": 0, "views": 2.0}  # four channels at once are interpolated more finely
PHOTOS = yaml.safe_load((CONF / "augment" / "photos.yaml").read_text())["options"]["transforms"]


def augmented(name, images, seeds, **given):
    """The images, augmented with a seed each."""
    return pipelines.build(name, given)({"images": images}, np.zeros((len(images), 1)), seeds)[0]["images"]


def options(*transforms, values=None):
    return {"transforms": transforms, "values": values}


@pytest.mark.parametrize("kind", IMAGES)
def test_transforms_by_name_are_those_of_albumentations_and_of_all_views_alike(kind):
    images, seeds = IMAGES[kind], np.arange(len(IMAGES[kind])) + 7
    shifts = {"x": (-4, 4), "y": (-4, 4)}
    affine = {"p": 1, "translate_px": shifts, "rotate": [-5, 5], "scale": [0.9, 1.1]}
    named = [{"SquareSymmetry": {"p": 1}}, {"Affine": affine | {"border_mode": "BORDER_REFLECT_101"}}]
    found = augmented("transforms", images, seeds, transforms=named)
    pipeline = A.Compose([A.SquareSymmetry(p=1), A.Affine(**affine, border_mode=cv2.BORDER_REFLECT_101)])
    for image, one, seed in zip(images, found, seeds.tolist(), strict=True):
        views = image if image.ndim == 4 else image[None]
        for view, of_view in zip(views, one.reshape(views.shape), strict=True):
            pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))
            assert of_view == pytest.approx(pipeline(image=view)["image"], abs=TOLERANCE[kind])
    assert (found != images).any()


def test_containers_choose_evenly_and_nest():
    images = np.arange(4, dtype=np.float32).reshape(1, 2, 2, 1).repeat(2000, axis=0)
    seeds = np.random.default_rng(0).integers(2**63, size=2000)
    nested = {"Sequential": {"transforms": [{"VerticalFlip": {"p": 1}}], "p": 1}}
    either = {"OneOf": {"transforms": [{"HorizontalFlip": {"p": 1}}, nested], "p": 1}}
    result = augmented("transforms", images, seeds, transforms=[either])
    found = [tuple(image.ravel().astype(int)) for image in result]
    counts = {outcome: found.count(outcome) for outcome in set(found)}
    assert set(counts) == {(1, 0, 3, 2), (2, 3, 0, 1)}
    assert abs(counts[(1, 0, 3, 2)] - 1000) < 90  # 4 standard deviations


def test_a_sample_depends_on_its_seed_alone():
    settings = AugmentSettings("transforms", options(*PHOTOS))
    rows = TrainingRows(np.tile(IMAGES["colour"], (5, 1, 1, 1)), {}, np.zeros((20, 1)), np.arange(20))

    def epoch(number, batch_size):
        batches = Batches(rows, batch_size, settings, (0, 0))
        together = np.concatenate([batch[0] for _, _, batch in batches.between(number, number + 1)])
        return together[np.argsort(batches.order(number)[0])]

    assert (epoch(0, 3) == epoch(0, 20)).all()
    assert (epoch(0, 3) != epoch(1, 3)).any()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("HorizontalFlp", "HorizontalFlp is no transform of albumentations; the nearest: HorizontalFlip, VerticalFlip"),
        ("blur", "blur is no transform of albumentations; the nearest: Blur,"),
        ("Lambda", "Lambda is no transform"),
        ("Compose", "Compose is no transform"),
        ({"Rotate": {"limt": 3}}, "Rotate has no argument limt; it has limit, "),
        ({"Rotate": {"limit": "wide"}}, "Rotate: limit.tuple.* Input should be a valid"),
        ({"Rotate": {"limit": 20, "p": 2}}, "Rotate: p Input should be less than or equal to 1$"),
        ({"Rotate": {"border_mode": "BORDER_REFLEC"}}, "no constant of OpenCV; the nearest: BORDER_REFLECT,"),
        ({"OneOf": ["Blur", {"Rotat": {}}]}, "Rotat is no transform of albumentations; the nearest: Rotate,"),
        ({"OneOf": {"n": 2}}, r"expected OneOf with a list of transforms, as in {OneOf: \[Blur, MedianBlur\]}"),
        ({"Rotate": {}, "Blur": {}}, "expected a name or {NAME: {ARGUMENT: VALUE}}, received"),
        ({"Rotate": [20]}, "expected a name or {NAME"),
        (3, "expected a name or {NAME"),
        ("RandomCrop", "RandomCrop: height Field required; width Field required"),
    ],
)
def test_what_is_no_transform_is_refused_with_the_nearest(spec, message):
    with pytest.raises(ConfigError, match=message):
        by_name.check_transforms([spec])


def test_a_configuration_is_checked_before_anything_is_read(tmp_path):
    with pytest.raises(ConfigError, match="Rotate has no argument limt"):
        configure("augment=photos", "augment.options.transforms=[{Rotate:{limt:3}}]")
    with pytest.raises(ConfigError, match="expected the value of black, then that of white"):
        pipelines.build("transforms", options("Blur", values=(1.0, 0.0)))
    assert configure("augment=photos").augment.options["transforms"][0] == {"HorizontalFlip": {"p": 0.5}}


@pytest.mark.parametrize(
    ("kind", "spec", "values", "message"),
    [
        (
            "radar",
            "GaussNoise",
            None,
            r"GaussNoise cuts values to \[0, 1\], and these images of 24 x 24 x 2 float",
        ),
        ("radar", {"OneOf": [{"Blur": {"p": 0.01}}, "Sharpen"]}, None, r"Sharpen cuts .*augment.options.values=\[-"),
        ("views", "RandomBrightnessContrast", None, "RandomBrightnessContrast cuts values"),
        ("radar", "RandomGamma", None, "RandomGamma makes NaN of images of 24 x 24 x 2 float32"),
        ("radar", "ToGray", (-50, 20), "ToGray fails on images of 24 x 24 x 2 float32: "),
        ("grey", "HueSaturationValue", (0, 255), "values=.*: images of 24 x 24 x 1 uint8 need none"),
        ("grey", "RandomFog", None, "RandomFog fails on images of 24 x 24 x 1 uint8: This transformation expects 3"),
        (
            "colour",
            {"Resize": {"height": 8, "width": 9}},
            None,
            "from the pipeline as well, it gives 8 x 9 x 3 uint8",
        ),
        ("colour", "Normalize", None, "it gives 24 x 24 x 3 float32; leave out"),
        ("colour", "MaskDropout", None, "MaskDropout fails on"),
    ],
)
def test_a_trial_finds_what_a_transform_does_to_such_images(kind, spec, values, message):
    with pytest.raises(ConfigError, match=message):
        by_name.try_transforms(options(spec, values=values), IMAGES[kind])


@pytest.mark.parametrize("kind", IMAGES)
def test_photos_go_with_every_kind_of_image(kind):
    images = IMAGES[kind]
    values = None if images.dtype == np.uint8 else (-50.0, 20.0)
    by_name.try_transforms(options(*PHOTOS, values=values), images)
    result = augmented("transforms", images, np.arange(len(images)), transforms=PHOTOS, values=values)
    assert (result.shape, result.dtype) == (images.shape, images.dtype)
    assert abs(result.mean() - images.mean()) < 0.3 * images.std() + (0 if values is None else 7)


def test_values_are_brought_to_0_1_and_back():
    shift = {"AdditiveNoise": {"noise_type": "uniform", "spatial_mode": "constant"}}
    shift["AdditiveNoise"] |= {"noise_params": {"ranges": [[0.1, 0.1]]}, "p": 1}
    images = IMAGES["radar"]
    result = augmented("transforms", images, np.arange(4), transforms=[shift], values=(-60.0, 40.0))
    assert result - images == pytest.approx(10, abs=1e-3)  # a tenth of 100 decibels


def every_transform():
    import albumentations

    bases = albumentations.BasicTransform
    return sorted(n for n, one in vars(albumentations).items() if inspect.isclass(one) and issubclass(one, bases))


@pytest.mark.parametrize("name", every_transform())
def test_what_passes_the_trial_repeats_exactly(name):
    images = IMAGES["colour"]
    try:
        by_name.try_transforms(options(name), images)
    except ConfigError:
        return
    first, again = (augmented("transforms", images, np.arange(4), transforms=[{name: {"p": 1}}]) for _ in range(2))
    assert (first == again).all()
    assert (first[2] == augmented("transforms", images[2:3], np.array([2]), transforms=[{name: {"p": 1}}])[0]).all()


def test_transforms_enter_the_key():
    def key(*words):
        return recipe.run_name(recipe.make_recipe(configure("competition=faces", "model=mlp", *words), "d", "s"))

    photos = ("augment=photos", "augment.options.transforms=[HorizontalFlip,{Rotate:{limit:20}}]")
    other = ("augment=photos", "augment.options.transforms=[HorizontalFlip,{Rotate:{limit:21}}]")
    assert len({key("augment=photos"), key(*photos), key(*other)}) == 3
    assert key(*photos) == key(*photos, "augment.options.values=null")
