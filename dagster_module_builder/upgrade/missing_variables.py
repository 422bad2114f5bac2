"""The variables of a module that was not made from the template: explained, and set where values are known."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from dagster_module_builder.audit.audited_module import AuditedModule
from dagster_module_builder.audit.variables import SET_BY_OTHERS
from dagster_module_builder.shared_files.formats import env_file, env_value
from dagster_module_builder.transactions import module_files

#: Values that Compose and Dagster read alike in single quotes.
_READ_ALIKE = re.compile(r"[^'\\\r\n]*")
#: The workspace's names: Dagster's own settings, its database, and what images and shells set.
_OF_WORKSPACE = re.compile(r"(DAGSTER|POSTGRES|WORKSPACE|COMPOSE)_\w*")
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


@dataclass(frozen=True)
class ModuleVariables:
    """The variables of a module, by what has to be done about them.

    Attributes:
        values: Those that its own ``.env`` sets.
        required: Those that the code cannot do without.
        optional: Those that the code reads and can do without.
        others: Those that it reads and the workspace or the system sets.
    """

    values: Mapping[str, str]
    required: Sequence[str]
    optional: Sequence[str]
    others: Sequence[str]

    @property
    def unset(self) -> Sequence[str]:
        """The required ones without a value."""
        return [name for name in self.required if not self.values.get(name)]

    @property
    def unreadable(self) -> Sequence[str]:
        """Those whose value Compose and Dagster would read in different ways."""
        return [name for name, value in self.values.items() if not _READ_ALIKE.fullmatch(value)]

    def fragment(self, module: str) -> bytes:
        """Return the fragment of ``.env``: a default of the code stays the code's, in a comment."""
        named = sorted({*self.values, *self.required})
        lines = [f"{name}='{self.values.get(name, '')}'" for name in named if name not in self.unreadable]
        lines += [*self._commented()]
        return "".join(f"{line}\n" for line in lines or [f"# {module} needs no variables."]).encode()

    def example(self, module: str) -> bytes:
        """Return ``.env.example``, which has no values."""
        head = f"# The environment variables of {module}. Copy this file to workspace/local/.env and fill it in."
        named = [f"{name}=''" for name in sorted({*self.values, *self.required})]
        others = [f"#   {name}   set by the workspace" for name in self.others]
        storage = "#   DAGSTER_STORAGE_DIR   where the assets are stored"
        return "".join(f"{line}\n" for line in (head, *named, *self._commented(), *others, storage)).encode()

    def _commented(self) -> Sequence[str]:
        left = [name for name in self.optional if name not in self.values]
        return (
            [
                "# Optional: without a value, the code does without it or has a default.",
                *(f"# {name}=''" for name in left),
            ]
            if left
            else []
        )


def module_variables(audited: AuditedModule) -> ModuleVariables:
    """Return the variables that a module's code reads and its own ``.env`` sets."""
    known = {name for name in (variable.name for variable in audited.variables) if _NAME.fullmatch(name)}
    taken = {*SET_BY_OTHERS, *audited.workspace_env} - set(audited.fragment_env)
    own = own_values(audited.path)
    others = {name for name in known if _is_of_others(name, taken)}
    values = {name: value for name, value in own.items() if not _is_of_others(name, taken)}
    required = {variable.name for variable in audited.variables if variable.required} & known - others
    named = others - {"DAGSTER_STORAGE_DIR", "DAGSTER_UPSTREAM_STORAGE_DIR"}
    return ModuleVariables(values, sorted(required), sorted(known - others - required), sorted(named))


def _is_of_others(name: str, taken: Collection[str]) -> bool:
    return name in taken or env_value.is_reserved(name) or _OF_WORKSPACE.fullmatch(name) is not None


def own_values(module: Path) -> Mapping[str, str]:
    """Return what a project's own ``.env`` sets, as Dagster reads it."""
    text = module_files.text(module, module / env_file.NAME) or ""
    return {name: value or "" for name, value in dotenv_values(stream=io.StringIO(text), interpolate=False).items()}
