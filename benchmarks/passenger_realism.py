"""Simulated against real passenger scans: how well histograms of gradients find threats in view 0.

Draws 600 scans of 24 people a seed (as many people as one solver found in the real stage 1) at a quarter of the
real size, cuts zones 5, 6 and 7 out of view 0, and prints the AUC of logistic regression on histograms of
oriented gradients beside the real figure: .80, .76 and .67 over 1,247 real scans, 5 folds. Marked where it is more
than .06 off; with 600 scans, of which about 60 have a threat in a zone, an AUC has a standard error of .04.

Crops are 64 x 64 pixels, 9 orientations, cells of 16 x 16, blocks of 2 x 2; scikit-learn's LogisticRegression as
it is, 5 stratified folds, shuffled. Also printed: mean and sd of the torso in 8 bits (each view scaled by its
brightest pixel), which are 51 and 44 on real scans.
"""

from __future__ import annotations

import cv2
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from benchmarks.measure import table
from foldwise.competitions.passenger_screening import render, simulator

REAL = {5: 0.80, 6: 0.76, 7: 0.67}
TOLERANCE = 0.06
CROPS = {5: (180, 330, 190, 300), 6: (150, 260, 235, 375), 7: (252, 362, 235, 375)}  # columns, rows
PEOPLE = 24


def run(quick: bool) -> None:
    """Print the AUC of each zone for each seed, and their means."""
    n, scale, seeds = (60, 4, (0,)) if quick else (600, 4, (0, 1, 2, 3, 4, 5))
    rows, found = [], []
    for seed in seeds:
        views, labels = first_views(n, scale, seed)
        found.append([auc(views, labels[:, zone - 1], zone) for zone in REAL])
        torso = views[:, 230 // scale : 380 // scale, 170 // scale : 340 // scale]
        grey = torso * (255 / views.max(axis=(1, 2)))[:, None, None]
        cells = [shown(value, real) for value, real in zip(found[-1], REAL.values(), strict=True)]
        rows.append([f"seed {seed}", *cells, f"{grey.mean():.0f}", f"{grey.std(axis=(1, 2)).mean():.0f}"])
    mean = [shown(value, real) for value, real in zip(np.mean(found, axis=0), REAL.values(), strict=True)]
    rows.append(["mean", *mean, "", ""])
    rows.append(["real", *(f"{value:.2f}" for value in REAL.values()), "51", "44"])
    table([f"{n} scans", "zone 5", "zone 6", "zone 7", "torso", "sd"], rows)


def shown(value: float, real: float) -> str:
    """Write an AUC, marked where it is off."""
    return f"{value:.2f}{'' if abs(value - real) <= TOLERANCE else ' OUTSIDE'}"


def first_views(n: int, scale: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw view 0 of n scans as `simulate` does, float32 (n, 660 / scale, 512 / scale), and labels (n, 17)."""
    rng = np.random.default_rng([seed, simulator.TABLE])
    labels = simulator.draw_labels(rng, n)
    who = rng.permutation(np.arange(n) * PEOPLE // n)
    people = [simulator.draw_person(seed, number) for number in range(PEOPLE)]
    views = []
    for i in range(n):
        person = people[who[i]]
        body, patches = simulator.draw_scan(seed, i, person, tuple(np.flatnonzero(labels[i]) + 1))
        stream = np.random.default_rng([seed, simulator.SCANS, i, 0])
        views.append(render.draw_words(body, patches, person.bands, 0.0, scale, stream, simulator.WHITE))
    return np.array(views, np.float32), labels.astype(int)


def auc(views: np.ndarray, labels: np.ndarray, zone: int) -> float:
    """Return the AUC of a zone over 5 folds."""
    features = np.array([gradients(view, zone) for view in views])
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    model = LogisticRegression(max_iter=300)
    predicted = cross_val_predict(model, features, labels, cv=folds, method="predict_proba")[:, 1]
    return float(roc_auc_score(labels, predicted))


def gradients(view: np.ndarray, zone: int) -> np.ndarray:
    """Return the histograms of a zone's crop, (324,)."""
    from skimage.feature import hog

    scale = render.ROWS / view.shape[0]
    x0, x1, y0, y1 = (int(edge / scale) for edge in CROPS[zone])
    crop = cv2.resize(view[y0:y1, x0:x1], (64, 64), interpolation=cv2.INTER_LINEAR)
    grey = np.minimum(crop * (255 / np.percentile(view, 99.9)), 255)
    return np.asarray(hog(grey, orientations=9, pixels_per_cell=(16, 16), cells_per_block=(2, 2)))
