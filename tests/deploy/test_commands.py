"""The same from the command line: exit codes, messages, JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.deploy.conftest import Site
from tests.deploy.modules import make_module, set_value

PROGRAM = Path(sys.executable).with_name("dagster-module-builder")


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "DAGSTER_WORKSPACE": str(root), "COLUMNS": "200"}
    return subprocess.run(
        [PROGRAM, *arguments],
        env=environ, cwd=root, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_the_way_of_a_deployment(quick: Site) -> None:
    (quick.module / "deploy/yoda/known_hosts").write_text("")
    said = run(quick.root, "deploy", "yoda", "--allow-dirty")
    assert said.returncode == 1
    assert "deploy.trust" in said.stderr
    assert "Traceback" not in said.stderr

    said = run(quick.root, "deploy.trust", "yoda")
    assert said.returncode == 1
    assert "SHA256:" in said.stderr
    fingerprint = said.stderr.partition("SHA256:")[2].split()[0]
    assert run(quick.root, "deploy.trust", "yoda", "--fingerprint", f"SHA256:{fingerprint}").returncode == 0

    assert run(quick.root, "deploy.setup", "yoda").stdout.strip().endswith("was prepared before")
    said = run(quick.root, "deploy.check", "yoda")
    assert said.stdout.strip().endswith("ready"), said

    said = run(quick.root, "deploy", "yoda", "--allow-dirty", "--dry-run")
    assert said.returncode == 0, said
    assert "+" in said.stdout
    assert "definitions validate -m sales_report_dagster.definitions" in said.stdout
    assert not quick.there.exists()

    said = run(quick.root, "deploy", "yoda", "--allow-dirty", "--no-settle")
    assert said.returncode == 0, said
    first = quick.running()
    assert f"runs sales-report {first}" in said.stdout
    set_value(quick.module, 2)
    said = run(quick.root, "deploy", "yoda", "--allow-dirty", "--json")
    assert json.loads(said.stdout)[0]["releases"]["sales-report"] == quick.running() != first

    assert run(quick.root, "deploy.rollback", "yoda").returncode == 0
    assert quick.running() == first
    second = json.loads(said.stdout)[0]["releases"]["sales-report"]
    assert run(quick.root, "deploy.rollback", "yoda", second, "--wait", "1").returncode == 0
    assert quick.running() == second
    said = run(quick.root, "deploy.rollback", "yoda", "no-release")
    assert (said.returncode, first in said.stderr) == (1, True), said
    assert run(quick.root, "deploy.rollback", "yoda", "--release", first).returncode == 0
    found = json.loads(run(quick.root, "deploy.status", "yoda", "--json").stdout)
    assert found[0]["modules"][0]["release"] == first
    assert first in run(quick.root, "deploy.releases", "yoda").stdout
    assert "rollback" in run(quick.root, "deploy.log", "yoda").stdout
    assert run(quick.root, "deploy.env", "yoda").returncode == 0
    assert "nobody held it" in run(quick.root, "deploy.unlock", "yoda", "--yes").stdout
    assert "Yoda Ltd" in run(quick.root, "deploy.list").stdout

    said = run(quick.root, "deploy.remove", "yoda", "--module", "sales-report")
    assert said.returncode == 1
    assert "--yes" in said.stderr
    assert run(quick.root, "deploy.remove", "yoda", "--module", "sales-report", "--yes").returncode == 0
    assert not quick.there.exists()


def test_configure_without_a_terminal(tmp_path: Path) -> None:
    make_module(tmp_path)
    said = run(tmp_path, "configure-deployment", "sales-report")
    assert said.returncode == 2
    assert "--strategy" in said.stderr
    flags = ["--deployment", "yoda", "--client", "Yoda", "--hosts", "yoda.example", "--strategy", "git"]
    said = run(tmp_path, "configure-deployment", "sales-report", *flags, "--set", "branch=main")
    assert said.returncode == 0, said
    assert 'branch: "main"' in (tmp_path / "projects/sales-report/deploy/yoda/deployment.yaml").read_text()
    said = run(tmp_path, "configure-deployment", "sales-report", *flags, "--set", "colour=blue")
    assert said.returncode == 2
    assert "no question" in said.stderr


def test_unknown_deployment(tmp_path: Path) -> None:
    make_module(tmp_path)
    said = run(tmp_path, "deploy", "nobody")
    assert said.returncode == 1
    assert "configure-deployment" in said.stderr
