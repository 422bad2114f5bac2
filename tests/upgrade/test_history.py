"""Modules from earlier states of the template, rendered from this repository's own commits."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dagster_module_builder.base.baseline import FILE
from dagster_module_builder.templating.rendering import render
from dagster_module_builder.upgrade.run import upgrade
from dagster_module_builder.workspaces.new import CALLER_VARIABLE
from tests.needs import lacking
from tests.template.rendering import REPOSITORY

PARTS = ("cookiecutter-dagster-module", "cookiecutter-dagster-workspace", "dagster_module_builder")
#: The template's first state, one with tests and levels of governance, and one with development packages.
STATES = (
    "feat: the module template: questions",
    "feat: tests, documents and governance",
    "test: the summary on real database",
)


def commit_of(subject: str) -> str:
    command = ["git", "log", "--format=%H", "--fixed-strings", f"--grep={subject}", "--", PARTS[0]]
    found = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False).stdout.split()
    if not found:
        lacking(f"the commit {subject!r}", "clone the repository with its history")
    return found[-1]


def template_of(commit: str, into: Path) -> Path:
    archive = subprocess.run(["git", "archive", commit, *PARTS], cwd=REPOSITORY, capture_output=True, check=True)
    into.mkdir()
    subprocess.run(["tar", "-x", "-C", into], input=archive.stdout, check=True)
    return into / PARTS[0]


@pytest.mark.parametrize("state", STATES)
def test_a_module_of_an_earlier_state_is_brought_up_to_date(root: Path, tmp_path: Path, state: str) -> None:
    old = template_of(commit_of(state), tmp_path / "checkout")
    answers: dict[str, str | bool] = {"name": "stock", "database": "none", "workspace": "no", "deployment": "no"}
    made = render(old, answers, root / "projects", {CALLER_VARIABLE: "1"})
    with (made / "README.md").open("a") as file:
        file.write("\nMine: größe 日本.\n")
    assets = made / "src/stock_dagster/assets.py"
    assets.write_bytes(assets.read_bytes().replace(b"\n", b"\r\n") + b"# mine\r\n")
    (made / "TROUBLESHOOTING.md").unlink(missing_ok=True)
    (made / "größe.md").write_text("added\n")
    (made / "deploy/README.md").rename(made / "deploy/NOTES.md")
    (made / "src/stock_dagster/definitions.py").chmod(0o755)
    outcome = upgrade(root, "stock", from_template=old)
    assert outcome.changes
    assert "\nMine: größe 日本.\n" in (made / "README.md").read_text()
    assert assets.read_bytes().endswith(b"# mine\r\n")
    assert not (made / "TROUBLESHOOTING.md").exists()
    assert (made / "größe.md").read_text() == "added\n"
    assert not (made / "deploy/README.md").exists()
    assert (made / "deploy/NOTES.md").is_file()
    assert (made / "src/stock_dagster/definitions.py").stat().st_mode & 0o777 == 0o755
    if not outcome.conflicts:
        assert (made / FILE).is_file()
        assert not upgrade(root, "stock").changes
