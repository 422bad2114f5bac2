"""The same from the command line: exit codes, messages, JSON."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.modules import make_module, set_value
from tests.deploy.program import PROGRAM, run
from tests.deploy.sites import Site, quick_sites


def answered_in_json(quick: Site, *line: str) -> Any:
    """Return what a task gives to programs; the runner holds it against its schema."""
    said = run(quick.root, *line, "--json")
    assert said.returncode == 0, said
    return json.loads(said.stdout)


def on_the_host(site: Site) -> dict[str, bytes | None]:
    """Return every file below the host's base path."""
    return {
        str(path): path.read_bytes() if path.is_file() else None
        for path in site.host.base.rglob("*")
        if "__pycache__" not in path.parts
    }


def shown_before(quick: Site, *line: str) -> tuple[Any, str]:
    """Return what a task would change, as JSON and as text; the host stays as it is."""
    before = on_the_host(quick)
    (result,) = answered_in_json(quick, *line, "--dry-run")
    said = run(quick.root, *line, "--dry-run")
    assert (said.returncode, on_the_host(quick)) == (0, before), said
    return result["modules"]["sales-report"], said.stdout + said.stderr


def removed(quick: Site) -> None:
    said = run(quick.root, "deploy.remove", "yoda", "--module", "sales-report")
    assert said.returncode == 1
    assert "--yes" in said.stderr
    assert run(quick.root, "deploy.remove", "yoda", "--module", "sales-report", "--yes").returncode == 0
    assert not quick.there.exists()


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
    for task in (["deploy.trust", "yoda", "--fingerprint", f"SHA256:{fingerprint}"], ["deploy.setup", "yoda"]):
        assert answered_in_json(quick, *task)
    assert answered_in_json(quick, "deploy.check", "yoda")

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

    assert answered_in_json(quick, "deploy.rollback", "yoda")[0]["releases"]["sales-report"] == quick.running() == first
    second = json.loads(said.stdout)[0]["releases"]["sales-report"]
    assert run(quick.root, "deploy.rollback", "yoda", second, "--wait", "1").returncode == 0
    assert quick.running() == second
    said = run(quick.root, "deploy.rollback", "yoda", "no-release")
    assert (said.returncode, first in said.stderr) == (1, True), said
    assert run(quick.root, "deploy.rollback", "yoda", "--release", first).returncode == 0
    found = json.loads(run(quick.root, "deploy.status", "yoda", "--json").stdout)
    (module,) = found[0]["modules"]
    assert (module["release"], module["location"], found[0]["lock"]) == (first, "loaded", None)
    assert all(module[key] for key in ("by", "since", "strategy"))
    assert "commit" in module
    assert first in run(quick.root, "deploy.releases", "yoda").stdout
    assert answered_in_json(quick, "deploy.releases", "yoda")
    assert "rollback" in run(quick.root, "deploy.log", "yoda").stdout
    assert run(quick.root, "deploy.env", "yoda", "--json").returncode == 0
    assert "the lock was free" in run(quick.root, "deploy.unlock", "yoda", "--yes").stdout
    assert answered_in_json(quick, "deploy.unlock", "yoda", "--yes")
    assert "Yoda Ltd" in run(quick.root, "deploy.list").stdout
    removed(quick)


def test_a_dry_run_shows_what_a_change_without_a_new_release_changes(quick: Site) -> None:
    """Of a rollback, of settings and of a removal; the host stays as it is, and no value is shown."""
    first = quick.deploy()[0].releases["sales-report"]
    set_value(quick.module, 2)
    quick.deploy()
    change, text = shown_before(quick, "deploy.rollback", "yoda")
    value = "src/sales_report_dagster/value.py"
    assert (change["from"], change["release"], change["files"]["changed"]) == (quick.running(), first, [value])
    assert f"sales-report {quick.running()} -> {first}" in text
    assert f"files changed: {value}" in text
    settings = quick.module / "deploy/yoda/.env.deploy"
    settings.write_text("SALES_REPORT_TOKEN='another-s3cret'\nSALES_REPORT_NEW=1\n")
    change, text = shown_before(quick, "deploy.env", "yoda")
    assert change["settings"] == {"added": ["SALES_REPORT_NEW"], "removed": [], "changed": ["SALES_REPORT_TOKEN"]}
    assert "settings changed: SALES_REPORT_TOKEN" in text
    assert "s3cret" not in text
    change, text = shown_before(quick, "deploy.remove", "yoda", "--module", "sales-report", "--delete-data")
    assert len(change["releases"]) == 2
    assert "sales-report is removed" in text
    assert run(quick.root, "deploy.rollback", "yoda", "nosuch", "--dry-run").returncode == 1


