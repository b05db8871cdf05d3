"""Augmentation by any transforms of albumentations, named in a YAML with arguments of their own."""

from __future__ import annotations

import difflib
import inspect
import os
import random
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from foldwise.augment.pipelines import Augment
from foldwise.data.structure import Batch
from foldwise.errors import ConfigError

if TYPE_CHECKING:
    import albumentations

KEY = "augment.options.transforms"
CONTAINERS = ("OneOf", "SomeOf", "RandomOrder", "Sequential", "SelectiveChannelTransform")
# bases of others, and one that takes a Python function
NO_CHOICE = ("BasicTransform", "DualTransform", "ImageOnlyTransform", "Transform3D", "Lambda")
TRIES = 8  # seeds of the trial of a pipeline
FLIPS = ({"HorizontalFlip": {"p": 0.5}}, {"VerticalFlip": {"p": 0.5}})


def transforms(*, transforms: tuple[Any, ...] = FLIPS, values: tuple[float, float] | None = None) -> Augment:
    """Apply transforms of albumentations, one after the other, to each image; all views of a sample alike.

    transforms: each a name, or a name with its arguments, as in {Rotate: {limit: 20, p: 0.7}}. OneOf, SomeOf,
        RandomOrder, Sequential and SelectiveChannelTransform hold a list of others: {OneOf: [Blur, MedianBlur]}, or
        {SomeOf: {transforms: [...], n: 2}}. Constants of OpenCV go by their names, such as BORDER_REFLECT_101.
    values: of black and white in images of floating-point numbers, which are brought to [0, 1] before and back after:
        transforms of brightness, noise and blur cut other values off. None: images are taken as they are.

    Raises ConfigError, naming the nearest valid ones, for a transform or an argument that there is not.
    """
    pipeline = _of_images(_composed(transforms))
    if values is None:
        return pipeline
    low, high = values
    if not low < high:
        raise ConfigError(
            f"augment.options.values=[{low:g}, {high:g}]: expected the value of black, then that of white"
        )

    def augment(batch: Batch, labels: np.ndarray, seeds: np.ndarray) -> tuple[Batch, np.ndarray]:
        scaled = ((batch["images"] - low) / (high - low)).astype(np.float32)
        result, labels = pipeline(batch | {"images": scaled}, labels, seeds)
        return result | {"images": (result["images"] * (high - low) + low).astype(np.float32)}, labels

    return augment


def check_transforms(specs: Sequence[Any]) -> None:
    """Raise ConfigError, naming the nearest valid ones, for a transform or an argument that there is not."""
    _composed(specs)


def try_transforms(options: dict[str, Any], images: np.ndarray) -> None:
    """Apply the pipeline, and each of its transforms for certain, to some images (n, [v,] h, w, c).

    Raises ConfigError, naming the transform, where it fails on images of that shape and type, gives others or NaN, or
    cuts values to [0, 1].
    """
    values = options["values"]
    shape = " x ".join(map(str, images.shape[1:]))
    kind = f"images of {shape} {images.dtype}"
    if values is not None and images.dtype.kind != "f":
        raise ConfigError(f"augment.options.values={list(values)}: {kind} need none; leave it out")
    low, high = float(images.min()), float(images.max())
    n = len(images)
    for name, spec in _single(options["transforms"]):
        result = _tried(name, (spec,), values, images, np.arange(n), kind)
        if not np.isfinite(result).all():
            raise ConfigError(
                f"{KEY}: {name} makes NaN of {kind} with values of {low:g} to {high:g}; {_advice(low, high, values)}"
            )
        is_outside = values is None and images.dtype.kind == "f" and not -0.01 <= low <= high <= 1.01
        if is_outside and result.min() >= 0 and result.max() <= 1:
            raise ConfigError(
                f"{KEY}: {name} cuts values to [0, 1], and these {kind} hold {low:g} to {high:g}; "
                f"{_advice(low, high, values)}"
            )
    for seed in range(TRIES):
        result = _tried("the pipeline", options["transforms"], values, images, np.full(n, seed), kind)
        if result.shape != images.shape or result.dtype != images.dtype:
            made = f"{' x '.join(map(str, result.shape[1:]))} {result.dtype}"
            raise ConfigError(
                f"{KEY}: expected {kind} from the pipeline as well, it gives {made}; leave out what does so"
            )


def _of_images(compose: albumentations.Compose) -> Augment:
    """Return the augmentation of each image by a pipeline of albumentations, all views of a sample alike.

    Compose's own seeding starts every transform from the same state, so that two flips always agree; a
    random state for each sample does not, and makes the result independent of order and of threads.
    """

    def augment(batch: Batch, labels: np.ndarray, seeds: np.ndarray) -> tuple[Batch, np.ndarray]:
        return batch | {"images": _changed(compose, batch["images"], seeds)}, labels

    return augment


