"""One model for all trainings of a recipe in a process: it is built for each, and compiled and traced once.

Tracing the graph of a large network takes a minute, building its layers a few seconds. So the second fold, seed or
file of weights takes over what was traced: all variables are set back to those of a new model, weights, moving
statistics and random states, and so are those of the optimizer. The bits are those of a process that starts anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from foldwise.data.batch import structure_of
from foldwise.data.dataset import Dataset
from foldwise.models import common, introspect
from foldwise.runs.recipe import Recipe, without_seeds
from foldwise.settings import FitSettings, plain
from foldwise.training import finetune, snapshots
from foldwise.training.backend import set_seed, traced_step
from foldwise.training.features import with_new_head
from foldwise.training.losses import loss_of
from foldwise.training.optimizer import optimizer
from foldwise.training.predict import Predictor
from foldwise.training.source import Source

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts


class Part:
    """What is trained in one phase: a compiled model, and its step once it is traced.

    fit: the settings of the phase.
    """

    def __init__(self, model: keras.Model, fit: FitSettings) -> None:
        # else TensorFlow traces the training step twice: a first time to create the optimizer's variables
        model.optimizer.build(model.trainable_variables)
        self.model, self.fit = model, fit
        self._initial = [_sparse(variable.numpy()) for variable in model.optimizer.variables]
        self._steps: dict[Any, Callable[..., tuple[Any, Any]]] = {}

    def reset(self) -> None:
        """Set the optimizer back to its start."""
        for variable, value in zip(self.model.optimizer.variables, self._initial, strict=True):
            variable.assign(np.zeros(variable.shape, variable.dtype) if value is None else value)

    def step(self, batch: tuple[Any, ...]) -> Callable[..., tuple[Any, Any]]:
        """Return the training step for batches like this one."""
        signature = str(keras.tree.map_structure(lambda one: (one.shape[1:], str(one.dtype)), batch))
        if signature not in self._steps:
            self._steps[signature] = traced_step(self.model, batch)
        return self._steps[signature]


class Network:
    """A model of a recipe, and what was compiled and traced of it.

    model: whose variables are those of the training or the prediction that is under way.
    predictor: of its predictions.
    """

    def __init__(self, recipe: Recipe, dataset: Dataset, source: Source, model: keras.Model) -> None:
        self.model = model
        self.predictor: Predictor = source.predictor(model)
        self._recipe, self._task, self._source = recipe, dataset.task, source
        self._parts: dict[tuple[finetune.Phase, int], Part] = {}

    def part(self, phase: finetune.Phase, is_last: bool, n_steps: int) -> Part:
        """Return what is trained in a phase, with n_steps an epoch; its optimizer is at its start."""
        recipe, model = self._recipe, self.model
        finetune.unfreeze(model, recipe.finetune, phase)
        key = (phase, n_steps)
        if key in self._parts:
            self._parts[key].reset()
            return self._parts[key]
        trained = self._source.trained_part(model)
        fit = finetune.fit_of_phase(recipe.fit, recipe.finetune, phase)
        fit = replace(fit, snapshots=recipe.fit.snapshots if is_last else 1)
        shares = finetune.learning_rate_shares(model, recipe.finetune)
        trained.compile(optimizer(fit, n_steps, trained.trainable_variables, shares), loss_of(recipe.fit, self._task))
        self._parts[key] = Part(trained, fit)
        return self._parts[key]


@dataclass(frozen=True)
class StoredWeights:
    """The weights of one trained model, without the model; `model` is one of the same builder."""

    model: keras.Model
    weights: list[np.ndarray]

    def sharing(self, other: StoredWeights) -> StoredWeights:
        """Return them with the arrays of others in place of equal ones: a frozen backbone is in memory once."""
        pairs = zip(self.weights, other.weights, strict=True)
        return replace(self, weights=[old if np.array_equal(old, new) else new for new, old in pairs])

    def loaded(self) -> keras.Model:
        """Give them to the model, and return it."""
        return snapshots.with_weights(self.model, self.weights)

    def save_weights(self, path: Path) -> None:
        """Write them as Keras does."""
        self.loaded().save_weights(path)


def network(recipe: Recipe, dataset: Dataset, source: Source, seed: tuple[int, int]) -> Network:
    """Return the network of a recipe, with random weights that depend on the seed alone.

    One network is kept in a process, until another recipe, or other data, needs one.
    """
    shape = [*dataset.train.images.shape[1:], len(dataset.targets)]
    data = [dataset.data_key, shape, source.stored_views, repr(structure_of(dataset))]
    key = repr([plain(replace(recipe, fit=without_seeds(recipe.fit))), data])
    if key not in _last:
        _last.clear()  # before another is built: both may not fit into memory
        keras.backend.clear_session()  # not for each fold: TensorFlow would optimise all graphs anew
    new = untrained_model(recipe, source, seed)
    if key in _last:
        _copy_variables(new, _last[key].model)
    else:
        _last[key] = Network(recipe, dataset, source, new)
    return _last[key]


def forget() -> None:
    """Forget the network that is kept."""
    _last.clear()


_last: dict[str, Network] = {}  # one at most


def untrained_model(recipe: Recipe, source: Source, seed: tuple[int, int]) -> keras.Model:
    """Return a new model, whose random weights depend on the seed alone."""
    one_number = int(np.random.SeedSequence(seed).generate_state(1)[0])
    set_seed(one_number)
    model = source.build()
    if recipe.finetune.mode == "head":
        # the same head, whether or not random numbers were used for a backbone before it
        set_seed(one_number)
        model = with_new_head(model)
    return model


def _copy_variables(source: keras.Model, target: keras.Model) -> None:
    """Copy weights, moving statistics and random states between models of one builder."""
    for new, kept in zip(source.variables, target.variables, strict=True):
        if new is not kept:  # a backbone whose features are stored belongs to both
            kept.assign(new)
    for scale in introspect.layers_named(target, common.SCALE):
        scale.finalize_state()


def _sparse(value: np.ndarray) -> np.ndarray | None:
    """Return the value, or None if it is 0 throughout, as moments are at the start."""
    return value if np.any(value) else None
