"""Predictions of a trained model, averaged over test-time views."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np

from foldwise.augment.views import batch_views
from foldwise.data.batch import rows_at_once
from foldwise.data.structure import Batch, Structure
from foldwise.models import introspect
from foldwise.scoring import metrics
from foldwise.settings import Task
from foldwise.training.backend import traced_predict

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts

PREDICT_ROWS = 256


class Predictor:
    """Predict probabilities of rows, averaged over the test-time views; of a regression, the standardised values.

    test_views: their name in `foldwise.augment.views`, or `stored` for features of several views.
    rows: how many rows (or views, of samples that have several) are computed at once.
    """

    def __init__(
        self,
        model: keras.Model,
        task: Task,
        test_views: str,
        structure: Structure | None = None,
        rows: int = PREDICT_ROWS,
    ) -> None:
        self.task, self.test_views, self.structure, self.rows = task, test_views, structure or Structure(), rows
        self._names, self._n_outputs = introspect.input_names(model), model.outputs[0].shape[-1]
        self._logits = traced_predict(model)

    def __call__(
        self,
        images: np.ndarray,
        inputs: Batch | None,
        rows: np.ndarray,
        done: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """Return the probabilities (m, k) of the images at the positions `rows` (m,).

        images: (n, [v,] h, w, c), or features (n, V, d); inputs: the other model inputs of all n, by name.
        done: is called after each batch with the number of rows in it.
        """
        if len(rows) == 0:  # a refit holds none out
            return np.empty((0, self._n_outputs))
        parts, step = [], rows_at_once(images, self.rows)
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            batch = {"images": images[part].astype(np.float32)}
            batch |= {name: values[part] for name, values in (inputs or {}).items()}
            views = []
            for view, outputs in self._views(batch):
                logits = self._logits(*(view[name] for name in self._names))
                views.append(metrics.probabilities(logits, self.task)[:, outputs])
            parts.append(np.mean(views, axis=0))
            if done is not None:
                done(len(part))
        return np.concatenate(parts)

    def _views(self, batch: Batch) -> Iterable[tuple[Batch, Any]]:
        if self.test_views == "stored":  # features of the views, (rows, views, d)
            return [(batch | {"images": view}, slice(None)) for view in np.moveaxis(batch["images"], 1, 0)]
        return batch_views(self.test_views, batch, self.structure, self._n_outputs)
