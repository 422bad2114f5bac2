"""Docker's command line as machines have it: before and after BuildKit became a plugin, with the plugin and without.

Debian 12 has the one from before (in ``docker.io``); the others are Debian 13's, whose packages are fetched once a
machine and unpacked, not installed.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from filelock import FileLock

from tests import needs
from tests.e2e.engine import cache
from tests.e2e.images import KEYRING

SOURCE = f"deb [signed-by={KEYRING}] http://deb.debian.org/debian trixie main\n"
PACKAGES = ("docker-cli", "docker-buildx")


def old() -> Path:
    """Return a command line that has BuildKit in it."""
    program = Path("/usr/bin/docker")
    needs.need(program.exists(), "Debian's docker.io")
    return program


def new() -> Path:
    """Return one that needs the plugin for BuildKit."""
    return _unpacked() / "usr/bin/docker"


def plugin() -> Path:
    """Return that plugin."""
    return _unpacked() / "usr/libexec/docker/cli-plugins/docker-buildx"


def _unpacked() -> Path:
    folder = cache() / "docker-clients"
    with FileLock(cache() / "docker-clients.lock"):
        if not (folder / ".complete").exists():
            needs.programs("apt-get", "dpkg-deb")
            needs.registry("deb.debian.org", 80)
            _fetch(folder)
            (folder / ".complete").touch()
    return folder


def _fetch(folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="dmb-") as own:
        for part in ("lists/partial", "cache/archives/partial"):
            (Path(own) / part).mkdir(parents=True)
        (Path(own) / "sources.list").write_text(SOURCE)
        settings = {
            "Dir::Etc::sourcelist": f"{own}/sources.list", "Dir::Etc::sourceparts": "-",
            "Dir::State::lists": f"{own}/lists", "Dir::Cache": f"{own}/cache", "APT::Sandbox::User": "root",
        }  # fmt: skip
        options = [f"--option={name}={value}" for name, value in settings.items()]
        subprocess.run(["apt-get", "--quiet=2", *options, "update"], check=True, cwd=own)
        subprocess.run(["apt-get", "--quiet=2", *options, "download", *PACKAGES], check=True, cwd=own)
        for package in Path(own).glob("*.deb"):
            subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
