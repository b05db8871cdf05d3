"""Run the faults and print a table of them: `python tests/chaos [--quick]`; exit status 1 where one went wrong."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))


def main() -> int:
    """Run all faults, or a part of them."""
    parser = argparse.ArgumentParser(prog="python tests/chaos", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a part of the moments: half a minute")
    parser.add_argument(
        "--only", default="", help="rows whose group begins so: changes, read, deleted, races, workers, stages"
    )
    given = parser.parse_args()
    from chaos.process import ready

    ready()
    from chaos import scenes
    from chaos.fake_training import MOMENTS

    started, rows = time.monotonic(), []
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="foldwise-chaos-", dir=memory) as folder:
        place = scenes.Place(Path(folder))
        quick = given.quick
        groups = {
            "changes": lambda: scenes.at_changes(place, 2 if quick else 25, not quick),
            "read": lambda: scenes.read_only(place),
            "deleted": lambda: scenes.deleted(place, 30 if quick else 1),
            "races": lambda: scenes.races(place, 1 if quick else 20),
            "workers": lambda: scenes.workers(place, MOMENTS[1:3] if quick else MOMENTS),
            "stages": lambda: scenes.stages(place, 1 if quick else 8),
        }
        for name, group in groups.items():
            if name.startswith(given.only):
                for row in group():
                    if row.moments:
                        rows.append(row)
                        print(
                            f"{time.monotonic() - started:6.1f} s {row.fault}, {row.command}: {row.moments}",
                            file=sys.stderr,
                        )
    print(table(rows))
    wrong = [row for row in rows if row.lost or row.different or row.unclear]
    for row in wrong:
        print(f"\n{row.fault}, {row.command}:\n  " + "\n  ".join(row.examples[:3]))
    print(f"\n{sum(row.moments for row in rows)} faults in {time.monotonic() - started:.0f} s")
    return 1 if wrong else 0


def table(rows: list) -> str:
    """Return the rows as a table in Markdown."""
    lines = ["| fault | command | moments | lost | different | outcome |", "|---|---|---|---|---|---|"]
    for row in rows:
        bad = row.lost or row.different or row.unclear
        outcome = f"{row.unclear} ended in no clear line" if row.unclear else "wrong" if bad else "the same bits"
        lines.append(f"| {row.fault} | {row.command} | {row.moments} | {row.lost} | {row.different} | {outcome} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
