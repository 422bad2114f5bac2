"""The command of Compose 2 on this machine: `docker compose`, or `docker-compose` where only that is installed."""

from __future__ import annotations

import functools
import re

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.programs import outside_programs

#: What Docker's command line says where it has no Compose, from the oldest to the newest.
_NO_COMPOSE = re.compile(r"is not a docker command|unknown (shorthand )?flag|unknown command", re.IGNORECASE)


class NoComposeError(ToolError):
    """There is no Compose on this machine, or only one that is too old."""


def is_installed() -> bool:
    """Tell whether there is a Compose 2 on this machine.

    Raises:
        ToolError: Docker's command line is there and fails, so that this cannot be told.
    """
    try:
        program()
    except NoComposeError:
        return False
    return True


@functools.cache
def program() -> tuple[str, ...]:
    """Return the command that Compose goes by here.

    Raises:
        NoComposeError: There is none, or only one that is too old.
        ToolError: The program is there and fails.
    """
    old = False
    for command in (("docker", "compose"), ("docker-compose",)):
        version = _version(command) if outside_programs.is_installed(command[0]) else None
        if version is not None and version >= 2:
            return command
        old = old or version is not None
    reason = "is older than version 2" if old else "was not found"
    raise NoComposeError(
        f"Docker Compose {reason}: install Docker with its Compose plugin (https://docs.docker.com/compose/install/), "
        "or run the workspace without containers by 'workspace.dev'."
    )


def _version(command: tuple[str, ...]) -> int | None:
    """Return the first part of Compose's version; None where Docker's command line has no Compose."""
    name = " ".join(command)
    asked = outside_programs.ask([*command, "version", "--short"], named=name, answers=outside_programs.ANY)
    found = re.match(r"v?(\d+)\.", asked.text.strip())
    if asked.status == 0 and found:
        return int(found[1])
    if _NO_COMPOSE.search(asked.words):
        return None
    raise outside_programs.failure(name, outside_programs.ended(asked.status), asked.errors or asked.out)
