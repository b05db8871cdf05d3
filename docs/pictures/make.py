"""Make the pictures of the README from what `make demo` left: `make browser demo pictures`.

python docs/pictures/make.py [ROOT]: the folder in which the demo ran, by default this one.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
WIDTH = 100  # columns of the terminal


def report(page: Path) -> None:
    """Photograph the table of runs of a report in Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": 1000, "height": 640})
        view.goto(page.absolute().as_uri())
        view.screenshot(path=HERE / "report.png")
        browser.close()


def terminal(root: Path, *commands: list[str]) -> None:
    """Run commands as in a terminal, and write what they print as terminal.svg."""
    from rich.console import Console
    from rich.text import Text

    console = Console(record=True, width=WIDTH, file=io.StringIO())
    foldwise = Path(sys.executable).with_name("foldwise")
    for words in commands:
        console.print(f"[bold]$ foldwise {' '.join(words)}[/bold]", highlight=False)
        environment = {**os.environ, "COLUMNS": str(WIDTH), "FORCE_COLOR": "1", "FOLDWISE_NEXT": "off"}
        command = [foldwise.absolute(), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=root)
        console.print(Text.from_ansi(done.stdout))
    console.save_svg(str(HERE / "terminal.svg"), title="foldwise")


if __name__ == "__main__":
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    report(root / "reports/statoil/index.html")
    demo = ["competition=statoil", "source.n_train=600", "source.n_test=300"]
    terminal(root, ["score", *demo], ["ensemble", *demo], ["grade", *demo])
