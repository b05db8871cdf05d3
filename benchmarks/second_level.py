"""What the second level over the incidence angle is worth on simulated Statoil, and what it costs where it cannot help.

1,604 training rows, two small convolutional nets of 12 epochs on the centre 40 x 40 pixels, five stratified folds;
once as the simulator draws angles (rows of one scene share the angle and nearly always the label), and once with the
labels shuffled over the angles. All scores are pooled nested log losses. The standard errors are of the paired
difference to the logit mean of the nets, over scenes (rows of one angle). "unchecked" uses the column even where that
does not win inside the folds.

The bars: at least a third below the mean where the angle tells; where it does not, above it by no more than a
standard error.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import table
from foldwise.runs.members import stacked

if TYPE_CHECKING:
    from foldwise.settings import Settings

NETS = {
    "wide": ["model.options.filters=[16,32,64]", "fit.learning_rate=3e-3"],
    "narrow": ["model.options.filters=[8,16,24,32]", "fit.learning_rate=6e-3"],
}


def run(quick: bool) -> None:
    """Print the scores of both kinds of angles, and whether the bars hold."""
    from foldwise.stages.train import train_all

    with tempfile.TemporaryDirectory() as folder:
        for tells in (True, False):
            several = recipes(Path(folder) / str(tells), tells, quick)
            train_all(several)
            scored = scores(several[0])
            plain = scored["logit mean"]["log_loss"]
            rows = [
                [name, f"{s['log_loss']:.4f}", f"{s['log_loss'] / plain - 1:+.1%}", f"{s['standard_error']:.4f}"]
                for name, s in scored.items()
            ]
            header = "the angle tells" if tells else "the angle carries no label"
            table([header, "nested log loss", "to the mean", "standard error"], rows)
            second = scored["neighbours"]
            if tells:
                print(f"  a third below the mean: {'yes' if second['log_loss'] <= plain * 2 / 3 else 'NO'}")
            else:
                held = second["log_loss"] - plain <= second["standard_error"]
                print(f"  no worse than the mean by more than its standard error: {'yes' if held else 'NO'}")


def recipes(root: Path, tells: bool, quick: bool) -> list[Settings]:
    """Compose the recipes of both nets."""
    from foldwise.config.compose import compose_all

    n_train, n_test, epochs = (200, 100, 2) if quick else (1604, 2000, 12)
    source = [f"source.n_train={n_train}", f"source.n_test={n_test}"]
    source += [f"source.options.angle_tells={str(tells).lower()}"]
    common = [f"root={root}", *source, "competition.options.crop=40", f"fit.epochs={epochs}", "model=small_cnn"]
    return [next(compose_all([*common, *net])) for net in NETS.values()]


def scores(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return the pooled nested log loss of each way, and the standard error of its difference to the logit mean."""
    from foldwise.blends.compare_methods import method_settings
    from foldwise.blends.neighbours import codes_of, column_values, group_folds
    from foldwise.blends.nested import nested
    from foldwise.data.folds import read_folds
    from foldwise.runs.store import Run
    from foldwise.scoring import metrics
    from foldwise.scoring.compare_runs import standard_error
    from foldwise.stages.prepare import prepare

    dataset = prepare(settings)
    members = [Run(path) for path in sorted(settings.runs_dir.iterdir())]
    with tempfile.TemporaryDirectory() as folder:
        rows, _, problem = stacked(members, dataset, read_folds(dataset, settings.split), Path(folder))
        column = str(problem.column)
        by_angle = replace(rows, fold=group_folds(rows, column))
        second = method_settings("neighbours", settings.ensemble)
        of_mean = replace(second, options={**second.options, "base": "mean"})
        free = replace(second, options={**second.options, "checked": False})
        ways = {
            "logit mean": (rows, method_settings("mean", settings.ensemble)),
            "logistic stacking": (rows, method_settings("logistic", settings.ensemble)),
            "stack": (rows, method_settings("stack", settings.ensemble)),
            "neighbours of the mean": (rows, of_mean),
            "neighbours": (rows, second),
            "neighbours, unchecked": (rows, free),
            "neighbours, an angle in one fold": (by_angle, second),
            "neighbours, an angle in one fold, unchecked": (by_angle, free),
        }
        losses = {
            name: metrics.row_losses(rows.y, nested(problem, asked, how), problem.task)
            for name, (asked, how) in ways.items()
        }
        singles = {run.name: metrics.row_losses(rows.y, rows.member(j), problem.task) for j, run in enumerate(members)}
        scenes = codes_of(column_values(rows, column))
    return {
        name: {"log_loss": loss.mean(), "standard_error": standard_error(loss - losses["logit mean"], scenes)}
        for name, loss in {**singles, **losses}.items()
    }
