"""The reference pages have every task, key and variable of the program: none that is not, and none is missing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from dagster_module_builder.base.errors import UsageError
from dagster_module_builder.base.layout import DEFAULTS
from dagster_module_builder.commands import namespace
from dagster_module_builder.commands.deployment_task import INCOMPLETE
from dagster_module_builder.commands.failing import INTERRUPTED, UNFORESEEN
from tests.documents import read

REPOSITORY = Path(__file__).parents[1]
REFERENCE = REPOSITORY / "docs/reference"
STRATEGIES = REPOSITORY / "deploy_strategies"
#: Objects with answers of a cloud, which are explained where they are set up.
ELSEWHERE = {"registry_login"}
#: Other programs' variables that are read to behave as these do; no person sets them for this program.
OF_OTHERS = {
    "DAGSTER_HOME",
    "ZDOTDIR",
    "PYTHONDONTWRITEBYTECODE",
    "TERM",
    "SHELL",
    "GIT_DISCOVERY_ACROSS_FILESYSTEM",
    "XDG_RUNTIME_DIR",
    "PATH",
    "PYTHONPATH",
}
#: Words in capitals that are headings of tables.
HEADINGS = {"DEPLOYMENTS"}
#: What a platform says of its job.
OF_JOBS = {"JENKINS_URL", "CI_JOB_URL", "BUILD_URL", "GITHUB_TRIGGERING_ACTOR", "GITHUB_ACTOR", "GITLAB_USER_LOGIN"}


def first_cells(text: str) -> list[str]:
    """Return the names in the first column of every table, in the page's order."""
    rows = [line.strip("| ").split(" | ")[0] for line in text.splitlines() if line.startswith("| `")]
    return [code for row in rows for code in re.findall(r"`([^`]+)`", row)]


def test_every_key_of_the_layout_file_has_one_row_with_its_default() -> None:
    page = (REFERENCE / "layout-file.md").read_text("utf-8")
    rows = [[cell.strip(" `") for cell in line.split("|")] for line in page.splitlines() if line.startswith("| `")]
    assert {key: default for _, key, _, default, *_ in rows} == DEFAULTS


def test_every_task_has_one_row() -> None:
    page = (REFERENCE / "tasks.md").read_text("utf-8")
    assert sorted(first_cells(page)) == sorted(context.name for context in namespace.to_contexts() if context.name)


def test_every_exit_status_is_explained() -> None:
    page = (REFERENCE / "tasks.md").read_text("utf-8")
    for status in (0, 1, UsageError.exit_code, INCOMPLETE, UNFORESEEN, INTERRUPTED):
        assert f"\n| {status} | " in page


def keys(section: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Yield the keys of a schema as the page names them: ``dagster: url``."""
    for name, one in section["properties"].items():
        inner = "properties" in one and name not in ELSEWHERE
        yield from keys(one, f"{above}{name}: ") if inner else [f"{above}{name}"]


def test_every_key_of_a_deployment_is_explained() -> None:
    whole = json.loads((STRATEGIES / "deployment.schema.json").read_text())
    page = read(REFERENCE / "deployment-files.md").section("deployment.yaml").text
    common, *sections = re.split(r"\n### ", page)
    assert sorted(first_cells(common)) == sorted(keys(whole))
    told = {section.partition("\n")[0]: sorted(first_cells(section)) for section in sections}
    assert told.pop("A host that differs") == sorted(keys(whole["properties"]["hosts"]["items"]))
    schemas = {path.parent.name: json.loads(path.read_text()) for path in STRATEGIES.glob("*/schema.json")}
    assert told == {name: sorted(keys(one["properties"][name])) for name, one in schemas.items()}


def read_variables() -> set[str]:
    """Return the variables that the program reads, but for what runs on hosts."""
    package = REPOSITORY / "dagster_module_builder"
    paths = [path for path in package.rglob("*.py") if "host_side" not in path.parts and "_shipped" not in path.parts]
    text = "\n".join(path.read_text() for path in [*paths, STRATEGIES / "folders.py"])
    named = re.findall(r"environ(?:\.get\(|\[)\s*\"([A-Z][A-Z_]+)\"", text)
    constants = re.findall(
        r"\"((?:DAGSTER_MODULE_BUILDER|MODULE_DATABASE|DAGSTER_WORKSPACE|DEPLOY|GITHUB_STEP)[A-Z_]*)\"", text
    )
    return {*named, *constants}


def test_every_variable_that_is_read_is_explained() -> None:
    explained = set(first_cells((REFERENCE / "environment-variables.md").read_text("utf-8")))
    found = read_variables()
    assert {"DAGSTER_WORKSPACE", "CI", "DEPLOY_REGISTRY_PASSWORD", "DEPLOY_POSTGRES_PASSWORD"} <= found
    assert found - explained - OF_OTHERS - OF_JOBS - HEADINGS == set()


@pytest.mark.parametrize("name", ["deployment-files", "environment-variables", "tasks"])
def test_nothing_is_explained_twice(name: str) -> None:
    page = (REFERENCE / f"{name}.md").read_text("utf-8")
    for section in re.split(r"\n#+ ", page):
        cells = first_cells(section)
        assert len(cells) == len(set(cells)), section
