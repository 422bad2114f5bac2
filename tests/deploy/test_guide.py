"""DEPLOYMENT.md, followed by hand: what it says is typed as it stands there, and does what it says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from dagster_module_builder.deployments.configure import configure
from dagster_module_builder.deployments.deploy import Options, deploy
from dagster_module_builder.deployments.deployment import find
from dagster_module_builder.deployments.status import status
from dagster_module_builder.errors import BuilderError
from tests.deploy import sshd
from tests.deploy.conftest import Site
from tests.deploy.modules import set_value

NAME = "20260101T000000Z-by-hand"
OPTIONS = Options(allow_dirty=True, settle=False)


def commands(guide: str) -> list[tuple[str, str]]:
    """Return the commands of the section ``By hand``, and for each block whether it is for this machine or the host."""
    section = guide.partition("## By hand")[2].partition("\n## ")[0]
    found: list[tuple[str, str]] = []
    where = ""
    for paragraph in re.split(r"\n\n+", section):
        if paragraph.startswith("    "):
            found.append((where, re.sub("(?m)^    ", "", paragraph)))
        elif told := re.findall(r"your machine|on the host", paragraph, re.IGNORECASE):
            where = told[-1].lower()
    return found


def follow(site: Site, folder: Path) -> None:
    """Type every command where it belongs."""
    steps = commands((folder / "DEPLOYMENT.md").read_text())
    first = {where: next(text for one, text in steps if one == where) for where in ("your machine", "on the host")}
    here = re.sub("(?m)^name=.*$", f"name={NAME}", first["your machine"])
    for where, text in steps:
        script = f"set -eu\n{here}\n{text if text != first['your machine'] else ''}"
        if where == "on the host":
            inner = f"set -eu\nname={NAME}\n{first[where]}\n{text}"
            script = f"{here}\nssh $options \"$host\" bash -s <<'INNER'\n{inner}\nINNER\n"
        done = subprocess.run(["bash", "-c", script], cwd=site.module, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{where}: {text}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("strategy", ["rsync", "git"])
def test_a_release_by_hand(quick: Site, strategy: str) -> None:
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@x"]
    (quick.module / ".gitignore").write_text("deploy/\n")
    answers = {
        "deployment": "leia", "client": "Leia", "hosts": f"{quick.host.address}:{quick.host.port}",
        "user": sshd.user(), "base_path": str(quick.host.base), "identity_file": str(quick.host.client_key),
        "dagster_url": quick.dagster.url, "environment": "host", "python": str(quick.host.folder / "python"),
    }  # fmt: skip
    folder = configure(quick.root, quick.module, strategy, answers).folder
    (folder / "known_hosts").write_text(quick.host.known_hosts_line)
    (folder / ".env.deploy").write_text("SALES_REPORT_TOKEN='first'\n")
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], cwd=quick.module, check=True)
    deploy(find(quick.root, "leia"), OPTIONS)
    set_value(quick.module, 2)
    subprocess.run([*git, "commit", "-qam", "second"], cwd=quick.module, check=True)
    (folder / ".env.deploy").write_text("SALES_REPORT_TOKEN='by hand'\n")

    follow(quick, folder)
    assert quick.running() == NAME
    assert "VALUE = 2" in (quick.there / "releases" / NAME / "src/sales_report_dagster/value.py").read_text()
    assert not (quick.there / "releases" / NAME / "deploy").exists()
    assert (quick.there / f"env/{NAME}.env").stat().st_mode & 0o077 == 0
    env = (quick.host.base / ".env").read_text()
    assert "SALES_REPORT_TOKEN='by hand'" in env
    assert "first" not in env
    (found,) = status(find(quick.root, "leia"))
    assert found["modules"][0]["location"] == "loaded from elsewhere"
    with pytest.raises(BuilderError, match="--force"):
        deploy(find(quick.root, "leia"), OPTIONS)
    (outcome,) = deploy(find(quick.root, "leia"), Options(allow_dirty=True, settle=False, force=True))
    assert quick.running() == outcome.releases["sales-report"]