def _changed(compose: albumentations.Compose, images: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    if images.ndim == 5:  # views as channels, which a pipeline treats alike
        n, v, h, w, c = images.shape
        as_channels = np.ascontiguousarray(np.moveaxis(images, 1, 3)).reshape(n, h, w, v * c)
        return np.moveaxis(_changed(compose, as_channels, seeds).reshape(n, h, w, v, c), 3, 1)
    result = np.empty_like(images)
    for i, seed in enumerate(seeds.tolist()):
        compose.set_random_state(np.random.Generator(np.random.PCG64(seed)), random.Random(seed))
        result[i] = compose(image=images[i])["image"]
    return result


def _tried(
    name: str, specs: Sequence[Any], values: Any, images: np.ndarray, seeds: np.ndarray, kind: str
) -> np.ndarray:
    """Return what a pipeline makes of images, whatever their new shape and type."""
    compose, (low, high) = _composed(specs), values or (0.0, 1.0)
    try:
        results = []
        for image, seed in zip(images, seeds.tolist(), strict=True):
            compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
            flat = np.moveaxis(image, 0, 2).reshape(*image.shape[1:3], -1) if image.ndim == 4 else image
            scaled = flat if values is None else ((flat - low) / (high - low)).astype(np.float32)
            result = compose(image=np.ascontiguousarray(scaled))["image"]
            if image.ndim == 4 and result.shape == flat.shape:
                result = np.moveaxis(result.reshape(*result.shape[:2], len(image), -1), 2, 0)
            results.append(result if values is None else result * (high - low) + low)
        return np.stack(results)
    except Exception as error:  # albumentations and OpenCV raise almost anything
        raise ConfigError(f"{KEY}: {name} fails on {kind}: {_first_lines(error)}") from None


def _advice(low: float, high: float, values: Any) -> str:
    if values is not None:
        return "leave it out"
    return f"give the values of black and white, for example augment.options.values=[{low:.4g},{high:.4g}]"


def _composed(specs: Sequence[Any]) -> albumentations.Compose:
    return _library().Compose([_built(spec) for spec in specs])


def _library() -> Any:
    """Import albumentations, which looks for a newer release on the network by default."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations

    return albumentations


def _single(specs: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Yield the name of each transform, those inside containers too, and what applies it to every image."""
    for spec in specs:
        name, arguments = _parsed(spec)
        if name in CONTAINERS:
            yield from _single(arguments["transforms"])
        else:
            yield name, {name: arguments | {"p": 1.0}}


def _parsed(spec: Any) -> tuple[str, dict[str, Any]]:
    """Return the name and the arguments of a transform as a YAML has it."""
    name: Any = spec
    arguments: Any = {}
    if isinstance(spec, dict) and len(spec) == 1:
        ((name, arguments),) = spec.items()
    if name in CONTAINERS and isinstance(arguments, list | tuple):
        arguments = {"transforms": arguments}
    if not isinstance(name, str) or not isinstance(arguments or {}, dict):
        raise ConfigError(f"{KEY}: expected a name or {{NAME: {{ARGUMENT: VALUE}}}}, received {spec!r}")
    arguments = dict(arguments or {})
    if name in CONTAINERS and not isinstance(arguments.get("transforms"), list | tuple):
        raise ConfigError(f"{KEY}: expected {name} with a list of transforms, as in {{{name}: [Blur, MedianBlur]}}")
    return name, arguments


def _built(spec: Any) -> Any:
    """Return the transform of albumentations that a YAML names."""
    albumentations = _library()
    name, arguments = _parsed(spec)
    bases = (albumentations.BasicTransform, albumentations.BaseCompose)
    classes = {
        found: one
        for found, one in vars(albumentations).items()
        if inspect.isclass(one) and issubclass(one, bases) and found not in NO_CHOICE
        if not issubclass(one, albumentations.BaseCompose) or found in CONTAINERS
    }
    if name not in classes:
        raise ConfigError(f"{KEY}: {name} is no transform of albumentations; the nearest: {_nearest(name, classes)}")
    valid = [one for one in inspect.signature(classes[name].__init__).parameters if one != "self"]
    for argument in arguments:
        if argument not in valid:
            raise ConfigError(
                f"{KEY}: {name} has no argument {argument}; it has {_nearest(argument, valid, every=True)}"
            )
    given = {argument: _value(value, f"{name}.{argument}") for argument, value in arguments.items()}
    if name in CONTAINERS:
        given["transforms"] = [_built(one) for one in arguments["transforms"]]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            return classes[name](**given)
    except Exception as error:  # as above
        raise ConfigError(f"{KEY}: {name}: {_first_lines(error)}") from None


def _value(value: Any, where: str) -> Any:
    """Return an argument with tuples for lists, and a constant of OpenCV for its name."""
    if isinstance(value, list | tuple):
        return tuple(_value(one, where) for one in value)
    if isinstance(value, str) and re.match("BORDER_|INTER_", value):
        import cv2

        if not hasattr(cv2, value):
            constants = [one for one in dir(cv2) if one.startswith(value.partition("_")[0] + "_")]
            raise ConfigError(
                f"{KEY}: {where}={value}: no constant of OpenCV; the nearest: {_nearest(value, constants)}"
            )
        return getattr(cv2, value)
    return value


def _nearest(given: str, valid: Any, every: bool = False) -> str:
    """Return the names most like the given one, case aside, and after them, if `every`, all others."""
    by_small = {one.lower(): one for one in valid}
    near = [by_small[one] for one in difflib.get_close_matches(given.lower(), by_small, n=5, cutoff=0.4)]
    return ", ".join([*near, *(one for one in valid if every and one not in near)]) or "(none)"


def _first_lines(error: Exception) -> str:
    """Return an error of albumentations as one line; pydantic adds a count, a type and an address."""
    lines = [line.strip() for line in str(error).splitlines()]
    kept = [line for line in lines if line and not re.match(r"\d+ validation error|For further information", line)]
    return " ".join(re.sub(r" \[type=.*", ";", line) for line in kept[:4]).rstrip(";")
