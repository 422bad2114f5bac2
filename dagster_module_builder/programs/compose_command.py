"""The command of Compose 2 on this machine: `docker compose`, or `docker-compose` if only that is installed."""

from __future__ import annotations

import functools
import re

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.programs import outside_programs

#: The errors of Docker's command line without Compose, from the oldest version to the newest.
_NO_COMPOSE = re.compile(r"is not a docker command|unknown (shorthand )?flag|unknown command", re.IGNORECASE)


class NoComposeError(ToolError):
    """Compose is not installed on this machine, or too old."""


def is_installed() -> bool:
    """Return whether Compose 2 is installed on this machine.

    Raises:
        ToolError: Docker's command line is installed but fails.
    """
    try:
        program()
    except NoComposeError:
        return False
    return True


@functools.cache
def program() -> tuple[str, ...]:
    """Return the command of Compose on this machine: ``("docker", "compose")``.

    Raises:
        NoComposeError: It is not installed, or too old.
        ToolError: The program is installed but fails.
    """
    old = False
    for command in (("docker", "compose"), ("docker-compose",)):
        version = _version(command) if outside_programs.is_installed(command[0]) else None
        if version is not None and version >= 2:
            return command
        old = old or version is not None
    reason = "is older than version 2" if old else "was not found"
    raise NoComposeError(
        f"Docker Compose {reason}. Install Docker with its Compose plugin (https://docs.docker.com/compose/install/), "
        "or run the workspace without containers with 'workspace.dev'."
    )


def _version(command: tuple[str, ...]) -> int | None:
    """Return Compose's major version; None if Docker's command line has no Compose."""
    name = " ".join(command)
    asked = outside_programs.ask([*command, "version", "--short"], named=name, answers=outside_programs.ANY)
    match = re.match(r"v?(\d+)\.", asked.text.strip())
    if asked.status == 0 and match:
        return int(match[1])
    if _NO_COMPOSE.search(asked.words):
        return None
    raise outside_programs.failure(name, outside_programs.ended(asked.status), asked.errors or asked.out)
