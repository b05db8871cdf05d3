"""A finished run that was never trained, with its report, to be logged."""

from foldwise.data.folds import read_scored
from foldwise.runs.report import write_report
from helpers import report_pages


def finished_run(settings):
    """Return a run of three epochs in five folds, and its report."""
    data = report_pages.make_data(settings.prepared_dir / "data")
    p = report_pages.predictions(data.labels, "binary", 1.0)
    run = report_pages.make_run(settings.runs_dir, data, settings.split, "net-0123", p, held_out_loss=True)
    return run, write_report(run, *read_scored(data, settings.split))


def log_all(tracker, run, report):
    """Log all fits and the scores of a run."""
    for fit in run.fits:
        tracker.log_fit(run, fit)
    tracker.log_scores(run, report)
