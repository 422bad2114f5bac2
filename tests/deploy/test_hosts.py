"""Several hosts: all of them switch, or none does."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.base.errors import BuilderError, RefusedError
from dagster_module_builder.deploy.connection.address import Address
from dagster_module_builder.deploy.deploy import Options, deploy
from dagster_module_builder.deploy.hosts import host_environment
from dagster_module_builder.deploy.hosts.targets import Target
from dagster_module_builder.deploy.model.deployment import Deployment, find
from dagster_module_builder.deploy.model.schema import problem_with
from dagster_module_builder.deploy.status import status
from tests.deploy.cut_off import host_scripts
from tests.deploy.modules import set_value
from tests.deploy.sites import Sites, quick_sites
from tests.deploy.sshd import user

OPTIONS = Options(allow_dirty=True, settle=False)


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Sites]:
    yield from quick_sites(tmp_path, 3)


def running(sites: Sites) -> list[str]:
    return [site.running() for site in sites.sites]


def test_all_get_the_same_release(three: Sites) -> None:
    outcomes = three.deploy()
    (release,) = {one.releases["sales-report"] for one in outcomes}
    assert running(three) == [release] * 3


@pytest.mark.parametrize("form", ["user@host:port", "mapping"])
def test_hosts_may_differ_in_everything(tmp_path: Path, form: str) -> None:
    """FAULTS D9: user, port, base path, interpreter and address of Dagster are each host's own."""
    for sites in quick_sites(tmp_path, 2):
        path = sites.module / "deploy/yoda/deployment.yaml"
        data = yaml.safe_load(path.read_text())
        first, second = sites.sites
        moved = second.host.folder / "elsewhere"
        second.host.base.rename(moved)
        second.host.base.symlink_to(moved)
        python = second.host.folder / "python of this host"
        python.write_text('#!/bin/sh\n[ "$1" = -ISuc ] && exec python3 "$@"\nexec "${0% of*}" "$@"\n')
        python.chmod(0o755)
        named = {"host": second.host.address, "port": second.host.port, "user": user()}
        named |= {"base_path": str(moved), "python": str(python), "url": second.dagster.url}
        short = f"{user()}@{first.host.address}:{first.host.port}"
        entry = {"host": first.host.address, "port": first.host.port, "user": user()}
        data |= {"user": "no-such-user", "hosts": [short if form != "mapping" else entry, named]}
        data["dagster"]["url"] = first.dagster.url
        path.write_text(yaml.safe_dump(data))
        (release,) = {one.releases["sales-report"] for one in sites.deploy()}
        assert running(sites) == [release] * 2
        assert (moved / "modules/sales-report/releases" / release).is_dir()


ADDRESSES = {
    "host": Address("host", Path("k")),
    "me@host": Address("host", Path("k"), None, "me"),
    "me@10.0.0.5:2201": Address("10.0.0.5", Path("k"), 2201, "me"),
    "::1": Address("::1", Path("k")),
    "[::1]:22": Address("::1", Path("k"), 22),
    "me@[fe80::1%eth0]:2222": Address("fe80::1%eth0", Path("k"), 2222, "me"),
    "fe80::1%eth0": Address("fe80::1%eth0", Path("k")),
}


@pytest.mark.parametrize("text", ADDRESSES)
def test_a_host_may_be_written_in_short(text: str) -> None:
    """FAULTS D9, D3: as ``ssh`` takes it."""
    data = {"version": 1, "deployment": "y", "client": "c", "module": "m", "strategy": "rsync", "hosts": [text],
            "base_path": "/srv", "dagster": {"url": "http://x"}}  # fmt: skip
    assert problem_with(data) is None
    (host,) = Deployment(Path("m/deploy/y"), data).hosts
    wanted = ADDRESSES[text]
    assert (host.address.host, host.address.port, host.address.user) == (wanted.host, wanted.port, wanted.user)
    assert problem_with({**data, "hosts": [{"host": wanted.host}]}) is None


def test_containers_have_their_own_interpreter_whatever_the_host_has() -> None:
    """FAULTS D5, D9: ``python:`` of a host names what starts this program there, and is in no container."""
    dagster = {"url": "http://x", "kind": "compose", "folder": "services/dagster"}
    named = {"host": "x", "python": "/opt/python3.11/bin/python3"}
    data = {"version": 1, "deployment": "y", "client": "c", "module": "m", "strategy": "rsync", "hosts": [named],
            "base_path": "/srv", "dagster": dagster}  # fmt: skip
    assert problem_with(data) is None
    for kind, made_with in (("compose", "python3"), ("native", named["python"])):
        deployment = Deployment(Path("m/deploy/y"), {**data, "dagster": {**dagster, "kind": kind}})
        (host,) = deployment.hosts
        assert host.python == named["python"]
        assert host_environment.interpreter(Target(host, (deployment,)), deployment.environment) == made_with


