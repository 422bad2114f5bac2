"""A password that changes in a file changes in no server: that is said before, with what changes it there."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import EditedBlockError
from dagster_module_builder.health.validate import validate
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.remove import remove_module
from dagster_module_builder.workspaces.sync import sync
from tests.documents import Document
from tests.e2e.engine import CommandError, Engine
from tests.engine.folders import FIRST_PORT, make_module, make_workspace, services
from tests.template.rendering import Desk
from tests.typist import Typist

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
        add_module(root, name)
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


def test_a_password_that_was_changed_in_both_files_is_the_persons(root: Path) -> None:
    """FAULTS P14: ``sync`` refused where a person had followed SECURITY.md."""
    make_module(root, "seo", env=ENV)
    path = services(root) / ".env"
    path.write_bytes(path.read_bytes().replace(b"SEO_DB_PASSWORD='s3cret'", b"SEO_DB_PASSWORD='another'"))
    before = path.read_bytes()
    assert ENV in before
    (finding,) = [one for one in validate(root, check=False) if one.owner == "seo"]
    assert (finding.severity, finding.command) == ("warning", "workspace.sync")
    told: list[str] = []
    assert sync(root, warn=told.append).updated == ("seo",)
    assert told == []
    assert path.read_bytes() == before
    assert [one for one in validate(root, check=False) if one.owner == "seo"] == []
    remove_module(root, "seo")
    assert b"SEO" not in path.read_bytes()


def test_a_password_that_was_changed_in_the_workspace_alone_is_refused_with_the_file_to_change(root: Path) -> None:
    """FAULTS P14: the cure is the fragment; the person's password is not overwritten."""
    path = services(root) / ".env"
    path.write_bytes(path.read_bytes().replace(b"SEO_DB_PASSWORD='s3cret'", b"SEO_DB_PASSWORD='another'"))
    with pytest.raises(EditedBlockError, match="make the same change in the module's workspace/local/"):
        sync(root)
    (finding,) = [one for one in validate(root, check=False) if one.owner == "seo"]
    assert (finding.severity, "workspace/local" in finding.fix) == ("error", True)


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


def come_back(root: Path, env: bytes | None = None) -> list[tuple[str, bool]]:
    """Take a module out and bring it in again; return what is said, and whether nothing had changed by then."""
    remove_module(root, "seo")
    make_module(root, "seo", **({} if env is None else {"env": env}))
    before = (services(root) / ".env").read_bytes()
    told: list[tuple[str, bool]] = []
    add_module(root, "seo", warn=lambda text: told.append((text, (services(root) / ".env").read_bytes() == before)))
    return told


def test_a_module_that_comes_back_with_a_new_password_is_told_of_its_old_volume(root: Path) -> None:
    """FAULTS C11: before anything changes, with the steps; not where the password is that of before."""
    assert not come_back(root)
    ((text, was_before),) = come_back(root, ENV)
    assert was_before
    assert text.startswith("Warning: seo: the volume seo_db_data exists already.")
    assert "the module has another one now" in text
    assert "exec seo_db sh -c" in text
    assert "workspace.remove seo --delete-data" in text
    assert "another'" not in text
    assert "s3cret" not in text


def test_without_a_backup_it_is_said_that_the_password_may_be_another(root: Path) -> None:
    """FAULTS C11: only what is known is said."""
    remove_module(root, "seo")
    shutil.rmtree(root / settings.BACKUPS)
    told: list[str] = []
    add_module(root, "seo", dry_run=True, warn=told.append)
    (text,) = told
    assert "may have another one" in text


