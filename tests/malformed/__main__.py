"""Run the malformed inputs and print a table of them: `python tests/malformed`; exit status 1 where one went wrong."""

import importlib.util
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


class Outcomes:
    """A plugin of pytest that keeps the outcome of each test."""

    def __init__(self) -> None:
        self.of: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep how a test ended; one that fails before or after its call has failed."""
        if report.when == "call" or report.failed:
            self.of[report.nodeid.partition("tests/malformed/")[2] or report.nodeid] = report.outcome


def main() -> int:
    """Run all, and print what each input ends with."""
    outcomes = Outcomes()
    status = pytest.main([str(HERE), "-p", "no:xdist", "-p", "no:cacheprovider", *sys.argv[1:]], plugins=[outcomes])
    print("\n| kind | input | ends with | outcome |\n|---|---|---|---|")
    for path in sorted(HERE.glob("test_*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for case in getattr(module, "CASES", ()):
            ends = f"[{case.name}]", f"[{case.name.encode('unicode_escape').decode()}]"
            found = [outcome for node, outcome in outcomes.of.items() if node.endswith(ends)]
            kind = path.stem.removeprefix("test_").replace("_", " ")
            print(f"| {kind} | {_cell(case.name)} | {_cell(case.message)} | {' '.join(found) or 'not run'} |")
    print(f"\n{len(outcomes.of)} tests, {sum(one == 'passed' for one in outcomes.of.values())} passed")
    return int(status)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    sys.exit(main())
