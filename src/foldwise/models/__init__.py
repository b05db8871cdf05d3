"""Model builders: `builder(input_shape, n_outputs, **options) -> keras.Model`.

A builder returns logits, float32 (n, n_outputs); training adds the sigmoid or the softmax of the task. Its
keyword-only arguments are the schema of `model.options`. A builder imports keras in its body: its signature is read
to check a configuration, which must not wait for TensorFlow to start.

A builder with a third argument `structure` receives the structure of the data: categories, regions, and whether the
views of a sample have angles and may be missing. The inputs of a model are named: `images` first, then any of
`angles`, `categories` and `auxiliary` (see `data/batch.py`). A builder whose options have `backbone` and
`backbone_options` contains another one; its options are checked by that one's signature.

Some layers are found by their names, which are constants of `common.py`:

- `scale`: a Normalization of the images. Training sets its mean and variance from the training rows of the fold.
- `pixels`: a Rescaling of the images to 0..255. Training checks that the first images fill its range.
- `backbone`: a pretrained network, as a model in the model. Fine-tuning freezes and unfreezes its stages, and predicts
  in batches of `fit.batch_size`.
- `features`: the pooled output (n, d) of a backbone. With finetune=head it is computed once and stored, so that only
  the layers `joined` (with auxiliary columns), `dropout` and `logits` may follow it, in this order.
- `logits`: the last layer; its input are the features, and the last 4-D tensor before it is the feature map. So
  `multi_view` makes a model of many views from any builder of one image. Where a layer `features` exists, its output
  and its input are used instead.

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
