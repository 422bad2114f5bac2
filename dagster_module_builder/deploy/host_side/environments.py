"""The virtual environments that releases run in."""

from __future__ import annotations

import os
import re

from .errors import RefusedError
from .files import remove_tree, write
from .hashes import locked, without_hashes
from .needed import Needed
from .outside import installed
from .programs import ask_where, run_where, seen_from
from .service import python_of, service_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from .host import Host


#: Prints the packages of Dagster's storages that this Python has.
STORAGE_PACKAGES = (
    "from importlib.util import find_spec\n"
    "print('storage:', *(name for name in ('dagster-postgres', 'dagster-mysql') if find_spec(name.replace('-', '_'))))"
)

#: Prints whether an environment's interpreter still exists, in the version that the environment was made with.
LOOK = """\
import os, re, subprocess, sys
program, made = os.path.join(sys.argv[1], "bin", "python"), os.path.join(sys.argv[1], "pyvenv.cfg")
version = "import sys; print('version = %d.%d' % sys.version_info[:2])"
said = subprocess.check_output([program, "-c", version]).decode().strip() if os.path.exists(program) else "none"
with open(made) as file:
    lines = [re.sub("^version_info", "version", line.strip()) + "." for line in file]
print("environment:", "yes" if any(line.startswith(said + ".") for line in lines) else "no")
"""
#: The first line that pip or uv (with a multiplication sign) writes of what is wrong.
TROUBLE = re.compile("^ *(?:ERROR|error|\u00d7)[: ]", re.MULTILINE)
#: In an environment while pip fills it: the folder of downloaded files, and the file with their expected hashes.
DOWNLOADED, LOCKED = "downloaded", "locked.txt"


def build_environment(
    host: Host,
    module: str,
    identity: str,
    requirements: str,
    constraints: str,
    python: str,
    need: int = 0,
    where: dict[str, Any] | None = None,
    service: str | None = None,
) -> dict[str, Any]:
    """Build the environment of a release, unless it exists already.

    Args:
        host: This host.
        module: The module.
        identity: Its name, a hash of its content.
        requirements: The requirements file's text.
        constraints: The constraints file's text.
        python: The interpreter to make it with.
        need: Bytes that must be free.
        where: How to get into Dagster's container; None for this host.
        service: The folder below the base that Dagster is started in, if ``deploy.setup`` may have made it.
    """
    folder = host.of(module, "venvs", identity)
    if os.path.exists(os.path.join(folder, ".complete")):
        if where is None or is_usable(host, where, folder):
            return {"built": False}
    elif os.path.exists(folder) and Needed(host).by_files(module, "venvs", identity):
        raise RefusedError(
            "environment",
            f"{folder} is incomplete, but Dagster's workspace.yaml or a release names it, so it was left as it is. "
            f"Complete it by hand and run 'touch {folder}/.complete', or name another one in workspace.yaml.",
        )
    host.refuse_full(need)
    python = python if where else os.path.expanduser(python)
    more = storage_packages(host, where, host.modules, python_of(host, service) or python)
    fill(host, folder, module, requirements, constraints, python, more, where)
    return {"built": True}


def is_usable(host: Host, where: dict[str, Any], folder: str) -> bool:
    """Tell whether the container, whose image may be newer, still has an environment's interpreter."""
    command = ["python3", "-c", LOOK, seen_from(host, where, folder)]
    return ask_where(host, where, command, folder, "environment: (yes|no)").endswith("yes")


def build_service(
    host: Host, folder: str, identity: str, requirements: str, constraints: str, python: str, need: int
) -> dict[str, Any]:
    """Build the environment of the host's own Dagster, unless it exists already.

    Args:
        host: This host.
        folder: The folder below the base that Dagster is started in.
        identity: Its name, a hash of its content.
        requirements: The requirements file's text.
        constraints: The constraints file's text.
        python: The interpreter to make it with.
        need: Bytes that must be free.
    """
    environment = service_path(host, folder, "environments", identity)
    if os.path.exists(os.path.join(environment, ".complete")):
        return {"built": False}
    host.refuse_full(need)
    fill(host, environment, "Dagster", requirements, constraints, os.path.expanduser(python), (), None)
    return {"built": True}


