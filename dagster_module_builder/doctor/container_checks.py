"""Docker, the workspace's containers, and the ports of this machine that they take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from dagster_module_builder.base.errors import BuilderError, ToolError
from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.base.ports import LAST_PORT, is_listening
from dagster_module_builder.compose import compose_program, docker
from dagster_module_builder.compose.waiting import ServiceStatus
from dagster_module_builder.doctor.diagnosis import Diagnosis, ok, problem, warning
from dagster_module_builder.native.native_folder import dev_url
from dagster_module_builder.programs import outside_programs
from dagster_module_builder.shared_files.formats import env_file


def engine(root: Path) -> Iterator[Diagnosis]:
    """Look whether a Docker Engine answers."""
    if not outside_programs.is_installed("docker"):
        return
    try:
        compose_program.need_daemon(root)
    except ToolError as error:
        yield warning(
            "docker", str(error).splitlines()[0], "Start Docker; without it, 'workspace.dev' runs the workspace"
        )
    else:
        yield ok("docker", "the engine answers, and Compose works")


def containers(root: Path) -> Iterator[Diagnosis]:
    """Look how the workspace's containers are."""
    services = _services(root)
    if services is None:  # The engine does not answer.
        return
    ill = [service for service in services if not service.is_well]
    for service in ill:
        yield problem("docker", str(service), f"workspace.logs --service {service.name}")
    if services and not ill:
        yield ok("docker", f"{len(services)} containers run")
    elif not services:
        yield ok("docker", "no containers run; 'workspace.up' starts them")


def ports(root: Path) -> Iterator[Diagnosis]:
    """Look whether another program has a port that the workspace is to use."""
    own = {port for service in _services(root) or () for port in service.ports}
    variables = env_file.values(_read(layout_of(root).env_file))
    wanted = {name: int(value) for name, value in variables.items() if name.endswith("PORT") and _is_port(value)}
    own.add(urlsplit(dev_url(root) or "").port or 0)
    taken = {name: port for name, port in wanted.items() if port not in own and is_listening(port)}
    for name, port in taken.items():
        cure = f"'ss -ltnp' names it; or change {name} in {layout_of(root).env_file}"
        yield problem("ports", f"another program listens on {port} ({name})", cure)
    if wanted and not taken:
        yield ok("ports", f"free, or the workspace's own: {', '.join(map(str, sorted(wanted.values())))}")


def _is_port(value: str) -> bool:
    return value.isascii() and value.isdigit() and 0 < int(value) <= LAST_PORT


def _services(root: Path) -> list[ServiceStatus] | None:
    try:
        return docker.services(root)
    except BuilderError:
        return None


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""
