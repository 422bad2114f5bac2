"""An image in folders: the instructions of a Dockerfile run here, one after the other, in a real environment.

The image's folders (``/opt``, ``/tmp``) are below the test's, and the programs are those of the environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import uv

from dagster_module_builder.compose.image import read_image


@dataclass
class ImageFolder:
    """An image that is built in a folder.

    Attributes:
        root: The image's root.
        context: The build context.
        environ: More variables for its commands: an index, for example.
        shell: What runs its commands.
    """

    root: Path
    context: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    shell: tuple[str, ...] = ("/bin/sh",)
    path: tuple[Path, ...] = ()

    def with_environment(self, name: str, *, on_path: bool = True, pip: bool = False) -> Path:
        """Make a virtual environment ``/opt/NAME``; its programs are found if it is on the path."""
        folder = self.root / "opt" / name
        maker = [sys.executable, "-m", "venv"] if pip else [uv.find_uv_bin(), "venv", "--python", sys.executable]
        subprocess.run([*maker, folder], check=True, capture_output=True)
        self.path = (folder / "bin", *self.path) if on_path else self.path
        return folder

    def build(self, dockerfile: bytes) -> str:
        """Run the instructions, and return what they printed.

        Raises:
            subprocess.CalledProcessError: One failed.
        """
        printed = ""
        for step in (step for stage in read_image(dockerfile).stages for step in stage.instructions):
            if step.keyword == "RUN":
                printed += self.run(step.text)
            elif step.keyword == "COPY":
                source, target = step.words
                place = Path(self._inside(target))
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(self.context / source, place)
        return printed

    def run(self, command: str) -> str:
        """Run a command of the shell in the image."""
        done = subprocess.run(
            [*self.shell, "-c", self._inside(command)],
            env=self._environ, cwd=self.root, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        return done.stdout + done.stderr

    @property
    def _environ(self) -> dict[str, str]:
        tools = self.root / "bin"
        tools.mkdir(exist_ok=True)
        if not (tools / "uv").exists():
            (tools / "uv").symlink_to(uv.find_uv_bin())
        path = os.pathsep.join(map(str, [*self.path, tools, "/usr/bin", "/bin"]))
        own = {name: value for name, value in os.environ.items() if name in {"HOME", "UV_CACHE_DIR", "SSL_CERT_FILE"}}
        return {**own, "PATH": path, **self.environ}

    def _inside(self, text: str) -> str:
        return text.replace("/opt/", f"{self.root}/opt/").replace("/tmp/.", f"{self.root}/tmp/.")

    def versions(self, environment: Path) -> dict[str, str]:
        """Return the version of each package of an environment."""
        command = [uv.find_uv_bin(), "pip", "list", "--python", environment, "--format", "freeze"]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return dict(line.split("==") for line in text.splitlines())
