"""The demo, for real: uv makes the environment, Dagster materializes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import needs
from tests.cli.conftest import Terminal


@pytest.mark.dagster
def test_the_demo_does_the_main_job_and_leaves_nothing(terminal: Terminal, tmp_path: Path) -> None:
    needs.registry()
    (temporary := tmp_path / "tmp").mkdir()
    terminal.environment["TMPDIR"] = str(temporary)
    terminal.environment["UV_CACHE_DIR"] = str(Path.home() / ".cache/uv")
    result = terminal.run("demo")
    assert result.returncode == 0, result.stderr
    assert "penguins/summary" in result.stdout
    assert "passed" in result.stdout
    assert "workspace.dev" in result.stdout
    assert "http://127.0.0.1:3000" in result.stdout
    assert "[6/6] remove" in result.stderr
    assert list(temporary.iterdir()) == []
    assert [path.name for path in Path(terminal.environment["HOME"]).iterdir() if path.name != ".cache"] == []
