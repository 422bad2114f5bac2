"""The template's workspace fragments, adapted to a module's folders."""

from __future__ import annotations

from pathlib import PurePosixPath

from dagster_module_builder.audit.audited_module import AuditedModule
from dagster_module_builder.base import settings
from dagster_module_builder.modules import legacy_requirements


def workspace_yaml_fragment(audited: AuditedModule) -> bytes:
    """Return the fragment that names the module's code location; empty if no file builds ``Definitions``."""
    location, name = audited.code_location, audited.path.name
    if location.dotted is None:
        return b""
    source = location.source.relative_to(audited.path).as_posix()
    entry = {
        "package_name": location.dotted,
        "working_directory": str(PurePosixPath("../..", settings.PROJECTS.as_posix(), name, source)),
        "location_name": audited.names.snake,
    }
    lines = [f"      {key}: {value}\n" for key, value in entry.items()]
    return ("load_from:\n  - python_package:\n" + "".join(lines)).encode()


def dockerfile_fragment(audited: AuditedModule, text: bytes) -> bytes:
    """Return the template's Dockerfile fragment with the module's source folder and requirements file."""
    name = audited.path.name
    source = audited.code_location.source.relative_to(audited.path).as_posix()
    folder = PurePosixPath("/workspace", settings.PROJECTS.as_posix(), name)
    text = text.replace(f'"{folder}/src:'.encode(), f'"{folder / source}:'.encode())
    if not legacy_requirements.is_old(audited.path):
        return text
    setup_files = (legacy_requirements.SETUP_PY, legacy_requirements.SETUP_CFG)
    file = next(file for file in setup_files if (audited.path / file).is_file())
    text = text.replace(f"{name}/pyproject.toml".encode(), f"{name}/{file}".encode())
    return text.replace(
        b"$(printf -- '-r %s ' /opt/dagster/modules/*/pyproject.toml)",
        f"-r /opt/dagster/modules/{name}/{file}".encode(),
    )
