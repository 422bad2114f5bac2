"""Fitting a module's Dockerfile snippet to an image that this program did not make."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from dagster_module_builder.base import settings
from dagster_module_builder.compose.dockerignore import path_in_context
from dagster_module_builder.compose.service import Service
from dagster_module_builder.compose.stack import Reader
from dagster_module_builder.fitting import kept_packages
from dagster_module_builder.fitting.shared_image import CONSTRAINTS
from dagster_module_builder.modules.legacy_requirements import SETUP_CFG, SETUP_PY, old_requirements
from dagster_module_builder.shared_files.formats import toml_text
from dagster_module_builder.shared_files.formats.outline import KeyPath

_CONSTRAINT = f" --constraint {CONSTRAINTS}"
_COPY = re.compile(r"COPY\s+(\S+)\s+(\S+)\s*$")
_PROJECT = "pyproject.toml"
_OLD_PROJECTS = (SETUP_PY, SETUP_CFG)
_REQUIREMENTS = "requirements.txt"
#: The files that the snippet installs, if the requirements were written out.
_INLINED = re.compile(r"(/\*/|/opt/dagster/modules/[\w.-]+/)(?:pyproject\.toml|setup\.py|setup\.cfg)\b")

#: What a path is put before. Without a value, the colon would put the current folder on the path, before Python's own.
_AFTER_PATH = re.compile(r":\$(?:PYTHONPATH\b|\{PYTHONPATH\})")
_ROOT = "USER root"


def fitted_snippet(
    services: Sequence[Service],
    slot: KeyPath,
    module: Path,
    body: Sequence[bytes],
    replaced: Mapping[str, str],
    folders: Sequence[str],
    read: Reader,
    reasons: list[str],
    *,
    keeps: bool,
) -> tuple[bytes, ...]:
    """Return a snippet's lines fitted to the image of these services.

    Args:
        services: The services that run code, all built from the shared Dockerfile.
        slot: The snippet's slot in the Dockerfile.
        module: The module's folder.
        body: The snippet's lines.
        replaced: Paths in containers to replace, with their replacements.
        folders: The folders in containers that every user must be able to write to.
        read: Reads other files.
        reasons: Reasons why the image cannot be built are added here.
        keeps: Whether the image's packages have to be kept by it: no constraints do that.
    """
    image = services[0].image_of
    if image is None:
        return tuple(body)
    if not image.mentions(CONSTRAINTS, slot):
        body = [line.replace(_CONSTRAINT.encode(), b"") for line in body]
    extends = "PYTHONPATH" in image.environment(slot[0] if slot else None)
    lines: list[str] = []
    inlined = False
    for line in (encoded.decode("utf-8", "surrogateescape") for encoded in body):
        copied = _COPY.match(line)
        if copied:
            instructions = _copy(services, module, copied[1], copied[2], read, reasons)
            inlined |= not instructions[0].startswith("COPY")
            lines += instructions
        else:
            lines.append(_run(line, replaced, inlined=inlined, extends=extends))
    if folders:
        # A folder that the owner made keeps its mode.
        named = " ".join(map(shlex.quote, folders))
        lines.append(f'RUN for folder in {named}; do test -d "$folder" || install -d -m 1777 "$folder"; done')
    if keeps and any(map(kept_packages.installs, lines)):
        lines = [*kept_packages.first_lines(services), *map(kept_packages.kept, lines)]
    return tuple(line.encode("utf-8", "surrogateescape") for line in _as_root(lines, image.user_before(slot)))


def _as_root(lines: Sequence[str], user: str | None) -> Sequence[str]:
    """Return lines that run as root, and the lines after them as before."""
    if user is None or user.partition(":")[0] in {"root", "0"}:
        return lines
    return [_ROOT, *lines, f"USER {user}"]


def without_user(body: Sequence[bytes]) -> Sequence[bytes]:
    """Return a fitted snippet without the lines by which it becomes root."""
    is_wrapped = len(body) > 1 and body[0] == _ROOT.encode() and body[-1].startswith(b"USER ")
    return body[1:-1] if is_wrapped else body


def _run(line: str, replaced: Mapping[str, str], *, inlined: bool, extends: bool) -> str:
    for old, new in replaced.items():
        line = re.sub(re.escape(old) + r"(?=[:\"'\s]|$)", lambda _, new=new: new, line)  # type: ignore[misc]
    if line.startswith("ENV PYTHONPATH=") and not extends:
        line = _AFTER_PATH.sub("${PYTHONPATH:+:${PYTHONPATH}}", line)
    return _INLINED.sub(lambda match: f"{match[1]}{_REQUIREMENTS}", line) if inlined else line


def _copy(
    services: Sequence[Service], module: Path, source: str, target: str, read: Reader, reasons: list[str]
) -> list[str]:
    """Return the instruction that copies a module's file, or writes its requirements if it cannot be copied."""
    inside = f"{settings.PROJECTS}/{module.name}/"
    if not source.startswith(inside):
        reasons.append(f"its snippet copies {source}, which is not the module's")
        return [f"COPY {source} {target}"]
    file = module / source.removeprefix(inside)
    if file.name in _OLD_PROJECTS:
        # Its requirements are in two files, and known only when it is built.
        return _written_out(file, target.removesuffix(file.name), read, reasons)
    paths = {
        path_in_context(service.context, service.dockerfile, file, read)
        for service in services
        if service.context and service.dockerfile
    }
    if len(paths) == 1 and (path := paths.pop()):
        return [f"COPY {path} {target}"]
    if file.name != _PROJECT:
        reasons.append(
            f"{file} is not in the build context {services[0].context}: set 'context:' to the workspace's root"
        )
        return [f"COPY {source} {target}"]
    return _written_out(file, target.removesuffix(_PROJECT), read, reasons)


def _written_out(file: Path, folder: str, read: Reader, reasons: list[str]) -> list[str]:
    requirements = _requirements(file, read)
    if requirements is None:
        what = "list of install_requires" if file.name in _OLD_PROJECTS else "[project] dependencies"
        reasons.append(f"{file} has no {what}, and is not in the build context, so it cannot be installed")
        return [f"RUN mkdir -p {folder}"]
    quoted = " ".join(shlex.quote(str(requirement)) for requirement in requirements)
    return [f"RUN mkdir -p {folder} \\", f"    && printf '%s\\n' {quoted} > {folder}{_REQUIREMENTS}"]


def _requirements(file: Path, read: Reader) -> Sequence[object] | None:
    """Return the requirements that a project's file lists, or None if it lists none."""
    if file.name in _OLD_PROJECTS:
        setup_py, setup_cfg = (read(file.with_name(name)) or b"" for name in _OLD_PROJECTS)
        return old_requirements(setup_py, setup_cfg)
    try:
        dependencies: Sequence[object] = toml_text.parsed(read(file) or b"")["project"]["dependencies"]
    except (ValueError, KeyError, TypeError):
        return None
    return dependencies
