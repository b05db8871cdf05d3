"""The program of several lanes on JAX: an epoch of all of them without a return to Python.

A lane is one training: weights, optimizer and rows of its own. `jax.vmap` runs a step of all lanes at once, and
`jax.lax.scan` the steps of an epoch. The images are on the device once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras

from foldwise.models import introspect
from foldwise.training.backends.scale import scaled_by

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts

Epoch = Callable[[Any, Any, Any, Any], tuple[Any, Any]]


class LaneRate(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule for a rate of 1, times the rate of the lane that is computed."""

    def __init__(self, schedule: Any) -> None:
        self.schedule, self.scale = schedule, 1.0

    def __call__(self, step: Any) -> Any:
        return self.scale * (self.schedule(step) if callable(self.schedule) else self.schedule)

    def get_config(self) -> dict[str, Any]:
        return {"schedule": self.schedule}


def state_of(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> list[list[Any]]:
    """Return the values of the trainable and other variables of a model, and of those of its optimizer."""
    groups = (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
    return [[variable.value for variable in group] for group in groups]


def stacked(states: list[Any]) -> Any:
    """Return the trees of arrays of several lanes as one tree, the lane as first axis of each array."""
    import jax
    import jax.numpy as jnp

    return jax.tree.map(lambda *values: jnp.stack(values), *states)


def lane_of(state: Any, number: int) -> Any:
    """Return the arrays of one lane as numpy's."""
    import jax
    import numpy as np

    return jax.tree.map(lambda values: np.asarray(values[number]), state)


def assign_state(model: keras.Model, optimizer: keras.optimizers.Optimizer, state: list[list[Any]]) -> None:
    """Write the state of one lane into the variables of a model and an optimizer."""
    groups = (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
    for group, values in zip(groups, state, strict=True):
        for variable, value in zip(group, values, strict=True):
            variable.assign(value)


def epoch_function(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    rate: LaneRate,
    loss: Any,
    prepare: Callable[[Any, dict[str, Any], dict[str, Any]], tuple[list[Any], Any]],
) -> Epoch:
    """Return a function (state, images, lanes, steps) -> (state, (mean loss (L,), next learning rate (L,))).

    model, optimizer, rate, loss: that all lanes share; the variables are given by `state`, as `state_of` gives them.
    prepare: (images, lane, step) -> (inputs of the model, labels (B, k)) of one batch of one lane.
    lanes: arrays of each lane: rate, decay, and what `prepare` reads.
    steps: arrays (S, L, ...) of the steps of an epoch: chosen (S, L, B), places among the rows of the lane; valid
        (S, L, B), 0.0 for what fills up a short last batch, which changes nothing; and what `prepare` reads.
    """
    import jax
    import jax.numpy as jnp

    row_losses = loss.call if isinstance(loss, keras.losses.Loss) else loss

    def one_step(state: Any, images: Any, lane: Any, step: Any) -> Any:
        trainable, fixed, of_optimizer = state
        inputs, labels = prepare(images, lane, step)
        valid, weights = step["valid"], lane["weights"][step["chosen"]]

        def mean_loss(trainable: Any) -> Any:
            with scaled_by(model, fixed), _calls_for_lanes(model, valid):
                given = inputs[0] if len(inputs) == 1 else inputs
                outputs, after, penalties = model.stateless_call(
                    trainable, fixed, given, training=True, return_losses=True
                )
            losses = row_losses(labels, outputs.astype("float32"))
            return jnp.sum(losses * weights * valid) / jnp.sum(valid) + sum(penalties), after

        (value, fixed), gradients = jax.value_and_grad(mean_loss, has_aux=True)(trainable)
        decay = optimizer.weight_decay
        rate.scale = lane["rate"]
        if decay is not None:
            optimizer.weight_decay = lane["decay"]
        try:
            trainable, of_optimizer = optimizer.stateless_apply(of_optimizer, gradients, trainable)
            with keras.StatelessScope(list(zip(optimizer.variables, of_optimizer, strict=True))):
                following = optimizer.learning_rate
        finally:
            rate.scale, optimizer.weight_decay = 1.0, decay
        return [trainable, fixed, of_optimizer], (value, jnp.sum(valid), following)

    every_lane = jax.vmap(one_step, in_axes=(0, None, 0, 0))

    def epoch(state: Any, images: Any, lanes: Any, steps: Any) -> Any:
        state, (losses, counts, rates) = jax.lax.scan(lambda s, x: every_lane(s, images, lanes, x), state, steps)
        return state, (jnp.sum(losses * counts, axis=0) / jnp.sum(counts, axis=0), rates[-1])

    return jax.jit(epoch, donate_argnums=0)


def normal(seeds: Any, shape: tuple[int, ...]) -> Any:
    """Return standard normal numbers (n, *shape), those of a row by its seed (n,) alone."""
    import jax

    return jax.vmap(lambda seed: jax.random.normal(jax.random.key(seed), shape))(seeds)


def check_memory(epoch: Any, *arguments: Any) -> Epoch:
    """Return the function compiled for these arguments; raise MemoryError where the device has too little memory."""
    import jax

    compiled = epoch.lower(*arguments).compile()
    limit = (jax.devices()[0].memory_stats() or {}).get("bytes_limit")
    needed = compiled.memory_analysis()
    if limit and needed is not None:
        bytes_needed = needed.temp_size_in_bytes + needed.argument_size_in_bytes
        if bytes_needed > 0.9 * limit:
            raise MemoryError(f"{bytes_needed} bytes are needed where the device has {limit}")
    return compiled


@contextlib.contextmanager
def _calls_for_lanes(model: keras.Model, valid: Any) -> Iterator[None]:
    """In a `with` block, change how two kinds of layers compute.

    Each BatchNormalization takes its mean and variance from the rows that are valid (B,). Each convolution of 3 x 3
    pixels becomes a matrix product: `jax.vmap` over kernels would make it one convolution in groups, which is slow.
    """
    changed = [(layer, _masked(layer.call, valid)) for layer in introspect.leaves(model) if _normalises(layer)]
    changed += [(layer, _as_product(layer)) for layer in introspect.leaves(model) if _is_plain_3x3(layer)]
    originals = [layer.call for layer, _ in changed]
    for layer, call in changed:
        layer.call = call
    try:
        yield
    finally:
        for (layer, _), original in zip(changed, originals, strict=True):
            layer.call = original


def _normalises(layer: Any) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)


def _masked(original: Any, valid: Any) -> Any:
    import jax.numpy as jnp

    def call(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        copies = inputs.shape[0] // len(valid)  # views of a sample
        mask = jnp.repeat(valid, copies).reshape(-1, *[1] * (inputs.ndim - 2))
        return original(inputs, training=training, mask=mask)

    return call


def _is_plain_3x3(layer: Any) -> bool:
    return (
        type(layer) is keras.layers.Conv2D
        and (layer.kernel_size, layer.strides, layer.dilation_rate) == ((3, 3), (1, 1), (1, 1))
        and (layer.padding, layer.groups, layer.data_format) == ("same", 1, "channels_last")
    )


def _as_product(layer: Any) -> Any:
    """Return the call of a convolution as nine shifted images, one after another in the channels, times a matrix."""
    import jax.numpy as jnp

    def call(inputs: Any) -> Any:
        height, width, channels = inputs.shape[1:]
        padded = jnp.pad(inputs, ((0, 0), (1, 1), (1, 1), (0, 0)))
        shifted = [padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
        kernel = jnp.reshape(layer.kernel, (9 * channels, layer.filters))
        outputs = jnp.concatenate(shifted, axis=-1) @ kernel.astype(inputs.dtype)
        return layer.activation(outputs + layer.bias.astype(inputs.dtype) if layer.use_bias else outputs)

    return call
