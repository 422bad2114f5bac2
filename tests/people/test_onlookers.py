"""What another user of the machine sees of the main tasks, and what a race with links gains that user."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.commands import namespace
from dagster_module_builder.transactions import module_files
from tests import needs
from tests.cli.quick_program import QuickProgram, quick_program
from tests.cli.task_lines import line_of
from tests.deploy.command_lines import command_lines
from tests.deploy.modules import make_deployment, make_module, set_value, simplify
from tests.deploy.quick_dagster import QuickDagster
from tests.deploy.sshd import SshHost
from tests.people.onlooker import UNPRIVILEGED, onlooker
from tests.people.person import Person, folder, host, person

__all__ = ["folder", "host", "quick_program"]

#: No other run of these tests has them.
PASSWORD, TOKEN, REGISTRY = (f"canary-{os.getpid()}-of-the-{what}" for what in ("database", "deployment", "registry"))
#: Seconds that links are raced for.
RACING = float(os.environ.get("RACE_SECONDS", "1.5"))


def flow(made: Person, server: SshHost, dagster: QuickDagster, python: str) -> None:
    """Go through the main tasks with secrets in all of their places."""
    made.done("workspace.init")
    made.done(
        "new", "sales-report", "--database", "postgresql", "--workspace", "no", "--deployment", "no", "--no-input"
    )
    made.done("workspace.add", "sales-report", "--no-check")
    made.done("workspace.sync", "--no-check")
    module = simplify(make_module(made.root, "stock"))
    folder = make_deployment(module, [server], [dagster.url], python)
    (folder / ".env.deploy").write_text(f"STOCK_TOKEN='{TOKEN}'\n")
    made.done("deploy", "yoda", "--allow-dirty", "--no-settle")
    made.done("deploy.env", "yoda")
    set_value(module, 2)
    made.done("deploy", "yoda", "--allow-dirty", "--no-settle")
    made.done("deploy.rollback", "yoda")
    made.done("deploy.remove", "yoda", "--module", "stock", "--yes")
    made.done("workspace.remove", "sales-report", "--yes")


def test_another_user_finds_no_secret_takes_no_lock_and_reaches_no_socket(
    folder: Path, host: tuple[SshHost, QuickDagster, str]
) -> None:
    """FAULTS S14: command lines, environments, temporary files, modes, sockets and locks, through the main tasks.

    The mask of file modes hides nothing.
    """
    environ = {
        "MODULE_DATABASE_PASSWORD": PASSWORD,
        "DEPLOY_REGISTRY_USER": "ada",
        "DEPLOY_REGISTRY_PASSWORD": REGISTRY,
    }
    (temporary := folder / "tmp").mkdir()
    temporary.chmod(0o1777)
    made = person(folder, umask=0, environ={**environ, "TMPDIR": str(temporary)})
    with command_lines() as lines, onlooker([PASSWORD, TOKEN, REGISTRY], folder) as seen:
        flow(made, *host)
    assert seen.texts == []
    assert [path for path in seen.locked if "/.cache/uv/" not in path] == []
    assert [path for path in seen.sockets if "hosts/" not in path] == []
    assert seen.rounds > 3
    assert seen.command_lines > 10
    # The kernel tells of each program, however short-lived.
    assert len(lines) > 20
    assert [line for line in lines if any(one in line for one in (PASSWORD, TOKEN, REGISTRY))] == []
    # The secrets were there to be found.
    for name, text in (("services/dagster/.env", b""), ("projects/stock/deploy/yoda/.env.deploy", TOKEN.encode())):
        assert text in (made.root / name).read_bytes()


#: The demonstration takes nothing of a person's.
TASKS = sorted(context.name for context in namespace.to_contexts() if context.name not in {None, "demo"})


def test_no_task_shows_another_user_a_secret(
    folder: Path, host: tuple[SshHost, QuickDagster, str], quick_program: QuickProgram
) -> None:
    """FAULTS S14: every task of the namespace, as it is today and will be, about modules that have secrets."""
    server, dagster, python = host
    (temporary := folder / "tmp").mkdir()
    temporary.chmod(0o1777)
    environ = {"MODULE_DATABASE_PASSWORD": PASSWORD, "TMPDIR": str(temporary)}
    made = person(folder, umask=0, environ=environ)
    made.done("workspace.init")
    made.done("new", "sales-report", "--database=postgresql", "--workspace=no", "--deployment=no", "--no-input")
    made.done("workspace.add", "sales-report", "--no-check")
    module = simplify(make_module(made.root, "stock"))
    deployment = make_deployment(module, [server], [dagster.url], python)
    (deployment / ".env.deploy").write_text(f"STOCK_TOKEN='{TOKEN}'\n")
    known = {"PATH": os.environ["PATH"], "HOME": str(made.home), "LANG": "C.UTF-8", "UV_OFFLINE": "1", **environ}
    with command_lines() as lines, onlooker([PASSWORD, TOKEN], folder) as seen:
        for task in ["deploy", *TASKS]:
            name = "stock" if task in {"audit", "upgrade"} or task.startswith("deploy") else "sales-report"
            more = ("--allow-dirty", "--no-settle") if task == "deploy" else ()
            done = quick_program.run(*line_of(task, name), *more, environ=known, folder=made.home, umask=0)
            assert done.code in {0, 1, 2}, (task, done)
    assert seen.texts == []
    assert [path for path in seen.locked if "/.cache/uv/" not in path] == []
    assert [path for path in seen.sockets if "hosts/" not in path] == []
    assert seen.rounds > 3
    assert [line for line in lines if PASSWORD in line or TOKEN in line] == []
    assert TOKEN in "".join(path.read_text() for path in server.base.rglob(".env") if path.is_file())


def test_an_onlooker_sees_what_is_there_to_be_seen(folder: Path) -> None:
    """The proof of the proof: a secret on a command line, in a file, a lock and a socket."""
    (folder / "open").write_text(PASSWORD)
    (folder / ".lock").touch()
    (folder / "closed").write_text(TOKEN)
    (folder / "closed").chmod(0o600)
    with onlooker([PASSWORD, TOKEN, REGISTRY], folder) as seen:
        subprocess.run(["/bin/sh", "-c", f"sleep 0.5; : {REGISTRY}"], check=True)
    assert {text for text, _ in seen.texts} == {PASSWORD, REGISTRY}
    assert seen.locked == [str(folder / ".lock")]


#: Puts a link in place of a folder, or of a file, and the folder, or file, back; again and again (renameat2(2)).
RACE = """\
import ctypes, os, sys
libc, (one, other) = ctypes.CDLL(None), map(os.fsencode, sys.argv[1:])
print("racing", flush=True)
while True:
    libc.renameat2(-100, one, -100, other, 2)
