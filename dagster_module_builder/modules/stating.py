"""How a project states its requirements, which decides what an upgrade changes and what an image installs."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import InvalidRequirement, Requirement

from dagster_module_builder.modules import legacy_requirements
from dagster_module_builder.modules.code_location import pyproject, table
from dagster_module_builder.modules.poetry_requirements import is_poetry
from dagster_module_builder.transactions import module_files

REQUIREMENTS = "requirements.txt"
#: In ``[project]``, in Poetry's table, in a file that ``[tool.setuptools.dynamic]`` names, computed by a build backend,
#: in ``setup.py`` or ``setup.cfg``, in ``requirements.txt`` alone, or nowhere.
Kind = Literal["project", "poetry", "file", "computed", "setup", "requirements", "none"]


@dataclass(frozen=True)
class Stating:
    """How a project states its requirements.

    Attributes:
        kind: The form.
        file: The file, relative to the project.
    """

    kind: Kind
    file: str


def stating_of(module: Path) -> Stating:
    """Return how a project states its requirements; nothing is built."""
    data = pyproject(module)
    if is_poetry(data):
        return Stating("poetry", "pyproject.toml")
    if legacy_requirements.is_old(module):
        return Stating("setup", legacy_requirements.SETUP_PY)
    project = table(data, "project")
    if project and "dependencies" not in project.get("dynamic", ()):
        return Stating("project", "pyproject.toml")
    if project:
        return _dynamic(table(data, "tool", "setuptools", "dynamic").get("dependencies"))
    return Stating("requirements", REQUIREMENTS) if (module / REQUIREMENTS).is_file() else Stating("none", "")


def _dynamic(stated: object) -> Stating:
    files = stated.get("file") if isinstance(stated, dict) else None
    named = files[0] if isinstance(files, list) and len(files) == 1 else files
    return Stating("file", named) if isinstance(named, str) else Stating("computed", "pyproject.toml")


def lines_of(module: Path, name: str) -> tuple[list[str], list[str]]:
    """Return the requirements in a requirements file, and its lines that are none, such as ``-r other.txt``."""
    content = module_files.read(module, module / name) or b""
    # As pip reads it: Windows's shells write UTF-16, with a mark.
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    text = content.decode(encoding, "replace").replace("\r\n", "\n").replace("\\\n", " ")
    stated = [re.sub(r"(^|\s)#.*|\s--hash=\S+", "", line).strip() for line in text.splitlines()]
    asked = [line for line in stated if line and _is_requirement(line)]
    return asked, [line for line in stated if line and not _is_requirement(line)]


def _is_requirement(line: str) -> bool:
    try:
        Requirement(line)
    except InvalidRequirement:
        return False
    return True


def stated_in(module: Path, stating: Stating) -> Sequence[str]:
    """Return what a requirements file lists, for the kinds that have one."""
    return lines_of(module, stating.file)[0] if stating.kind in {"file", "requirements"} else []
