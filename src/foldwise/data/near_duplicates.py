"""Images that are nearly the same, by perceptual hashes."""

from __future__ import annotations

import numpy as np


def near_duplicates(images: np.ndarray, distance: int) -> np.ndarray:
    """Return the pairs of rows, int (p, 2), whose perceptual hashes differ in at most `distance` of 64 bits.

    The hash is ImageHash's pHash of the mean over channels, stretched to 8 bits; views of a sample are
    hashed side by side.
    """
    import imagehash
    from PIL import Image

    hashes = np.empty(len(images), np.uint64)
    for i, image in enumerate(images):
        grey = image.astype(np.float32).mean(axis=-1).reshape(-1, image.shape[-2])
        low, high = grey.min(), grey.max()
        grey = (grey - low) * (255 / max(high - low, 1e-6))
        bits = imagehash.phash(Image.fromarray(grey.astype(np.uint8))).hash
        hashes[i] = np.packbits(bits).view(np.uint64)[0]
    pairs = [
        np.column_stack([np.full(len(near), i), near + i + 1])
        for i in range(len(hashes))
        if len(near := np.flatnonzero(np.bitwise_count(hashes[i + 1 :] ^ hashes[i]) <= distance))
    ]
    return np.concatenate(pairs) if pairs else np.empty((0, 2), int)


def join_groups(groups: np.ndarray | None, pairs: np.ndarray, n: int) -> np.ndarray:
    """Join groups that a pair connects."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    groups = np.arange(n) if groups is None else groups
    size = groups.max() + 1
    edges = coo_array((np.ones(len(pairs)), (groups[pairs[:, 0]], groups[pairs[:, 1]])), shape=(size, size))
    return np.asarray(connected_components(edges, directed=False)[1][groups])
