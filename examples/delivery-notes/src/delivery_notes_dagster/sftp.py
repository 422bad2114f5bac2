"""The folder on an SFTP server in which the supplier puts delivery notes."""

import subprocess
from pathlib import Path

import dagster as dg

CONNECT_TIMEOUT = 10  # seconds


class SftpFolder(dg.ConfigurableResource["SftpFolder"]):
    """Copies a folder with the program ``sftp``; the server's key has to be in the file ``known_hosts``."""

    host: str
    port: str = "22"
    user: str
    folder: str
    key_file: str
    known_hosts: str

    def copy_to(self, target: Path) -> None:
        """Copy the folder, with the times of its files.

        Raises:
            dagster.Failure: The server cannot be reached, refuses the login, or has no such folder.
        """
        options = {
            "ConnectTimeout": CONNECT_TIMEOUT,
            "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": self.known_hosts,
        }
        settings = [f"-o{name}={value}" for name, value in options.items()]
        address = f"{self.user}@{self.host}"
        done = subprocess.run(
            # Commands on standard input: sftp then asks for nothing, and stops at the first failure.
            ["sftp", "-b", "-", "-P", self.port, "-i", self.key_file, *settings, address],
            input=f'get -pR "{self.folder}" "{target}"\n',
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        if done.returncode:
            raise dg.Failure(f"Cannot copy {self.folder} of {address}: {done.stderr.strip()}")
