"""The loss that a network is trained by, and which losses fit which task.

Cross-entropy is the default of classes, the squared error that of a regression, whose targets are standardised: the
errors are in standard deviations of the target, and so is the width of 1 at which the Huber loss turns linear.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from foldwise.errors import ConfigError
from foldwise.settings import ONE_CLASS, FitSettings, PseudoSettings, Task

if TYPE_CHECKING:
    import keras


VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts

OF_VALUES = ("squared", "absolute", "huber")


def loss_of(fit: FitSettings, task: Task) -> keras.losses.Loss | Callable[[Any, Any], Any]:
    """Return the loss of labels and logits (n, k), or of standardised values; a row's is the mean over its outputs.

    label_smoothing s turns a label y into (1 - s) y + s / 2, or + s / k between k classes.
    """
    from keras import losses

    if task == "regression":
        errors: dict[str, type[losses.Loss]] = {
            "auto": losses.MeanSquaredError,
            "squared": losses.MeanSquaredError,
            "absolute": losses.MeanAbsoluteError,
            "huber": losses.Huber,
        }
        return errors[fit.loss]()
    if fit.loss == "auto" and fit.positive_weight == 1:
        kind = losses.CategoricalCrossentropy if task in ONE_CLASS else losses.BinaryCrossentropy
        return kind(from_logits=True, label_smoothing=fit.label_smoothing)
    gamma = fit.focal_gamma if fit.loss == "focal" else 0.0

    def weighted(labels: Any, logits: Any) -> Any:
        smooth = fit.label_smoothing
        if task in ONE_CLASS:
            k = logits.shape[-1]
            return class_losses(labels * (1 - smooth) + smooth / k, logits, gamma)
        return output_losses(labels * (1 - smooth) + smooth / 2, logits, gamma, fit.positive_weight)

    return weighted


def output_losses(labels: Any, logits: Any, gamma: float, positive_weight: float) -> Any:
    """Return w y (1 - p)**gamma (-log p) + (1 - y) p**gamma (-log(1 - p)), the mean over outputs: (n, k) -> (n,).

    gamma 0 is weighted cross-entropy; otherwise the focal loss of Lin et al. 2017, Focal Loss for Dense Object
    Detection, equation 4, written for soft labels.
    """
    from keras import ops

    positive = positive_weight * labels * ops.softplus(-logits)
    negative = (1 - labels) * ops.softplus(logits)
    if gamma:
        positive = positive * ops.sigmoid(-logits) ** gamma
        negative = negative * ops.sigmoid(logits) ** gamma
    return ops.mean(positive + negative, axis=-1)


def class_losses(labels: Any, logits: Any, gamma: float) -> Any:
    """Return the sum over classes of y (1 - p)**gamma (-log p), the focal loss of a softmax: (n, k) -> (n,)."""
    from keras import ops

    log_p = ops.log_softmax(logits, axis=-1)
    p = ops.exp(log_p)
    # a tiny floor: the slope of 0**gamma is infinite for a gamma below 1
    return -ops.sum(labels * ops.maximum(1 - p, 1e-7) ** gamma * log_p, axis=-1)


def check_fit(fit: FitSettings, task: Task) -> None:
    """Raise ConfigError, naming the valid choices, where the loss or the weights of classes do not fit the task.

    >>> check_fit(FitSettings(loss="focal"), "regression")
    Traceback (most recent call last):
        ...
    foldwise.errors.ConfigError: fit.loss=focal: a regression is trained by auto, squared, absolute or huber
    """
    regression, several = task == "regression", task in ONE_CLASS
    if regression and fit.loss == "focal":
        raise ConfigError("fit.loss=focal: a regression is trained by auto, squared, absolute or huber")
    if not regression and fit.loss in OF_VALUES:
        raise ConfigError(f"fit.loss={fit.loss}: the task is {task}, and classes are trained by auto or focal")
    if fit.loss != "focal" and fit.focal_gamma != FitSettings.focal_gamma:
        raise ConfigError(f"fit.focal_gamma={fit.focal_gamma:g}: nothing reads it without fit.loss=focal")
    if regression and fit.label_smoothing:
        raise ConfigError(
            f"fit.label_smoothing={fit.label_smoothing:g}: a regression has no classes to spread labels over; set 0"
        )
    if regression and fit.class_weights:
        raise ConfigError(
            "fit.class_weights=true: a regression has no classes; a column weight of the training rows weighs rows"
        )
    if (regression or several) and fit.positive_weight != 1:
        raise ConfigError(
            f"fit.positive_weight={fit.positive_weight:g}: the task is {task}, and only binary and multilabel tasks "
            f"have positive labels; {'set 1' if regression else 'fit.class_weights=true weighs classes'}"
        )


def check_pseudo(pseudo: PseudoSettings, task: Task) -> None:
    """Raise ConfigError unless the values that label the test rows of a regression are taken as they are."""
    if task == "regression" and pseudo.runs and (pseudo.labels != "soft" or pseudo.confidence > 0):
        raise ConfigError(
            f"pseudo.labels={pseudo.labels} pseudo.confidence={pseudo.confidence:g}: a predicted value has no likelier "
            "label and no confidence; choose pseudo=distill (pseudo.labels=soft pseudo.confidence=0)"
        )
