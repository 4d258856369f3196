"""Builds the wheel: setuptools' own build, with the app and what it ships copied into the package, as `bsig/shipped/`.

`pyproject.toml` names this file as the build backend. In a clone the same files lie at the top; `bsig.inputs.paths`
knows both places.
"""

import shutil
from pathlib import Path

from setuptools.build_meta import *  # noqa: F403  a build backend is a module with setuptools' functions
from setuptools.command.build_py import build_py

SHIPPED = (
    "app.py",
    "checkpoints/*/*",
    "assets/llms.txt",
    "assets/opening.html",
    "assets/docs/*",
    "assets/examples/*",
    "assets/training/*",
)


class BuildWithShippedFiles(build_py):
    """The package, and in it what lies beside it in a clone."""

    def run(self) -> None:
        """Builds, then copies; an editable install reads the clone and needs no copy."""
        super().run()
        for file in [] if self.editable_mode else self.shipped_files():
            target = Path(self.build_lib, "bsig", "shipped", file)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)

    def get_source_files(self) -> list[str]:
        """What a source distribution must hold, so that a wheel can be built from it."""
        return [*super().get_source_files(), *self.shipped_files(), ".ci/build_backend.py"]

    def shipped_files(self) -> list[str]:
        """The files' paths below the top folder."""
        return sorted(str(path) for pattern in SHIPPED for path in Path().glob(pattern) if path.is_file())
