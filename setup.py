"""Put conf/ into the wheel as foldwise/conf; a checkout keeps it at the top, where it is edited."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConf(build_py):
    """Build the package and the YAMLs; an editable install reads those of the checkout."""

    def run(self):
        super().run()
        if not self.editable_mode:
            inside = Path(self.build_lib, "foldwise", "conf")
            shutil.rmtree(inside, ignore_errors=True)  # of an earlier build
            shutil.copytree("conf", inside)


setup(cmdclass={"build_py": BuildWithConf})
