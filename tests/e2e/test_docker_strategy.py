"""A host whose Dagster runs in containers, and a module with a separate code server in Dagster's network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dagster_module_builder.deploy.configure import configure
from dagster_module_builder.deploy.deploy import Options, deploy
from dagster_module_builder.deploy.hosts import host_run
from dagster_module_builder.deploy.model.deployment import find
from dagster_module_builder.deploy.removal import remove
from dagster_module_builder.deploy.rollback import change_settings
from dagster_module_builder.deploy.status import status
from tests.deploy import sshd
from tests.deploy.dagster_host import lock_dagster
from tests.deploy.host_engine import environ_of, forget_images
from tests.deploy.inside import LOGGED, PRINTED, Inside
from tests.deploy.modules import make_module
from tests.deploy.quick_images import building
from tests.e2e.dagster_web import await_that
from tests.e2e.engine import Engine
from tests.e2e.stack import Stack
from tests.ports import free_port

pytestmark = [pytest.mark.docker, pytest.mark.slow]
DEFINITIONS = f"""\
import dagster as dg


@dg.asset
def number(context: dg.AssetExecutionContext) -> int:
    context.log.warning({LOGGED!r})
    print({PRINTED!r})
    return 1


defs = dg.Definitions(assets=[number], executor=dg.in_process_executor)
"""
RESTART = "docker compose --project-directory services/dagster restart --timeout 1 dagster_daemon"


@dataclass
class Client:
    """A module, and the deployment that brings it to the stack."""

    root: Path
    settings: Path
    stack: Stack

    def servers(self) -> set[str]:
        """Return the names of the code servers that run."""
        shown = self.stack.engine.docker("ps", "--format", "{{.Names}}", "--filter", "name=^billing-2")
        return set(shown.split())


@pytest.fixture
def stack(engine: Engine, image_names: dict[str, str], tmp_path: Path) -> Iterator[Stack]:
    """Give a Dagster that takes releases, without modules."""
    made = Stack(tmp_path / f"dmb-e2e-{free_port()}", engine, image_names, free_port())
    made.initialize("--isolation=none")
    made.hand_over()
    try:
        made.command("workspace.up")
        yield made
    finally:
        made.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")
        engine.docker("image", "rm", "--force", f"{made.project}-dagster")


@pytest.fixture
def client(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr(host_run, "RETIRE_AFTER", 0.2)
    module = make_module(tmp_path / "workspace", "billing")
    (module / "src/billing_dagster/definitions.py").write_text(DEFINITIONS)
    lock_dagster(module)
    environ = {**environ_of(stack.engine), **stack.images}
    with building(stack.engine), sshd.hosts(tmp_path / "hosts", environ=environ) as (host,):
        answers = {
            "deployment": "yoda", "client": "Yoda", "hosts": f"{host.address}:{host.port}", "user": sshd.user(),
            "base_path": str(stack.root), "identity_file": str(host.client_key), "dagster_url": stack.dagster.url,
            "dagster_kind": "compose", "dagster_folder": "services/dagster", "base_inside": "/workspace",
            "restart_daemon": RESTART, "network": f"{stack.project}-net", "image": f"billing-{host.port}",
            "python_image": stack.images["PYTHON_IMAGE"],
        }  # fmt: skip
        made = configure(tmp_path / "workspace", module, "docker", answers)
        (made.folder / "known_hosts").write_text(host.known_hosts_line)
        settings = made.folder / ".env.deploy"
        settings.write_text(settings.read_text().replace("TOKEN=''", "TOKEN='s3cret'"))
        (stack.root / "modules").mkdir()
        found = Client(tmp_path / "workspace", settings, stack)
        try:
            yield found
        finally:
            for name in found.servers():
                stack.engine.docker("rm", "--force", name)
            forget_images(stack.engine, f"billing-{host.port}")


def test_a_code_server_in_the_network_of_dagster(client: Client) -> None:
    stack = client.stack
    before = (stack.services / "workspace.yaml").read_bytes()
    (outcome,) = deploy(find(client.root, "yoda"), Options(allow_dirty=True))
    assert "Dagster's daemon was restarted." in outcome.notes
    (first,) = client.servers()
    stack.dagster.await_locations("billing")
    # Its run is executed in that container, and reports to the database of the stack.
    inside = Inside(
        client.root, "yoda", "/opt/dagster", "BILLING_TOKEN", "s3cret",
        lambda: stack.engine.docker("top", first, "-eo", "pid,args"),
    )  # fmt: skip
    with inside.followed() as await_line:
        run = stack.dagster.materialize("billing")
        await_line(f"run {run[:8]} WARNING")
    inside.check_logs(run, "dagster", "billing (code server)")
    inside.check_sessions(run)
    client.settings.write_text(client.settings.read_text().replace("s3cret", "another"))
    change_settings(find(client.root, "yoda"))
    await_that(lambda: len(client.servers() - {first}) == 1 == len(client.servers()), 60, "one new server")
    (second,) = client.servers()
    assert stack.engine.docker("exec", second, "printenv", "BILLING_TOKEN").strip() == "another"
    (found,) = status(find(client.root, "yoda"))
    assert found["modules"][0]["location"] == "loaded"
    remove(find(client.root, "yoda"))
    assert client.servers() == set()
    assert (stack.services / "workspace.yaml").read_bytes() == before
    stack.dagster.await_locations()
