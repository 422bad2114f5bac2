"""A file that is not the one that was locked gets into no host's environment, whoever serves it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import uv
import yaml

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy.host_side import environments, hashes
from dagster_module_builder.deploy.host_side.errors import RefusedError
from tests import index
from tests.deploy.dagster_host import CONSTRAINTS
from tests.deploy.host_here import host_here
from tests.deploy.sites import Site

#: What a host's Python needs of Dagster here: a module that has it load the definitions.
DAGSTER = {"dagster/__init__.py": "", "dagster/__main__.py": ""}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give the wheel that is locked, one under its name with a changed line, and one that only its owner knows."""
    folder = tmp_path_factory.mktemp("wheels")
    genuine = index.genuine(folder)
    own = index.wheel(folder, "quick_dagster", "1.0", DAGSTER)
    return {"genuine": genuine, "changed": index.changed(genuine, folder / "changed"), "own": own}


@pytest.fixture(params=["uv", "pip"])
def site(request: pytest.FixtureRequest, quick: Site) -> Iterator[Site]:
    """Give a host with uv, and one without, and a module with a lock and a separate requirement beside it."""
    uv_folder = f"{Path(uv.find_uv_bin()).parent}:" if request.param == "uv" else ""
    quick.host.environ |= {"PATH": f"{uv_folder}/usr/bin:/bin", "PIP_CONFIG_FILE": os.devnull, "UV_NO_CACHE": "1"}
    pyproject = quick.module / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("[]", '["toposort", "quick-dagster"]'))
    for name in ("constraints.txt", "constraints.lock"):
        (quick.module / name).write_text(CONSTRAINTS.with_name(name).read_text())
    deployment = quick.module / "deploy/yoda/deployment.yaml"
    data = yaml.safe_load(deployment.read_text())
    data["environment"] = {"kind": "venv", "python": sys.executable}
    deployment.write_text(yaml.safe_dump(data))
    return quick


def deploy(site: Site, *served: Path) -> None:
    with index.serving(*served) as address:
        site.host.environ |= {"UV_DEFAULT_INDEX": address, "PIP_INDEX_URL": address}
        site.host.restart()
        site.deploy()


def installed(site: Site) -> str:
    (environment,) = (site.there / "venvs").iterdir()
    assert not (environment / environments.DOWNLOADED).exists()
    look = "import toposort, dagster; print(getattr(toposort, 'CHANGED', False))".replace("quick_dagster", "dagster")
    return subprocess.run([environment / "bin/python", "-c", look], check=True, capture_output=True, text=True).stdout


def test_what_was_locked_is_installed_and_what_its_owner_requires_too(site: Site, wheels: dict[str, Path]) -> None:
    deploy(site, wheels["genuine"], wheels["own"])
    assert installed(site) == "False\n"
    assert "constraints.lock" in {path.name for path in (site.there / "current").iterdir()}


def test_a_changed_wheel_is_refused(site: Site, wheels: dict[str, Path]) -> None:
    """By uv, and by pip where a host has no uv; no code of it runs, and nothing half made stays."""
    with pytest.raises(BuilderError, match=r"(?is)environment of .* could not be built.*hash.*toposort|toposort.*hash"):
        deploy(site, wheels["changed"], wheels["own"])
    assert [*(site.there / "venvs").iterdir()] == []


@pytest.mark.parametrize("name", ["constraints.lock", "constraints.txt"])
def test_without_the_lock_or_with_another_version_it_is_the_version_that_counts(
    site: Site, wheels: dict[str, Path], name: str
) -> None:
    """A module of an earlier version goes on, and so does one whose owner took another release than the lock's."""
    if name == "constraints.lock":
        (site.module / name).unlink()
    else:
        file = site.module / name
        file.write_text(file.read_text().replace(index.PINNED, f"{index.PACKAGE}<2"))
    deploy(site, wheels["changed"], wheels["own"])
    assert installed(site) == "True\n"


def test_the_hosts_own_dagster_is_made_of_what_was_locked(tmp_path: Path, wheels: dict[str, Path]) -> None:
    """The same way: what pip downloaded is compared with the hashes of the lock before it is installed."""
    lock = CONSTRAINTS.with_name("constraints.lock").read_text()
    with index.serving(wheels["changed"]) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "/usr/bin:/bin")
        patch.setenv("PIP_CONFIG_FILE", os.devnull)
        patch.setenv("PIP_INDEX_URL", address)
        with pytest.raises(
            RefusedError, match=r"(?is)environment of Dagster could not be built.*do not match the hashes"
        ):
            environments.build_service(host_here(tmp_path), ".", "a" * 16, "toposort\n", lock, sys.executable, 0)
    assert [*(tmp_path / "dagster-service").glob("environments/*")] == []


def test_constraints_for_a_pip_have_no_hashes() -> None:
    own = (
        "a==1 \\\n    --hash=sha256:0 \\\n    --hash=sha256:1\nb.C_d==2 ; python_version < '3' --hash=sha256:2\nc==3\n"
    )
    assert hashes.without_hashes(own) == "a==1\nb.C_d==2 ; python_version < '3'\nc==3\n"
    assert hashes.locked(own, ["b_c_d-2.tar.gz", "c-3-py3-none-any.whl"]) == own.splitlines(keepends=True)[3]
    assert hashes.locked(own, ["A-1-py3-none-any.whl"]) == "".join(own.splitlines(keepends=True)[:3])
