"""The page of `foldwise report` for 200 runs x 20,000 rows: seconds to write it, its size, and seconds to use it.

The runs were never trained: models that see a hidden logit through noise, in five folds with 40 epochs of losses. The
seconds are those of the whole command, start and reading included. A browser opens the page five times (headless
Chromium, by Playwright: `make browser`): "interactive" is the time from the start of its loading until a click on the
head of a column has sorted the table, "a run" the time in which a click on a run shows its curves; medians.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from benchmarks.measure import table

FOLDS, EPOCHS, OPENED = 5, 40, 5
LIMITS = {"seconds": 20, "megabytes": 15, "interactive": 2}
SORTED = """async () => {
  const button = document.querySelectorAll('#leaderboard thead button')[2];
  button.click();
  document.body.offsetHeight;
  return performance.now();
}"""
OPEN = """() => {
  const started = performance.now();
  document.querySelector('#leaderboard a').click();
  return new Promise((done) => {
    const shown = () => document.querySelector('#run-view svg');
    const look = () => shown() ? done(performance.now() - started) : setTimeout(look, 1);
    look();
  });
}"""


def run(quick: bool) -> None:
    """Print what the page costs to write, to send and to open."""
    n_runs, n = (10, 1_000) if quick else (200, 20_000)
    with tempfile.TemporaryDirectory() as folder:
        words, z = write_data(Path(folder), n)
        write_runs(Path(folder), n_runs, z)
        started = time.perf_counter()
        result = json.loads(foldwise("report", *words, "format=json"))
        found = {"seconds": time.perf_counter() - started, "megabytes": result["bytes"] / 1e6}
        found |= browsed(Path(result["file"]))
    rows = [[name, f"{value:.2f}", str(LIMITS.get(name, "")), verdict(name, value)] for name, value in found.items()]
    table([f"{n_runs} runs, {n} rows", "", "limit", ""], rows)


def verdict(name: str, value: float) -> str:
    """Return whether a figure is within its limit, where it has one."""
    if name not in LIMITS:
        return ""
    return "yes" if value <= LIMITS[name] else "NO"


def write_data(root: Path, n: int) -> tuple[list[str], np.ndarray]:
    """Write a competition of n images of 8 x 8 pixels and prepare it; return its words, and logits that it is from."""
    import cv2

    rng = np.random.default_rng(0)
    z = rng.normal(0, 1.5, n)
    raw = root / "data" / "raw" / "page"
    (raw / "images").mkdir(parents=True)
    names = [f"row{i:06d}" for i in range(n)]
    for name in names:
        cv2.imwrite(str(raw / "images" / f"{name}.png"), rng.integers(0, 256, (8, 8), dtype=np.uint8))
    labels = (rng.random(n) < 1 / (1 + np.exp(-z))).astype(int)
    frame = pd.DataFrame({"id": names, "label": labels, "angle": rng.uniform(20, 60, n).round(2)})
    frame.to_csv(raw / "train.csv", index=False)
    (root / "competition").mkdir()
    options = {"task": "binary", "test": "none", "auxiliary": ["angle"]}
    about = {"name": "page", "reader": "folder", "options": options}
    (root / "competition" / "page.yaml").write_text(yaml.safe_dump(about))
    data = [f"--config-dir={root}", "competition=page", "source=kaggle", f"root={root}"]
    foldwise("prepare", *data)
    words = [*data, "split=stratified", f"split.n_folds={FOLDS}"]
    foldwise("folds", *words)
    return words, z


def write_runs(root: Path, n_runs: int, z: np.ndarray) -> None:
    """Write finished runs that predict the rows from the logits z (n,) that they are from, seen through noise."""
    from foldwise.data import dataset
    from foldwise.runs.report import write_report
    from foldwise.runs.store import Run, held_out_table

    (file,) = (root / "data" / "prepared" / "page").glob("*/folds_*.parquet")
    data, folds = dataset.read(file.parent), pd.read_parquet(file)
    ids = data.train.table["id"]
    fold_of = folds.set_index("id")["fold"].loc[ids].to_numpy()
    rng = np.random.default_rng(1)
    for number in range(n_runs):
        name = ("small_cnn", "mlp", "resnet")[number % 3]
        run = Run(root / "runs" / "page" / f"{name}-{number:012x}")
        fit = {"epochs": EPOCHS, "batch_size": 32, "learning_rate": float(f"{rng.uniform(1e-4, 1e-2):.2e}")}
        recipe = {"competition": {"name": "page"}, "data_key": data.data_key}
        recipe |= {"split_key": file.stem.removeprefix("folds_"), "split": {"n_folds": FOLDS, "repeats": 1}}
        recipe |= {"model": {"name": name, "options": {}}, "fit": fit}
        run.path.mkdir(parents=True)
        (run.path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        p = 1 / (1 + np.exp(-(z + rng.uniform(0.3, 2) * rng.normal(size=len(z)))))[:, None]
        for fold in range(FOLDS):
            rows = np.flatnonzero(fold_of == fold)
            run.fold_path(fold).mkdir()
            held_out = held_out_table(ids[rows], p[rows], data.targets, 0, fold)
            held_out.to_parquet(run.fold_path(fold) / "held_out.parquet")
            epochs = np.arange(1, EPOCHS + 1)
            losses = 0.4 + 0.4 / epochs + 0.01 * rng.random(EPOCHS)
            history = pd.DataFrame({"epoch": epochs, "loss": losses, "learning_rate": 0.001, "seed": 0})
            history.to_csv(run.fold_path(fold) / "history.csv", index=False)
            about = {"seconds": 10.0, "device": "CPU", "versions": {"keras": "3"}}
            (run.fold_path(fold) / "fold.json").write_text(json.dumps(about))
        write_report(run, data, folds)  # as the training does when the last fold is finished


def foldwise(*words: str) -> str:
    """Run foldwise in a process of its own; return what it prints on stdout."""
    command = [sys.executable, "-m", "foldwise", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}{done.stdout}")
    return done.stdout


def browsed(file: Path) -> dict[str, float]:
    """Return the seconds until a page can be used, and until a run of it is shown; none without a browser."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        chromium = None
    if chromium is None:
        print("  no browser: `make browser` installs Playwright, and Chromium must be on the PATH")
        return {}
    usable, opened = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(OPENED):
            page = browser.new_page()
            page.goto(file.as_uri(), wait_until="commit")
            page.wait_for_selector(".tabs:not([hidden])")  # shown by the script, in the step that makes all work
            usable.append(page.evaluate(SORTED) / 1000)
            opened.append(page.evaluate(OPEN) / 1000)
            page.close()
        browser.close()
    return {"interactive": statistics.median(usable), "a run": statistics.median(opened)}
