"""A part of the faults of `make chaos`: each command and each fault, at a moment or two."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = Path(__file__).with_name("chaos")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler")
def test_after_a_fault_the_same_command_ends_in_the_same_bits():
    command = [sys.executable, SUITE, "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| fault | command | moments | lost | different | outcome |" in done.stdout
