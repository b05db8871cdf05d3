"""Mixup and CutMix: images and labels mixed within a batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

VERSION = 1  # enters the run key; raised by an edit that changes what a recipe predicts


def mix(
    images: np.ndarray, labels: np.ndarray, mixup: float, cutmix: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return images (n, [v,] h, w, c) and labels (n, k), each mixed with another of the batch.

    mixup, cutmix: parameter of the Beta distribution of the share, 0 for off (Zhang et al. 2018, Yun et al.
    2019). With both, each batch is mixed by one of them at random.
    """
    sampled = sample(len(images), images.shape[-3:-1], mixup, cutmix, rng)
    if sampled.box is None:
        mixed_images = sampled.share * images + (1 - sampled.share) * images[sampled.partner]
    else:
        top, left, h, w = sampled.box
        mixed_images = images.copy()
        mixed_images[..., top : top + h, left : left + w, :] = images[
            sampled.partner, ..., top : top + h, left : left + w, :
        ]
    share, others = sampled.share, labels[sampled.partner]
    return mixed_images.astype(np.float32), (share * labels + (1 - share) * others).astype(np.float32)


@dataclass(frozen=True)
class Mixing:
    """How a batch is mixed.

    share: of a sample's own label, and without a box of its own pixels.
    partner: (n,), the sample that each is mixed with.
    box: (top, left, height, width) of the pixels that come from the partner. None: all are mixed.
    """

    share: float
    partner: np.ndarray
    box: tuple[int, int, int, int] | None


def sample(n: int, size: tuple[int, ...], mixup: float, cutmix: float, rng: np.random.Generator) -> Mixing:
    """Sample how a batch of n images of a size (h, w) is mixed; mixup, cutmix: as `mix` takes them."""
    use_cutmix = cutmix > 0 and (mixup == 0 or rng.random() < 0.5)
    alpha = cutmix if use_cutmix else mixup
    share = rng.beta(alpha, alpha)
    partner = rng.permutation(n)
    if not use_cutmix:
        return Mixing(share, partner, None)
    height, width = size
    side = np.sqrt(1 - share)
    h, w = round(height * side), round(width * side)
    top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
    return Mixing(1 - h * w / (height * width), partner, (int(top), int(left), h, w))
