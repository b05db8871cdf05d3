"""Hand-made data of several views, in the shapes that readers of them give."""

import numpy as np
import pandas as pd

from foldwise.data.dataset import Dataset, Split
from foldwise.data.structure import Mirror, Structure
from foldwise.runs.recipe import Recipe
from foldwise.settings import AugmentSettings, FitSettings, ModelSettings, SplitSettings

ZONES = {"zone": [2, 1, 3]}  # zone 1 is the mirror image of zone 2, zone 3 of itself
SLOTS = [3, 2, 1, 0]
ANGLES = [45.0, 135.0, 225.0, 315.0]  # slot i reversed is slot 3 - i, and 360 - ANGLES[i] is ANGLES[3 - i]
N_ZONES, N_VIEWS, SIDE = 3, 4, 12


def zone_table(n_scans, rng, prefix="s"):
    """A row for each scan and zone; zone k lacks some slots, mirror images the mirrored ones."""
    rows = []
    for scan in range(n_scans):
        for zone in range(1, N_ZONES + 1):
            empty = {1: (3,), 2: (0,), 3: ()}[zone]
            angles = {f"angle_{i}": np.nan if i in empty else ANGLES[i] for i in range(N_VIEWS)}
            label = int(rng.random() < 0.4)
            rows.append({"id": f"{prefix}{scan}_Zone{zone}", "threat": label, "group": scan % 4, "zone": zone} | angles)
    return pd.DataFrame(rows)


def draw_threats(views, label, rng):
    """Write noise into the views (v, h, w, c) of a sample, and a bright square into those of a positive one."""
    views[:] = rng.normal(60, 8, size=views.shape)
    if label:
        top, left = rng.integers(2, SIDE - 6, size=2)
        views[:, top : top + 4, left : left + 4] += 60


def zone_data(n_scans=20, n_test=4, dtype=np.uint8, seed=0):
    """A dataset of one crop in four slots for each zone, as layout=zone gives."""
    rng = np.random.default_rng(seed)
    table = zone_table(n_scans + n_test, rng)
    images = np.zeros((len(table), N_VIEWS, SIDE, SIDE, 1))
    for image, row in zip(images, table.itertuples(), strict=True):
        draw_threats(image, row.threat, rng)
        image[[np.isnan(getattr(row, f"angle_{i}")) for i in range(N_VIEWS)]] = 0
    images, cut = images.astype(dtype), n_scans * N_ZONES
    train, test = Split(images[:cut], table[:cut]), Split(images[cut:], table[cut:].reset_index(drop=True))
    structure = Structure(1, {"zone": N_ZONES}, Mirror(SLOTS, None, ZONES))
    return Dataset(train, test, "binary", ["threat"], [], None, "data", "ids", structure)


def scan_data(n_scans=30, n_test=4, dtype=np.uint8, regions=True, seed=0):
    """A dataset of one image a scan that answers three rows: the square stands at a place of each zone's own."""
    rng = np.random.default_rng(seed)
    table = zone_table(n_scans + n_test, rng).drop(columns=[f"angle_{i}" for i in range(N_VIEWS)])
    labels = table["threat"].to_numpy().reshape(-1, N_ZONES)
    images = rng.normal(60, 8, size=(n_scans + n_test, N_VIEWS, SIDE, SIDE, 1))
    for image, zones in zip(images, labels, strict=True):
        for zone in np.flatnonzero(zones):
            top, left = {0: (1, 1), 1: (1, SIDE - 5), 2: (SIDE - 5, 4)}[zone]
            image[:, top : top + 4, left : left + 4] += 60
    images, cut = images.astype(dtype), n_scans * N_ZONES
    train, test = Split(images[:n_scans], table[:cut]), Split(images[n_scans:], table[cut:].reset_index(drop=True))
    parts = {"both arms": {"slots": [0, 1, 2, 3], "outputs": [1, 0]}, "legs": {"slots": [1, 2], "outputs": [2]}}
    mirror = Mirror(SLOTS, [1, 0, 2], ZONES)
    structure = Structure(3, {"zone": N_ZONES}, mirror, parts if regions else {})
    return Dataset(train, test, "binary", ["threat"], [], None, "data", "ids", structure)


def recipe(model="multi_view", options=None, augment=None, **fit):
    """A recipe with a small backbone, few epochs and no augmentation."""
    backbone = {"filters": (4, 8), "batch_norm_input": False, "dense_dropout": 0.0}
    small = {"backbone_options": backbone, "fusion_width": 8, "dense": (16,), "dropout": 0.0}
    if model not in ("multi_view", "region_nets", "whole_scan"):
        small = {}
    fit = FitSettings(**{"epochs": 2, "batch_size": 16, "learning_rate": 0.01} | fit)
    settings = ModelSettings(model, small | (options or {}))
    return Recipe(
        {}, "data", "split", SplitSettings(n_folds=5), settings, "code", augment or AugmentSettings("none"), fit
    )


def held_out(dataset, every=5):
    """Every so many images are held out, with all of their rows."""
    return np.repeat(np.arange(len(dataset.train.images)) % every == 0, dataset.structure.rows_per_image)
