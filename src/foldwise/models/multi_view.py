"""Models of several views of a sample, made from any builder of single images."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from foldwise.data.structure import Structure
from foldwise.errors import ConfigError
from foldwise.models import common
from foldwise.plugins import function_named

if TYPE_CHECKING:
    import keras


Fusion = Literal["concat", "max", "mean", "attention"]
Options = dict[str, Any]


def multi_view(
    input_shape: common.Shape,
    n_outputs: int,
    structure: Structure | None = None,
    *,
    backbone: str = "small_cnn",
    backbone_options: Options | None = None,
    fusion: Fusion = "concat",
    fusion_width: common.Width = 64,
    pooling: common.Pooling = "mean_max",
    embedding: common.Size = 8,
    dense: tuple[common.Width, ...] = (64,),
    dropout: common.Rate = 0.2,
    auxiliary: tuple[str, ...] = (),
) -> keras.Model:
    """Build one backbone that all views share, the fusion of its features over the views, and a head.

    An input shape without views (h, w, c) is one view. Where the structure has angles, a slot without one is
    empty: its pixels change nothing.

    backbone, backbone_options: another builder and its options; None: that builder's defaults.
    fusion: concat: the feature maps of all views, concatenated by channels, then a 1x1 convolution, which keeps the
        place of a feature and the view it was seen in. max, mean, attention: each view's features, with the sine and
        cosine of its angle, pass a dense layer, then the maximum, the mean or the gated attention (Ilse et al. 2018)
        over the views that are present.
    fusion_width: channels of the 1x1 convolution, or width of the dense layer.
    pooling: of the fused map of concat; none flattens it, which keeps places for the head.
    embedding: length of the vector of each category (a zone), joined before the head; 0 leaves categories out.
    dense, dropout: widths of fully connected layers of the head, and the dropout before each and before the output.
    auxiliary: names of auxiliary columns joined before the head.
    """
    import keras
    from keras import layers

    from foldwise.models import view_layers

    structure = structure or Structure()
    shape = input_shape if len(input_shape) == 4 else (1, *input_shape)
    images = keras.Input(input_shape, name="images")
    views = images if len(input_shape) == 4 else layers.Reshape(shape)(images)
    angles = keras.Input(shape[:1], name="angles") if structure.angles else None
    net = _build_backbone(backbone, shape[1:], backbone_options or {}, fusion == "concat")
    if angles is None:
        flat = keras.ops.reshape(views, (-1, *shape[1:]))
        features = net(flat)
        features = keras.ops.reshape(features, (-1, shape[0], *features.shape[1:]))
    else:
        # float32 under mixed precision too: see common.inputs
        features = view_layers.PutBack()(net(view_layers.TakePresent(dtype="float32")(views, angles)), angles)
    encoded = None if angles is None else view_layers.EncodeAngles(dtype="float32")(angles)
    if fusion == "concat":
        joined = [common.flatten_map(_fuse_maps(features, fusion_width), pooling)]
        joined += [] if encoded is None else [layers.Flatten()(encoded)]
    else:
        joined = [_fuse_features(features, encoded, fusion, fusion_width)]
    inputs = [images] if angles is None else [images, angles]
    if structure.categories and embedding:
        inputs.append(keras.Input((len(structure.categories),), dtype="int32", name="categories"))
        for column, count in enumerate(structure.categories.values()):
            joined.append(layers.Embedding(count + 1, embedding)(inputs[-1][:, column]))
    if auxiliary:
        inputs.append(keras.Input((2 * len(auxiliary),), name="auxiliary"))
        joined.append(inputs[-1])
    x = layers.Concatenate()(joined) if len(joined) > 1 else joined[0]
    for width in dense:
        x = layers.Dropout(dropout)(x)
        x = layers.Dense(width, activation="relu")(x)
    x = layers.Dropout(dropout)(x)
    return keras.Model(inputs if len(inputs) > 1 else images, common.logits(x, n_outputs))


def whole_scan(
    input_shape: common.Shape,
    n_outputs: int,
    structure: Structure | None = None,
    *,
    backbone: str = "small_cnn",
    backbone_options: Options | None = None,
    fusion: Fusion = "concat",
    fusion_width: common.Width = 32,
    pooling: common.Pooling = "none",
    dense: tuple[common.Width, ...] = (64,),
    dropout: common.Rate = 0.2,
    auxiliary: tuple[str, ...] = (),
) -> keras.Model:
    """Build `multi_view` for whole views and one output for each part of the body: places are kept for the head."""
    return multi_view(
        input_shape,
        n_outputs,
        structure,
        backbone=backbone,
        backbone_options=backbone_options,
        fusion=fusion,
        fusion_width=fusion_width,
        pooling=pooling,
        embedding=0,
        dense=dense,
        dropout=dropout,
        auxiliary=auxiliary,
    )


def region_nets(
    input_shape: common.Shape,
    n_outputs: int,
    structure: Structure | None = None,
    *,
    backbone: str = "small_cnn",
    backbone_options: Options | None = None,
    fusion: Fusion = "concat",
    fusion_width: common.Width = 32,
    pooling: common.Pooling = "none",
    dense: tuple[common.Width, ...] = (64,),
    dropout: common.Rate = 0.2,
    auxiliary: tuple[str, ...] = (),
) -> keras.Model:
    """Build a net like `whole_scan` for each region of the data, from its views to its outputs; no structure: one net.

    Raises ConfigError where the data have no regions.
    """
    import keras
    from keras import ops

    options: Options = {
        "backbone": backbone,
        "backbone_options": backbone_options,
        "fusion": fusion,
        "fusion_width": fusion_width,
        "pooling": pooling,
        "dense": dense,
        "dropout": dropout,
        "auxiliary": auxiliary,
    }
    if structure is None:
        return whole_scan(input_shape, n_outputs, structure, **options)
    if not structure.regions:
        raise ConfigError(
            "model=region_nets: the data have no regions; prepare them with regions (passenger screening: "
            "competition.options.layout=region), or choose model=multi_view"
        )
    inputs: dict[str, keras.KerasTensor] = {"images": keras.Input(input_shape, name="images")}
    if structure.angles:
        inputs["angles"] = keras.Input(input_shape[:1], name="angles")
    if auxiliary:
        inputs["auxiliary"] = keras.Input((2 * len(auxiliary),), name="auxiliary")
    outputs: list[keras.KerasTensor] = []
    order: list[int] = []
    for name, region in structure.regions.items():
        shape = (len(region["slots"]), *input_shape[1:])
        net = whole_scan(shape, len(region["outputs"]), replace(structure, regions={}), **options)
        net.name = f"region_{re.sub(r'[^A-Za-z0-9]+', '_', name)}"  # TensorFlow refuses spaces
        views = [ops.take(inputs["images"], region["slots"], axis=1)]
        if structure.angles:
            views.append(ops.take(inputs["angles"], region["slots"], axis=1))
        if auxiliary:
            views.append(inputs["auxiliary"])
        outputs.append(net(views if len(views) > 1 else views[0]))
        order += region["outputs"]
    places = [order.index(output) for output in range(n_outputs)]
    logits = ops.take(ops.concatenate(outputs, axis=1), places, axis=1)
    logits = keras.layers.Identity(dtype="float32", name=common.LOGITS)(logits)
    all_inputs = list(inputs.values())
    return keras.Model(all_inputs if len(all_inputs) > 1 else all_inputs[0], logits)


def _build_backbone(backbone: str, shape: common.Shape, options: Options, as_map: bool) -> keras.Model:
    """Build the part of another builder's model that ends at its features, or at its feature map (h', w', f).

    A pretrained network pools its map in the layer `features`. The features of other models are the input of the layer
    `logits`, and their map is the last 4-D tensor before it. A model without a map (its pixels are flattened at once)
    gets one of 1 x 1: its features.
    """
    import keras

    model = function_named("models", backbone, "backbone")(shape, 1, **options)
    pool = next((layer for layer in model.layers if layer.name == common.FEATURES), None)
    features = model.get_layer(common.LOGITS).input if pool is None else pool.output
    if as_map and pool is not None:
        features = pool.input
    elif as_map:
        inner = [layer for layer in model.layers if layer.name not in ("images", common.SCALE, common.LOGITS)]
        maps = [layer.output for layer in inner if len(getattr(layer.output, "shape", ())) == 4]
        features = maps[-1] if maps else keras.layers.Reshape((1, 1, features.shape[-1]))(features)
    return keras.Model(model.inputs[0], features, name=common.BACKBONE)


def _fuse_maps(features: keras.KerasTensor, width: int) -> keras.KerasTensor:
    """Concatenate the maps of all views (n, v, h, w, f) by channels and convolve each place: (n, h, w, width)."""
    from keras import layers, ops

    _, v, h, w, f = features.shape
    x = layers.Reshape((h, w, v * f))(ops.transpose(features, (0, 2, 3, 1, 4)))
    x = layers.Conv2D(width, 1, use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.9)(x)  # see small_cnn
    return layers.Activation("relu")(x)


def _fuse_features(
    features: keras.KerasTensor, encoded: keras.KerasTensor | None, fusion: str, width: int
) -> keras.KerasTensor:
    """Fuse the features (n, v, f) of the views that are present: (n, width)."""
    from keras import layers, ops

    from foldwise.models import view_layers

    x = features if encoded is None else layers.Concatenate()([features, encoded[..., :2]])
    x = layers.Dense(width, activation="relu")(x)
    present = ops.ones_like(x[..., :1]) if encoded is None else ops.cast(encoded[..., 2:], x.dtype)
    if fusion == "mean":
        return view_layers.mean(x, present)
    if fusion == "max":
        return view_layers.maximum(x, present)
    gate = layers.Multiply()([layers.Dense(width, "tanh")(x), layers.Dense(width, "sigmoid")(x)])
    return view_layers.attention(x, present, layers.Dense(1)(gate))