def test_status_ends_with_1_where_a_current_release_is_not_loaded(quick: Site) -> None:
    """FAULTS C12: the JSON says why; where it is loaded it ends with 0."""
    quick.deploy()
    assert run(quick.root, "deploy.status", "yoda", "--json").returncode == 0
    quick.dagster.known["sales_report"]["error"] = "no module named sales"
    said = run(quick.root, "deploy.status", "yoda", "--json")
    (module,) = json.loads(said.stdout)[0]["modules"]
    wanted = (1, quick.current(), "no module named sales")
    assert (said.returncode, module["release"], module["location"]) == wanted
    quick.dagster.known = {}
    said = run(quick.root, "deploy.status", "yoda")
    assert (said.returncode, "not in Dagster" in said.stdout) == (1, True)


def on_a_terminal(root: Path, *arguments: str, typed: bytes = b"", kind: str = "xterm") -> tuple[int, str]:
    """Run the program on a terminal; return its exit code, and all that was shown."""
    ours, theirs = pty.openpty()
    environ = {**os.environ, "DAGSTER_WORKSPACE": str(root), "COLUMNS": "100", "TERM": kind}
    process = subprocess.Popen([PROGRAM, *arguments], env=environ, cwd=root, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.write(ours, typed)
    shown = b""
    with contextlib.suppress(OSError):  # Linux says so when the last one has left the terminal.
        while text := os.read(ours, 4096):
            shown += text
    os.close(ours)
    return process.wait(), shown.decode(errors="replace")


def test_a_table_of_hosts_and_steps_on_a_terminal(tmp_path: Path) -> None:
    for sites in quick_sites(tmp_path, 2):
        for site in sites.sites:
            site.dagster.on_request = lambda query: time.sleep(0.6) if "reloadWorkspace" in query else None
        code, shown = on_a_terminal(sites.root, "deploy", "yoda", "--allow-dirty", "--no-settle")
        assert code == 0, shown
        for site in sites.sites:
            host = re.escape(f"{site.host.address}:{site.host.port}")
            assert re.search(rf"{host} +switch", shown)
            assert re.search(rf"{host} +done", shown)
        # It changes in place: the cursor goes up and the line is written again.
        assert "\x1b[1A" in shown


def test_configure_asks_on_a_terminal(tmp_path: Path) -> None:
    make_module(tmp_path)
    flags = ["--deployment", "yoda", "--client", "Yoda", "--hosts", "yoda.example", "--strategy", "rsync"]
    typed = b"/data/dagster\n" + b"\n" * 30
    code, shown = on_a_terminal(tmp_path, "configure-deployment", "sales-report", *flags, typed=typed, kind="dumb")
    assert code == 0, shown
    said = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "Folder on the hosts (< goes back) [/srv/dagster]: " in said
    assert "Name of the deployment" not in said
    data = yaml.safe_load((tmp_path / "projects/sales-report/deploy/yoda/deployment.yaml").read_text())
    assert data["base_path"] == "/data/dagster"


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
    assert "Unknown question" in said.stderr


def test_unknown_deployment(tmp_path: Path) -> None:
    make_module(tmp_path)
    said = run(tmp_path, "deploy", "luke")
    assert said.returncode == 1
    assert "configure-deployment" in said.stderr
