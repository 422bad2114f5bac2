"""Everything that ``workspace.validate`` finds: how bad it is, where it stands, and what fixes it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dagster_module_builder.base import settings
from dagster_module_builder.claims.conflicts import Finding, duplicates
from dagster_module_builder.claims.facts import Facts
from dagster_module_builder.health.validate import validate
from dagster_module_builder.modules import dagster_check
from dagster_module_builder.programs import compose_command
from dagster_module_builder.shared_files.merge import blocks_by_slot
from dagster_module_builder.transactions.registry import slot_name
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.workspace import SHARED_FILES, read_workspace
from tests import needs
from tests.cli.terminal import PROGRAM
from tests.e2e.engine import compose_program
from tests.edits import edit
from tests.engine.folders import FIRST_PORT, make_module, make_workspace, services
from tests.upgrade.module_files import files_of


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with the modules ``seo`` and ``stock``."""
    made = make_workspace(tmp_path / "ws")
    (services(made) / ".env").chmod(0o600)
    for number, name in enumerate(("seo", "stock")):
        make_module(made, name, FIRST_PORT + number)
        add_module(made, name)
    return made


def fragment(root: Path, name: str, file: str) -> Path:
    return root / settings.PROJECTS / name / settings.FRAGMENTS / file


def shared(file: str) -> Callable[[Path], Path]:
    return lambda root: services(root) / file


def forget(root: Path) -> None:
    """Take a module out of the registry alone."""
    path = root / settings.REGISTRY
    data = json.loads(path.read_text())
    data["integrated_modules"] = [one for one in data["integrated_modules"] if one["name"] != "stock"]
    path.write_text(json.dumps(data))


def claimed_twice(root: Path, file: str, old: str, new: str) -> None:
    """Let ``stock`` claim what ``seo`` has, as an older version of this program let it in."""
    for place in (services(root) / file, fragment(root, "stock", file)):
        edit(place, old, new)
    path = root / settings.REGISTRY
    data = json.loads(path.read_text())
    for one in data["integrated_modules"]:
        one.pop("provides")
        if one["name"] == "stock":
            one["blocks"] |= digests(root, file, "stock")
    path.write_text(json.dumps(data))


def digests(root: Path, file: str, marker: str) -> dict[str, str]:
    """Return the digests of a marker's blocks as they stand in a shared file, by slot."""
    workspace = read_workspace(root)
    kind, layout = SHARED_FILES[file], workspace.layouts[file]
    blocks = blocks_by_slot(workspace.path(file), kind, layout, [marker])[marker]
    return {slot_name(file, slot): block.digest for slot, (_, block) in blocks.items()}


#: What is done, and what is found then: severity, words, file and cure.
FINDS: dict[str, tuple[Callable[[Path], object], str, str, str, str]] = {
    "a block that the registry does not know": (
        forget, "error", "a block of 'stock', which is not in the registry", "workspace.yaml:", "workspace.add"
    ),
    "a block that is gone": (
        lambda root: (services(root) / ".env").write_text("DAGSTER_PORT='3000'\n"),
        "error", "the block of 'seo' is missing in .env", ".env", "workspace.sync",
    ),
    "a block that was edited": (
        lambda root: edit(services(root) / ".env", "SEO_DB_PORT='", "SEO_DB_PORT='1"),
        "error", "the block of 'seo' was edited by hand", ".env:", "workspace.sync --force",
    ),
    "a marker without its partner": (
        lambda root: edit(services(root) / ".env", "# END: seo\n", ""), "error", "BEGIN: seo", ".env:", "--repair"
    ),
    "a block that was moved": (
        lambda root: edit(services(root) / "docker-compose.yml", "    # BEGIN: seo", "    # BEGIN: seo2", 1),
        "error", "BEGIN: seo2", "docker-compose.yml:", "--repair",
    ),
    "a registry that cannot be read": (
        lambda root: (root / settings.REGISTRY).write_text("{"),
        "error", "this is not a registry of modules", ".registry:", "workspace.restore",
    ),
    "a folder that is gone": (
        lambda root: shutil.rmtree(root / "projects/seo"),
        "error", "the folder of 'seo' is gone", "projects/seo", "workspace.sync --prune",
    ),
    "a fragment that changed": (
        lambda root: edit(fragment(root, "seo", ".env"), "s3cret", "other"),
        "warning", "the fragments of 'seo' changed since it was integrated", "workspace/local", "workspace.sync",
    ),
    "a fragment that cannot be read": (
        lambda root: fragment(root, "seo", "docker-compose.yml").write_text("services: {"),
        "error", "not valid YAML", "seo/workspace/local/docker-compose.yml:", "",
    ),
    "a fragment that is gone": (
        lambda root: fragment(root, "seo", "workspace.yaml").unlink(),
        "error", "workspace.yaml is missing", "seo/workspace/local", "workspace.sync",
    ),
    "a port that two have": (
        lambda root: claimed_twice(root, ".env", str(FIRST_PORT + 1), str(FIRST_PORT)),
        "error", f"host port {FIRST_PORT} is claimed by seo and stock", ".env", "PORT",
    ),
    "a service that two have": (
        lambda root: edit(services(root) / "docker-compose.yml", "  store:\n    image", "  seo_db:\n    image"),
        "error", "service seo_db is claimed by", "docker-compose.yml:", "Rename it",
    ),
    "a location that two have": (
        lambda root: edit(
            services(root) / "workspace.yaml", "load_from:", "load_from:\n  - python_file: {relative_path: seo}"
        ),
        "error", "code location seo is claimed by", "workspace.yaml:", "Rename it",
    ),
    "a variable that two have": (
        lambda root: edit(services(root) / ".env", "DAGSTER_PORT='3000'", "SEO_DB_PORT='1'"),
        "error", "variable SEO_DB_PORT is claimed by", ".env:", "Rename it",
    ),
    "a variable that is set nowhere": (
        lambda root: claimed_twice(root, "docker-compose.yml", "STOCK_DB_PASSWORD}", "STOCK_DB_PASS}"),
        "error", "stock uses the variable STOCK_DB_PASS, which is not set", "docker-compose.yml:", "Set it",
    ),
    "a key that stands there twice": (
        lambda root: edit(services(root) / "docker-compose.yml", "  store:", "  web:\n    image: x\n  store:"),
        "error", "the key 'web' is repeated", "docker-compose.yml:", "Delete one",
    ),
    "a value that Dagster and Compose read differently": (
        lambda root: edit(services(root) / ".env", "# BEGIN", "IN='/data/${TENANT}/in'\n# BEGIN"),
        "warning", "do not read the same value of IN", ".env:", "write the value of the variable",
    ),
    "secrets that others can read": (
        lambda root: (services(root) / ".env").chmod(0o644), "warning", "others can read", ".env", "chmod 600"
    ),
}  # fmt: skip


