"""This machine: the program, the programs that it uses, folders, disk."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dagster_module_builder import __version__
from dagster_module_builder.base import machine, settings
from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.doctor.diagnosis import Diagnosis, ok, problem, warning
from dagster_module_builder.programs import outside_programs, uv_program

#: How each program says its version.
_VERSIONS = {"git": "--version", "docker": "--version", "rsync": "--version", "ssh": "-V"}
_NUMBER = re.compile(r"\d+\.\d+[\w.]*")
#: Bytes that a build of images or an environment easily takes.
_LITTLE = 5 << 30


def program(_root: Path) -> Iterator[Diagnosis]:
    """Look at this program and its Python."""
    python = f"Python {platform.python_version()} in {sys.prefix}"
    yield ok("machine", f"dagster-module-builder {__version__}, {python}, on {platform.system()} {platform.machine()}")


def programs(_root: Path) -> Iterator[Diagnosis]:
    """Look for the programs that this one uses."""
    for requirement in machine.programs(machine.PROGRAMS):
        if requirement.is_met:
            yield ok("machine", f"{requirement.name} {_version(requirement.name)}".rstrip())
        else:
            yield warning(
                "machine", f"{requirement.name} is not installed: {requirement.cost}", f"Install {requirement.name}"
            )
    try:
        yield ok("machine", f"uv is {uv_program.program()}")
    except ToolError as error:
        yield problem("machine", str(error), "Install uv")


def _version(name: str) -> str:
    try:
        asked = outside_programs.ask([name, _VERSIONS[name]], answers=outside_programs.ANY, limit=10)
    except ToolError:
        return ""
    number = _NUMBER.search(asked.text + asked.words)
    return number[0] if number else ""


def folders(_root: Path) -> Iterator[Diagnosis]:
    """Look whether this program's own folders can be written."""
    for name, folder in {"notes": settings.state_folder(), "caches": settings.cache_folder()}.items():
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        if not (existing.is_dir() and os.access(existing, os.W_OK)):
            variable = "XDG_STATE_HOME" if name == "notes" else "XDG_CACHE_HOME"
            yield problem(
                "machine",
                f"{folder}, for this program's {name}, cannot be written",
                f"Set {variable} to another folder",
            )


def disk(root: Path) -> Iterator[Diagnosis]:
    """Look how much room is left."""
    places = {"workspace": root, "temporary files": Path(tempfile.gettempdir()), "caches": settings.cache_folder()}
    for name, folder in _by_device(places).values():
        free = shutil.disk_usage(folder).free
        text = f"{free / (1 << 30):.1f} GiB are free for {name} ({folder})"
        cure = "Free some: 'docker system df' and 'uv cache prune' show and remove what can be made again"
        yield ok("disk", text) if free > _LITTLE else warning("disk", text, cure)


def _by_device(places: dict[str, Path]) -> dict[int, tuple[str, Path]]:
    found: dict[int, tuple[str, Path]] = {}
    for name, folder in places.items():
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        found.setdefault(existing.stat().st_dev, (name, existing))
    return found
