"""The modules that go into every workspace of the corpus, made by the module template."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.corpus.workspaces import Modules
from tests.e2e.engine import compose_program
from tests.template.rendering import Desk


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Modules:
    """A module with a database, one with a file database, one with a separate code server."""
    desk = Desk(tmp_path_factory.mktemp("modules")).prepared()
    answers = {
        "sales-report": {"database": "postgresql", "governance": "enterprise"},
        "notes": {"database": "duckdb"},
        "forecast": {"code_server": "own"},
    }
    made = {name: desk.render(name, workspace="no", deployment="no", **given) for name, given in answers.items()}
    assert [one.stderr for one in made.values() if one.returncode] == []
    return Modules({name: one.module for name, one in made.items()})


@pytest.fixture(scope="session")
def compose() -> Path:
    """Compose 2; reading a compose file needs no engine."""
    return compose_program()
