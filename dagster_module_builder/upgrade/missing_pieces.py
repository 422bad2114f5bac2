"""What a module lacks that was not made from the template: files from the template, adapted to its code."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dagster_module_builder.audit.audited_module import EXAMPLE, AuditedModule
from dagster_module_builder.base import settings
from dagster_module_builder.base.baseline import FileContent, Tree
from dagster_module_builder.modules.module import FRAGMENT_NAMES
from dagster_module_builder.shared_files.formats import dockerfile, env_file, workspace_yaml
from dagster_module_builder.upgrade import missing_code, missing_requirements
from dagster_module_builder.upgrade.changes import read_content
from dagster_module_builder.upgrade.missing_fragments import dockerfile_fragment, workspace_yaml_fragment
from dagster_module_builder.upgrade.missing_variables import module_variables
from dagster_module_builder.upgrade.proof import Loader
from dagster_module_builder.upgrade.three_way import UpgradedFile

#: The packages that the template's storage imports.
STORAGE_REQUIREMENTS = ("fsspec>=2024.6", "pandas>=2.2", "pyarrow>=18", "universal-pathlib>=0.2.6")
_SECRETS_IGNORED = b"\n# Secrets\n.env\n.env.*\n!.env.example\n"


@dataclass(frozen=True)
class MissingPieces:
    """The files to add or change, notes about them, and what has to be done by hand."""

    files: Sequence[UpgradedFile]
    notes: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()


def missing(
    root: Path, path: Path, template: Tree, loader: Loader | None = None, location: str | None = None
) -> MissingPieces:
    """Return what a module lacks.

    Args:
        root: The workspace's root.
        path: The module's folder.
        template: A module that the template renders with ``answers_for``.
        loader: Loads the module's definitions; None to load nothing.
        location: The dotted name of its code location, if it has several.

    Raises:
        RefusedError: The folder's name is not a valid module name.
    """
    return _Collector(AuditedModule(path, root, location=location), template, loader).pieces()


def answers_for(module: Path) -> Mapping[str, str]:
    """Return the template's answers that render the pieces for a module that was not made from it."""
    return {"name": module.name, "governance": "quick", "starter": "empty", "database": "none"}


class _Collector:
    """Collects the pieces in order: later steps see the files that earlier ones add."""

    def __init__(self, audited: AuditedModule, template: Tree, loader: Loader | None) -> None:
        self.audited = audited
        self.template = template
        self.loader = loader
        self.files: dict[str, bytes] = {}
        self.notes: list[str] = []
        self.by_hand: list[str] = []
        self.needed: Sequence[str] = ()

    def pieces(self) -> MissingPieces:
        for collect in (self._code, self._requirements, self._fragments, self._variables, self._rest):
            collect()
        files = [self._upgraded(name, text) for name, text in sorted(self.files.items())]
        return MissingPieces(files, tuple(self.notes), tuple(self.by_hand))

    def _upgraded(self, name: str, text: bytes) -> UpgradedFile:
        path = self.audited.path / name
        before = read_content(self.audited.path, path) if path.is_file() else None
        return UpgradedFile(name, before, FileContent(text, before.executable if before else False))

    def _add(self, name: str, text: bytes) -> None:
        """Add a file unless it exists."""
        if not (self.audited.path / name).exists():
            self.files[name] = text

    def _code(self) -> None:
        """Add ``storage.py`` and ``resources.py``, and register the IO manager."""
        found = missing_code.missing_code(self.audited, self.template, self.loader)
        self.files |= found.files
        self.notes += found.notes
        self.by_hand += found.by_hand

    def _requirements(self) -> None:
        """Declare the packages that the storage imports, and Dagster in a new ``pyproject.toml``."""
        has_storage = any(name.endswith(".py") and b"class ModuleStorage" in text for name, text in self.files.items())
        self.needed = STORAGE_REQUIREMENTS if has_storage else ()
        declared = missing_requirements.declare(self.audited, self.needed)
        self.files |= declared.files
        self.notes += declared.notes
        self.by_hand += declared.by_hand

    def _fragments(self) -> None:
        """Add the missing fragments."""
        for file, name in FRAGMENT_NAMES.items():
            path = (settings.FRAGMENTS / name).as_posix()
            text = self.template[path].content
            if file == workspace_yaml.NAME:
                text = workspace_yaml_fragment(self.audited)
            elif file == dockerfile.NAME:
                text = dockerfile_fragment(self.audited, text, self.needed)
            if file != env_file.NAME and text:
                self._add(path, text)

    def _variables(self) -> None:
        """Explain and set the variables that the code reads."""
        variables = module_variables(self.audited)
        module, fragment = self.audited.path.name, (settings.FRAGMENTS / env_file.NAME).as_posix()
        self._add(EXAMPLE, variables.example(module))
        self._add(fragment, variables.fragment(module))
        if fragment in self.files and variables.unset:
            self.notes.append(f"Fill in {', '.join(variables.unset)} in {fragment}.")
        if fragment in self.files and variables.unreadable:
            names = ", ".join(variables.unreadable)
            self.by_hand.append(
                f"Copy {names} from .env to {fragment}: Compose reads quotes and backslashes in its way."
            )

    def _rest(self) -> None:
        """Add the deployments' files, and keep secrets out of git."""
        for name, file in self.template.items():
            if name.startswith("deploy/"):
                self._add(name, file.content)
        ignored = self.audited.path / ".gitignore"
        if not ignored.is_file():
            self.files[".gitignore"] = self.template[".gitignore"].content
        elif not _ignores_env(text := self.audited.bytes_of(ignored)):
            self.files[".gitignore"] = text + (b"" if text.endswith(b"\n") or not text else b"\n") + _SECRETS_IGNORED


def _ignores_env(text: bytes) -> bool:
    return bool(re.search(rb"^(\*\*/|\*)?\.env\*?\s*$", text, re.MULTILINE))
