"""What a program of a host that fails is taken for: never for a "no", always for what it says itself."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dagster_module_builder.deploy.host_side import (
    compose,
    definitions,
    dumps,
    environments,
    images,
    inspection,
    processes,
    programs,
    server_end,
    server_start,
    servers,
    switching,
)
from dagster_module_builder.deploy.host_side.dagster import Dagster
from dagster_module_builder.deploy.host_side.errors import RefusedError
from dagster_module_builder.deploy.host_side.host import Host
from dagster_module_builder.deploy.host_side.journal import is_pending, undo
from tests.deploy.host_here import host_here
from tests.deploy.quick_dagster import QuickDagster


def in_a_minute() -> float:
    return time.monotonic() + 60


WORDS = "the tool is out of order"
#: A stand-in's text and mode, and what is said of it.
KINDS = {
    "says why": (f"#!/bin/sh\necho '{WORDS}' >&2; exit 1\n", 0o755, WORDS),
    "killed": ("#!/bin/sh\nkill -9 $$\n", 0o755, "ended by SIGKILL|exit status 137"),
    "not executable": ("#!/bin/sh\n", 0o644, "[Pp]ermission denied|cannot be run"),
}
SERVER = {"name": "sales-1", "module": "sales", "image": "sales:1", "release": "1"}
PLACE = {"network": "net", "folder": "", "service": "web"}

#: The program that fails, and what a host uses it for.
USES: list[tuple[str, Callable[[Host], Any]]] = [
    ("docker", lambda host: compose.with_old(host, {"folder": host.base, "names": ["db"], "gone": []})),
    ("docker", lambda host: compose.project_name(host, host.base)),
    ("docker", lambda host: compose.inspected(host, "container", "{{.Id}}", ["db"])),
    ("docker", images.layers_here),
    ("docker", lambda host: images.is_here(host, "sales:1")),
    ("docker", lambda host: images.fetch(host, "sales@sha256:00")),
    ("docker", lambda host: refuse(images.foreign(host, "sales:1"))),
    ("docker", lambda host: server_start.own_check(host, SERVER)),
    ("docker", lambda host: server_start.refuse_stopped(host, SERVER)),
    ("docker", lambda host: server_start.keep_image(host, "sales", SERVER)),
    ("docker", lambda host: server_start.surroundings_of(host, PLACE)),
    ("docker", lambda host: inspection.program(host, "docker compose")),
    ("docker", lambda host: refuse(inspection.docker_refusal(host))),
    ("docker", lambda host: dumps.is_stored(host, inside(host), host.base, "/data", "sales")),
    ("uv", lambda host: environments.has_uv(host, None, host.base)),
    ("docker", lambda host: environments.has_uv(host, inside(host), host.base)),
    ("python3", lambda host: environments.storage_packages(host, None, host.base, "python3")),
    ("python3", lambda host: definitions.check_definitions(host, "sales", host.base, "python3", "sales", {})),
    (
        "tar",
        lambda host: dumps.dump_files(host, f"{host.base}/packed", host.base, "modules", None, time.monotonic() + 60),
    ),
    ("rsync", lambda host: refuse(said_by_step(host, "rsync"))),
    ("git", lambda host: refuse(said_by_step(host, "git"))),
    ("ps", lambda _: processes.said(["ps", "-A"])),
]


def refuse(said: str | None) -> None:
    """Raise what is told as a text."""
    raise RefusedError("told", said or "nothing")


def said_by_step(host: Host, name: str) -> str:
    answer = programs.run_step(host, [name, "--version"])
    assert answer["code"] != 0
    return str(answer["said"])


def inside(host: Host) -> dict[str, Any]:
    """Return how a container is reached."""
    return {"prefix": ["docker", "compose", "exec", "-T"], "service": "web", "inside": host.base}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return host_here(tmp_path)


def put(folder: Path, name: str, text: str, mode: int = 0o755) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(mode)
    return folder


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "use"), USES)
def test_a_failing_program_of_a_host_is_told_in_its_own_words(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, use: Callable[[Host], Any], kind: str
) -> None:
    """FAULTS C1: what fails is no answer."""
    text, mode, wanted = KINDS[kind]
    monkeypatch.setenv("PATH", str(put(tmp_path / "programs", name, text, mode)))
    with pytest.raises(RefusedError, match=wanted):
        use(host)


@pytest.mark.parametrize("kind", KINDS)
def test_a_container_that_docker_says_nothing_of_is_not_gone(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """FAULTS C1: what names it stays, so that the next command removes it; with no Docker at all, too."""
    text, mode, _ = KINDS[kind]
    folder = Path(servers.folder_of(host, "sales", "sales-1"))
    folder.mkdir(parents=True)
    monkeypatch.setenv("PATH", str(put(tmp_path / "programs", "docker", text, mode)))
    assert not server_end.drop_server(host, "sales", "sales-1", patience=0)
    (tmp_path / "programs/docker").unlink()
    assert not server_end.drop_server(host, "sales", "sales-1", patience=0)
    assert folder.is_dir()


@pytest.mark.parametrize(
    ("words", "is_absent"),
    [
        ("Error: No such object: sales-1", True),
        ("Error response from daemon: No such container: sales-1", True),
        ("error: no such object: sales-1", True),
        (
            "failed to connect to the docker API: dial unix /var/run/docker.sock: connect: no such file or directory",
            False,
        ),
        ("WARNING: a plugin is missing\nError: No such image: sales:1", False),
        ("", False),
    ],
)
def test_only_dockers_own_no_is_a_no(words: str, is_absent: bool) -> None:
    """FAULTS C1: an engine whose socket is missing says "no such file", too."""
    assert compose.tells_absence(1, words) is is_absent
    assert not compose.tells_absence(125, words)


@pytest.fixture
def dagster(host: Host, tmp_path: Path) -> Iterator[QuickDagster]:
    made = QuickDagster(tmp_path)
    host.dagster = Dagster(made.url)
    yield made
    made.stop()


@pytest.mark.usefixtures("dagster")
def test_containers_that_may_have_been_there_before_are_not_taken_away(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAULTS C1: where Compose does not say which there are, nothing is switched, and undoing removes none."""
    calls = tmp_path / "calls"
    text = f"#!/bin/sh\necho \"$@\" >> {calls}\ncase \"$*\" in *' ps '*) echo '{WORDS}' >&2; exit 1;; esac\n"
    monkeypatch.setenv("PATH", f"{put(tmp_path / 'programs', 'docker', text)}:{os.environ['PATH']}")
    services = {"folder": str(tmp_path), "names": ["sales_db"], "gone": []}
    with pytest.raises(RefusedError, match=WORDS):
        switching.switch(host, [], [], {}, services=services)
    if is_pending(host):
        undo(host)
    said = calls.read_text()
    assert not any(word in said for word in (" kill ", " rm ", " up "))


