"""Relative paths in a Compose file that is read for a project in another folder."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dagster_module_builder.claims.facts import interpolated
from dagster_module_builder.compose.short_form import parts_of

_RELATIVE = re.compile(r"\.{1,2}(?:/|$)|\.[^:/]*/")
_REMOTE = re.compile(r"\w+://|git@|github\.com/")


def with_absolute_paths(
    data: Mapping[str, Any], folder: Path, env: Mapping[str, str], default_context: str = "."
) -> dict[str, Any]:
    """Return the content of a file whose paths are relative to a folder, with absolute paths.

    Args:
        data: The content, in which nothing is tagged.
        folder: The folder.
        env: The variables that it interpolates.
        default_context: The build context where none is stated; empty to leave it to the project that extends it.
    """
    whole = dict(data)
    services = data.get("services")
    if isinstance(services, dict):
        whole["services"] = {
            name: _service(service, folder, env, default_context) for name, service in services.items()
        }
    for section in ("configs", "secrets"):
        entries = data.get(section)
        if isinstance(entries, dict):
            whole[section] = {
                name: {**entry, "file": _absolute(entry["file"], folder, env)}
                if isinstance(entry, dict) and "file" in entry
                else entry
                for name, entry in entries.items()
            }
    return whole


def _service(service: Any, folder: Path, env: Mapping[str, str], default_context: str) -> Any:
    if not isinstance(service, dict):
        return service
    moved = dict(service)
    build = service.get("build")
    if isinstance(build, str):
        moved["build"] = _context(build, folder, env)
    elif isinstance(build, dict):
        context = build.get("context") or default_context
        moved["build"] = {**build, "context": _context(context, folder, env)} if context else build
    if env_files := service.get("env_file"):
        entries = env_files if isinstance(env_files, list) else [env_files]
        moved["env_file"] = [
            {**entry, "path": _absolute(entry.get("path"), folder, env)}
            if isinstance(entry, dict)
            else _absolute(entry, folder, env)
            for entry in entries
        ]
    if isinstance(volumes := service.get("volumes"), list):
        moved["volumes"] = [_volume(entry, folder, env) for entry in volumes]
    return moved


def _context(text: Any, folder: Path, env: Mapping[str, str]) -> Any:
    return text if _REMOTE.match(str(text)) else _absolute(text, folder, env)


def _absolute(text: Any, folder: Path, env: Mapping[str, str]) -> str:
    path = interpolated(str(text), env)
    joined = path if path.startswith("~") else os.path.normpath(folder / path)
    return joined.replace("$", "$$")


def _volume(entry: Any, folder: Path, env: Mapping[str, str]) -> Any:
    if isinstance(entry, dict):
        if entry.get("type") != "bind" or not entry.get("source"):
            return entry
        return {**entry, "source": _absolute(entry["source"], folder, env)}
    source, *rest = parts_of(str(entry))
    if not rest or not _RELATIVE.match(interpolated(source, env)):
        return entry
    return ":".join([_absolute(source, folder, env), *rest])
