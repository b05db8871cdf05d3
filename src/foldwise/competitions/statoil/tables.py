"""Draw the tables of simulated Statoil data: which rows share an incidence angle, and their labels.

Rows that share an angle come from one scene and nearly always share the label; real test rows fall into the
scenes of the training rows in the real proportion. Generated test rows (not scored) have angles with more
than 4 decimals.
"""

from typing import NamedTuple

import numpy as np

# Shares measured on the 1,604 real training rows and the 8,424 test rows.
ICEBERGS = 753 / 1604
NO_ANGLE = 133 / 1604  # every one a ship
SHARED_ROWS = 810 / 1604  # rows whose angle another training row has
SHARED_ANGLES = 217 / 1604
MIXED_ANGLES = 6 / 217  # shared angles with both labels
SINGLE_ICEBERGS = 0.24  # among rows whose angle no other training row has
BIG_GROUP, BIG_GROUP_ICEBERGS = 5, 0.91  # groups of 5 rows or more are pure, and mostly icebergs
REAL_TEST = 3424 / 8424  # the rest is machine-generated and not scored
TEST_SHARED = 1950 / 3424  # real test rows that share their angle with a training row
TEST_ONLY_ANGLES = 207 / 3424  # angles shared among test rows alone: 724 in all
TEST_ONLY_ROWS = 500 / 3424  # the rows of those (assumed)
TEST_GROUP_ICEBERGS = 0.6  # share of icebergs among those (assumed)
ANGLE_RANGE, ANGLE_SHAPE = (24.75, 45.94), (3.81, 1.75)  # degrees; beta shape for mean 39.27 and sd 3.84
PASSES, PASS_WIDTH, PASS_SHAPE = 60, 0.15, 1.0  # scenes close in angle tend to one label: see draw_angles
GENERATED_ANGLE = (39.3, 4.0, 23.08, 50.66)  # mean, sd, lowest, highest in degrees


def group_sizes(rng: np.random.Generator, rows: int, groups: int) -> np.ndarray:
    """Split rows into groups of two or more with a long tail (largest about 20), sizes in falling order."""
    if groups == 0:
        return np.empty(0, int)
    weights = rng.gamma(0.5, 1.0, groups) + 1e-9
    return np.sort(2 + rng.multinomial(rows - 2 * groups, weights / weights.sum()))[::-1]


class Rows(NamedTuple):
    """One row per chip: label, angle in degrees as rounded in the file, scene number, and two marks."""

    label: np.ndarray
    angle: np.ndarray
    scene: np.ndarray
    angle_known: np.ndarray
    generated: np.ndarray


