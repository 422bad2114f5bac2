"""The Dockerfile of a module's own code server: its Python, its requirements, its code."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.claims.facts import interpolated
from dagster_module_builder.compose.service import Service
from dagster_module_builder.modules.legacy_requirements import is_old
from dagster_module_builder.modules.static_requirements import Statement, statement_of
from dagster_module_builder.transactions import module_files

#: The module's folder in the image.
FOLDER = "/opt/dagster/module"
PORT = 4000

#: Python's versions, the preferred one first.
_PYTHONS = ("3.12", "3.11", "3.13", "3.10", "3.9")
_PYTHON_IMAGE = re.compile(r"(?:.+/)?python:(\d+\.\d+)(?:[.-].*)?")
_FILES = ("pyproject.toml", "requirements.txt", "constraints.txt", "constraints.lock", "README.md")
_ARGUMENT = re.compile(r"^ARG\s+(\w+)=(\S+)", re.MULTILINE)
_APT = re.compile(r"RUN\s+apt-get\b")

#: Installs uv. Each version in constraints.txt gets the hashes that constraints.lock has of it.
_INSTALL = r"""
RUN touch constraints.txt constraints.lock \
    && awk 'own { print $0 hashes[$0]; next } /^ / { hashes[pin] = hashes[pin] "\n" $0; next } \
        { pin = substr($0, 1, length($0) - 2); hashes[pin] = " \\" }' \
        constraints.lock own=1 constraints.txt > locked.txt \
    && awk '/^uv==/ { on = seen = 1 } on { print } !/\\$/ { on = 0 } END { if (!seen) print "uv" }' \
        locked.txt > uv.txt \
    && python3 -m pip install --no-cache-dir --requirement uv.txt
"""


@dataclass(frozen=True)
class ServedCode:
    """What a code server loads.

    Attributes:
        module: The module's folder.
        source: The folder that Python imports from, relative to the module's: ``src``.
        arguments: How Dagster names the code: ``["--module-name", "shop.definitions"]``.
    """

    module: Path
    source: str
    arguments: Sequence[str]


def base_image(services: Iterable[Service], module: Path) -> str:
    """Return the image that a module's is built from: the services' if its Python suits the module."""
    wanted = _accepted(_statement(module))
    for service in services:
        base = _base_of(service)
        match = _PYTHON_IMAGE.fullmatch(base)
        if match and wanted.contains(match[1]):
            return base
    return f"python:{next(filter(wanted.contains, _PYTHONS), _PYTHONS[0])}-slim"


def _base_of(service: Service) -> str:
    """Return the image that a service's is built from, with the build's arguments in place."""
    stages = service.image_of.chain(service.target) if service.image_of else []
    build = service.data.get("build")
    stated = build.get("args") if isinstance(build, dict) else None
    entries = (
        [str(entry).partition("=")[::2] for entry in stated] if isinstance(stated, list) else (stated or {}).items()
    )
    defaults = dict(_ARGUMENT.findall(service.image_of.text)) if service.image_of else {}
    given = {str(name): interpolated(str(value), service.env) for name, value in entries if value is not None}
    return interpolated(stages[0].base, {**defaults, **given}) if stages else ""


def _accepted(statement: Statement | None) -> SpecifierSet:
    try:
        return SpecifierSet((statement.python if statement else None) or "")
    except InvalidSpecifier:
        return SpecifierSet()


def _statement(module: Path) -> Statement | None:
    try:
        return statement_of(module)
    except ToolError:
        return None


def dockerfile(code: ServedCode, argument: str, extras: Sequence[str], snippet: Sequence[bytes]) -> list[str]:
    """Return the lines of the Dockerfile.

    Args:
        code: The code.
        argument: The name of the build argument with the base image.
        extras: Packages that Dagster's instance needs: ``["dagster-postgres"]``.
        snippet: The module's Dockerfile snippet, whose system packages are installed, too.
    """
    copied = [name for name in _FILES if module_files.read(code.module, code.module / name) is not None]
    requirements, written = _requirements(code.module)
    quoted = " ".join(map(shlex.quote, [*extras, *written]))
    return [
        f"ARG {argument}",
        f"FROM ${{{argument}}}",
        "ENV PIP_BREAK_SYSTEM_PACKAGES=1 UV_BREAK_SYSTEM_PACKAGES=1 UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy \\",
        "    UV_NO_CACHE=1 PYTHONUNBUFFERED=1",
        *_system_packages(snippet),
        f"WORKDIR {FOLDER}",
        *([f"COPY {' '.join(copied)} {FOLDER}/"] if copied else []),
        *_INSTALL.strip().split("\n"),
        f"RUN uv pip install --system --constraint locked.txt {quoted}{requirements}",
        f"COPY {code.source} {PurePosixPath(FOLDER, code.source)}",
        f"ENV PYTHONPATH={PurePosixPath(FOLDER, code.source)}",
        f"EXPOSE {PORT}",
    ]


def unknown_requirements(module: Path) -> str:
    """Return why a module's requirements cannot be installed; empty if they can."""
    if module_files.read(module, module / "requirements.txt") is not None:
        return ""
    try:
        statement_of(module)
    except ToolError as error:
        return str(error)
    return ""


def _requirements(module: Path) -> tuple[str, Sequence[str]]:
    """Return arguments that install a module's requirements from its files, or its requirements."""
    statement = _statement(module)
    if statement and not is_old(module) and statement.complete:
        return " -r pyproject.toml", ()
    if module_files.read(module, module / "requirements.txt") is not None:
        return " -r requirements.txt", ()
    listed = statement.requirements if statement else ("dagster",)
    return "", [text for text in listed if text.isprintable()]


def _system_packages(snippet: Sequence[bytes]) -> list[str]:
    """Return a snippet's instructions that install system packages."""
    kept: list[str] = []
    continued = False
    for line in (raw.decode("utf-8", "replace") for raw in snippet):
        continued = continued or _APT.match(line) is not None
        if continued:
            kept.append(line)
            continued = line.rstrip().endswith("\\")
    return kept


def command(code: ServedCode, location: str, *, reloads: bool) -> str:
    """Return the server's command, as a YAML list.

    Args:
        code: The code.
        location: The code location's name.
        reloads: Whether its Dagster has ``code-server``, which reads changed code again.
    """
    start = ["dagster", "code-server", "start"] if reloads else ["dagster", "api", "grpc"]
    named = ["--location-name", location] if reloads else []
    return json.dumps([*start, "--host", "0.0.0.0", "--port", str(PORT), *code.arguments, *named])  # noqa: S104


def has_code_server(pins: Mapping[str, str]) -> bool:
    """Return whether a locked Dagster has ``dagster code-server`` (since 1.5): ``{"dagster": "1.4.2"} -> False``."""
    match = re.match(r"(\d+)\.(\d+)", pins.get("dagster", ""))
    return not match or (int(match[1]), int(match[2])) >= (1, 5)
