"""Whether the requirements of all modules of one environment resolve together: uv says it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.base.settings import cache_folder
from dagster_module_builder.modules.legacy_requirements import SETUP_CFG, SETUP_PY
from dagster_module_builder.modules.static_requirements import Statement, statement_of
from dagster_module_builder.programs import uv_program
from dagster_module_builder.shared_files.formats import env_file
from dagster_module_builder.transactions import module_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONSTRAINTS = settings.SERVICES / "constraints.txt"

#: What the shared image has beside the modules' requirements.
_WORKSPACE_PACKAGES = ("dagster", "dagster-webserver", "dagster-postgres")


@dataclass(frozen=True)
class Conflict:
    """These modules cannot be installed together; a single one cannot be installed with the workspace's lock."""

    modules: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        """Return which modules conflict, why, and what to do."""
        whom = " and ".join(self.modules)
        what = "do not resolve together" if len(self.modules) > 1 else "do not fit the workspace's constraints.txt"
        return (
            f"The requirements of {whom} {what}:\n{self.reason}\n"
            "Change them, or give one of the modules a separate code server (code_server: own)."
        )


@dataclass(frozen=True)
class Unknown:
    """It is not known whether the requirements resolve."""

    reason: str

    def __str__(self) -> str:
        """Return what could not be checked, and why."""
        return f"Could not check whether the requirements resolve together:\n{self.reason}"


def pyproject_of(module: Path) -> Path:
    """Return the file that states a module's requirements."""
    return module / "pyproject.toml"


def resolve_together(root: Path, modules: Sequence[Path]) -> Conflict | Unknown | None:
    """Check whether the requirements of these modules and of the workspace resolve together.

    A resolution that succeeded is remembered by what went into it, in the user's cache folder.

    Args:
        root: The workspace's root.
        modules: Folders of the modules that share an environment, each with a ``pyproject.toml``.

    Returns:
        None if they do.
    """
    stating = [module for module in modules if stating_files(module)]
    version = python_version(root)
    remembered = _remembered(root, stating, version)
    if not stating or remembered.is_file():
        return None
    statements = {module: statement_of(module, root) for module in stating}
    named = {_normalized(statement.name): module for module, statement in statements.items()}
    with tempfile.TemporaryDirectory() as folder:
        restated = {name: _restated(Path(folder), name, statements[module]) for name, module in named.items()}
        result = _resolve(root, restated, version)
    if isinstance(result, Conflict):
        return replace(result, modules=tuple(named[name].name for name in result.modules))
    left_out = [f"{module.name}: {reason}" for module, stated in statements.items() for reason in stated.left_out]
    if result is None and left_out:
        return Unknown("\n".join(left_out))
    if result is None and all(statement.complete for statement in statements.values()):
        _remember(remembered)
    return result


def _restated(folder: Path, name: str, statement: Statement) -> Path:
    """Return a new project in ``folder`` with a module's requirements, of which nothing has to be built."""
    made = Path(tempfile.mkdtemp(dir=folder))
    lines = [f"name = {json.dumps(name)}", "version = '0'"]
    lines += [f"requires-python = {json.dumps(statement.python)}"] if statement.python else []
    lines.append(f"dependencies = {json.dumps(statement.requirements)}")
    pyproject_of(made).write_text("[project]\n" + "\n".join(lines) + "\n", "utf-8")
    return made


def stating_files(module: Path) -> list[Path]:
    """Return the files that state a module's requirements."""
    return [path for name in ("pyproject.toml", SETUP_PY, SETUP_CFG) if (path := module / name).is_file()]


def _resolve(root: Path, named: Mapping[str, Path], version: str) -> Conflict | Unknown | None:
    wanted = [f"{name} @ {module.absolute().as_uri()}" for name, module in named.items()]
    lines = "\n".join([*wanted, *_WORKSPACE_PACKAGES, ""])
    lock = ["--constraint", str(root / CONSTRAINTS)] if (root / CONSTRAINTS).is_file() else []
    arguments = [
        # Building a package runs its code.
        *("pip", "compile", "--quiet", "--no-header", "--no-annotate", "--no-build"),
        *("--python-version", version, "--python-platform", "linux", *lock, "-"),
    ]
    try:
        return _asked(arguments, root, lines, named)
    except ToolError as error:
        return Unknown(str(error))


def _asked(arguments: Sequence[str], root: Path, lines: str, named: Mapping[str, Path]) -> Conflict | Unknown | None:
    # What earlier installations left in uv's cache often suffices, and is ten times as fast as asking the index.
    code, _ = uv_program.ask([*arguments, "--offline"], root, lines)
    if code == 0:
        return None
    code, output = uv_program.ask(arguments, root, lines, {"UV_HTTP_RETRIES": "1"})
    return None if code == 0 else _judged(output, named)


def _judged(output: str, named: Mapping[str, Path]) -> Conflict | Unknown:
    blamed = [name for name in named if re.search(rf"(?<![\w.-]){re.escape(name)}==", output)]
    if "No solution found" not in output or uv_program.could_not_look(output) or not blamed:
        return Unknown(output)
    return Conflict(tuple(blamed), output)


def python_version(root: Path) -> str:
    """Return the Python version of the workspace's image, by its tag; without one in the tag, this process's version.

    The image "python:3.12-slim" gives "3.12".
    """
    file = root / settings.SERVICES / env_file.NAME
    image = env_file.values(file.read_bytes() if file.is_file() else b"").get("PYTHON_IMAGE", "")
    tag = re.search(r"python:(3\.\d+)", image)
    return tag[1] if tag else "{}.{}".format(*sys.version_info)


def _normalized(name: object) -> str:
    return re.sub(r"[-_.]+", "-", str(name)).lower()


#: The user and the password in an address.
_USER_INFO = re.compile(r"//[^/@\s]*@")


def _remembered(root: Path, modules: Sequence[Path], version: str) -> Path:
    """Return the file that exists if these requirements resolved: its name is a digest of all that they depend on."""
    # Passwords of indexes decide nothing, and a hash of them would let them be guessed.
    indexes = [
        (name, _USER_INFO.sub("//", value))
        for name, value in sorted(os.environ.items())
        if name.startswith("UV_") and not name.endswith(("_PASSWORD", "_USERNAME", "_TOKEN"))
    ]
    digest = hashlib.sha256(f"{version} {_WORKSPACE_PACKAGES} {indexes}".encode("utf-8", "surrogateescape"))
    for settings_file in (root / CONSTRAINTS, root / "uv.toml", root / "pyproject.toml"):
        digest.update(b"\0" + (settings_file.read_bytes() if settings_file.is_file() else b""))
    stated = (
        b"\0".join(module_files.read(module, path) or b"" for path in stating_files(module)) for module in modules
    )
    for text in sorted(stated):
        digest.update(b"\0" + text)
    return cache_folder() / "resolved" / digest.hexdigest()


def _remember(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    except OSError:
        # A cache that cannot be written costs time, nothing else.
        return
