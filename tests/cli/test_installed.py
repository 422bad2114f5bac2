"""The wheel, installed elsewhere: it carries templates and strategies, and its program works in any folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import needs
from tests.cli.terminal import Terminal

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def installed(terminal: Terminal, tmp_path: Path) -> str:
    """The program of a wheel that was built here and installed into a separate environment."""
    needs.registry()
    uv = [sys.executable, "-m", "uv"]
    _run([*uv, "build", "--quiet", "--wheel", "--out-dir", str(tmp_path / "dist"), str(REPOSITORY)])
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    environment = tmp_path / "installed"
    _run([*uv, "venv", "--quiet", "--python", sys.executable, str(environment)])
    constraint = ["--constraint", str(REPOSITORY / "constraints.txt")]
    python = environment / "bin/python"
    _run([*uv, "pip", "install", "--quiet", "--python", str(python), *constraint, str(wheel)])
    return str(environment / "bin/dagster-module-builder")


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)


def test_the_installed_program_does_the_main_job_in_any_folder(terminal: Terminal, installed: str) -> None:
    terminal.environment.pop("PYTHONPATH", None)
    for line in (
        ["workspace.init"],
        ["new", "sales", "--database", "postgresql"],
        ["workspace.add", "sales", "--no-check"],
        ["workspace.validate", "--no-check"],
        ["workspace.remove", "sales"],
    ):
        result = terminal.run(*line, program=(installed,))
        assert result.returncode == 0, result.stderr
    assert Path(terminal.run("skill", program=(installed,)).stdout.strip()).is_file()
    assert terminal.run("--version", program=(installed,)).stdout.startswith("dagster-module-builder ")
