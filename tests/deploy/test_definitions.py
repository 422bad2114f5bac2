"""Whether a module's definitions load in a code server's container, by what the real Dagster says and does there."""

from __future__ import annotations

from pathlib import Path

import pytest

from dagster_module_builder.deploy.host_side import definitions
from tests.deploy.host_here import host_here

pytestmark = pytest.mark.dagster

#: Has a program run here that Docker would have run in a container: ``docker exec NAME COMMAND…``.
DOCKER = '#!/bin/sh\nshift 2 && exec "$@"\n'
WHOLE = "import dagster as dg\ndefs = dg.Definitions()\n"
ENDING = {
    "import sys\nsys.exit(0)\n": 1,
    "import os\nos._exit(0)\n": 1,
    WHOLE: 0,
    f"import logging\nlogging.disable()\n{WHOLE}": 0,
}


@pytest.mark.parametrize("text", ENDING, ids=["sys.exit", "os._exit", "loads", "loads without logging"])
def test_a_module_that_ends_the_process_that_loads_it_does_not_load(
    text: str, dagster_python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster's command ends with 0 for it, and says nothing."""
    (programs := tmp_path / "programs").mkdir()
    (programs / "docker").write_text(DOCKER)
    (programs / "docker").chmod(0o755)
    (tmp_path / "sales.py").write_text(text)
    monkeypatch.setenv("PATH", f"{programs}:{Path(dagster_python).parent}:/usr/bin:/bin")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    code, said = definitions.validate_in(host_here(tmp_path), "a-container", "sales")
    assert code == ENDING[text], said
    assert (said == definitions.ENDED) == bool(code)
