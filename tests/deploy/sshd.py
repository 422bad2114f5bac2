"""Hosts to deploy to: a real sshd each, with its own key, address and port on this machine."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests import needs
from tests.ports import free_port


def make_key(path: Path, kind: str = "ed25519") -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "test", "-f", path], check=True)
    return path


@dataclass
class SshHost:
    """One simulated host."""

    folder: Path
    address: str
    port: int
    client_key: Path
    environ: dict[str, str] = field(default_factory=dict)
    namespace: str | None = None
    #: Settings of sshd's beside the usual ones, and the file that it takes for /etc/passwd.
    settings: dict[str, object] = field(default_factory=dict)
    passwd: Path | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def base(self) -> Path:
        return self.folder / "srv"

    @property
    def public_key(self) -> str:
        return " ".join((self.folder / "host_key.pub").read_text().split()[:2])

    @property
    def known_hosts_line(self) -> str:
        return f"[{self.address}]:{self.port} {self.public_key}\n"

    def configure(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "host_key").exists():
            make_key(self.folder / "host_key")
        (self.folder / "authorized_keys").write_text(Path(f"{self.client_key}.pub").read_text())
        settings = {
            "ListenAddress": f"{f'[{self.address}]' if ':' in self.address else self.address}:{self.port}",
            "HostKey": self.folder / "host_key",
            "AuthorizedKeysFile": self.folder / "authorized_keys",
            "PidFile": self.folder / "sshd.pid",
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "PermitRootLogin": "yes",
            "MaxStartups": "200:30:400",
            "LogLevel": "VERBOSE",
            **self.settings,
        }
        lines = [f"{key} {value}" for key, value in settings.items()]
        # Every host has its own home, so that ~/… is another folder on each.
        environ = {"HOME": str(self.folder), "GIT_CONFIG_NOSYSTEM": "1", **self.environ}
        lines += ["SetEnv " + " ".join(f'{key}="{value}"' for key, value in environ.items())]
        (self.folder / "sshd_config").write_text("\n".join(lines) + "\n")

    def start(self) -> SshHost:
        if not (self.folder / "sshd_config").exists():
            self.configure()
        Path("/run/sshd").mkdir(exist_ok=True) if os.geteuid() == 0 else None
        inside = ["ip", "netns", "exec", self.namespace] if self.namespace else []
        if self.passwd:
            inside += ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/passwd && exec "$@"', str(self.passwd)]
        log = (self.folder / "sshd.log").open("ab")
        command = [*inside, str(needs.program("sshd")), "-D", "-e", "-f", str(self.folder / "sshd_config")]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log, start_new_session=True)
        log.close()
        for _ in range(200):
            if "Server listening" in (self.folder / "sshd.log").read_text():
                return self
            time.sleep(0.02)
        raise AssertionError((self.folder / "sshd.log").read_text())

    def restart(self) -> None:
        """Start again with other variables for its sessions."""
        self.stop()
        (self.folder / "sshd_config").unlink()
        (self.folder / "sshd.log").unlink()
        self.start()

    def connections(self) -> int:
        """Return how many connections were accepted so far."""
        return (self.folder / "sshd.log").read_text().count("Accepted publickey")

    def commands(self) -> int:
        """Return how many commands were started over all connections so far."""
        return (self.folder / "sshd.log").read_text().count("Starting session: command")

    def sessions(self) -> list[int]:
        """Return the processes that serve connections now."""
        assert self.process is not None
        return _children(self.process.pid)

    def serving(self) -> list[int]:
        """Return the processes of sshd that serve connections now."""
        found = [one for pid in self.sessions() for one in [*_children(pid), pid]]
        return [one for one in found if _name(one).startswith("sshd")]

    def cut(self) -> None:
        """Kill what serves connections; what was started for them stays, without a connection."""
        _kill(self.serving())

    def kill(self) -> None:
        """Kill sshd as a whole: from now on it refuses connections."""
        assert self.process is not None
        serving = self.serving()
        self.process.kill()
        self.process.wait(10)
        _kill(serving)
        self.process = None
        (self.folder / "sshd.log").unlink()

    def empty(self) -> None:
        """Remove what deployments left, read-only folders included.

        Again while there is anything: what a killed deployment started may write for a moment longer.
        """
        deadline = time.monotonic() + 10
        while left := [path for path in (self.base / "modules", self.base / ".env") if os.path.lexists(path)]:
            assert time.monotonic() < deadline, left
            subprocess.run(["chmod", "-R", "u+w", self.base], check=False)
            for path in left:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

    def stop(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(10)
            self.process = None


def _kill(processes: list[int]) -> None:
    for pid in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(one) for one in task.read_text().split()]
    return found


@contextlib.contextmanager
def hosts(folder: Path, count: int = 1, environ: dict[str, str] | None = None) -> Iterator[list[SshHost]]:
    """Give so many hosts on 127.0.0.x, running."""
    needs.programs("sshd", "ssh", "ssh-keygen")
    key = folder / "client_key"
    if not key.exists():
        folder.mkdir(parents=True, exist_ok=True)
        make_key(key)
    made = []
    try:
        for number in range(count):
            address = f"127.0.0.{number + 2}"
            host = SshHost(folder / f"host{number}", address, free_port(address), key, dict(environ or {}))
            made.append(host)
            host.start()
        yield made
    finally:
        for host in made:
            host.stop()


def user() -> str:
    return getpass.getuser()


def fingerprint(host: SshHost) -> str:
    said = subprocess.run(
        ["ssh-keygen", "-lf", host.folder / "host_key.pub"], check=True, capture_output=True, text=True
    )
    return said.stdout.split()[1]
