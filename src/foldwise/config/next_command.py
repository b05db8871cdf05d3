"""The command that comes after a stage, with those words of this one that it reads too."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from foldwise.settings import Settings

MORE = {
    "predict": ["images=FOLDER"],
    "submit": ["dry_run=true"],
}  # what a stage needs besides, or is wise to begin with


def next_command(
    after: str,
    then: Sequence[str],
    reads: Mapping[str, Sequence[str]],
    words: Sequence[str],
    settings: Settings,
    config_dir: Path | None = None,
) -> tuple[str, str] | None:
    """Return the first stage of `then` that there is and that can be done now, and its command; None where none can.

    after: the stage that is done.
    reads: the groups and keys that each stage reads.
    words: of this command, such as root=elsewhere, of which the next one needs those that it reads.
    """
    stage = next((name for name in then if name in reads and _is_possible(name, settings)), None)
    if stage is None:
        return None
    kept = [word for word in words if word.partition("=")[0].partition(".")[0] in reads[stage] and not _several(word)]
    if after == "download" and settings.source.kind != "kaggle":  # it has fetched the host's files
        kept = [*(word for word in kept if not word.startswith("source")), "source=kaggle"]
    folder = [] if config_dir is None else ["--config-dir", str(config_dir)]
    return stage, shlex.join(["foldwise", stage, *folder, *kept, *MORE.get(stage, [])])


def _several(word: str) -> bool:
    """Tell whether a word has several values, of which a next command has no use."""
    value = word.partition("=")[2]
    return "," in value and value[:1] not in ("[", "'", '"', "{")


def _is_possible(stage: str, settings: Settings) -> bool:
    """Tell whether a stage has what it needs besides the results of the stage before it."""
    is_generated, competition = settings.source.kind != "kaggle", settings.competition
    if stage == "grade":
        solutions = (settings.raw_dir / "solution.csv", settings.raw_dir / "private" / "test.csv")
        return is_generated or any(path.is_file() for path in solutions)
    if stage == "predict":
        sample = competition.options.get("sample")
        is_absent = sample is not None and not is_generated and not (settings.raw_dir / sample).is_file()
        return competition.options.get("test") == "none" or is_absent
    if stage == "submit":
        return competition.slug is not None and not is_generated
    if stage == "submissions":
        return not settings.submit.dry_run
    return True
