"""Checks of the IO manager: whether there is one, where it stores, and whether assets are given it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from dagster_module_builder.audit.audited_module import AuditedModule
from dagster_module_builder.audit.checks import check
from dagster_module_builder.audit.lacks import no_definitions
from dagster_module_builder.audit.results import Problem
from dagster_module_builder.audit.syntax import SourceFile, last_name

if TYPE_CHECKING:
    from pathlib import Path

KEY = "io_manager"
STORAGE = ("DAGSTER_STORAGE_DIR", "/tmp/dagster_storage")  # noqa: S108 - where the containers have their volume
#: Dagster's own, which write below DAGSTER_HOME, or nowhere, unless they are told another folder.
_DEFAULTS = frozenset({"FilesystemIOManager", "InMemoryIOManager", "fs_io_manager", "mem_io_manager"})
#: Stands in the names of packages and classes that store in a database or an object store.
_SERVICES = re.compile(
    r"s3|boto|minio|gc[sp]|google|bigquery|adls|azure|blob|snowflake|redshift|athena|databricks|delta|iceberg|trino|"
    r"duckdb|postgres|psycopg|mysql|mssql|oracle|odbc|sqlalchemy|mongo|redis|clickhouse|elastic|cassandra",
    re.IGNORECASE,
)
_REMOTE = re.compile(r"^(s3|gs|gcs|az|abfss?|adl|https?|hdfs)://")
_WRITING = frozenset(
    {"dump", "makedirs", "mkdir", "open", "to_csv", "to_parquet", "to_pickle", "write_bytes", "write_parquet",
     "write_text"}
)  # fmt: skip


@dataclass(frozen=True)
class IOManager:
    """An IO manager that the module makes, or that it takes from a library and registers.

    Attributes:
        name: What it is called.
        file: The file that it stands in.
        node: The class, function or expression there.
    """

    name: str
    file: SourceFile
    node: ast.ClassDef | ast.FunctionDef | ast.expr

    @property
    def is_made_here(self) -> bool:
        """Whether it is the module's own class or function."""
        return not isinstance(self.node, ast.expr)


def io_managers(audited: AuditedModule) -> Sequence[IOManager]:
    """Return the module's IO managers: its own classes and functions first, then those of libraries."""
    remembered: Sequence[IOManager] | None = audited.__dict__.get("_io_managers")
    if remembered is None:
        remembered = audited.__dict__["_io_managers"] = _io_managers(audited)
    return remembered


def _io_managers(audited: AuditedModule) -> Sequence[IOManager]:
    own = [IOManager(node.name, file, node) for file, node in audited.sources.io_managers]
    names = {one.name for one in own}
    values = [(file, value) for key, file, value in resource_items(audited) if key == KEY]
    called = [IOManager(_called(value), file, value) for file, value in values]
    return [*own, *(one for one in called if one.name not in names and _is_of_a_library(one))]


def _called(node: ast.expr) -> str:
    """Return the name of what makes a resource: ``s3_pickle_io_manager.configured(…)`` → ``s3_pickle_io_manager``."""
    inner = node.func if isinstance(node, ast.Call) else node
    return last_name(inner.value if isinstance(inner, ast.Attribute) and inner.attr == "configured" else inner)


def _is_of_a_library(one: IOManager) -> bool:
    is_told = isinstance(one.node, ast.Call) and any(keyword.arg == "base_dir" for keyword in one.node.keywords)
    named = one.name.lower().replace("_", "").endswith("iomanager")
    return named and (one.name not in _DEFAULTS or is_told)


def resource_items(audited: AuditedModule) -> Iterator[tuple[str | None, SourceFile, ast.expr]]:
    """Return each key and value of the resources of ``Definitions``; None for a key that cannot be seen."""
    for file in audited.sources.files:
        for call in file.calls("Definitions", "with_resources"):
            given = [keyword.value for keyword in call.keywords if keyword.arg == "resources"]
            given += call.args[1:2] if last_name(call.func) == "with_resources" else []
            for node in given:
                yield from _items(audited, file, node)


def _items(
    audited: AuditedModule, file: SourceFile, node: ast.expr, within: Sequence[ast.expr] = ()
) -> Iterator[tuple[str | None, SourceFile, ast.expr]]:
    """Go through a mapping: a literal, ``dict(…)``, ``a | b``, ``**a``, or a name for one of these.

    A name may be given a mapping that is made from itself; ``within`` are the expressions that the search is in.
    """
    parts, within = _parts(node), [*within, node]
    behind, value = _behind(audited, file, node)
    if parts is not None:
        for key, part in parts:
            if key is None:
                yield from _items(audited, file, part, within)
            else:
                yield audited.sources.text(file, key), *_behind(audited, file, part)
    elif value in within:
        yield None, file, node
    else:
        yield from _items(audited, behind, value, within)


