"""Adopted workspaces on this machine: real Dagster loads what their files name, and materializes modules."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.native import local_dagster
from dagster_module_builder.native.native_definitions import load_locations
from dagster_module_builder.programs import graphql
from dagster_module_builder.workspaces.add import add_module
from tests import needs
from tests.adoption.adopted import adopted, laid_out
from tests.adoption.cases import CASES, Case
from tests.corpus.workspaces import Modules
from tests.ports import free_port

pytestmark = [pytest.mark.dagster, pytest.mark.slow, pytest.mark.xdist_group("adopted natively")]


#: Each makes an environment, which takes a while; the two that ``workspace.dev`` serves below are not among them.
RUN = [
    "official-topology",
    *(
        pytest.param(name, marks=pytest.mark.thorough)
        for name in ("compose-in-docker-folder", "native-monorepo", "dg-workspace-in-pyproject")
    ),
]


def with_notes(name: str, folder: Path, modules: Modules) -> Path:
    root = laid_out(Case(CASES / name), folder)
    adopted(Case(CASES / name), root)
    shutil.copytree(modules.folders["notes"], root / "projects/notes")
    add_module(root, "notes")
    return root


@pytest.mark.parametrize("case", RUN)
def test_a_module_materializes_beside_the_owners_code(case: str, tmp_path: Path, modules: Modules) -> None:
    needs.registry()
    root = with_notes(case, tmp_path, modules)
    loaded = load_locations(root)
    assert (loaded.failures, loaded.left_out) == ([], [])
    assert [key for keys in loaded.keys.values() for key in keys if key.startswith("notes/")]
    done = local_dagster.materialize(root, root / "projects/notes")
    assert done.assets
    assert all(check.passed for check in done.checks)


@pytest.mark.parametrize(
    ("case", "names", "said"),
    [
        ("modules-beside-a-server", {"own", "notes"}, b"The code location foreign is left out: neither a mount nor"),
        pytest.param("native-in-a-folder-with-systemd", {"quarry", "notes"}, b"", marks=pytest.mark.thorough),
    ],
)
def test_dev_serves_what_is_here_from_an_instance_apart(
    case: str, names: set[str], said: bytes, tmp_path: Path, modules: Modules
) -> None:
    """The owner's DAGSTER_HOME is a container's folder, or the instance of a Dagster that runs already."""
    needs.registry()
    root = with_notes(case, tmp_path, modules)
    with layout_of(root).env_file.open("a") as env:
        env.write("DAGSTER_HOME=/opt/dagster/home\n")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [needs.program("dagster-module-builder"), "workspace.dev", "--root", str(root), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        limit = time.monotonic() + 300
        while not graphql.is_up(url):
            assert process.poll() is None, process.stdout.read().decode() if process.stdout else ""
            assert time.monotonic() < limit
            time.sleep(0.5)
        assert graphql.location_states(url) == dict.fromkeys(names)
        assert Path(graphql.instance_folder(url) or "").is_relative_to(root)
        assert local_dagster.materialize(root, root / "projects/notes", select="notes/raw").assets
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=240)
        assert said in output
        assert f"Dagster is at {url} · {len(names)} code locations loaded".encode() in output
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
