"""Keys, secrets, and what a hostile deployment.yaml can do: nothing."""

from __future__ import annotations

import contextlib
import copy
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dagster_module_builder.base.errors import BuilderError, RefusedError
from dagster_module_builder.deploy.model.deployment import find, read_deployment
from dagster_module_builder.deploy.model.schema import schema
from dagster_module_builder.deploy.trust import shown_keys, trust
from tests.deploy.modules import make_much, set_value
from tests.deploy.sites import Site
from tests.deploy.sshd import make_key, user

SECRET = "s3cret-of-production"


def test_unknown_key_is_refused(quick: Site) -> None:
    (quick.module / "deploy/yoda/known_hosts").write_text("")
    with pytest.raises(BuilderError, match=r"is not pinned: run 'deploy.trust yoda'"):
        quick.deploy()
    assert not quick.there.exists()
    assert quick.host.connections() == 0


def test_changed_key_is_refused(quick: Site, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other")
    name = quick.host.known_hosts_line.split()[0]
    key = " ".join(Path(f"{other}.pub").read_text().split()[:2])
    (quick.module / "deploy/yoda/known_hosts").write_text(f"{name} {key}\n")
    with pytest.raises(BuilderError, match="shows another host key than the one pinned"):
        quick.deploy()
    assert quick.host.connections() == 0


def test_persons_own_known_hosts_do_not_count(quick: Site, tmp_path: Path) -> None:
    (tmp_path / "known").write_text(quick.host.known_hosts_line)
    (tmp_path / "config").write_text(f"Host *\n  UserKnownHostsFile {tmp_path / 'known'}\n  StrictHostKeyChecking no\n")
    path = quick.module / "deploy/yoda/deployment.yaml"
    data = yaml.safe_load(path.read_text())
    data["ssh"]["config"] = str(tmp_path / "config")
    path.write_text(yaml.safe_dump(data))
    (quick.module / "deploy/yoda/known_hosts").write_text("")
    with pytest.raises(BuilderError, match="is not pinned"):
        quick.deploy()
    assert quick.host.connections() == 0


def test_key_is_pinned_by_confirmation_or_fingerprint_only(quick: Site) -> None:
    (quick.module / "deploy/yoda/known_hosts").write_text("")
    (deployment,) = find(quick.root, "yoda")
    shown = shown_keys(deployment)
    assert trust(deployment, shown, lambda _: False) == []
    assert deployment.known_hosts.read_text() == ""
    with pytest.raises(RefusedError, match="nothing was pinned"):
        trust(deployment, shown, lambda _: True, ["SHA256:" + "A" * 43])
    line = subprocess.run(
        ["ssh-keygen", "-lf", quick.host.folder / "host_key.pub"], capture_output=True, text=True, check=True
    )
    fingerprint = line.stdout.split()[1]
    trust(deployment, shown, lambda _: False, [fingerprint])
    assert deployment.known_hosts.read_text() == quick.host.known_hosts_line
    assert shown_keys(deployment)[0].is_pinned
    quick.deploy()


def test_ssh_configuration_is_followed_alike(quick: Site, tmp_path: Path) -> None:
    """An alias with address, port, user and key in the configuration, reached through a jump host."""
    make_much(quick.module)
    host = quick.host
    key = f"IdentityFile {host.client_key}\n  IdentitiesOnly yes"
    (tmp_path / "config").write_text(
        f"Host yoda\n  HostName {host.address}\n  Port {host.port}\n  ProxyJump jump\n  {key}\n"
        f"Host jump\n  HostName {host.address}\n  Port {host.port}\n  {key}\n"
    )
    path = quick.module / "deploy/yoda/deployment.yaml"
    data = yaml.safe_load(path.read_text())
    data["hosts"] = [{"host": "yoda", "url": data["hosts"][0]["url"]}]
    data["ssh"] = {"config": str(tmp_path / "config")}
    path.write_text(yaml.safe_dump(data))
    (deployment,) = find(quick.root, "yoda")
    deployment.known_hosts.write_text("")
    with pytest.raises(BuilderError):
        quick.deploy()
    (deployment,) = find(quick.root, "yoda")
    assert [str(one.host) for one in shown_keys(deployment)] == ["jump"]
    deployment.known_hosts.write_text(host.known_hosts_line)
    assert all(one.is_pinned for one in shown_keys(deployment))
    before = host.connections()
    (outcome,) = quick.deploy()
    assert quick.running() == outcome.releases["sales-report"]
    assert host.connections() - before == 4


def test_agent_is_asked_by_both(quick: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is in no file that anything names, the user and the port are in the configuration."""
    make_much(quick.module)
    host = quick.host
    config = f"Host {host.address}\n  User {user()}\n  Port {host.port}\n  IdentityFile {tmp_path}/none\n"
    (tmp_path / "config").write_text(config)
    path = quick.module / "deploy/yoda/deployment.yaml"
    data = yaml.safe_load(path.read_text())
    data |= {"user": None, "ssh": {"config": str(tmp_path / "config")}}
    del data["hosts"][0]["port"]
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(BuilderError, match="does not let"):
        quick.deploy()
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", tmp_path / "agent"], stdout=subprocess.DEVNULL)
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        while subprocess.run(["ssh-add", "-q", host.client_key], capture_output=True, check=False).returncode:
            time.sleep(0.02)
        before = host.connections()
        quick.deploy()
        assert host.connections() - before == 2
    finally:
        agent.terminate()
        agent.wait()


HOSTILE = [
    ("hosts", [{"host": "-oProxyCommand=touch oops"}]),
    ("hosts", [{"host": "a b"}]),
    ("hosts", [{"host": "$(touch oops)"}]),
    ("hosts", [{"host": "x", "port": "22; touch oops"}]),
    ("hosts", []),
    ("user", "-oProxyCommand=x"),
    ("user", "$(touch oops)"),
    ("base_path", "relative"),
    ("base_path", "/a\nb"),
    ("base_path", "/"),
    ("hosts", [{"host": "x", "base_path": "//"}]),
    ("client", "a\nb"),
    ("strategy", "../../evil"),
    ("strategy", "nothing-like-it"),
    ("module", "../other"),
    ("deployment", "../other"),
    ("dagster", {"url": "http://x/$(touch oops)"}),
    ("dagster", {"url": "http://127.0.0.1:1", "folder": "../.."}),
    ("source", "../.."),
    ("git", {"repository": "-uevil"}),
    ("git", {"repository": "ext::sh -c touch% oops"}),
    ("git", {"branch": "--upload-pack=touch oops"}),
    ("git", {"path": "../.."}),
    ("keep", 0),
]


@pytest.mark.parametrize(("field", "value"), HOSTILE)
def test_hostile_field_is_refused(quick: Site, field: str, value: object) -> None:
    folder = quick.module / "deploy/yoda"
    data = yaml.safe_load((folder / "deployment.yaml").read_text())
    data["strategy"] = "git" if field == "git" else data["strategy"]
    data[field] = value
    (folder / "deployment.yaml").write_text(yaml.safe_dump(data))
    with pytest.raises(RefusedError, match=r"deployment.yaml|Unknown strategy"):
        read_deployment(folder)


def test_paths_with_commands_in_them_are_only_paths(quick: Site, tmp_path: Path) -> None:
    path = quick.module / "deploy/yoda/deployment.yaml"
    data = yaml.safe_load(path.read_text())
    data["base_path"] = "/nowhere/$(touch oops)`touch oops`;touch oops"
    data["rsync"] = {"exclude": ["$(touch oops)", "--delete"]}
    data["environment"]["python"] = "$(touch oops)"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(BuilderError, match=r"run 'deploy\.setup' once"):
        quick.deploy()
    assert not list(quick.host.folder.rglob("oops"))


#: The first is carried out by a shell that is given it bare, in single quotes, or in double ones.
COMMANDS = ("$(touch ~/oops)'$(touch ~/oops)'", "-oProxyCommand=touch ~/oops")
#: A shell command by its meaning, which the person who deploys writes; and what the others are tried with.
KEPT = {"restart_daemon", "tests", "host", "strategy"}


def texts(schema: dict[str, Any], *path: str) -> Iterator[tuple[str, ...]]:
    """Yield where a schema takes a text."""
    if "items" in schema:
        yield from texts(schema["items"], *path)
    for name, one in schema.get("properties", {}).items():
        if name not in KEPT:
            yield from texts(one, *path, name)
    if "string" in schema.get("type", "") or "$ref" in schema:
        yield path


def with_text(data: dict[str, Any], path: tuple[str, ...], text: str) -> dict[str, Any]:
    """Return a deployment's data with a text somewhere in it."""
    changed = copy.deepcopy(data)
    at = changed
    for name in path[:-1]:
        at = at.setdefault(name, {})
        at = at[0] if isinstance(at, list) else at
    at[path[-1]] = [text] if path[-1] in {"exclude", "packages"} else text
    return changed


def text_at(data: dict[str, Any], path: tuple[str, ...]) -> str:
    at: Any = data
    for name in path:
        at = at[name]
        at = at[0] if isinstance(at, list) else at
    return str(at)


def is_accepted(folder: Path) -> Callable[[dict[str, Any]], bool]:
    """Return what tells whether a deployment's data is read without a refusal."""

    def accepted(data: dict[str, Any]) -> bool:
        (folder / "deployment.yaml").write_text(yaml.safe_dump(data))
        try:
            read_deployment(folder)
        except RefusedError:
            return False
        return True

    return accepted


def test_commands_in_every_field_are_refused_or_only_text(
    quick: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = quick.module / "deploy/yoda"
    data = yaml.safe_load((folder / "deployment.yaml").read_text())
    fields = [*texts(schema())]
    assert {("base_path",), ("hosts", "url"), ("environment", "python"), ("git", "branch")} <= {*fields}
    for command in ("init -q", "add -A", "-c user.name=x -c user.email=x@y commit -qm x"):
        subprocess.run(["git", *command.split()], cwd=quick.root, check=True)
    harmless, taken = data, []
    for path, command in ((path, command) for path in fields for command in COMMANDS):
        # Where a path has to be absolute, it is one.
        changed = next(
            filter(is_accepted(folder), (with_text(data, path, start + command) for start in ("", "/"))), None
        )
        if changed is None:
            continue
        taken.append(path)
        # What the others do not depend on is tried at once with the rest.
        if path[0] in {"base_path", "ssh", "environment", "git", "source"} or path[-1] in {
            "folder",
            "base_inside",
            "base_path",
        }:
            strategy = "git" if path[0] == "git" else "rsync"
            (folder / "deployment.yaml").write_text(yaml.safe_dump({**changed, "strategy": strategy}))
            with contextlib.suppress(BuilderError):
                quick.deploy()
        else:
            harmless = with_text(harmless, path, text_at(changed, path))
    (folder / "deployment.yaml").write_text(yaml.safe_dump(harmless))
    quick.deploy()
    assert {("base_path",), ("ssh", "config"), ("git", "path"), ("rsync", "exclude"), ("client",)} <= {*taken}
    assert not list(tmp_path.rglob("oops"))
    assert not list(quick.host.folder.rglob("oops"))


class Watcher(threading.Thread):
    """Reads the command line of every process, over and over."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: set[bytes] = set()
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.is_set():
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(path.read_bytes())
                except OSError:
                    continue
            time.sleep(0.005)


def test_no_secret_can_be_read_by_others(quick: Site, capfd: pytest.CaptureFixture[str]) -> None:
    watcher = Watcher()
    watcher.start()
    try:
        quick.deploy()
        set_value(quick.module, "__import__('nothing_of_that_name')")
        with pytest.raises(BuilderError) as failed:
            quick.deploy()
    finally:
        watcher.done.set()
        watcher.join()
    assert not [line for line in watcher.seen if SECRET.encode() in line]
    assert any(b"host_side" in line for line in watcher.seen)
    assert SECRET not in str(failed.value)
    said = capfd.readouterr()
    assert SECRET not in said.out + said.err
    holding = [path for path in quick.host.folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert holding
    assert [path for path in holding if path.stat().st_mode & 0o077] == []
    assert [path.name for path in quick.host.folder.rglob(".env*")] == [".env"]


def test_settings_stay_out_of_releases(quick: Site) -> None:
    (quick.module / ".env.local").write_text("X='1'\n")
    quick.deploy()
    names = {path.name for path in (quick.there / "current").resolve().rglob("*")}
    assert not {name for name in names if name.startswith(".env")}
    assert (quick.there / "env").stat().st_mode & 0o077 == 0
