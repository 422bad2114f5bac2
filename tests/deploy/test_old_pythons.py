"""Hosts with the Pythons that there are: the oldest that is good enough does all of it, an older one is named."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.deploy.connection import host_start
from dagster_module_builder.deploy.model.deployment import find
from dagster_module_builder.deploy.removal import remove
from dagster_module_builder.deploy.rollback import roll_back
from dagster_module_builder.deploy.status import log, status
from tests.deploy.modules import set_value
from tests.deploy.sites import Site


def interpreters() -> dict[tuple[int, int], str]:
    """Return an interpreter of each version that this machine has: on PATH, or where pyenv puts them."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    folders = [*map(Path, os.get_exec_path()), *sorted(root.glob("versions/*/bin"))]
    candidates = [path for folder in folders if folder.is_dir() for path in folder.glob("python3.*")]
    named = [(match, path) for path in candidates if (match := re.fullmatch(r"python3\.(\d+)", path.name))]
    # A shim of pyenv's is no interpreter.
    return {(3, int(match[1])): str(path) for match, path in named if "shims" not in path.parts}


FOUND = {**interpreters(), sys.version_info[:2]: sys.executable}
GOOD = sorted(version for version in FOUND if version >= (3, host_start.OLDEST))
TOO_OLD = sorted(set(FOUND) - set(GOOD))


def begun(line: str, path: str = os.defpath) -> subprocess.CompletedProcess[bytes]:
    """Start the host's side as a login shell does, and let it end."""
    command = ["/bin/sh", "-c", line]
    environ = {"PATH": path, "HOME": "/nonexistent"}
    return subprocess.run(
        command, input=host_start.program(), env=environ, capture_output=True, check=False, timeout=60
    )


@pytest.mark.parametrize("version", GOOD, ids=str)
def test_every_module_of_the_host_side_is_made_by_a_python_that_is_good_enough(version: tuple[int, int]) -> None:
    """FAULTS E3: each version that this machine has."""
    done = begun(host_start.start_line(len(host_start.program()), FOUND[version]))
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.lstrip().startswith(host_start.GREETING)


def test_a_python_that_is_too_old_is_named_and_a_newer_one_beside_it_is_taken(tmp_path: Path) -> None:
    """FAULTS E3: with real ones of 3.6 and 3.7, where this machine has them."""
    for version in TOO_OLD:
        done = begun(host_start.start_line(len(host_start.program()), FOUND[version]))
        assert f"old-python {version[0]}.{version[1]}." in done.stderr.decode()
        refusal = str(host_start.refusal("yoda", FOUND[version], "", done.stderr.decode()))
        assert f"is Python {version[0]}.{version[1]}." in refusal
        assert f"install Python 3.{host_start.OLDEST} or newer" in refusal
        (programs := tmp_path / f"{version}").mkdir()
        (programs / "python3").symlink_to(FOUND[version])
        (programs / "python3.{}".format(*GOOD[0][1:])).symlink_to(FOUND[GOOD[0]])
        (programs / "sh").symlink_to("/bin/sh")
        done = begun(host_start.start_line(len(host_start.program())), str(programs))
        assert (done.returncode, done.stderr) == (0, b""), version


def test_a_whole_deployment_goes_through_the_oldest_python_that_is_good_enough(quick: Site) -> None:
    """FAULTS E3: deploy, status, rollback, log, remove; what the oldest one lacks of a library shows only when used."""
    path = quick.module / "deploy/yoda/deployment.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "python": FOUND[GOOD[0]]}))
    first = quick.deploy()[0].releases["sales-report"]
    set_value(quick.module, 2)
    quick.deploy()
    roll_back(find(quick.root, "yoda"))
    (found,) = status(find(quick.root, "yoda"))
    assert (found["modules"][0]["release"], found["modules"][0]["location"]) == (first, "loaded")
    (found,) = log(find(quick.root, "yoda"))
    assert [one["result"] for one in found["modules"]["sales-report"]] == ["good"] * 3
    remove(find(quick.root, "yoda"))
    assert quick.dagster.locations() == {}
