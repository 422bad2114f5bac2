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
from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.base.settings import cache_folder
from dagster_module_builder.modules.image_versions import ImageVersions, does_not_fit
from dagster_module_builder.modules.legacy_requirements import SETUP_CFG, SETUP_PY
from dagster_module_builder.modules.static_requirements import Statement, statement_of
from dagster_module_builder.programs import uv_program
from dagster_module_builder.shared_files.formats import env_file
from dagster_module_builder.transactions import module_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONSTRAINTS = settings.SERVICES / "constraints.txt"

_OWN_PYTHON = "{}.{}".format(*sys.version_info)
#: The versions of Python that are tried for an image whose version is not known: uv finds this process's fastest.
_PYTHONS = tuple(dict.fromkeys((_OWN_PYTHON, "3.12", "3.11", "3.10", "3.13", "3.9")))
#: What the shared image has beside the modules' requirements.
_WORKSPACE_PACKAGES = ("dagster", "dagster-webserver", "dagster-postgres")


@dataclass(frozen=True)
class Conflict:
    """These modules cannot be installed together; a single one cannot be installed with the workspace's lock.

    Attributes:
        modules: Their names.
        reason: What uv says.
        in_image: All of it in words, if an image that keeps its packages is the reason.
    """

    modules: tuple[str, ...]
    reason: str
    in_image: str = ""

    def __str__(self) -> str:
        """Return which modules conflict, why, and what to do."""
        if self.in_image:
            return self.in_image
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


def resolve_together(
    root: Path, modules: Sequence[Path], image: ImageVersions | None = None
) -> Conflict | Unknown | None:
    """Check whether the requirements of these modules and of the workspace resolve together.

    A resolution that succeeded is remembered by what went into it, in the user's cache folder.

    Args:
        root: The workspace's root.
        modules: Folders of the modules that share an environment, each with a ``pyproject.toml``.
        image: The image that they are installed into, if it keeps its packages; None for the workspace's lock.

    Returns:
        None if they do.
    """
    stating = [module for module in modules if stating_files(module)]
    versions = [python_version(root)] if image is None else [image.python] if image.python else _PYTHONS
    asked = _Asked(root, image)
    remembered = _remembered(asked, stating, versions)
    if not stating or remembered.is_file():
        return None
    statements = {module: statement_of(module, root) for module in stating}
    if image and (clashing := _clashing(image, statements)):
        return clashing
    named = {_normalized(statement.name): module for module, statement in statements.items()}
    with tempfile.TemporaryDirectory() as folder:
        restated = {name: _restated(Path(folder), name, statements[module]) for name, module in named.items()}
        result = _resolve(asked, restated, versions, Path(folder))
    if isinstance(result, Conflict):
        blamed = [named[name] for name in result.modules]
        result = replace(result, modules=tuple(module.name for module in blamed))
        return result if image is None else _in_image(image, result, {m.name: statements[m] for m in blamed})
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


def _clashing(image: ImageVersions, statements: Mapping[Path, Statement]) -> Conflict | None:
    """Return the modules that require another version of a package than the image has: uv need not be asked."""
    listed = {module.name: stated.requirements for module, stated in statements.items()}
    clashing = {name: requirements for name, requirements in listed.items() if any(image.against(requirements))}
    return Conflict(tuple(clashing), "", does_not_fit(image, clashing, "")) if clashing else None


def _in_image(image: ImageVersions, conflict: Conflict, statements: Mapping[str, Statement]) -> Conflict:
    requirements = {name: statement.requirements for name, statement in statements.items()}
    if len(requirements) > 1 and not image.named_in(conflict.reason):
        return conflict
    return replace(conflict, in_image=does_not_fit(image, requirements, conflict.reason))


@dataclass(frozen=True)
class _Asked:
    """What is asked about beside the modules: a workspace's lock, or an image that keeps its packages."""

    root: Path
    image: ImageVersions | None

    @property
    def lock(self) -> Path:
        return self.root / CONSTRAINTS

    @property
    def packages(self) -> Sequence[str]:
        """What the environment has in any case: the template's image has all, another one may be older than some."""
        if self.image:
            return ("dagster",) if self.image.has_dagster else ()
        return _WORKSPACE_PACKAGES if self.lock.is_file() else ()

    def constraints(self, folder: Path) -> list[str]:
        """Return the options that name the constraints; a file of them is made in ``folder``."""
        if self.image is None:
            return ["--constraint", str(self.lock)] if self.lock.is_file() else []
        file = folder / "image.txt"
        file.write_text(self.image.constraints, "utf-8")
        return ["--constraint", str(file)]


def _resolve(
    asked: _Asked, named: Mapping[str, Path], versions: Sequence[str], folder: Path
) -> Conflict | Unknown | None:
    """Ask for each of these versions of Python, until the requirements resolve with one."""
    wanted = [f"{name} @ {module.absolute().as_uri()}" for name, module in named.items()]
    lines = "\n".join([*wanted, *asked.packages, ""])
    results: list[Conflict | Unknown | None] = []
    for version in versions:
        arguments = [
            # Building a package runs its code.
            *("pip", "compile", "--quiet", "--no-header", "--no-annotate", "--no-build"),
            *("--python-version", version, "--python-platform", "linux", *asked.constraints(folder), "-"),
        ]
        try:
            results.append(_asked(arguments, asked.root, lines, named))
        except ToolError as error:
            return Unknown(str(error))
        if not isinstance(results[-1], Conflict):
            break
    return _known(asked, results)


def _known(asked: _Asked, results: Sequence[Conflict | Unknown | None]) -> Conflict | Unknown | None:
    result = results[-1] if not isinstance(results[-1], Conflict) else results[0]
    if isinstance(result, Conflict) and asked.image and asked.image.is_unpublished(result.reason):
        return Unknown(result.reason)
    return result


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
    file = layout_of(root).env_file
    image = env_file.values(file.read_bytes() if file.is_file() else b"").get("PYTHON_IMAGE", "")
    tag = re.search(r"python:(3\.\d+)", image)
    return tag[1] if tag else _OWN_PYTHON


def _normalized(name: object) -> str:
    return re.sub(r"[-_.]+", "-", str(name)).lower()


#: The user and the password in an address.
_USER_INFO = re.compile(r"//[^/@\s]*@")


def _remembered(asked: _Asked, modules: Sequence[Path], versions: Sequence[str]) -> Path:
    """Return the file that exists if these requirements resolved: its name is a digest of all that they depend on."""
    # Passwords of indexes decide nothing, and a hash of them would let them be guessed.
    indexes = [
        (name, _USER_INFO.sub("//", value))
        for name, value in sorted(os.environ.items())
        if name.startswith("UV_") and not name.endswith(("_PASSWORD", "_USERNAME", "_TOKEN"))
    ]
    about = f"{' '.join(versions)} {asked.packages} {indexes} {asked.image and asked.image.constraints}"
    digest = hashlib.sha256(about.encode("utf-8", "surrogateescape"))
    for settings_file in (asked.lock, asked.root / "uv.toml", asked.root / "pyproject.toml"):
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
