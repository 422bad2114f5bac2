"""A password that changes in a file changes in no server: that is said before, with what changes it there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dagster_module_builder import integrate
from dagster_module_builder.sync import sync
from dagster_module_builder.validate import validate
from tests.engine.folders import FIRST_PORT, make_module, make_workspace, services

ENV = b"SEO_DB_PORT='15440'\nSEO_DB_PASSWORD='another'\n"
MYSQL = b"""\
services:
  seo_db:
    image: mysql:8.4
    environment:
      - MYSQL_USER=shop
      - MYSQL_PASSWORD=${SEO_DB_PASSWORD}
      - MYSQL_ROOT_PASSWORD=${SEO_DB_ROOT_PASSWORD:-r00t}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = make_workspace(tmp_path / "workspace")
    make_module(root, "seo")
    make_module(root, "other", FIRST_PORT + 1)
    for name in ("seo", "other"):
        integrate.add(root, name)
    return root


def test_sync_says_that_the_database_keeps_the_old_password(root: Path) -> None:
    """FAULTS C11: before anything changes, with the command for that database; other modules are not spoken of."""
    make_module(root, "seo", env=ENV)
    before = (services(root) / ".env").read_bytes()
    told: list[tuple[str, bool]] = []
    sync(root, warn=lambda text: told.append((text, (services(root) / ".env").read_bytes() == before)))
    ((text, was_before),) = told
    assert was_before
    assert text.startswith("Warning: seo: the password of 'postgres' changes for seo_db.")
    assert "exec seo_db sh -c" in text
    assert "another" not in text
    assert "s3cret" not in text
    told.clear()
    sync(root, warn=lambda text: told.append((text, True)))
    assert not told


def test_validate_says_it_before_sync(root: Path) -> None:
    """FAULTS C11: looking tells of it, too."""
    assert not [one for one in validate(root, check=False) if "password" in one.message]
    make_module(root, "seo", env=ENV)
    (finding,) = (one for one in validate(root, check=False) if "password" in one.message)
    assert (finding.severity, finding.owner) == ("warning", "seo")


def test_each_account_of_mysql_is_named(root: Path) -> None:
    """FAULTS C11: a list of variables is read as a mapping is."""
    make_module(root, "seo", compose=MYSQL)
    sync(root)
    make_module(root, "seo", compose=MYSQL, env=ENV + b"SEO_DB_ROOT_PASSWORD='new'\n")
    told: list[str] = []
    sync(root, warn=told.append)
    assert [text.split("'")[1] for text in told] == ["shop", "root"]
    for text in told:
        line = next(line for line in text.splitlines() if "docker compose" in line)
        command = line[line.index("docker compose") :]
        assert subprocess.run(["sh", "-n", "-c", command], check=False).returncode == 0
