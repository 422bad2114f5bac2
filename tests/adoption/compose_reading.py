"""A Compose project in one form, as this program reads it and as Compose does."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dagster_module_builder.base import settings
from dagster_module_builder.claims.facts import interpolated
from dagster_module_builder.compose.project_files import ProjectFiles
from dagster_module_builder.compose.service import Service


class NotReadError(Exception):
    """Compose does not accept a project; the text is its message."""


def as_compose_reads(compose: Path, project: ProjectFiles, *, named: bool) -> dict[str, Any]:
    """Return each service as Compose reads it.

    Args:
        compose: The program.
        project: The project.
        named: Whether the files are named, instead of found by Compose where it starts.

    Raises:
        NotReadError: It does not accept the project.
    """
    files = [word for path in project.files for word in ("-f", str(path))] if named else []
    done = subprocess.run(
        [str(compose), *files, "--profile", "*", "config", "--format", "json"],
        cwd=project.env_file.parent,
        env={"PATH": os.environ["PATH"], "HOME": str(settings.expanded("~"))},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise NotReadError(done.stderr)
    model = json.loads(done.stdout)
    return {"project": model["name"], **{name: _of_compose(service) for name, service in model["services"].items()}}


def _of_compose(service: Mapping[str, Any]) -> dict[str, Any]:
    build = service.get("build") or {}
    return {
        "image": service.get("image"),
        "context": build.get("context"),
        "dockerfile": build.get("dockerfile") or ("Dockerfile" if build and "dockerfile_inline" not in build else None),
        "inline": bool(build.get("dockerfile_inline")),
        "target": build.get("target"),
        "args": {name: value for name, value in (build.get("args") or {}).items() if value is not None},
        "command": [word.replace("$$", "$") for word in service.get("command") or ()],
        "entrypoint": [word.replace("$$", "$") for word in service.get("entrypoint") or ()],
        "environment": {
            name: value.replace("$$", "$") for name, value in (service.get("environment") or {}).items() if value
        },
        "mounts": sorted(
            (mount.get("source") or "", mount["target"].rstrip("/") or "/", bool(mount.get("read_only")))
            for mount in service.get("volumes") or ()
            if mount.get("source") and mount["type"] in {"bind", "volume"}
        ),
        "networks": sorted(service.get("networks") or {}),
        "depends_on": sorted(service.get("depends_on") or {}),
        "profiles": sorted(service.get("profiles") or ()),
        "working_dir": service.get("working_dir"),
        "configs": sorted(str(entry.get("target") or f"/{entry['source']}") for entry in service.get("configs") or ()),
    }


def as_read_here(project: ProjectFiles) -> dict[str, Any]:
    """Return each service as this program reads it."""
    services = {name: _of_service(service, project) for name, service in project.stack.services.items()}
    return {"project": project.stack.project, **services}


def _of_service(service: Service, project: ProjectFiles) -> dict[str, Any]:
    data = service.data
    build = data.get("build")
    options = build if isinstance(build, dict) else {"context": build} if build else {}
    context = interpolated(str(options.get("context") or "."), service.env)
    dockerfile = interpolated(str(options.get("dockerfile") or ""), service.env) or "Dockerfile"
    inline = bool(options.get("dockerfile_inline"))
    return {
        "image": service.image_name or None,
        "context": _absolute(project.folder, context) if build else None,
        "dockerfile": dockerfile if build and not inline else None,
        "inline": inline,
        "target": interpolated(str(options["target"]), service.env) if options.get("target") else None,
        "args": _variables(options.get("args"), service.env),
        "command": _words(data.get("command"), service.env),
        "entrypoint": _words(data.get("entrypoint"), service.env),
        "environment": {name: value for name, value in {**service.env_files, **service.environment}.items() if value},
        "mounts": sorted(
            (_source(mount.source, project), mount.target, not mount.writable)
            for mount in service.mounts
            if mount.source
        ),
        "networks": [] if data.get("network_mode") else sorted(service.networks),
        "depends_on": sorted(map(str, data.get("depends_on") or ())),
        "profiles": sorted(map(str, data.get("profiles") or ())),
        "working_dir": interpolated(str(data["working_dir"]), service.env) if data.get("working_dir") else None,
        "configs": sorted(_config(entry) for entry in data.get("configs") or ()),
    }


def _absolute(folder: Path, path: str) -> str:
    return path if "://" in path or path.startswith("git@") else os.path.normpath(folder / path)


def _source(source: str | None, project: ProjectFiles) -> str:
    """Return a mount's source by the name that the files have for it."""
    names = {real: name for name, real in project.stack.volume_names.items()}
    return names.get(source or "", source or "")


def _variables(definition: Any, env: Mapping[str, str]) -> dict[str, str]:
    if isinstance(definition, list):
        pairs = [str(entry).partition("=") for entry in definition]
        return {name: interpolated(value, env) for name, equals, value in pairs if equals}
    items = definition.items() if isinstance(definition, dict) else ()
    return {str(name): interpolated(_scalar(value), env) for name, value in items if value is not None}


def _scalar(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _words(value: Any, env: Mapping[str, str]) -> list[str]:
    if isinstance(value, str):
        return shlex.split(interpolated(value, env))
    return [interpolated(str(word), env) for word in value or ()]


def _config(entry: Any) -> str:
    return str(entry.get("target") or f"/{entry['source']}") if isinstance(entry, dict) else f"/{entry}"
