"""The main flow, on machines as people have them: another user, masks, folders, proxies, and Git's settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deploy.modules import make_deployment, make_module, set_value, simplify
from tests.deploy.quick_dagster import QuickDagster
from tests.deploy.sshd import SshHost
from tests.people.person import Person, folder, host, person

__all__ = ["folder", "host"]

#: Nothing listens there: whoever asks a proxy for something on this machine fails.
NO_PROXY_THERE = "http://127.0.0.1:9"


def with_long_temporary_folder(folder: Path) -> Person:
    long = folder / ("t" * (104 - len(str(folder))))
    long.mkdir()
    return person(folder, environ={"TMPDIR": str(long)})


def with_line_ends_converted(folder: Path) -> Person:
    made = person(folder)
    (made.home / ".gitconfig").write_text("[core]\n\tautocrlf = true\n\tsafecrlf = false\n")
    return made


def behind_a_proxy(folder: Path) -> Person:
    proxies = dict.fromkeys(["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"], NO_PROXY_THERE)
    return person(folder, environ={**proxies, "no_proxy": "", "NO_PROXY": ""})


PEOPLE: dict[str, Callable[[Path], Person]] = {
    "another user": lambda folder: person(folder, other=True),
    "umask 077": lambda folder: person(folder, umask=0o077),
    "umask 022": lambda folder: person(folder, umask=0o022),
    "a HOME with a blank and an umlaut": lambda folder: person(folder, "Jörg Müller"),
    "a long TMPDIR": with_long_temporary_folder,
    "core.autocrlf": with_line_ends_converted,
    "a proxy, and none for loopback": behind_a_proxy,
}


@pytest.mark.parametrize("who", PEOPLE)
def test_the_main_flow_as_people_have_it(who: str, folder: Path, host: tuple[SshHost, QuickDagster, str]) -> None:
    made = PEOPLE[who](folder)
    made.owns(made.home)
    in_the_workspace(made)
    onto_a_host(made, *host, strategy="git" if who in {"core.autocrlf", "another user"} else "rsync")


def in_the_workspace(made: Person) -> None:
    made.done("workspace.init")
    before = made.shared_files()
    made.done(
        "new", "sales-report", "--database", "postgresql", "--workspace", "no", "--deployment", "no", "--no-input"
    )
    made.done("workspace.add", "sales-report")
    assert "sales-report" in made.done("workspace.list")
    made.done("workspace.validate")
    assert made.root.joinpath("services/dagster/.env").stat().st_mode & 0o077 == 0
    made.done("workspace.sync", "--check")
    made.done("workspace.remove", "sales-report", "--yes")
    assert made.shared_files() == before


def onto_a_host(made: Person, host: SshHost, dagster: QuickDagster, python: str, strategy: str) -> None:
    module = simplify(make_module(made.root, "stock"))
    key = made.home / "key"
    key.write_bytes(host.client_key.read_bytes())
    key.chmod(0o600)
    make_deployment(module, [host], [dagster.url], python, strategy=strategy, ssh={"identity_file": str(key)})
    (module / "deploy/yoda/.gitignore").write_text(".env.deploy\n")
    made.owns(made.root)
    made.owns(key)
    made.git("init", "--quiet")
    made.git("add", ".")
    made.git("commit", "--quiet", "--message", "all")
    made.done("deploy.check", "yoda")
    made.done("deploy", "yoda", "--no-settle")
    first = release(host)
    set_value(module, 2)
    made.owns(module)
    made.git("commit", "--quiet", "--all", "--message", "two")
    made.done("deploy", "yoda", "--no-settle")
    assert release(host) != first
    made.done("deploy.rollback", "yoda")
    assert release(host) == first
    assert "loaded" in made.done("deploy.status", "yoda")
    made.done("deploy.remove", "yoda", "--module", "stock", "--yes")
    assert dagster.locations() == {}


def release(host: SshHost) -> str:
    return (host.base / "modules/stock/current").readlink().name


def test_a_repository_of_another_owner_is_said_so_and_deployed_once_git_may_read_it(
    folder: Path, host: tuple[SshHost, QuickDagster, str]
) -> None:
    """FAULTS C1: Git's refusal of a folder that belongs to someone else is not taken for "no repository"."""
    made = person(folder, other=True)
    made.owns(made.home)
    made.done("workspace.init")
    server, dagster, python = host
    module = simplify(make_module(made.root, "stock"))
    key = made.home / "key"
    key.write_bytes(server.client_key.read_bytes())
    key.chmod(0o600)
    make_deployment(module, [server], [dagster.url], python, ssh={"identity_file": str(key)})
    made.owns(made.root)
    made.owns(key)
    made.git("init", "--quiet")
    made.git("add", "projects")
    made.git("commit", "--quiet", "--message", "all")
    os.chown(made.root, 0, 0)
    os.chown(made.root / ".git", 0, 0)
    for task in (["deploy", "yoda"], ["deploy", "yoda", "--dry-run"], ["deploy.check", "yoda"]):
        said = made.refused(*task)
        assert "dubious ownership" in said
        assert "safe.directory" in said
    assert not (server.base / "modules/stock").exists()
    (made.home / ".gitconfig").write_text(f"[safe]\n\tdirectory = {made.root}\n")
    made.owns(made.home / ".gitconfig")
    made.done("deploy", "yoda", "--no-settle")
    assert release(server)
