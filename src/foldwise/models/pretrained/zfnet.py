"""ZF Net (Zeiler and Fergus 2013): AlexNet with a smaller, denser first layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foldwise.models import common
from foldwise.models.pretrained import assemble, load

if TYPE_CHECKING:
    import keras


def zfnet(
    input_shape: common.Shape,
    n_outputs: int,
    *,
    weights: str | None = None,
    side: assemble.Side = None,
    values: assemble.Values = (0.0, 255.0),
    bands: assemble.Bands = "repeat",
    dropout: common.Rate = 0.5,
    dense: tuple[common.Width, ...] = (4096, 4096),
    auxiliary: tuple[str, ...] = (),
) -> keras.Model:
    """Build ZF Net with the talk's shapes: 62,357,608 weights with 1,000 classes.

    The paper's contrast normalisation between the first layers has no weights and is left out.

    weights: null for random ones (none are published), or a file (.weights.h5, .keras).
    dense, dropout: widths of the fully connected layers, and the dropout before each of them and the output.
    side, values, bands, auxiliary: see `application`.
    """

    def trunk(shape: tuple[int, int, int]) -> keras.Model:
        import keras
        from keras import layers

        inputs = keras.Input(shape)  # (224, 224, 3)
        x = layers.ZeroPadding2D(1)(inputs)
        x = layers.Conv2D(96, 7, strides=2, activation="relu", name="conv1")(x)  # (110, 110, 96)
        x = layers.MaxPooling2D(3, 2, padding="same", name="pool1")(x)  # (55, 55, 96)
        x = layers.Conv2D(256, 5, strides=2, activation="relu", name="conv2")(x)  # (26, 26, 256)
        x = layers.MaxPooling2D(3, 2, padding="same", name="pool2")(x)  # (13, 13, 256)
        x = layers.Conv2D(384, 3, padding="same", activation="relu", name="conv3")(x)  # (13, 13, 384)
        x = layers.Conv2D(384, 3, padding="same", activation="relu", name="conv4")(x)
        x = layers.Conv2D(256, 3, padding="same", activation="relu", name="conv5")(x)
        x = layers.Flatten()(layers.MaxPooling2D(3, 2, name="pool5")(x))  # (6 * 6 * 256)
        for number, width in enumerate(dense, start=6):
            x = layers.Dropout(dropout)(x)
            x = layers.Dense(width, activation="relu", name=f"fc{number}")(x)
        return keras.Model(inputs, x)

    return assemble.assemble(
        input_shape,
        n_outputs,
        trunk,
        sides=(224, 63),
        preparation="imagenet",
        load=load.loader("zfnet", weights, None),
        side=side,
        values=values,
        bands=bands,
        dropout=dropout,
        auxiliary=auxiliary,
    )
