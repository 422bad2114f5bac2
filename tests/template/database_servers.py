"""Real database servers for one test, on a separate port and folder, from Debian's programs."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests import needs

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 60  # seconds until a server answers


@contextmanager
def running(kind: str, port: int, settings: dict[str, str], schema: Path) -> Iterator[None]:
    """Run a server with a database, a user and a schema, as its official image sets them up."""
    starts = {"postgresql": _postgresql, "mysql": _mariadb}
    # Not below pytest's own folder, which no other user may enter: any pytest that starts takes that right away.
    with tempfile.TemporaryDirectory(prefix=f"{kind}-") as folder, starts[kind](Path(folder), port, settings, schema):
        yield


@contextmanager
def _postgresql(folder: Path, port: int, settings: dict[str, str], schema: Path) -> Iterator[None]:
    programs = _postgresql_programs()
    as_owner = _as("postgres", folder)
    data = folder / "data"
    password = folder / "password"
    password.write_text(settings["PASSWORD"])
    init = [
        "initdb",
        "--username",
        settings["USER"],
        "--pwfile",
        password,
        "--auth",
        "scram-sha-256",
        "--no-sync",
        data,
    ]
    _run([*as_owner, programs / init[0], *init[1:]])
    server = [programs / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-F"]
    environment = {**os.environ, "PGPASSWORD": settings["PASSWORD"]}
    client = [
        programs / "psql",
        "-qX",
        "-v",
        "ON_ERROR_STOP=1",
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
        "-U",
        settings["USER"],
    ]
    with _served([*as_owner, *server], [*client, "-d", "postgres", "-c", "SELECT 1"], environment):
        _run([*client, "-d", "postgres", "-c", f"CREATE DATABASE {settings['NAME']}"], environment)
        _run([*client, "-d", settings["NAME"], "-f", schema], environment)
        yield


@contextmanager
def _mariadb(folder: Path, port: int, settings: dict[str, str], schema: Path) -> Iterator[None]:
    needs.programs("mariadbd", "mariadb", "mariadb-install-db")
    user = pwd.getpwuid(os.geteuid()).pw_name
    data = folder / "data"
    own = ["--no-defaults", f"--datadir={data}", f"--user={user}"]
    _run([needs.program("mariadb-install-db"), *own, "--auth-root-authentication-method=normal", "--skip-test-db"])
    network = [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder}/socket", f"--pid-file={folder}/pid"]
    client = [needs.program("mariadb"), "--no-defaults", f"--socket={folder}/socket", "-u", "root"]
    statements = (
        f"CREATE DATABASE {settings['NAME']};"
        f"CREATE USER {settings['USER']}@'%' IDENTIFIED BY '{settings['PASSWORD']}';"
        f"GRANT ALL ON {settings['NAME']}.* TO {settings['USER']}@'%';"
        f"USE {settings['NAME']}; {schema.read_text()}"
    )
    with _served([needs.program("mariadbd"), *own, *network], [*client, "-e", "SELECT 1"], dict(os.environ)):
        _run([*client, "-e", statements])
        yield


def _postgresql_programs() -> Path:
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    needs.need(bool(versions), "PostgreSQL")
    return versions[-1].parent


def _as(user: str, folder: Path) -> list[str]:
    """PostgreSQL refuses to run as root: return what runs a program as its own user there, who gets the folder."""
    if os.geteuid() != 0:
        return []
    folder.chmod(0o755)
    shutil.chown(folder, user, user)
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]


@contextmanager
def _served(server: list[str | Path], answers: list[str | Path], environment: dict[str, str]) -> Iterator[None]:
    with subprocess.Popen(server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + PATIENCE
            while subprocess.run(answers, env=environment, capture_output=True, check=False).returncode:
                assert process.poll() is None, f"{server[0]} ended"
                assert time.monotonic() < deadline, f"{server[0]} does not answer"
                time.sleep(0.2)
            yield
        finally:
            process.terminate()


def _run(command: list[str | Path], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
