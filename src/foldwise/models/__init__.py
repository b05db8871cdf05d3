"""Model builders: `builder(input_shape, n_outputs, **options) -> keras.Model`.

A builder returns logits, float32 (n, n_outputs); `fit.py` adds the sigmoid or the softmax that the task
calls for. Its keyword-only arguments are the schema of `model.options`. A builder imports keras in its
body: its signature is read to check a configuration, which must not cost the start of TensorFlow.

To add a model, write such a function, name it here and in a YAML in `conf/model/`.
"""

from foldwise.models.logistic_regression import logistic_regression
from foldwise.models.mlp import mlp
from foldwise.models.small_cnn import small_cnn

__all__ = ["logistic_regression", "mlp", "small_cnn"]
