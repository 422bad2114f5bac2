"""The template's workspace fragments, adapted to a module's folders."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import PurePosixPath

from dagster_module_builder.audit.audited_module import AuditedModule
from dagster_module_builder.base import settings
from dagster_module_builder.modules import legacy_requirements
from dagster_module_builder.modules.poetry_requirements import poetry_requirements
from dagster_module_builder.modules.stating import stated_in, stating_of
from dagster_module_builder.upgrade.requirements_table import not_among

#: The requirements of all modules with a ``pyproject.toml``, as the template's fragment installs them.
_EVERY_PROJECT = b"$(printf -- '-r %s ' /opt/dagster/modules/*/pyproject.toml)"


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


def dockerfile_fragment(audited: AuditedModule, text: bytes, added: Sequence[str] = ()) -> bytes:
    """Return the template's Dockerfile fragment with the module's source folder and requirements.

    Args:
        audited: The module.
        text: The template's fragment.
        added: Requirements that the upgrade adds.
    """
    name = audited.path.name
    source = audited.code_location.source.relative_to(audited.path).as_posix()
    folder = PurePosixPath("/workspace", settings.PROJECTS.as_posix(), name)
    text = text.replace(f'"{folder}/src:'.encode(), f'"{folder / source}:'.encode())
    stating = stating_of(audited.path)
    if stating.kind in {"poetry", "file"}:
        asked = [*(poetry_requirements(audited.pyproject)[0] or stated_in(audited.path, stating))]
        return _written_out(name, text, stating.file, [*asked, *not_among(asked, added)])
    if stating.kind != "setup":
        return text
    setup_files = (legacy_requirements.SETUP_PY, legacy_requirements.SETUP_CFG)
    file = next(file for file in setup_files if (audited.path / file).is_file())
    text = text.replace(f"{name}/pyproject.toml".encode(), f"{name}/{file}".encode())
    return text.replace(_EVERY_PROJECT, f"-r /opt/dagster/modules/{name}/{file}".encode())


def _written_out(name: str, text: bytes, file: str, requirements: Sequence[str]) -> bytes:
    """Return the fragment with requirements that no installer reads from ``pyproject.toml`` alone."""
    folder = f"/opt/dagster/modules/{name}"
    quoted = " ".join(shlex.quote(requirement) for requirement in requirements)
    written = (
        f"# As {file} states them, which an image does not have. Change both together.\n"
        f"RUN mkdir -p {folder} \\\n    && printf '%s\\n' {quoted} > {folder}/requirements.txt\n"
    )
    copied = re.compile(rb"^COPY .*pyproject\.toml\n", re.MULTILINE)
    text = copied.sub(lambda _: written.encode(), text)
    return text.replace(_EVERY_PROJECT, f"-r {folder}/requirements.txt".encode())
