"""Whether the settings fit the task of the data: asked as soon as the task is known, before any image is decoded."""

from __future__ import annotations

from foldwise.blends import methods
from foldwise.data.dataset import Dataset
from foldwise.data.records import Records
from foldwise.errors import ConfigError, FoldwiseError
from foldwise.scoring.metrics import METRICS, check_metric
from foldwise.settings import Settings, Task
from foldwise.training import losses


def check_task(settings: Settings, task: Task) -> None:
    """Raise ConfigError where the metrics, the loss, the pseudo-labels or the way to blend do not fit the task."""
    check_metric(settings.competition.metric, task)
    for name in settings.competition.shown:
        check_metric(name, task, "competition.shown")
    losses.check_fit(settings.fit, task)
    if task == "regression" and settings.augment.options.get("transplant"):
        raise ConfigError(
            f"augment.options.transplant={settings.augment.options['transplant']}: a regression has no empty images to "
            "put things into; set augment.options.transplant=0"
        )
    losses.check_pseudo(settings.pseudo, task)
    methods.check_task(settings.ensemble, task)


def check_order(settings: Settings, data: Dataset | Records) -> None:
    """Raise ConfigError where a metric needs the order of classes whose names were sorted as text."""
    competition = settings.competition
    ordered = [name for name in (competition.metric, *competition.shown) if METRICS[name].ordered_classes]
    if ordered and not data.ordered and len(data.targets) > 1:
        raise ConfigError(
            f"{ordered[0]} depends on the order of the classes, and {', '.join(data.targets)} were sorted as text; "
            f"list them from the lowest to the highest: competition.options.classes=[{','.join(data.targets)}] in your "
            "order"
        )


def checked(settings: Settings, dataset: Dataset) -> Dataset:
    """Return the data, whose task and labels fit the settings, which may be others than when they were prepared.

    Raises ConfigError as `check_task` and `check_order` do, and FoldwiseError for a negative target where RMSLE is the
    objective.
    """
    check_task(settings, dataset.task)
    check_order(settings, dataset)
    if settings.competition.metric == "rmsle" and dataset.task == "regression":
        wrong = (dataset.labels < 0).any(axis=1)
        if wrong.any():
            row = int(wrong.argmax())
            raise FoldwiseError(
                f"competition.metric=rmsle: {wrong.sum()} training rows have a negative target, for example "
                f"{dataset.train.table['id'].iloc[row]!r} with {dataset.labels[row].tolist()}; RMSLE needs targets "
                "of 0 or more: set competition.metric=rmse"
            )
    return dataset
