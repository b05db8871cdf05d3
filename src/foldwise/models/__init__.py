"""Model builders: `builder(input_shape, n_outputs, **options) -> keras.Model`.

A builder returns logits, float32 (n, n_outputs); `fit.py` adds the sigmoid or the softmax that the task
calls for. Its keyword-only arguments are the schema of `model.options`. A builder imports keras in its
body: its signature is read to check a configuration, which must not cost the start of TensorFlow.

A builder that asks for `structure` (its third argument) is told what the data are made of: categories,
regions, and whether the views of a sample have angles and may be missing. The inputs of a model are named:
`images` first, then any of `angles`, `categories` and `auxiliary` (see `samples.py`). A layer `scale` standardises the
images, a layer `logits` ends the model: what enters it are the features, and the last 4-D tensor before it is the
feature map. That is how `multi_view` makes a model of many views of any builder of one image. A builder whose options
have `backbone` and `backbone_options` names another one; its options are checked as its own would be.

To add a model, write such a function, name it here and in a YAML in `conf/model/`.
"""

from foldwise.models.logistic_regression import logistic_regression
from foldwise.models.mlp import mlp
from foldwise.models.multi_view import multi_view, region_nets, whole_scan
from foldwise.models.pretrained.application import application
from foldwise.models.pretrained.densenet161 import densenet161
from foldwise.models.pretrained.efficientnet_lite0 import efficientnet_lite0
from foldwise.models.pretrained.inception_v4 import inception_v4
from foldwise.models.pretrained.resnets import fbresnet152, resnext101_32x4d, resnext101_64x4d
from foldwise.models.pretrained.zfnet import zfnet
from foldwise.models.small_cnn import small_cnn

__all__ = [
    "application",
    "densenet161",
    "efficientnet_lite0",
    "fbresnet152",
    "inception_v4",
    "logistic_regression",
    "mlp",
    "multi_view",
    "region_nets",
    "resnext101_32x4d",
    "resnext101_64x4d",
    "small_cnn",
    "whole_scan",
    "zfnet",
]
