"""Fine-tuning: which layers of a pretrained network train, when, and how fast.

The backbone is cut into stages where its resolution falls: stride 2, 4, 8, 16, 32. `head` trains none of them,
`last_block` the last one, `all` every one, `gradual` one more after another from the last.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import keras

from foldwise.models import common
from foldwise.models.introspect import leaves
from foldwise.settings import FinetuneSettings, FitSettings

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts

LayerList = list[keras.layers.Layer]


@dataclass(frozen=True)
class Phase:
    """Epochs in which the same layers train.

    first, last: the first epoch, and the one after the last.
    depth: how many stages of the backbone train, from the last. None: keep the model's own trainable flags.
    """

    first: int
    last: int
    depth: int | None


def backbone(model: keras.Model) -> keras.Model | None:
    """Return the pretrained network inside a model, or None."""
    return next((layer for layer in model.layers if layer.name == common.BACKBONE), None)


def stages(network: keras.Model) -> list[LayerList]:
    """Cut a network's layers into stages of one resolution, from the input on; each has weights.

    The stride at a layer is the product of the strides on the way there, which does not depend on the size of the
    images. Layers stay in the order of the network; a stage begins where the stride first grows.
    """
    strides: dict[int, int] = {}
    found: list[LayerList] = [[]]
    reached = 1
    for layer in network.operations:  # the layers, and sums and the like that are none
        above = [_producer(tensor) for tensor in _inputs(layer)]
        before = max((strides.get(id(one), 1) for one in above), default=1)
        strides[id(layer)] = before * _stride(layer)
        if strides[id(layer)] > reached:
            reached = strides[id(layer)]
            if _n_weights(found[-1]):
                found.append([])
        if isinstance(layer, keras.Model):
            found[-1] += leaves(layer)
        elif isinstance(layer, keras.layers.Layer):
            found[-1].append(layer)
    if len(found) > 1 and not _n_weights(found[-1]):
        found[-2] += found.pop()
    return found


def phases(settings: FinetuneSettings, fit: FitSettings, model: keras.Model) -> list[Phase]:
    """Return the phases of a training, which share `fit.epochs`."""
    first, epochs = settings.head_epochs, fit.epochs
    network = backbone(model)
    if settings.mode == "none" or network is None:
        return [Phase(0, epochs, None)]
    n_stages = len(stages(network))
    head = [Phase(0, first, 0)] if first else []
    if settings.mode == "head":
        return [Phase(0, epochs, 0)]
    if settings.mode != "gradual":
        return [*head, Phase(first, epochs, 1 if settings.mode == "last_block" else n_stages)]
    steps = min(n_stages, epochs - first)
    ends = [first + (epochs - first) * step // steps for step in range(steps + 1)]
    return head + [Phase(ends[i], ends[i + 1], -(-n_stages * (i + 1) // steps)) for i in range(steps)]


def unfreeze(model: keras.Model, settings: FinetuneSettings, phase: Phase) -> None:
    """Let the last `phase.depth` stages train and freeze the others.

    A frozen layer does what it does at test time: a BatchNorm keeps its statistics, a dropout drops nothing. With
    `batch_norm=frozen` no BatchNorm of the backbone ever trains: small batches would spoil its statistics.
    """
    network = backbone(model)
    if phase.depth is None or network is None:
        return
    cut = stages(network)
    for number, stage in enumerate(cut):
        trains = number >= len(cut) - phase.depth
        for layer in stage:
            norm = isinstance(layer, keras.layers.BatchNormalization)
            layer.trainable = trains and not (norm and settings.batch_norm == "frozen")
            if isinstance(layer, keras.layers.Dropout):
                published = getattr(layer, "published_rate", layer.rate)
                layer.published_rate, layer.rate = published, published if trains else 0.0


def fit_of_phase(fit: FitSettings, settings: FinetuneSettings, phase: Phase) -> FitSettings:
    """Return the settings of one phase: a schedule of its own, and when the backbone trains, its rate and decay."""
    if phase.depth is None:
        return fit
    tuned = phase.depth > 0
    decay = settings.tuned_weight_decay
    return replace(
        fit,
        epochs=phase.last - phase.first,
        warmup_epochs=min(fit.warmup_epochs, phase.last - phase.first),
        learning_rate=fit.learning_rate * (settings.head_rate if tuned else 1),
        weight_decay=decay if tuned and decay is not None else fit.weight_decay,
    )


def learning_rate_shares(model: keras.Model, settings: FinetuneSettings) -> dict[int, float]:
    """Return the share of the head's learning rate for each backbone variable, by its id.

    The last stage has `backbone_rate`, each one before it `layer_decay` times that of the one after.
    """
    network = backbone(model)
    if settings.mode == "none" or network is None:
        return {}
    shares: dict[int, float] = {}
    for number, stage in enumerate(reversed(stages(network))):
        share = settings.backbone_rate / settings.head_rate * settings.layer_decay**number
        shares |= {id(variable): share for layer in stage for variable in layer.trainable_variables}
    return shares


def with_learning_rates(kind: type[Any], variables: list[Any], shares: dict[int, float]) -> type[Any]:
    """Return the optimizer class with a learning rate of its own for the variables that have a share of it."""
    if not shares:
        return kind

    class WithRates(kind):
        weight_decay: float | None

        def share(self, variable: Any) -> float:
            if not hasattr(self, "_shares"):
                self._shares = {self._var_key(v): shares[id(v)] for v in variables if id(v) in shares}
            return self._shares.get(self._var_key(variable), 1.0)

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> Any:
            return super().update_step(gradient, variable, learning_rate * self.share(variable))

        def _apply_weight_decay(self, variables: list[Any]) -> None:
            decay = self.weight_decay
            if decay:
                for variable in variables:  # a number of Python's, read while the step is traced
                    self.weight_decay = decay * self.share(variable)
                    super()._apply_weight_decay([variable])
            self.weight_decay = decay

    return WithRates


def _inputs(layer: Any) -> list[Any]:
    nodes = layer._inbound_nodes  # `layer.input` would be the inner one of a nested chain
    return list(nodes[0].input_tensors) if nodes else []


def _producer(tensor: Any) -> Any:
    return tensor._keras_history.operation


def _stride(layer: Any) -> int:
    """How much a layer, or a nested chain of them, shrinks its input."""
    if isinstance(layer, keras.Model):
        product = 1
        for one in layer.layers:
            product *= _stride(one)
        return product
    strides = getattr(layer, "strides", 1)
    return int(max(strides)) if isinstance(strides, list | tuple) else int(strides)


def _n_weights(layers: LayerList) -> int:
    return sum(len(layer.weights) for layer in layers)
