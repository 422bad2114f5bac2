"""The environment that rendered modules are checked in, made once from the lock and kept between runs."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from tests.template.rendering import LOCK, REPOSITORY

#: Where the environments are kept; any folder will do.
FOLDER_VARIABLE = "MODULE_TEST_ENVIRONMENTS"

#: ``"dagster==1.13.27"``.
DAGSTER = next(line for line in LOCK.read_text("utf-8").splitlines() if line.startswith("dagster=="))

#: The lock has what a module may need; the stand-ins for S3 and Google Cloud Storage are no module's business.
PACKAGES = {
    "modules": ["-r", str(LOCK)],
    "frames": ["-r", str(LOCK), "hypothesis"],
    # What the module's pyproject.toml allows at least.
    "oldest": [
        "dagster>=1.13,<1.14", "fsspec==2024.6.0", "pandas==2.2.0", "pyarrow==18.0.0", "universal-pathlib==0.2.6",
        "polars==1.20.0", "numpy<2", "hypothesis", "pytest",
    ],
    "s3": ["moto[server]"],
    "gcs": ["gcp-storage-emulator"],
    # Of the lock only Dagster: dbt up to 1.9, whose parser needs no compiler, takes other versions of the rest.
    "integrations": [
        DAGSTER, "dagster-dbt", "dagster-dlt", "dagster-sling", "dbt-core<1.10", "dbt-duckdb<1.10",
        "fsspec", "pandas", "pyarrow", "universal-pathlib",
    ],
}  # fmt: skip


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the locked packages."""

    folder: Path

    def program(self, name: str) -> Path:
        return self.folder / "bin" / name

    @property
    def python(self) -> Path:
        return self.program("python")


def made(kind: str = "modules") -> Environment:
    """Return an environment, made with uv if it is not there yet; two callers make one."""
    folder = Path(os.environ.get(FOLDER_VARIABLE) or REPOSITORY / ".nox" / "module-environments")
    folder.mkdir(parents=True, exist_ok=True)
    content = hashlib.sha256(LOCK.read_bytes() + repr((PACKAGES[kind], sys.version_info[:2])).encode()).hexdigest()
    environment = folder / f"{kind}-{content[:12]}"
    with FileLock(f"{environment}.lock"):
        if not (environment / "complete").is_file():
            _make(environment, PACKAGES[kind])
    return Environment(environment)


def own(folder: Path, *packages: str) -> Path:
    """Make a project's own environment with some of the locked packages; return its Python."""
    uv = [sys.executable, "-m", "uv", "-q"]
    subprocess.run([*uv, "venv", "--python", sys.executable, folder], check=True)
    python = folder / "bin" / "python"
    subprocess.run([*uv, "pip", "install", "--python", python, "--constraint", str(LOCK), *packages], check=True)
    return python


def _make(environment: Path, packages: list[str]) -> None:
    uv = [sys.executable, "-m", "uv", "-q"]
    subprocess.run([*uv, "venv", "--clear", "--python", sys.executable, environment], check=True)
    # Dozens of processes start from it, none of which writes its bytecode down.
    install = [*uv, "pip", "install", "--compile-bytecode", "--python", environment / "bin" / "python"]
    subprocess.run([*install, *packages], check=True)
    (environment / "complete").touch()
