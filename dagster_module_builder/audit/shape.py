"""What kind of project a module is: how its definitions are built, where its requirements are, what runs inside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dagster_module_builder.audit.audited_module import AuditedModule
from dagster_module_builder.audit.syntax import SourceFile
from dagster_module_builder.modules.code_location import defs_folder, table
from dagster_module_builder.modules.stating import stating_of

_LOCKS = ("uv.lock", "poetry.lock", "pdm.lock")
#: What runs inside, by the packages that are imported.
_INSIDE = {
    "dagster_dbt": "dbt", "dagster_sling": "Sling", "dagster_dlt": "dlt", "dlt": "dlt", "sling": "Sling",
    "dagster_airbyte": "Airbyte", "dagster_fivetran": "Fivetran",
}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """What kind of project a module is.

    Attributes:
        style: How its definitions are built: ``"dg project"``, ``"repository"``, ``"merged definitions"``, …
        locations: The dotted names of its code locations, that of the module first.
        requirements: How it states its requirements, as ``stating_of`` says.
        locks: Its lock files.
        inside: What runs inside: dbt, Sling, dlt.
    """

    style: str
    locations: tuple[str, ...]
    requirements: str
    locks: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return one line: ``"dg project, orders.definitions; requirements: project, uv.lock; with dbt"``."""
        where = ", ".join((self.requirements, *self.locks))
        inside = f"; with {' and '.join(self.inside)}" if self.inside else ""
        return f"{', '.join((self.style, *self.locations))}; requirements: {where}{inside}"


def shape_of(audited: AuditedModule) -> Shape:
    """Return what kind of project a module is; nothing of it is run."""
    packages = {name.partition(".")[0] for file in audited.sources.files for name in file.packages}
    inside = {what for package, what in _INSIDE.items() if package in packages}
    inside |= {"dbt"} if any(audited.path.glob("**/dbt_project.yml")) else set()
    return Shape(
        style=_style(audited),
        locations=tuple(_locations(audited)),
        requirements=stating_of(audited.path).kind,
        locks=tuple(name for name in _LOCKS if (audited.path / name).is_file()),
        inside=tuple(sorted(inside, key=str.lower)),
    )


def _locations(audited: AuditedModule) -> Iterator[str]:
    first = audited.code_location.dotted
    names = [location.dotted for location in audited.code_locations]
    yield from dict.fromkeys(name for name in (first, *names) if name)


def _style(audited: AuditedModule) -> str:
    location = audited.code_location
    if table(audited.pyproject, "tool", "dg", "project"):
        return "dg project"
    if location.definitions is None:
        return "no definitions"
    if defs_folder(audited.path, location):
        return "folder of definitions"
    file = next((file for file in audited.sources.files if file.path == location.definitions), None)
    return _style_of_code(audited, file)


def _style_of_code(audited: AuditedModule, file: SourceFile | None) -> str:
    if file and any(file.calls("merge")):
        return "merged definitions"
    if file and "repository" in file.decorators:
        return "repository"
    if table(audited.pyproject, "tool", "dagster"):
        return "scaffolded project"
    if not audited.code_location.is_flat:
        return "package"
    return "single file" if len(audited.sources.files) == 1 else "files without a package"