def draw_passes(rng: np.random.Generator) -> np.ndarray:
    """Draw the satellite passes: angle at the centre in degrees and share of icebergs, (PASSES, 2).

    Neighbours have opposite shares, so that neither class drifts to one side of the range.
    """
    from scipy import special  # slow to import, and a configuration is checked without it

    low, high = ANGLE_RANGE
    quantile = (np.arange(PASSES) + rng.random(PASSES)) / PASSES
    centre = low + (high - low) * special.betaincinv(*ANGLE_SHAPE, quantile)
    share = rng.beta(PASS_SHAPE, PASS_SHAPE, PASSES // 2)
    pairs = np.stack([share, 1 - share], axis=1)
    return np.stack([centre, rng.permuted(pairs, axis=1).ravel()], axis=1)


def draw_angles(rng: np.random.Generator, passes: np.ndarray, label: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Draw a different angle for every scene, near the centre of a pass that sees its label often."""
    angle = np.zeros(len(label))
    open_ = np.ones(len(label), bool)
    share = np.stack([1 - passes[:, 1], passes[:, 1]])
    share /= share.sum(axis=1, keepdims=True)
    for _ in range(100):
        for y in (0, 1):
            at = np.flatnonzero(open_ & (label == y))
            centre = rng.choice(passes[:, 0], len(at), p=share[y])
            angle[at] = np.round(np.clip(centre + rng.normal(0, PASS_WIDTH, len(at)), *ANGLE_RANGE), 4)
        _, first = np.unique(np.concatenate([taken, angle]), return_index=True)
        open_ = ~np.isin(np.arange(len(label)), first - len(taken))
        if not open_.any():
            return angle
    raise ValueError(f"{len(label) + len(taken)} scenes do not fit into the different angles of 4 decimals")


def group_labels(rng: np.random.Generator, sizes: np.ndarray, icebergs: int) -> list[np.ndarray]:
    """Label every group's rows: nearly all groups pure, big ones mostly icebergs, about `icebergs` in all."""
    big = sizes >= BIG_GROUP
    small = rng.permutation(np.flatnonzero(~big))
    n_mixed = min(round(MIXED_ANGLES * len(sizes)), len(small))
    labels = [np.zeros(size, np.int64) for size in sizes]
    for g in rng.permutation(np.flatnonzero(big))[round((1 - BIG_GROUP_ICEBERGS) * big.sum()) :]:
        labels[g][:] = 1
    for g in small[:n_mixed]:
        labels[g][0] = 1
    missing = icebergs - sum(int(label.sum()) for label in labels)
    for g in small[n_mixed:]:
        if sizes[g] <= missing:
            labels[g][:] = 1
            missing -= sizes[g]
    return labels


def draw_train(rng: np.random.Generator, passes: np.ndarray, n: int) -> Rows:
    """Draw the training table of n rows, shuffled."""
    n_icebergs, n_missing = round(ICEBERGS * n), round(NO_ANGLE * n)
    n_shared, n_groups = round(SHARED_ROWS * n), round(SHARED_ANGLES * n)
    n_single = n - n_missing - n_shared
    sizes = group_sizes(rng, n_shared, n_groups)
    grouped = np.concatenate(group_labels(rng, sizes, n_icebergs - round(SINGLE_ICEBERGS * n_single)))
    single_icebergs = int(np.clip(n_icebergs - grouped.sum(), 0, n_single))
    single = np.repeat([1, 0], [single_icebergs, n_single - single_icebergs])
    label = np.concatenate([grouped, single, np.zeros(n_missing, np.int64)])
    n_scenes = n_groups + n_single + n_missing
    scene = np.concatenate([np.repeat(np.arange(n_groups), sizes), np.arange(n_groups, n_scenes)])
    known = np.arange(n) < n - n_missing
    order = rng.permutation(n)
    scene_label = np.zeros(n_scenes, np.int64)
    scene_label[scene] = label
    angle = draw_angles(rng, passes, scene_label, np.empty(0))[scene]
    return Rows(label[order], angle[order], scene[order], known[order], np.zeros(n, bool))


def draw_test(rng: np.random.Generator, passes: np.ndarray, n: int, train: Rows) -> Rows:
    """Draw the test table of n rows, shuffled: of training scenes, of scenes of their own, generated."""
    n_real = round(REAL_TEST * n)
    n_shared, n_groups = round(TEST_SHARED * n_real), round(TEST_ONLY_ANGLES * n_real)
    n_grouped = max(round(TEST_ONLY_ROWS * n_real), 2 * n_groups) if n_groups else 0
    n_single = n_real - n_shared - n_grouped
    scenes, counts = np.unique(train.scene[train.angle_known], return_counts=True)
    iceberg_share = np.bincount(train.scene, train.label)[scenes] / counts
    weights = (counts - 0.6) * rng.gamma(1.0, 1.0, len(scenes))  # popular scenes stay popular
    visits = rng.multinomial(n_shared, weights / weights.sum())
    sizes = group_sizes(rng, n_grouped, n_groups)
    own = np.repeat(np.arange(n_groups + n_single), np.concatenate([sizes, np.ones(n_single, int)]))
    icebergs = np.repeat([TEST_GROUP_ICEBERGS, SINGLE_ICEBERGS], [n_groups, n_single])
    own_label = (rng.random(n_groups + n_single) < icebergs).astype(np.int64)
    shared = np.repeat(np.arange(len(scenes)), visits)
    n_generated = n - n_real
    visitor_label = (rng.random(n_shared) < iceberg_share[shared]).astype(np.int64)
    label = np.concatenate([visitor_label, own_label[own], rng.integers(0, 2, n_generated)])
    if label[:n_real].min() == label[:n_real].max():
        label[n_real - 1] = 1 - label[0]  # a tiny file must hold both classes, too
    next_scene = train.scene.max() + 1
    train_angle = np.zeros(next_scene)
    train_angle[train.scene] = train.angle
    own_angle = draw_angles(rng, passes, own_label, train_angle)
    mean, sd, low, high = GENERATED_ANGLE
    coarse = np.round(np.clip(rng.normal(mean, sd, n_generated), low, high - 0.0001), 4)
    fine = np.round(coarse + rng.integers(1, 100, n_generated) / 1e6, 6)  # always more than 4 decimals
    angle = np.concatenate([train_angle[scenes[shared]], own_angle[own], fine])
    scene = np.concatenate([scenes[shared], next_scene + own, next_scene + len(own_label) + np.arange(n_generated)])
    order = rng.permutation(n)
    return Rows(label[order], angle[order], scene[order], np.ones(n, bool), (np.arange(n) >= n_real)[order])