def _parts(node: ast.expr) -> Sequence[tuple[ast.expr | None, ast.expr]] | None:
    """Return the keys and values of a mapping; None is the key of a mapping within it. None where it is no mapping."""
    if isinstance(node, ast.Dict):
        return list(zip(node.keys, node.values, strict=True))
    if isinstance(node, ast.Call) and last_name(node) == "dict":
        named = [(ast.Constant(keyword.arg) if keyword.arg else None, keyword.value) for keyword in node.keywords]
        return [*((None, part) for part in node.args), *named]
    return (
        [(None, node.left), (None, node.right)]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)
        else None
    )


def _behind(audited: AuditedModule, file: SourceFile, node: ast.expr) -> tuple[SourceFile, ast.expr]:
    """Follow a name to the expression that it stands for."""
    found = audited.sources.value_of(file, node.id) if isinstance(node, ast.Name) else None
    return found or (file, node)


def no_io_manager(audited: AuditedModule) -> str:
    """Say that there is no IO manager."""
    return "" if io_managers(audited) else "no IO manager"


@check(
    "io-manager",
    "Has a custom IO manager",
    "Dagster's default writes where no volume is mounted, and outputs vanish.",
    no_definitions,
)
def io_manager(audited: AuditedModule) -> Iterator[Problem]:
    """Look for a class below one of Dagster's IO managers, a function that makes one, or a library's."""
    if not io_managers(audited):
        yield audited.missing("No custom IO manager")


@check(
    "storage-path",
    "The IO manager stores under DAGSTER_STORAGE_DIR",
    "That is where every container has the volume.",
    no_io_manager,
)
def storage_path(audited: AuditedModule) -> Iterator[Problem]:
    """Look for the variable, or the volume's path, in the files that the IO manager is made or built in."""
    managers = io_managers(audited)
    names = {one.name for one in managers}
    made_in = [one.file for one in managers]
    files = [file for file in audited.sources.files if any(file is one for one in made_in) or any(file.calls(*names))]
    texts = [text for file in files for text in _texts(audited, file)]
    first = managers[0]
    where = audited.shown(first.file.path, first.node.lineno)
    if any(text.startswith(STORAGE) for text in texts):
        return
    if any(map(_REMOTE.match, texts)) or all(map(_is_for_a_service, managers)):
        yield Problem("the IO manager stores in a database or an object store", status="SKIP")
    elif any(map(_writes_files, managers)):
        fix = f"Take its base path from {STORAGE[0]}, with {STORAGE[1]} as the default"
        yield Problem("The IO manager stores elsewhere", fix, where)
    else:
        yield Problem("where the IO manager stores cannot be seen", status="SKIP")


def _texts(audited: AuditedModule, file: SourceFile) -> Iterator[str]:
    # A docstring or a comment that names the variable stores nothing.
    statements = {id(node.value) for node in file.nodes if isinstance(node, ast.Expr)}
    for node in file.nodes:
        if id(node) not in statements:
            yield audited.sources.text(file, node) or ""


def _bases(one: IOManager) -> Sequence[str]:
    return [last_name(base) for base in one.node.bases] if isinstance(one.node, ast.ClassDef) else []


def _is_for_a_service(one: IOManager) -> bool:
    """Tell by names: its own, its bases', and, unless its base writes files, those of what its file imports."""
    imported = [] if not one.is_made_here or "UPathIOManager" in _bases(one) else one.file.packages
    return any(map(_SERVICES.search, (one.name, *_bases(one), *imported)))


def _writes_files(one: IOManager) -> bool:
    if not one.is_made_here:
        return one.name in _DEFAULTS
    return "UPathIOManager" in _bases(one) or any(
        isinstance(node, ast.Call) and last_name(node.func) in _WRITING for node in ast.walk(one.node)
    )


@check(
    "io-manager-registered",
    "The IO manager is registered in Definitions",
    "Assets use it only when it is named there.",
    lambda audited: no_definitions(audited) or no_io_manager(audited),
)
def io_manager_registered(audited: AuditedModule) -> Iterator[Problem]:
    """Look for the key ``io_manager`` in the resources of ``Definitions``, through names and imports."""
    keys = {key for key, _, _ in resource_items(audited)}
    if KEY in keys:
        return
    if None in keys:
        yield Problem("what the resources of Definitions hold cannot be seen without --load", status="SKIP")
    else:
        definitions = audited.code_location.definitions  # The check is made only where there are some.
        fix = f'Add resources={{"{KEY}": {io_managers(audited)[0].name}(…)}} to Definitions'
        yield Problem(f"No resource '{KEY}' in Definitions", fix, audited.shown(cast("Path", definitions)))
