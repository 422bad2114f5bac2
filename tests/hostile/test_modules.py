"""Hostile modules at the workspace's door: refused or harmless; nothing outside is read, written, run or asked."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dagster_module_builder.audit.secret_scan import secrets_in
from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy.model.deployment import read_deployment
from dagster_module_builder.health.validate import validate
from dagster_module_builder.modules import code_location, static_requirements
from dagster_module_builder.shared_files.formats import yaml_text
from dagster_module_builder.workspaces.add import add_module
from tests.engine.folders import make_module, make_workspace
from tests.hostile.machine import CANARY, HONEST, OTHERS, SECRETS, written
from tests.hostile.modules import ALL, BOMB, Hostile, Places


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A person's machine, of which each module gets a copy."""
    top = tmp_path_factory.mktemp("person")
    root = make_workspace(top / "workspace")
    make_module(root, "other", env=f"OTHER_DB_PORT='15440'\nOTHER_DB_PASSWORD='{OTHERS}'\n".encode())
    add_module(root, "other")
    written(top, SECRETS)
    make_module(root, "guest", 15441)
    written(root / "projects/guest", HONEST)
    return top


@pytest.fixture(scope="module")
def server() -> Iterator[socket.socket]:
    """A server that must not be asked."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


@pytest.fixture
def person(template: Path, tmp_path: Path) -> Path:
    top = tmp_path / "p"
    shutil.copytree(template, top, symlinks=True)
    (top / "ran").mkdir()
    return top


def outside(top: Path) -> dict[str, Any]:
    """Return everything but the guest's folder and the registry's lock."""
    return {
        str(path): path.read_bytes() if path.is_file() and not path.is_symlink() else path.lstat().st_mode
        for path in sorted(top.rglob("*"))
        if "guest" not in path.parts and not path.name.startswith(".lock")
    }


def test_there_are_enough_modules_with_a_name_each() -> None:
    assert len(ALL) >= 100
    assert len({one.name for one in ALL}) == len(ALL)


@pytest.mark.parametrize("reader", [read_deployment, code_location.pyproject, static_requirements.statement_of])
def test_what_is_nested_too_deeply_is_refused_by_each_reader(tmp_path: Path, reader: Callable[[Path], object]) -> None:
    """FAULTS S6: not only by those that ``workspace.add`` comes by."""
    files = {"deploy/yoda/deployment.yaml": "[" * 100_000, "pyproject.toml": "a = " + "[" * 100_000}
    written(tmp_path / "guest", files)
    place = tmp_path / "guest/deploy/yoda" if reader is read_deployment else tmp_path / "guest"
    try:
        read = reader(place)
    except BuilderError as error:
        read = "nested too deeply" in str(error)
    assert read in ({}, True)


@pytest.mark.parametrize("text", [BOMB, "a: &a [*a]\n", "a: " + "[" * 100_000 + "\n"], ids=["bomb", "loop", "nested"])
def test_yaml_without_bounds_is_refused_and_searched_for_secrets_all_the_same(tmp_path: Path, text: str) -> None:
    """FAULTS S6: detect-secrets follows every alias, and itself, for ever."""
    with pytest.raises(yaml.YAMLError, match="too"):
        yaml_text.parsed(text)
    path = tmp_path / "docker-compose.yml"
    path.write_text(f"{text}key: AKIA{'QYLPMN5HHHFPZAM2'}\n")
    assert [found.line_number for _, found in secrets_in([path])] == [text.count("\n") + 1]


def test_the_honest_module_is_taken(person: Path) -> None:
    """What is refused of the others is what they try."""
    assert add_module(person / "workspace", "guest", dry_run=True).plan.effective


@pytest.mark.parametrize("hostile", ALL, ids=lambda hostile: hostile.name)
def test_a_hostile_module_reaches_nothing_at_the_door(person: Path, server: socket.socket, hostile: Hostile) -> None:
    """FAULTS S1, S3, S5, S6, S8, S9, S15: by ``workspace.add --dry-run`` and ``workspace.validate``."""
    root = person / "workspace"
    port = server.getsockname()[1]
    hostile.change(root / "projects/guest", Places(person / "home", person / "ran", f"http://127.0.0.1:{port}"))
    before = outside(person)
    try:
        shown, refused = add_module(root, "guest", dry_run=True).plan.diff(), ""
    except BuilderError as error:
        shown, refused = "", str(error)
    found = " ".join(str(finding) for finding in validate(root, check=False))
    assert not re.search(f"{CANARY}|{OTHERS}|root:x:0:0", shown + refused + found)
    assert list((person / "ran").iterdir()) == []
    assert outside(person) == before
    with pytest.raises(BlockingIOError):
        server.accept()
    if hostile.refused is None:
        assert not refused
    else:
        assert re.search(hostile.refused, refused)
