"""Loading the code locations without Docker: whether they load, and which assets they make."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dotenv import dotenv_values

from dagster_module_builder import native_keys, settings
from dagster_module_builder.errors import ToolError
from dagster_module_builder.names import ModuleNames
from dagster_module_builder.native import prepare
from dagster_module_builder.native_environment import (
    locations,
    own_environment,
    process_environment,
    shared_environment,
    shared_modules,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class NotLoaded:
    """A code location that does not load.

    Attributes:
        location: Its name; empty where Dagster names none.
        error: Dagster's own words, without the way there.
        place: The ``path:line`` where the error came up; empty where it is not known.
        module: The folder of the module behind it, where there is one.
    """

    location: str
    error: str
    place: str = ""
    module: Path | None = None

    def __str__(self) -> str:
        words = f"{self.location}: {self.error}" if self.location else self.error
        return f"{words} ({self.place})" if self.place else words


class NotLoadingError(ToolError):
    """Code locations that do not load."""

    def __init__(self, failures: Sequence[NotLoaded]) -> None:
        self.failures = failures
        super().__init__("Dagster does not load it:\n" + "\n".join(map(str, failures)))


def validate_definitions(root: Path) -> None:
    """Load every code location natively, as ``dagster definitions validate`` does.

    Raises:
        NotLoadingError: A location does not load; with Dagster's own words.
    """
    if not (there := locations(root)):
        return
    python, workspace = prepare(root)
    modules = {ModuleNames(one.module.name).snake: one.module for one in there if one.module}
    _validate(root, python, workspace, modules)


def _validate(root: Path, python: Path, workspace: Path, modules: Mapping[str, Path]) -> None:
    done = subprocess.run(
        [str(python.parent / "dagster"), "definitions", "validate", "--log-level", "error", "-w", str(workspace)],
        cwd=root / settings.SERVICES,
        # Its warnings say only that a newer command does the same.
        env={**process_environment(root), "PYTHONWARNINGS": "ignore", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise NotLoadingError(_failures(done.stdout, modules))


def _failures(log: str, modules: Mapping[str, Path]) -> list[NotLoaded]:
    """Return each location that does not load: the innermost error, and where it came up."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", log).strip()
    _, *failures = re.split(r"^.*Validation failed for code location ", text, flags=re.MULTILINE)
    return [_not_loaded(failure, modules) for failure in failures] or [NotLoaded("", text)]


def _not_loaded(failure: str, modules: Mapping[str, Path]) -> NotLoaded:
    name, _, body = failure.partition(":\n")
    error = body.rpartition("was caused by the following exception:")[2].strip().partition("\n")[0]
    frames = re.findall(r'^  File "(.+)", line (\d+)', body, flags=re.MULTILINE)
    place = f"{os.path.normpath(frames[-1][0])}:{frames[-1][1]}" if frames else ""
    return NotLoaded(name, error, place, modules.get(name))


def asset_keys(root: Path) -> dict[Path, list[str]]:
    """Return the keys of the assets that each integrated module makes; modules that do not load are left out."""
    keys: dict[Path, list[str]] = {}
    own = [found.module for found in locations(root) if found.own_server and found.module is not None]
    for python, modules in [
        (shared_environment(root), shared_modules(root)),
        *((own_environment(root, module), [module]) for module in own),
    ]:
        keys |= _asset_keys(root, python, modules)
    return keys


def _asset_keys(root: Path, python: Path, modules: Sequence[Path]) -> dict[Path, list[str]]:
    request = {
        str(module): {"definitions": ModuleNames(module.name).definitions, "source": str(module / "src")}
        for module in modules
    }
    env_file = dotenv_values(root / settings.SERVICES / ".env", interpolate=False)
    done = subprocess.run(
        [str(python), native_keys.__file__],
        input=json.dumps(request),
        cwd=root / settings.SERVICES,
        env={**process_environment(root), **{name: value for name, value in env_file.items() if value is not None}},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise ToolError(f"The modules' assets could not be listed:\n{done.stderr.strip()}")
    return {Path(module): keys for module, keys in json.loads(done.stdout).items() if keys is not None}