@pytest.mark.docker
def test_a_volume_that_only_docker_knows_is_told_of(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAULTS C11: a new workspace of the same project finds the volumes of the one before."""
    project = f"dmb-returning-{secrets.token_hex(4)}"
    root = make_workspace(tmp_path / "workspace", env=f"COMPOSE_PROJECT_NAME='{project}'\n".encode())
    make_module(root, "seo")
    for name, value in engine.environ.items():
        monkeypatch.setenv(name, value)
    labels = (f"com.docker.compose.project={project}", "com.docker.compose.volume=seo_db_data")
    engine.docker("volume", "create", *(f"--label={label}" for label in labels), f"{project}_seo_db_data")
    try:
        told: list[str] = []
        add_module(root, "seo", dry_run=True, checks=[lambda *_: ()], warn=told.append)
        assert [text.partition(" exists already")[0] for text in told] == ["Warning: seo: the volume seo_db_data"]
    finally:
        engine.docker("volume", "rm", f"{project}_seo_db_data")


SERVERS = {
    "postgres": (
        {"POSTGRES_USER": "shop", "POSTGRES_DB": "orders", "POSTGRES_PASSWORD": "${SEO_DB_PASSWORD}"},
        'PGPASSWORD={} psql -h "$(hostname -i)" -U shop -d orders -Atc "select 1"',
        ["another", "another"],
    ),
    "mariadb": (
        {"MYSQL_USER": "shop", "MYSQL_DATABASE": "orders", "MYSQL_PASSWORD": "${SEO_DB_PASSWORD}",
         "MYSQL_ROOT_PASSWORD": "r00t"},
        'MYSQL_PWD={} mariadb -h "$(hostname -i)" -u shop orders -Ne "select 1"',
        ["another"],
    ),
}  # fmt: skip


def security_says(folder: Path, kind: str) -> str:
    """Return the command that a module's SECURITY.md gives for its server; what follows it there is looked at, too."""
    database = {"postgres": "postgresql", "mariadb": "mysql"}[kind]
    made = Desk(folder / "desk").prepared().rendered("seo", database=database, governance="enterprise")
    page = Document("SECURITY.md", made.text("SECURITY.md")).section("Changing a secret")
    assert page.typed() == [["workspace.sync"], ["workspace.up"]]
    return next(line for block in page.shell() for line in block.commands())


@pytest.mark.docker
@pytest.mark.parametrize("kind", SERVERS)
def test_the_command_changes_it_in_a_running_server(
    kind: str, engine: Engine, image_names: dict[str, str], tmp_path: Path
) -> None:
    """FAULTS C11, P14: afterwards the new password is let in, and the old one is not; so it is with SECURITY.md's."""
    variables, ask, typed = SERVERS[kind]
    image = image_names["POSTGRES_IMAGE" if kind == "postgres" else "MYSQL_IMAGE"]
    project = f"dmb-password-{secrets.token_hex(4)}"
    root = make_workspace(tmp_path / "workspace", env=f"COMPOSE_PROJECT_NAME='{project}'\n".encode())
    service = {"services": {"seo_db": {"image": image, "environment": variables}}}
    fragment = yaml.safe_dump(service).encode()
    make_module(root, "seo", compose=fragment, env=b"SEO_DB_PASSWORD='s3cret'\n")
    add_module(root, "seo")
    there = services(root)

    def enters(password: str) -> bool:
        with contextlib.suppress(CommandError):
            return engine.compose(there, "exec", "-T", "seo_db", "sh", "-c", ask.format(password)).strip() == "1"
        return False

    try:
        engine.compose(there, "up", "--detach", "seo_db")
        until = time.monotonic() + 90
        while not enters("s3cret"):
            assert time.monotonic() < until
            time.sleep(0.5)
        make_module(root, "seo", compose=fragment, env=b"SEO_DB_PASSWORD='another'\n")
        told: list[str] = []
        sync(root, warn=told.append)
        line = next(line for line in told[0].splitlines() if "docker compose" in line)
        Typist(line[line.index("docker compose") :], engine.environ).type(*typed)
        assert enters("another")
        assert not enters("s3cret")
        Typist(security_says(tmp_path, kind), engine.environ, there).type(*(["third"] * len(typed)))
        make_module(root, "seo", compose=fragment, env=b"SEO_DB_PASSWORD='third'\n")
        assert sync(root).updated == ("seo",)
        assert enters("third")
        assert not enters("another")
    finally:
        engine.compose(there, "down", "--volumes", "--timeout", "1")
