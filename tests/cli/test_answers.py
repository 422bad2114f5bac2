"""Answers without a terminal: flags, or a file; and what is missing is said, never waited for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.cli.terminal import Terminal, everything_in

MODULE = """\
name: sales
database: postgresql
port: 5999
requires: [ssh, pdf]
governance: quick
starter: empty
deployment:
  deployment: live
  client: ACME
  hosts: [a.example, "b.example:2222"]
  strategy: rsync
  tests: yes
"""


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_a_file_answers_for_a_module_and_its_deployment(workspace: Terminal, tmp_path: Path, form: str) -> None:
    file = tmp_path / f"answers.{form}"
    file.write_text(MODULE if form == "yaml" else json.dumps(yaml.safe_load(MODULE)))
    said = workspace.done("new", "--answers", str(file), "--title", "From a flag")
    answers = json.loads((workspace.root / "projects/sales/.dagster-module.json").read_text())["answers"]
    assert (answers["title"], answers["database_port"], answers["requires_pdf"]) == ("From a flag", "5999", True)
    data = yaml.safe_load((workspace.root / "projects/sales/deploy/live/deployment.yaml").read_text())
    assert [host["host"] for host in data["hosts"]] == ["a.example", "b.example"]
    assert data["rsync"]["tests"] is True
    assert "configure-deployment" not in said


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("databse: mysql\n", 2, "Unknown question 'databse'. Did you mean 'database'?"),
        ("database: postgres\n", 2, "Unknown database 'postgres'. Did you mean 'postgresql'?"),
        ("requires: [sshh]\n", 2, "Unknown system requirement 'sshh'. Did you mean 'ssh'?"),
        ("title: {a: b}\n", 2, "title is one answer, not several"),
        ("- name\n", 1, "this holds no answers by name"),
        ("name: [\n", 1, "answers.yaml:"),
        ("title: [[a]]\n", 1, "title is neither a text"),
        ("deployment: {client: A}\n", 2, "pass --deployment, --hosts, --strategy"),
        ("deployment: {deployment: x, client: A, hosts: a, strategy: git, kep: 3}\n", 2, "Did you mean 'keep'?"),
        ("deployment: {deployment: x, client: A, hosts: a b, strategy: git}\n", 2, "write a host's name or address"),
        ("deployment: {deployment: x, client: A, hosts: a, strategy: gitt}\n", 1, "Unknown strategy 'gitt'"),
    ],
)
def test_a_file_that_answers_something_else_is_refused(
    workspace: Terminal, tmp_path: Path, text: str, code: int, said: str
) -> None:
    (file := tmp_path / "answers.yaml").write_text(text)
    before = everything_in(workspace.root)
    assert said in workspace.refused("new", "sales", "--answers", str(file), code=code)
    assert everything_in(workspace.root) == before


def test_what_is_missing_is_said_before_anything_is_made(workspace: Terminal) -> None:
    """FAULTS G: ``--deployment yes --no-input`` is not ignored."""
    before = everything_in(workspace.root)
    assert "'new NAME'" in workspace.refused("new", code=2)
    assert "--answers" in workspace.refused("new", "sales", "--deployment", "yes", "--no-input", code=2)
    assert "No such file" in workspace.refused("new", "sales", "--answers", "nowhere.yaml")
    said = workspace.refused("new", "sales", "--requires", "office")
    assert "python-docx and openpyxl" in said
    assert "--accept-size" in said
    assert everything_in(workspace.root) == before


def test_a_deployment_is_configured_by_a_file(full: Terminal, tmp_path: Path) -> None:
    answers = {"deployment": "live", "client": "ACME", "hosts": "a", "base-path": "~/d", "strategy": "git", "keep": 3}
    (file := tmp_path / "answers.json").write_text(json.dumps(answers))
    full.done("configure-deployment", "sales", "--answers", str(file), "--set", "branch=main")
    data = yaml.safe_load((full.root / "projects/sales/deploy/live/deployment.yaml").read_text())
    assert (data["base_path"], data["keep"], data["git"]["branch"]) == ("~/d", 3, "main")
    file.write_text(json.dumps({**answers, "deployment": "other", "keep": "zero"}))
    said = full.refused("configure-deployment", "sales", "--answers", str(file), code=2)
    assert "keep is 'zero': write a number from 2 to 100." in said
    assert "pass --client, --hosts, --strategy (strategies: git, rsync, docker, ci-cd)" in full.refused(
        "configure-deployment", "sales", "--deployment", "x", code=2
    )


def test_a_deployment_that_fails_leaves_the_module_and_its_next_steps(workspace: Terminal, tmp_path: Path) -> None:
    """What only the finished module shows: its git repository cannot be read."""
    (file := tmp_path / "answers.yaml").write_text(MODULE)
    (workspace.root / ".git").write_text("gitdir: nowhere\n")
    result = workspace.run("new", "--answers", str(file))
    assert result.returncode == 1, result.stderr
    assert "Error: " in result.stderr
    assert "configure-deployment sales" in result.stdout.partition("Next:")[2]
    assert not (workspace.root / "projects/sales/deploy/live").exists()
