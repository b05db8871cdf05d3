"""Every network of keras.applications, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from foldwise import storage
from foldwise.errors import ConfigError, FoldwiseError, choices
from foldwise.models import common
from foldwise.models.pretrained import assemble, fetch, zoo
from foldwise.models.pretrained.load import loader

if TYPE_CHECKING:
    import keras


def application(
    input_shape: common.Shape,
    n_outputs: int,
    *,
    name: str = "EfficientNetB0",
    weights: str | None = "imagenet",
    side: assemble.Side = None,
    values: assemble.Values = (0.0, 255.0),
    bands: assemble.Bands = "repeat",
    dropout: common.Rate = 0.2,
    auxiliary: tuple[str, ...] = (),
) -> keras.Model:
    """Build a network of keras.applications without its classifier, and a head.

    name: ResNet152, DenseNet201, NASNetLarge, ...; `foldwise models` lists them.
    weights: imagenet (Keras downloads them once), null for random ones, or a file (.weights.h5, .keras, .h5).
    side: pixels that images are resized to; null for those that the published weights were trained at.
    values: the values of black and of white in the images: [0, 255] for photographs, [-35, 5] for radar in dB.
        Values beyond them are clipped; images that do not fill the range stop the training.
    bands: how channels become the three of the network. repeat: up to three channels, in turn. difference, ratio: of
        two channels a and b, with (a - b) / 2 or a / (a + b) as the third. learned: a 1 x 1 convolution, trained with
        the head. resummed: the first kernel is repeated over any number of channels and keeps its sum.
    dropout: share of features dropped before the output.
    auxiliary: names of auxiliary columns joined to the features.

    Raises ConfigError for an unknown network name, a side below the smallest one, or bands that do not fit.
    """
    entry = zoo.entries().get(name)
    if entry is None or entry.builder != "application":
        valid = [key for key, one in zoo.entries().items() if one.builder == "application"]
        raise ConfigError(f"model.options.name={name}: no such network; {choices(name, valid)}")

    def build(shape: tuple[int, int, int]) -> keras.Model:
        return _build(name, shape, weights)

    load = None if weights == "imagenet" else loader(name, weights, None)
    return assemble.assemble(
        input_shape,
        n_outputs,
        build,
        sides=(entry.side, entry.min_side),
        preparation=entry.preparation,
        load=load,
        side=side,
        values=values,
        bands=bands,
        dropout=dropout,
        auxiliary=auxiliary,
    )


def _build(name: str, shape: tuple[int, int, int], weights: str | None) -> keras.Model:
    import keras

    function: Any = getattr(keras.applications, name)
    if weights != "imagenet":
        return function(include_top=False, weights=None, input_shape=shape)
    entry = zoo.entries()[name]
    with storage.one_at_a_time(fetch.cache_dir() / entry.file):  # else two workers would write one file
        try:
            # some networks warn that ImageNet's weights want certain sides; they are the same weights at any side
            return function(include_top=False, weights="imagenet", input_shape=shape)
        except Exception as error:  # Keras raises a bare Exception where it cannot download
            if "URL fetch failure" not in str(error):
                raise
            raise FoldwiseError(fetch.offline_message(entry.url, entry.file, error)) from None
