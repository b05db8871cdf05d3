"""What all builders share: the names of layers that matter, the scaled inputs, and the last layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

if TYPE_CHECKING:
    import keras


Shape = tuple[int, ...]
Width = Annotated[int, Field(ge=1)]
Size = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(ge=0, lt=1)]
NonNegative = Annotated[float, Field(ge=0)]
Pooling = Literal["mean", "max", "mean_max", "none"]  # of a feature map over its places; none flattens
Activation = Literal["relu", "elu", "selu", "gelu", "silu", "leaky_relu", "tanh", "sigmoid", "linear"]

# names by which training and `multi_view` find layers: see foldwise.models
SCALE = "scale"
PIXELS = "pixels"
BACKBONE = "backbone"
FEATURES = "features"
JOINED = "joined"
DROPOUT = "dropout"
LOGITS = "logits"


def inputs(
    input_shape: Shape, auxiliary: tuple[str, ...]
) -> tuple[keras.KerasTensor | list[keras.KerasTensor], keras.KerasTensor, keras.KerasTensor | None]:
    """Return the model's inputs, the scaled images (n, *input_shape), and the auxiliary values (n, 2 a) or None.

    The layer `scale` subtracts each channel's mean and divides by its standard deviation; both are set from the
    training rows of the fold. An auxiliary column comes as two values: standardised (0 where
    missing) and 1 where missing.
    """
    import keras

    images = keras.Input(input_shape, name="images")
    # float32 under mixed precision too: raw pixels reach 65,535, which 16-bit floats cannot resolve
    scaled = keras.layers.Normalization(axis=-1, dtype="float32", name=SCALE)(images)
    if not auxiliary:
        return images, scaled, None
    values = keras.Input((2 * len(auxiliary),), name="auxiliary")
    return [images, values], scaled, values


def flatten_map(x: keras.KerasTensor, pooling: Pooling) -> keras.KerasTensor:
    """Turn a feature map (n, h, w, f) into features: (n, f), (n, 2 f) for mean_max, (n, h w f) for none."""
    from keras import layers

    if pooling == "none":
        return layers.Flatten()(x)
    pools = {"mean": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}
    pooled = [pools[name]()(x) for name in pooling.split("_")]
    return pooled[0] if len(pooled) == 1 else layers.Concatenate()(pooled)


def logits(features: keras.KerasTensor, n_outputs: int, l2: float = 0.0) -> keras.KerasTensor:
    """Return the last layer: n_outputs logits, float32 under mixed precision too."""
    import keras

    penalty = keras.regularizers.L2(l2) if l2 else None
    return keras.layers.Dense(n_outputs, kernel_regularizer=penalty, dtype="float32", name=LOGITS)(features)
