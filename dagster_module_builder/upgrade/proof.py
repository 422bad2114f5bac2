"""Prove that a module's definitions load after an upgrade as they did before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.modules.code_location import table
from dagster_module_builder.modules.code_locations import read_code_location
from dagster_module_builder.modules.loading import LoadedDefinitions, definitions_of, gained, load, replaced
from dagster_module_builder.modules.own_environment import packages_beside
from dagster_module_builder.native.module_python import python_for
from dagster_module_builder.native.native_environment import process_environment
from dagster_module_builder.shared_files.formats import env_file, toml_text
from dagster_module_builder.transactions import module_files
from dagster_module_builder.transactions.plan import Plan
from dagster_module_builder.upgrade.missing_variables import own_values

_FRAGMENT = settings.FRAGMENTS / env_file.NAME
_CODE = frozenset({".py", ".yaml", ".yml", ".toml", ".cfg", ".txt", ".sql", ".json"})
#: Folders of a module of which nothing is loaded.
_NOT_LOADED = frozenset({"deploy", "docs", "tests", settings.FRAGMENTS.parts[0]})


@dataclass(frozen=True)
class Loader:
    """Loads one module's definitions.

    Attributes:
        root: The workspace's root.
        module: The module's folder.
        may_run: Tells whether the module's code may run; a person may be asked.
        location: The dotted name of its code location, if the project has several.
    """

    root: Path
    module: Path
    may_run: Callable[[], bool]
    location: str | None = None

    @cached_property
    def allowed(self) -> bool:
        """Whether the module's code may run."""
        return self.may_run()

    @cached_property
    def _python(self) -> Path:
        return python_for(self.root, self.module)

    @property
    def lacks(self) -> str:
        """Why nothing can be loaded: there is no consent, or no environment; empty if it can."""
        if not self.allowed:
            return f"that runs code of {self.module.name}"
        try:
            return "" if self._python else "there is no environment"
        except BuilderError as error:
            return str(error)

    @cached_property
    def before(self) -> LoadedDefinitions:
        """The definitions as they load when this is first needed."""
        return self.load()

    def load(self, wanted: Sequence[str] = ()) -> LoadedDefinitions:
        """Return the definitions as they load now.

        Args:
            wanted: Requirements that the module's own environment may lack.
        """
        try:
            python, also = self._python, self.beside(wanted)
        except BuilderError as error:
            return LoadedDefinitions({}, {}, str(error))
        environ = {**process_environment(self.root), **_variables(self.module)}
        location = read_code_location(self.module, self.location)
        return definitions_of(load(location, python, self.module, environ, also))

    def beside(self, wanted: Sequence[str]) -> Sequence[Path]:
        """Install requirements that the environment lacks into another folder, which is returned.

        Raises:
            ToolError: They could not be installed.
        """
        folder = packages_beside(self._python, self.module, wanted) if wanted else None
        return [folder] if folder else []


def _variables(module: Path) -> Mapping[str, str]:
    """Return what a project's own ``.env``, which Dagster reads, and its fragment set."""
    return {**own_values(module), **env_file.values(module_files.read(module, module / _FRAGMENT) or b"")}


def concerns_loading(module: Path, plan: Plan) -> bool:
    """Tell whether a plan changes a file that loading the definitions may read."""
    return any(_is_loaded(change.path.relative_to(module)) for change in plan.effective if _is_in(module, change.path))


def _is_in(module: Path, path: Path) -> bool:
    return path.is_relative_to(module)


def _is_loaded(name: PurePath) -> bool:
    return name == _FRAGMENT or (name.parts[0] not in _NOT_LOADED and name.suffix in _CODE)


def added_requirements(module: Path, plan: Plan) -> Sequence[str]:
    """Return the requirements that a plan adds to ``pyproject.toml``."""
    texts = [(change.before, change.after) for change in plan.effective if change.path == module / "pyproject.toml"]
    return [wanted for before, after in texts for wanted in _listed(after) if wanted not in _listed(before)]


def _listed(text: bytes | None) -> Sequence[str]:
    try:
        listed = table(toml_text.parsed(text or b""), "project").get("dependencies")
    except ValueError:
        return []
    return [str(requirement) for requirement in listed] if isinstance(listed, list) else []


def differences(before: LoadedDefinitions, after: LoadedDefinitions, *, lossless: bool) -> Iterator[str]:
    """Yield what an upgrade broke: why nothing loads any more, or what is lost or replaced.

    Args:
        before: What was loaded before the upgrade.
        after: What was loaded after it.
        lossless: Whether everything has to be as before; else the template may remove and replace.
    """
    if after.problem:
        yield after.problem
    elif lossless:
        yield from (f"{name} is lost" for name in gained(after, before))
        yield from (f"{name} was replaced" for name in replaced(before, after))