def test_what_is_not_there_is_still_none(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS C1: the "no" of each program goes on being one."""
    text = '#!/bin/sh\nfor last; do :; done\necho "Error: No such object: $last" >&2; echo; exit 1\n'
    monkeypatch.setenv("PATH", str(put(tmp_path / "programs", "docker", text)))
    assert not images.is_here(host, "sales:1")
    assert server_start.own_check(host, SERVER) == []
    assert server_end.is_gone("sales-1")
    assert inspection.program(host, "rsync") is None
    assert not environments.has_uv(host, None, host.base)
    assert environments.storage_packages(host, None, host.base, sys.executable) == []
    assert not dumps.is_stored(host, None, host.base, host.base, "sales")
    assert dumps.is_stored(host, None, host.base, host.base, "modules")
    with pytest.raises(RefusedError, match="rsync is not installed on the host"):
        programs.run_step(host, ["rsync"])
    put(tmp_path / "programs", "docker", "#!/bin/sh\necho \"docker: 'compose' is not a docker command.\" >&2; exit 1\n")
    assert inspection.program(host, "docker compose") is None


def test_a_file_is_read_back_where_the_kernel_cannot_be_told_to_forget_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """macOS has no posix_fadvise(2)."""
    monkeypatch.delattr(os, "posix_fadvise")
    path = tmp_path / "database.sql"
    path.write_bytes(b"-- PostgreSQL database dump complete\n")
    assert dumps.ends_well(str(path), "postgresql")
    assert dumps.digest_of(str(path)) == hashlib.sha256(path.read_bytes()).hexdigest()
