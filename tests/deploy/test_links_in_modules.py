"""A module that came from elsewhere, with links where this program reads and writes: nothing outside it is touched."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_module_builder.audit.run import audit
from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.deploy import pipeline
from dagster_module_builder.deploy.configure import configure
from dagster_module_builder.deploy.model.deployment import find, read_deployment
from dagster_module_builder.deploy.trust import ShownKeys, trust
from dagster_module_builder.modules import record
from dagster_module_builder.transactions import module_files
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.initialize import initialize
from dagster_module_builder.workspaces.sync import sync
from tests import needs
from tests.deploy.modules import make_module

CANARY = "alias ls='ls --color'\nSECRET='canary-7f3a'\n"
ANSWERS = {"deployment": "yoda", "client": "Yoda", "hosts": "yoda.example"}
KIND = "ssh-ed25519"


def _key(filling: int) -> str:
    name = KIND.encode()
    return base64.b64encode(len(name).to_bytes(4, "big") + name + bytes([0, 0, 0, 32]) + bytes([filling]) * 32).decode()


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    path = tmp_path / "home/.bashrc"
    path.parent.mkdir()
    path.write_text(CANARY)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a workspace with a module and its deployment, which takes seconds to make, to be copied."""
    root = tmp_path_factory.mktemp("made")
    initialize(root)
    module = make_module(root)
    (module / "workspace/local/.env").unlink()
    configure(root, module, "rsync", ANSWERS)
    return root


@pytest.fixture
def module(tmp_path: Path, canary: Path, made: Path) -> Path:
    """Give a module with a deployment."""
    return shutil.copytree(made, tmp_path / "workspace") / "projects/sales-report"


@pytest.fixture
def bare(module: Path) -> Path:
    """Give a module without one."""
    shutil.rmtree(module / "deploy")
    return module


def _root(module: Path) -> Path:
    return module.parent.parent


def _pin(folder: Path) -> None:
    deployment = read_deployment(folder)
    (host,) = deployment.hosts
    line = f"{host.address.pinned_as} {KIND} {_key(1)}"
    trust(deployment, [ShownKeys(host.address, (line,), ())], lambda _: True)


