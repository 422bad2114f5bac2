"""``version``: of this program, and of what it makes."""

from __future__ import annotations

import platform
import sys

from invoke.context import Context

from dagster_module_builder import __version__
from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import command


@command("version", help={})
def version(_context: Context) -> None:
    """Show the versions of this program, of the module template and of Python."""
    from dagster_module_builder.modules.record import template_version  # imported late: only versions need it

    versions = {
        "dagster-module-builder": __version__,
        "module template": template_version(),
        "Python": f"{platform.python_version()} in {sys.prefix}",
    }
    console.give(versions)
    for name, number in versions.items():
        console.say(f"{name} {number}")
