"""Mixup and CutMix: images and labels mixed within a batch."""

from __future__ import annotations

import numpy as np

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts


def mix(
    images: np.ndarray, labels: np.ndarray, mixup: float, cutmix: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return images (n, [v,] h, w, c) and labels (n, k), each mixed with another of the batch.

    mixup, cutmix: parameter of the Beta distribution of the share, 0 for off (Zhang et al. 2018, Yun et al.
    2019). With both, each batch is mixed by one of them at random.
    """
    use_cutmix = cutmix > 0 and (mixup == 0 or rng.random() < 0.5)
    alpha = cutmix if use_cutmix else mixup
    share = rng.beta(alpha, alpha)
    partner = rng.permutation(len(images))
    if not use_cutmix:
        mixed_images = share * images + (1 - share) * images[partner]
    else:
        height, width = images.shape[-3:-1]
        side = np.sqrt(1 - share)
        h, w = round(height * side), round(width * side)
        top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
        mixed_images = images.copy()
        mixed_images[..., top : top + h, left : left + w, :] = images[partner, ..., top : top + h, left : left + w, :]
        share = 1 - h * w / (height * width)
    return mixed_images.astype(np.float32), (share * labels + (1 - share) * labels[partner]).astype(np.float32)
