"""An SSH server on this machine with SFTP, which the user who runs the tests may log in to."""

import getpass
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from delivery_notes_dagster.sftp import SftpFolder

SSHD = Path("/usr/sbin/sshd")


@contextmanager
def serving(folder: Path) -> Iterator[SftpFolder]:
    """Run the server for a while, with its files and the folder ``outgoing`` in a folder; yield that one as a resource."""
    if not SSHD.exists():
        pytest.fail("These tests need an SSH server: apt-get install openssh-server", pytrace=False)
    for name in ("host_key", "client_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    port = free_port()
    public_key = (folder / "host_key.pub").read_text()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public_key}")
    (folder / "outgoing").mkdir()
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    settings = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": folder / "host_key",
        "AuthorizedKeysFile": folder / "client_key.pub",
        "PidFile": "none",
        "StrictModes": "no",
        "PermitRootLogin": "yes",
        "Subsystem": "sftp internal-sftp",
    }
    (folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    with subprocess.Popen([SSHD, "-D", "-e", "-f", folder / "sshd_config"], stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(port, process)
            yield SftpFolder(
                host="127.0.0.1",
                port=str(port),
                user=getpass.getuser(),
                folder=str(folder / "outgoing"),
                key_file=str(folder / "client_key"),
                known_hosts=str(folder / "known_hosts"),
            )
        finally:
            process.terminate()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail("sshd does not start", pytrace=False)