def _replace(path: Path, target: Path | str, *, is_folder: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_dir():
        path.unlink()
    elif path.exists():
        path.rename(path.with_name("moved"))
    path.symlink_to(target, target_is_directory=is_folder)


@pytest.mark.parametrize("name", ["deploy/yoda/.known_hosts.tmp", "deploy/yoda/known_hosts", "deploy/yoda", "deploy"])
def test_pinning_a_key_writes_through_no_link(module: Path, canary: Path, name: str) -> None:
    """FAULTS S1: a committed link where ``deploy.trust`` writes had the file behind it overwritten."""
    folder = module / "deploy/yoda"
    outside = canary.parent / "moved"
    if (module / name).is_dir():
        (module / name).rename(outside)
        (module / name).symlink_to(outside, target_is_directory=True)
    else:
        _replace(module / name, canary)
    if name.endswith(".tmp"):
        _pin(folder)
        assert KIND in (folder / "known_hosts").read_text()
    else:
        with pytest.raises(RefusedError, match="link that leads out of"):
            _pin(folder)
    assert canary.read_text() == CANARY
    assert not any(KIND in path.read_text() for path in canary.parent.rglob("known_hosts"))


def test_only_keys_of_a_module_are_kept(module: Path) -> None:
    """FAULTS S1: lines of a committed ``known_hosts`` that are no keys came along."""
    folder = module / "deploy/yoda"
    other = f"other.example {KIND} {_key(2)}"
    (folder / "known_hosts").write_text(f"# ours\n{other}\nrm -rf ~\nx {KIND} AAAA\nx ssh-rsa {_key(3)}\n")
    _pin(folder)
    assert (folder / "known_hosts").read_text() == f"# ours\n{other}\nyoda.example {KIND} {_key(1)}\n"


@pytest.mark.parametrize(
    ("name", "is_folder"), [("deploy", True), ("deploy/yoda", True), ("deploy/deployment.schema.json", False)]
)
def test_a_new_deployment_is_written_through_no_link(bare: Path, canary: Path, name: str, is_folder: bool) -> None:
    """FAULTS S1: the schema and the folder of deployments went where links led."""
    module = bare
    before = sorted(canary.parent.rglob("*"))
    _replace(module / name, canary.parent if is_folder else canary, is_folder=is_folder)
    with pytest.raises(RefusedError, match="leads through a link"):
        configure(_root(module), module, "rsync", ANSWERS)
    assert canary.read_text() == CANARY
    assert sorted(canary.parent.rglob("*")) == before


@pytest.mark.parametrize("name", [".github", ".github/workflows", ".github/workflows/deploy-yoda.yml"])
def test_a_pipeline_is_written_through_no_link(bare: Path, canary: Path, name: str) -> None:
    """FAULTS S1: ``.github`` as a link had the pipeline written where it led."""
    module = bare
    before = sorted(canary.parent.rglob("*"))
    answers = {**ANSWERS, "platform": "github", "carries_out": "rsync", "tool": "dagster-module-builder==0.1.0"}
    _replace(module / name, canary if name.endswith(".yml") else canary.parent)
    with pytest.raises(RefusedError, match="link"):
        configure(_root(module), module, "ci-cd", answers)
    (module / name).unlink()
    folder = configure(_root(module), module, "ci-cd", answers).folder
    _replace(module / name, canary if name.endswith(".yml") else canary.parent)
    for remove in (False, True):
        with pytest.raises(RefusedError, match="link"):
            module_files.commit(pipeline.planned(read_deployment(folder), force=True, remove=remove))
    assert canary.read_text() == CANARY
    assert sorted(canary.parent.rglob("*")) == before


_READ: dict[str, Callable[[Path], object]] = {
    "workspace/local/dockerfile.snippet": lambda module: add_module(_root(module), module.name),
    "workspace/local/.env": lambda module: add_module(_root(module), module.name),
    "workspace/local/docker-compose.yml": lambda module: sync(_root(module)),
    "workspace/local/workspace.yaml": lambda module: add_module(_root(module), module.name, dry_run=True),
    "workspace/local": lambda module: add_module(_root(module), module.name),
    "pyproject.toml": lambda module: add_module(_root(module), module.name),
    ".dagster-module.json": record.read_record,
    ".env.example": lambda module: configure(_root(module), module, "rsync", {**ANSWERS, "deployment": "leia"}),
    "deploy/yoda/.env.deploy": lambda module: find(_root(module), "yoda")[0].env_text(),
    "deploy/yoda/deployment.yaml": lambda module: find(_root(module), "yoda"),
}


@pytest.mark.parametrize("kind", ["absolute", "relative", "link to a link", "FIFO", "huge"])
@pytest.mark.parametrize("name", _READ)
def test_what_is_read_stays_in_the_module(module: Path, canary: Path, name: str, kind: str) -> None:
    """FAULTS S9: a fragment that is a link to a key, or settings that are another module's, were read and passed on."""
    path = module / name
    target = canary.parent if path.is_dir() else canary
    target.chmod(0o700 if path.is_dir() else 0o600)
    if kind == "FIFO":
        path.rename(path.with_name("moved")) if path.exists() else None
        os.mkfifo(path)
    elif kind == "huge":
        path.rename(path.with_name("moved")) if path.is_dir() else None
        path.write_bytes(b"")
        os.truncate(path, module_files.MOST_BYTES + 1)
        path.chmod(0o600)
    else:
        relative = os.path.relpath(target, path.parent)
        _replace(module / "way", target, is_folder=path.is_dir())
        targets = {
            "absolute": target,
            "relative": relative,
            "link to a link": os.path.relpath(module / "way", path.parent),
        }
        _replace(path, targets[kind], is_folder=path.is_dir())
    with pytest.raises(RefusedError):
        _READ[name](module)
    services = _root(module) / "services/dagster"
    assert not any("canary" in one.read_text("utf-8", "replace") for one in services.rglob("*") if one.is_file())


def test_an_audit_names_what_leaves_the_module(module: Path, canary: Path) -> None:
    """FAULTS S9: the audit looked through whatever a link led to."""
    _replace(module / ".env.example", canary)
    _replace(module / "workspace/local/dockerfile.snippet", canary)
    said = [problem.message for result in audit(_root(module), module).results for problem in result.problems]
    assert any("dockerfile.snippet is a link that leads out of" in message for message in said)
    assert not any("canary" in message for message in said)


def test_links_that_stay_inside_are_read_and_never_written(module: Path) -> None:
    """FAULTS S9: people have such links, and they go on working."""
    real = module / "shared/workspace.yaml"
    real.parent.mkdir()
    fragment = module / "workspace/local/workspace.yaml"
    fragment.rename(real)
    fragment.symlink_to("../../shared/workspace.yaml")
    assert add_module(_root(module), module.name).modules == (module.name,)
    fragment.unlink()
    fragment.symlink_to(real)
    assert module_files.read(module, fragment) == real.read_bytes()
    with pytest.raises(RefusedError, match="leads through a link"):
        module_files.write(module, fragment, b"x")
    (module / "round").symlink_to("round")
    with pytest.raises(RefusedError, match="leads nowhere"):
        module_files.read(module, module / "round")


def test_a_file_keeps_its_mode_and_its_neighbours(tmp_path: Path) -> None:
    """FAULTS S1: what is written is written beside, and renamed."""
    path = tmp_path / "a/b/secret"
    module_files.write(tmp_path, path, b"1", 0o600)
    path.chmod(0o640)
    module_files.write(tmp_path, path, b"2")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"2", 0o640)
    assert [one.name for one in path.parent.iterdir()] == ["secret"]


def test_a_file_of_another_user_stays_that_users_file(tmp_path: Path) -> None:
    """Root runs a command in a workspace of a person: what it replaces can still be edited by that person."""
    needs.root()
    path = tmp_path / "deploy/yoda/known_hosts"
    module_files.write(tmp_path, path, b"one\n", 0o600)
    os.chown(path, 1501, 1502)
    path.chmod(0o640)
    module_files.write(tmp_path, path, b"two\n")
    there = path.stat()
    assert (there.st_uid, there.st_gid, there.st_mode & 0o777) == (1501, 1502, 0o640)
    assert path.read_bytes() == b"two\n"
