"""The virtual environments that releases run in."""

from __future__ import annotations

import os

from .errors import RefusedError
from .files import remove_tree, write
from .programs import run_where, seen_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .host import Host


def build_environment(
    host: Host,
    module: str,
    identity: str,
    requirements: str,
    constraints: str,
    python: str,
    need: int = 0,
    where: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Build the environment of a release, unless it is there already.

    Args:
        host: This one.
        module: Whose it is.
        identity: The hash of what goes into it.
        requirements: The requirements file's text.
        constraints: The constraints file's text.
        python: The interpreter that it is made with.
        need: The free space that it takes, in bytes.
        where: Where Dagster runs.
    """
    folder = host.of(module, "venvs", identity)
    if os.path.exists(os.path.join(folder, ".complete")):
        return {"built": False}
    host.refuse_full(need)
    remove_tree(folder)
    os.makedirs(folder)
    for name, text in (("requirements.txt", requirements), ("constraints.txt", constraints)):
        write(os.path.join(folder, name), text.encode())
    uv = has_uv(host, where, folder)
    for command in building(seen_from(host, where, folder), python, has_uv=uv):
        code, said = run_where(host, where, command, folder, 1800, {})
        if code:
            remove_tree(folder)
            raise RefusedError("environment", f"The environment of {module} could not be built:\n{said[-4000:]}")
    write(os.path.join(folder, ".complete"), b"")
    return {"built": True}


def has_uv(host: Host, where: dict[str, Any] | None, folder: str) -> bool:
    """Tell whether there is uv where Dagster runs."""
    try:
        return run_where(host, where, ["uv", "--version"], folder, 60, {})[0] == 0
    except OSError:
        return False


def building(folder: str, python: str, *, has_uv: bool) -> list[list[str]]:
    """Return the commands that fill an environment."""
    own = os.path.join(folder, "bin", "python")
    files = ["-r", "requirements.txt", "-c", "constraints.txt"]
    if has_uv:
        return [
            ["uv", "venv", "--quiet", "--allow-existing", "--python", python, folder],
            ["uv", "pip", "install", "--quiet", "--python", own, *files],
        ]
    return [
        [python, "-m", "venv", folder],
        [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *files],
    ]
