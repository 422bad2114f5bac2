"""DEPLOYMENT.md, followed by hand: what it says is typed as it stands there, and does what it says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy.configure import configure
from dagster_module_builder.deploy.deploy import Options, deploy
from dagster_module_builder.deploy.model.deployment import find
from dagster_module_builder.deploy.status import status
from tests.deploy import sshd
from tests.deploy.guides import NAME, follow
from tests.deploy.modules import require_dagster, set_value
from tests.deploy.repositories import git
from tests.deploy.sites import Site

OPTIONS = Options(allow_dirty=True, settle=False)


def configured(quick: Site, strategy: str, **more: str) -> Path:
    """Configure a deployment, and commit the module."""
    (quick.module / ".gitignore").write_text("deploy/\n")
    answers = {
        "deployment": "leia", "client": "Leia", "hosts": f"{quick.host.address}:{quick.host.port}",
        "user": sshd.user(), "base_path": str(quick.host.base), "identity_file": str(quick.host.client_key),
        "dagster_url": quick.dagster.url, "environment": "host", "python": str(quick.host.folder / "python"), **more,
    }  # fmt: skip
    folder = configure(quick.root, quick.module, strategy, answers).folder
    (folder / "known_hosts").write_text(quick.host.known_hosts_line)
    (folder / ".env.deploy").write_text("SALES_REPORT_TOKEN='first'\n")
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "first"]):
        git(quick.module, *command)
    return folder


@pytest.mark.parametrize("others", [False, True])
@pytest.mark.parametrize("strategy", ["rsync", "git"])
def test_the_first_release_by_hand(quick: Site, strategy: str, others: bool) -> None:
    """Where deploy.setup has made the folders, or nothing has."""
    folder = configured(quick, strategy)
    (quick.host.base / "modules").rmdir()
    if others:
        there = f"package_name: sales_report_dagster.definitions, working_directory: {quick.module / 'src'}"
        entry = f"load_from:\n  - python_package: {{{there}, location_name: theirs}}\n"
        (quick.host.base / "workspace.yaml").write_text(entry)
        (quick.host.base / ".env").write_text("THEIRS=1")
    follow(quick.module, folder)
    assert quick.running() == NAME
    env = quick.host.base / ".env"
    assert "SALES_REPORT_TOKEN='first'" in env.read_text()
    if others:
        assert "THEIRS=1\n" in env.read_text()
        assert set(quick.dagster.locations()) == {"theirs", "sales_report"}
    else:
        assert env.stat().st_mode & 0o077 == 0
    (outcome,) = deploy(find(quick.root, "leia"), Options(allow_dirty=True, settle=False, force=True))
    assert quick.running() == outcome.releases["sales-report"]


#: Makes environments that see the packages of the host's Dagster, as if they had been installed there before: pip has
#: to install only what is not among them, not forty packages that every other test has, too.
FURNISHED = """\
#!/bin/sh
{python} "$@" || exit
for folder in "$3"/lib/python*/site-packages; do echo {packages} > "$folder/host.pth"; done
"""


@pytest.mark.slow
def test_a_release_by_hand_with_an_environment_of_its_own(site: Site, dagster_python: str) -> None:
    require_dagster(site.module)
    pyproject = site.module / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("dependencies = [", 'dependencies = ["iniconfig", '))
    (packages,) = Path(dagster_python).parents[1].glob("lib/python*/site-packages")
    python = site.host.folder / "python"
    python.write_text(FURNISHED.format(python=sys.executable, packages=packages))
    python.chmod(0o755)
    folder = configured(site, "rsync", environment="venv", python=str(python))
    follow(site.module, folder)
    assert site.running() == NAME
    (entry,) = yaml.safe_load((site.host.base / "workspace.yaml").read_text())["load_from"]
    assert entry["python_package"]["executable_path"] == str(site.there / "venvs" / NAME / "bin/python")
    assert list((site.there / "venvs" / NAME).glob("lib/python*/site-packages/iniconfig/__init__.py"))
    there = site.there / "releases" / NAME
    sent = [path for one in site.module.rglob("*") if (path := there / one.relative_to(site.module)).exists()]
    assert there / "src/sales_report_dagster/value.py" in sent
    assert not [path for path in [there, *sent] if path.stat().st_mode & 0o222]


@pytest.mark.parametrize("strategy", ["rsync", "git"])
def test_a_release_by_hand(quick: Site, strategy: str) -> None:
    folder = configured(quick, strategy)
    deploy(find(quick.root, "leia"), OPTIONS)
    set_value(quick.module, 2)
    git(quick.module, "commit", "-qam", "second")
    (folder / ".env.deploy").write_text("SALES_REPORT_TOKEN='by hand'\n")

    follow(quick.module, folder)
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
