"""Stage `submit`: send a submission through the kaggle command line, and note it in the ledger."""

from typing import Any

from foldwise.kaggle import submissions
from foldwise.runs import submission
from foldwise.scoring.metrics import METRICS
from foldwise.settings import Settings
from foldwise.stages.download import slug


def submit(settings: Settings) -> dict[str, Any]:
    """Send a submission (the newest, or `submission=FILE`); with dry_run=true do all but send.

    Appends file, nested score and public and private scores to `submissions/log.csv`; returns them with the status.
    """
    path, about = submission.chosen(settings, source="kaggle")  # no simulated submission gets there
    nested = about.get("nested_score")
    label = METRICS[about.get("metric", "log_loss")].label
    message = settings.submit.message or (path.name if nested is None else f"nested {label} {nested:.5f}")
    result = submissions.submit(path, slug(settings), message, dry_run=settings.submit.dry_run)
    result |= {"nested_score": nested, "message": message}
    if not settings.submit.dry_run:
        submissions.log_submission(settings.submissions_dir / "log.csv", result)
    return result


def show(result: dict[str, Any], width: int) -> str:
    """Return the status and the scores in one line."""
    scores = [
        f"{name.replace('_', ' ')} {result[name]}" for name in ("public_score", "private_score") if result.get(name)
    ]
    return f"{result['file']}: {', '.join([str(result['status']).lower(), *scores])}"