def test_one_fails_in_verify(three: Sites) -> None:
    old = three.deploy()[0].releases["sales-report"]
    set_value(three.module, 2)
    bad = three.sites[1]
    (bad.host.folder / "python").write_text("#!/bin/sh\necho it cannot be loaded here; exit 1\n")
    (bad.host.folder / "python").chmod(0o755)
    data = (three.module / "deploy/yoda/deployment.yaml").read_text()
    python = three.sites[0].host.folder / "python"
    (three.module / "deploy/yoda/deployment.yaml").write_text(data.replace(str(python), "python"))
    for site in three.sites:
        with_path(site.host.folder / "python", site.host)
    with pytest.raises(
        BuilderError, match=rf"(?s)Nothing was switched: 1 of 3.*{bad.host.port}.*cannot be loaded here"
    ):
        three.deploy()
    assert running(three) == [old] * 3
    assert [site.releases() for site in three.sites] == [[old]] * 3


def with_path(python: Path, host: object) -> None:
    """Let ``python`` be found on the host's PATH."""
    host.stop()
    host.environ["PATH"] = f"{python.parent}:/usr/bin:/bin"
    lines = [line for line in (host.folder / "sshd_config").read_text().splitlines() if not line.startswith("SetEnv")]
    lines.append(f'SetEnv HOME="{host.folder}" PATH="{host.environ["PATH"]}"')
    (host.folder / "sshd_config").write_text("\n".join(lines) + "\n")
    (host.folder / "sshd.log").unlink()
    host.start()


def test_one_fails_in_health(three: Sites) -> None:
    old = three.deploy()[0].releases["sales-report"]
    set_value(three.module, 2)
    bad = three.sites[2]
    original = bad.dagster.reload

    def fails() -> None:
        original()
        if bad.running() != old:
            bad.dagster.known["sales_report"]["error"] = "Dagster is out of memory"

    bad.dagster.reload = fails
    with pytest.raises(BuilderError, match=r"(?s)Rolled back on every host: 1 of 3.*out of memory"):
        three.deploy()
    assert running(three) == [old] * 3
    assert [site.current() for site in three.sites] == [old] * 3


def test_one_is_changed_meanwhile(three: Sites) -> None:
    old = three.deploy()[0].releases["sales-report"]
    set_value(three.module, 2)
    path = three.sites[0].host.base / "workspace.yaml"

    def touch(host: str, step: str) -> None:
        if step == "verified" and host.startswith(three.sites[0].host.address + ":"):
            path.write_bytes(path.read_bytes() + b"# mine\n")

    with pytest.raises(BuilderError, match="changed during the deployment"):
        deploy(find(three.root, "yoda"), OPTIONS, touch)
    assert running(three) == [old] * 3


def test_one_dies_in_the_middle_of_its_switch(three: Sites) -> None:
    """Its files are changed and its Dagster is asked to load them; nothing there can put them back by itself."""
    old = three.deploy()[0].releases["sales-report"]
    set_value(three.module, 2)
    bad = three.sites[1]
    changed = []

    def die(query: str) -> None:
        if "reloadWorkspace" in query and not changed:
            changed.append((bad.host.base / "workspace.yaml").read_text())
            for pid in host_scripts(bad):
                os.kill(pid, signal.SIGKILL)

    bad.dagster.on_request = die
    with pytest.raises(BuilderError, match=rf"(?s)1 of 3.*{bad.host.port}.*see 'deploy\.status'"):
        three.deploy()
    assert old not in changed[0]
    others = [three.sites[0], three.sites[2]]
    assert [(site.running(), site.current()) for site in others] == [(old, old)] * 2
    assert [bool(found["unfinished"]) for found in status(find(three.root, "yoda"))] == [False, True, False]
    # The next deployment puts it back first.
    (new,) = {one.releases["sales-report"] for one in three.deploy()}
    assert running(three) == [new] * 3
    assert [path for site in three.sites for path in (site.host.base / "modules").glob(".journal*")] == []


def test_one_is_away(three: Sites) -> None:
    old = three.deploy()[0].releases["sales-report"]
    set_value(three.module, 2)
    three.sites[1].host.stop()
    with pytest.raises(BuilderError, match=r"(?s)Nothing was switched.*cannot be reached"):
        three.deploy()
    assert running(three) == [old] * 3


def test_only_some_hosts_and_then_the_rest(three: Sites) -> None:
    first = three.deploy(hosts=[three.sites[0].host.address])
    assert [one.host for one in first] == [f"{three.sites[0].host.address}:{three.sites[0].host.port}"]
    rest = three.deploy(only_failed=True)
    assert len(rest) == 2
    assert all(running(three))
    with pytest.raises(RefusedError, match="This deployment has no host"):
        three.deploy(hosts=["192.0.2.9"])
