"""Renders the module template with the real Cookiecutter, in a separate process and home."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TEMPLATE = REPOSITORY / "cookiecutter-dagster-module"
LOCK = REPOSITORY / "cookiecutter-dagster-workspace/{{cookiecutter.name}}/services/dagster/constraints.txt"


@dataclass(frozen=True)
class Rendering:
    """What came of one call of Cookiecutter."""

    module: Path
    returncode: int
    stdout: str
    stderr: str

    @property
    def package(self) -> Path:
        return self.module / "src" / f"{self.module.name.replace('-', '_')}_dagster"

    def text(self, path: str) -> str:
        return (self.module / path).read_text("utf-8")


@dataclass(frozen=True)
class Desk:
    """A person's place: a home, a temporary folder, a workspace, and the folder that they stand in."""

    root: Path
    template: Path = TEMPLATE
    cookiecutter: tuple[str, ...] = (sys.executable, "-m", "cookiecutter")

    @property
    def here(self) -> Path:
        return self.root / "here"

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def temporary(self) -> Path:
        return self.root / "tmp"

    @property
    def workspace(self) -> Path:
        return self.root / "workspace"

    def prepared(self) -> Desk:
        for folder in (self.here, self.home, self.temporary, self.workspace):
            folder.mkdir(parents=True, exist_ok=True)
        return self

    def environment(self, **more: str) -> dict[str, str]:
        kept = {key: os.environ[key] for key in ("PATH", "LANG", "LC_ALL") if key in os.environ}
        own = {"HOME": self.home, "TMPDIR": self.temporary, "DAGSTER_WORKSPACE": self.workspace}
        # Paths of test runners would let the template import what a person's Cookiecutter has not.
        return {**kept, **{key: str(value) for key, value in own.items()}, "PYTHONDONTWRITEBYTECODE": "1", **more}

    def render(
        self, name: str = "sales-report", *, environment: dict[str, str] | None = None, **answers: str
    ) -> Rendering:
        given = [f"{question}={answer}" for question, answer in {"name": name, **answers}.items()]
        done = self.call("--no-input", *given, environment=environment)
        return Rendering(self.here / name, done.returncode, done.stdout, done.stderr)

    def call(self, *arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Call Cookiecutter on the template, without a terminal."""
        return subprocess.run(
            [*self.cookiecutter, str(self.template), *arguments],
            cwd=self.here,
            env=self.environment(**(environment or {})),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    def rendered(self, name: str = "sales-report", **answers: str) -> Rendering:
        """Render, and fail the test unless that went well."""
        rendering = self.render(name, **answers)
        assert rendering.returncode == 0, rendering.stdout + rendering.stderr
        return rendering


def checkout(into: Path) -> Path:
    """Copy what a clone has of the template, and return the template's folder there."""
    for part in ("cookiecutter-dagster-module", "cookiecutter-dagster-workspace", "dagster_module_builder"):
        shutil.copytree(REPOSITORY / part, into / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    return into / "cookiecutter-dagster-module"


def as_literal(text: str) -> str:
    """Write a text so that Cookiecutter, which renders what it is given, gives it back."""
    return f"{{% raw %}}{text}{{% endraw %}}"


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return every path below a folder, with the bytes of the files."""
    found = sorted(folder.rglob("*"))
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in found}
