"""What the shell offers after a part of a command."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from foldwise.__main__ import main
from foldwise.config.completion import SCRIPTS


def offered(capsys, *words):
    assert main(["--complete", *words]) == 0
    return capsys.readouterr().out.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["tr"], ["train"]),
        (["su"], ["submit", "submissions"]),
        (["train", "mod"], ["model=", "model."]),
        (["train", "fit.learning"], ["fit.learning_rate="]),
        (["train", "model=mlp", "model.options.hid"], ["model.options.hidden="]),
        (["train", "model=sm"], ["model=small_cnn"]),
        (["train", "-m", "model=mlp,sm"], ["model=mlp,small_cnn"]),
        (["train", "competition=fa"], ["competition=faces"]),
        (["train", "fit.optimizer=adama"], ["fit.optimizer=adamax"]),
        (["train", "fit.refit="], ["fit.refit=true", "fit.refit=false"]),
        (["train", "fit.epochs="], []),
        (["train", "root="], []),
        (["submit", "dry"], ["dry_run="]),
        (["submit", "dry_run=t"], ["dry_run=true"]),
        (["score", "fit."], []),  # it does not read them
        (["score", "--h"], ["--help"]),
        (["trian", "mod"], []),
        (["inspect", ""], ["--help", "-m", "--config-dir", "--cfg"]),
    ],
    ids=str,
)
def test_what_is_offered(capsys, words, expected):
    assert offered(capsys, *words) == expected


def test_the_runs_of_the_root_are_offered(capsys, tmp_path):
    for name in ("mlp-01", "small_cnn-02"):
        (tmp_path / "runs" / "faces" / name).mkdir(parents=True)
        (tmp_path / "runs" / "faces" / name / "recipe.yaml").write_text("{}")
    assert offered(capsys, "show", f"root={tmp_path}", "sm") == ["small_cnn-02"]


@pytest.mark.parametrize("shell", SCRIPTS)
def test_every_shell_has_a_script(shell, capsys):
    assert main(["--completion", shell]) == 0
    script = capsys.readouterr().out
    assert "foldwise --complete " in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_another_shell_is_refused(capsys):
    assert main(["--completion", "tcsh"]) == 2
    assert "expected one of bash, zsh, fish" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("foldwise trai", ["train"]),
        ("foldwise train model=sm", ["small_cnn"]),  # bash replaces what follows the =
        ("foldwise train fit.ep", ["fit.epochs="]),
    ],
)
def test_bash_completes(line, expected, tmp_path):
    command = tmp_path / "foldwise"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m foldwise "$@"\n')
    command.chmod(0o755)
    script = "\n".join(
        [
            SCRIPTS["bash"],
            "compopt() { :; }",  # which bash has in a completion alone
            f'COMP_LINE="{line}" COMP_POINT={len(line)}',
            "_foldwise",
            'printf "%s\\n" "${COMPREPLY[@]}"',
        ]
    )
    paths = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, env=os.environ | paths)
    assert done.stdout.split() == expected
