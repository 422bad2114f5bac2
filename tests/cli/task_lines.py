"""A command line for every task of the namespace, as it is today and will be."""

from __future__ import annotations

import inspect
import os
from pathlib import Path

from dagster_module_builder.commands import namespace
from tests.cli.terminal import Terminal


def line_of(task: str, module: str = "sales") -> list[str]:
    """Return a command line of a task about a module: its name, and a value for each argument that it demands."""
    parameters = list(inspect.signature(namespace[task].body).parameters.values())[1:]
    demanded = [one for one in parameters if one.default is inspect.Parameter.empty or one.name in {"name", "module"}]
    of_deployments = task == "deploy" or task.startswith("deploy.")
    values = {"name": "yoda" if of_deployments else module, "module": module}
    given = [values.get(one.name, "x") for one in demanded if not (of_deployments and one.name == "module")]
    return [task, *(given if "name" not in [one.name for one in demanded] or len(given) < 2 else given[:1])]


def without_tools(terminal: Terminal, folder: Path) -> dict[str, str]:
    """Return the variables of a machine on which neither Docker answers nor an index is asked: nothing takes long."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    (programs / "docker").write_text("#!/bin/sh\necho 'no engine' >&2; exit 1\n")
    (programs / "docker").chmod(0o755)
    cache = {"UV_OFFLINE": "1", "UV_CACHE_DIR": str(folder / "uv"), "XDG_CACHE_HOME": str(folder / "cache")}
    return {**terminal.environment, **cache, "PATH": f"{programs}:{os.environ['PATH']}"}