#: The tasks that ask before they begin.
YES = {"workspace.sync": ["--yes"], "workspace.restore": ["--yes"]}


def found(root: Path, words: str, *, check: bool = False) -> Finding:
    findings = validate(root, check=check)
    (one,) = [finding for finding in findings if words in f"{finding.where} {finding.message}"][:1] or [None]
    assert one, findings
    return one


#: Lines that belong to no block: only who wrote them can say which of two is wanted.
BY_HAND = {"a key that stands there twice", "a value that Dagster and Compose read differently"}


@pytest.mark.parametrize("what", FINDS)
def test_the_command_that_is_named_mends_it(root: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)
    FINDS[what][0](root)
    one = found(root, FINDS[what][2])
    assert one.command
    if what in BY_HAND:
        place, _, line = one.where.rpartition(":")
        assert one.command == f"vi +{line} {place}"
    else:
        task, *arguments = shlex.split(one.command)
        line = [task, *arguments] if task == "chmod" else [PROGRAM, task, *arguments, *YES.get(task, ())]
        done = subprocess.run(
            line, env={**os.environ, "DAGSTER_WORKSPACE": str(root)}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}: {done.stderr}"
        assert one not in validate(root, check=False)


def test_a_workspace_in_order_has_nothing_to_find(root: Path) -> None:
    assert validate(root, check=False) == []


@pytest.mark.parametrize("what", FINDS)
def test_what_is_wrong_is_found_with_its_place_and_its_cure(root: Path, what: str) -> None:
    act, severity, words, where, fix = FINDS[what]
    act(root)
    before = files_of(root)
    one = found(root, words)
    assert one.severity == severity
    assert where in one.where
    assert one.fix
    assert fix in one.fix
    after = files_of(root)
    assert {name: held for name, held in after.items() if not name.endswith(".lock")} == {
        name: held for name, held in before.items() if not name.endswith(".lock")
    }


def test_requirements_that_do_not_go_together_are_found_with_both_modules(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs.registry()
    monkeypatch.setattr(dagster_check, "cache_folder", lambda: root / "cache")
    for name, wanted in (("seo", "attrs<22"), ("stock", "attrs>=23")):
        text = f'[project]\nname = "{name}"\nversion = "0"\ndependencies = ["{wanted}"]\n'
        (root / settings.PROJECTS / name / "pyproject.toml").write_text(text)
    one = found(root, "do not resolve together", check=True)
    assert (one.severity, one.where) == ("error", f"{root}/projects/stock/pyproject.toml:4")
    assert "requirements of seo and stock" in one.message
    assert {"attrs<22", "attrs>=23"} <= set(one.message.replace("==0", " ").replace(",", " ").split())
    assert "workspace.validate" in one.fix
    assert one.command == "workspace.remove stock"


@pytest.fixture
def _compose(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have Compose on PATH, and forget which one it was."""
    monkeypatch.setenv("PATH", str(compose_program().parent), prepend=":")
    compose_command.program.cache_clear()
    yield
    compose_command.program.cache_clear()


@pytest.mark.usefixtures("_compose")
def test_what_compose_rejects_is_found(root: Path) -> None:
    edit(services(root) / "docker-compose.yml", "    image: postgres:16", "    image: postgres:16\n    replicas: x")
    one = found(root, "Docker Compose does not accept", check=True)
    assert (one.severity, one.where) == ("error", f"{services(root)}/docker-compose.yml")
    assert "replicas" in one.message
    assert "workspace.validate" in one.fix


def test_of_many_who_claim_one_thing_a_few_are_named() -> None:
    facts = {f"m{number}": Facts(ports=(5440,)) for number in range(300)}
    (found,) = duplicates(facts)
    assert found.message == "host port 5440 is claimed by m0 and m1 and m2 and m3 and 296 more"