"""


@contextlib.contextmanager
def racing(one: Path, other: Path) -> Iterator[None]:
    """Have another user exchange two names as often as it can."""
    line = ["setpriv", f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}", "--clear-groups", "--"]
    command = [*line, "/usr/bin/python3", "-c", RACE, str(one), str(other)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd="/") as process:
        assert process.stdout
        assert process.stdout.readline() == b"racing\n"
        try:
            yield
        finally:
            process.kill()


@pytest.mark.parametrize("place", ["deploy", "deploy/yoda", "deploy/yoda/known_hosts"])
def test_a_race_with_links_leads_no_write_and_no_read_out_of_a_module(place: str) -> None:
    """FAULTS S1: each part of the path by turns a link to what is only this user's, and what it was."""
    needs.root()
    needs.programs("setpriv", "/usr/bin/python3")
    with tempfile.TemporaryDirectory(prefix="race-") as name:
        top = Path(name)
        top.chmod(0o755)
        (module := top / "module").mkdir()
        (victim := top / "victim/yoda").mkdir(parents=True)
        canary = victim / "known_hosts"
        canary.write_text(PASSWORD)
        (module / "deploy/yoda").mkdir(parents=True)
        path = module / "deploy/yoda/known_hosts"
        path.write_text("own\n")
        target = {"deploy": top / "victim", "deploy/yoda": victim, "deploy/yoda/known_hosts": canary}[place]
        # Beside it, and not of the same name: a folder for the link.
        other = module / "link"
        other.symlink_to(target)
        for one in (module, *module.rglob("*")):
            os.chown(one, UNPRIVILEGED, UNPRIVILEGED, follow_symlinks=False)
        tried = written = read = 0
        with racing(module / place, other):
            end = time.monotonic() + RACING
            while time.monotonic() < end:
                tried += 1
                with contextlib.suppress(RefusedError):
                    module_files.write(module, path, b"own\n")
                    written += 1
                with contextlib.suppress(RefusedError):
                    assert (module_files.read(module, path) or b"own\n") == b"own\n"
                    read += 1
        assert canary.read_text() == PASSWORD
        assert sorted(victim.iterdir()) == [canary]
        assert sorted((top / "victim").iterdir()) == [victim]
        # Both were hit: a link to a folder, which is refused, and what belongs there. One to a file may be replaced.
        assert 0 < written < tried + (target == canary)
        assert read > 0