def fill(
    host: Host,
    folder: str,
    whose: str,
    requirements: str,
    constraints: str,
    python: str,
    more: Sequence[str],
    where: dict[str, Any] | None,
) -> None:
    """Make an environment; if that fails, remove it."""
    remove_tree(folder)
    os.makedirs(folder)
    uv = has_uv(host, where, folder)
    taken = constraints if uv else without_hashes(constraints)
    for name, text in (("requirements.txt", requirements), ("constraints.txt", taken)):
        write(os.path.join(folder, name), text.encode())
    make, install = building(seen_from(host, where, folder), python, more, has_uv=uv)

    def run(command: Sequence[str]) -> None:
        code, said = run_where(host, where, command, folder, 1800, {})
        if code:
            remove_tree(folder)
            raise RefusedError("environment", f"The environment of {whose} could not be built:\n{reason(said)}")

    run(make)
    if taken != constraints:
        install_verified(folder, constraints, install, run)
    run(install)
    write(os.path.join(folder, ".complete"), b"")


def reason(said: str) -> str:
    """Return why an installation failed: pip and uv first write what they did (``Collecting pandas``)."""
    found = TROUBLE.search(said)
    return said[found.start() if found else 0 :].strip()[-4000:]


def install_verified(
    folder: str, constraints: str, install: Sequence[str], run: Callable[[Sequence[str]], None]
) -> None:
    """Have pip install the packages that have hashes, each from a file with one of them.

    They are downloaded first, which runs no code of a wheel. Packages without hashes are left to the next command.

    Args:
        folder: The environment's folder.
        constraints: The constraints, with hashes.
        install: The command that installs the requirements without them.
        run: Runs a command in the folder.
    """
    (*pip, _, silent), files = install[: install.index("-r")], install[install.index("-r") :]
    run([*pip, "download", silent, "-d", DOWNLOADED, *files])
    text = locked(constraints, os.listdir(os.path.join(folder, DOWNLOADED)))
    if text:
        write(os.path.join(folder, LOCKED), text.encode())
        run([*pip, "install", silent, "--no-deps", "--require-hashes", "-f", DOWNLOADED, "-r", LOCKED])
    run(["rm", "-rf", DOWNLOADED])


def has_uv(host: Host, where: dict[str, Any] | None, folder: str) -> bool:
    """Tell whether uv is installed where Dagster runs.

    Raises:
        RefusedError: It is installed, and fails.
    """
    if where is None and installed("uv") is None:
        return False
    look = "if command -v uv >/dev/null; then uv --version >&2 && echo yes; else echo no; fi"
    return ask_where(host, where, ["/bin/sh", "-c", look], folder, "yes|no") == "yes"


def storage_packages(host: Host, where: dict[str, Any] | None, folder: str, python: str) -> list[str]:
    """Return the packages of Dagster's own storage, which a release's environment needs to report its runs."""
    return ask_where(host, where, [python, "-c", STORAGE_PACKAGES], folder, "storage:.*").split()[1:]


def building(folder: str, python: str, more: Sequence[str] = (), *, has_uv: bool = False) -> list[list[str]]:
    """Return the commands that fill an environment."""
    own = os.path.join(folder, "bin", "python")
    files = ["-r", "requirements.txt", "-c", "constraints.txt", *more]
    if has_uv:
        return [
            ["uv", "venv", "--quiet", "--allow-existing", "--python", python, folder],
            ["uv", "pip", "install", "--python", own, *files],
        ]
    return [
        [python, "-m", "venv", folder],
        [own, "-m", "pip", "install", "--disable-pip-version-check", *files],
    ]
