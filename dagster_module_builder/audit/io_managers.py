"""Checks of the IO manager: that there is one, where it stores, and that it is registered."""

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
STORAGE = ("DAGSTER_STORAGE_DIR", "/tmp/dagster_storage")  # noqa: S108 - the volume's path in containers
#: Dagster's built-in IO managers, which write below DAGSTER_HOME or to memory unless base_dir is set.
_DEFAULTS = frozenset({"FilesystemIOManager", "InMemoryIOManager", "fs_io_manager", "mem_io_manager"})
#: Occurs in names of packages and classes that store in a database or an object store.
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
    """An IO manager that the module defines, or takes from a library and registers.

    Attributes:
        name: Its name.
        file: The file that contains it.
        node: Its class, function or expression.
    """

    name: str
    file: SourceFile
    node: ast.ClassDef | ast.FunctionDef | ast.expr

    @property
    def is_defined_here(self) -> bool:
        """Whether the module defines its class or function."""
        return not isinstance(self.node, ast.expr)


def io_managers(audited: AuditedModule) -> Sequence[IOManager]:
    """Return the module's IO managers: first those it defines, then those from libraries."""
    cached: Sequence[IOManager] | None = audited.__dict__.get("_io_managers")
    if cached is None:
        cached = audited.__dict__["_io_managers"] = _io_managers(audited)
    return cached


def _io_managers(audited: AuditedModule) -> Sequence[IOManager]:
    own = [IOManager(node.name, file, node) for file, node in audited.sources.io_managers]
    names = {manager.name for manager in own}
    values = [(file, value) for key, file, value in resource_items(audited) if key == KEY]
    registered = [IOManager(_called(value), file, value) for file, value in values]
    return [*own, *(manager for manager in registered if manager.name not in names and _is_from_library(manager))]


def _called(node: ast.expr) -> str:
    """Return the name of what is called: ``s3_pickle_io_manager.configured(…)`` -> ``s3_pickle_io_manager``."""
    inner = node.func if isinstance(node, ast.Call) else node
    return last_name(inner.value if isinstance(inner, ast.Attribute) and inner.attr == "configured" else inner)


def _is_from_library(manager: IOManager) -> bool:
    node = manager.node
    has_base_dir = isinstance(node, ast.Call) and any(keyword.arg == "base_dir" for keyword in node.keywords)
    is_named_so = manager.name.lower().replace("_", "").endswith("iomanager")
    return is_named_so and (manager.name not in _DEFAULTS or has_base_dir)


def resource_items(audited: AuditedModule) -> Iterator[tuple[str | None, SourceFile, ast.expr]]:
    """Yield each key, file and value of the resources of ``Definitions``; the key is None if it is not known."""
    for file in audited.sources.files:
        for call in file.calls("Definitions", "with_resources"):
            mappings = [keyword.value for keyword in call.keywords if keyword.arg == "resources"]
            mappings += call.args[1:2] if last_name(call.func) == "with_resources" else []
            for node in mappings:
                yield from _items(audited, file, node)


def _items(
    audited: AuditedModule, file: SourceFile, node: ast.expr, within: Sequence[ast.expr] = ()
) -> Iterator[tuple[str | None, SourceFile, ast.expr]]:
    """Yield the items of a mapping: a literal, ``dict(…)``, ``a | b``, ``**a``, ``a if b else c``, or a name for one.

    ``within`` are the enclosing expressions of the search; they prevent endless recursion through a name.
    """
    parts, within = _parts(node), [*within, node]
    defining_file, value = _definition(audited, file, node)
    if parts is not None:
        for key, part in parts:
            if key is None:
                yield from _items(audited, file, part, within)
            else:
                yield audited.sources.text(file, key), *_definition(audited, file, part)
    elif value in within:
        yield None, file, node
    else:
        yield from _items(audited, defining_file, value, within)


def _parts(node: ast.expr) -> Sequence[tuple[ast.expr | None, ast.expr]] | None:
    """Return the keys and values of a mapping, with the key None for a nested mapping; None if it is not a mapping."""
    if isinstance(node, ast.Dict):
        return list(zip(node.keys, node.values, strict=True))
    if isinstance(node, ast.Call) and last_name(node) == "dict":
        named = [(ast.Constant(keyword.arg) if keyword.arg else None, keyword.value) for keyword in node.keywords]
        return [*((None, part) for part in node.args), *named]
    if isinstance(node, ast.IfExp):
        return [(None, node.body), (None, node.orelse)]
    is_union = isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)
    return [(None, node.left), (None, node.right)] if isinstance(node, ast.BinOp) and is_union else None


def _definition(audited: AuditedModule, file: SourceFile, node: ast.expr) -> tuple[SourceFile, ast.expr]:
    """Return the file and expression that a name refers to."""
    definition = audited.sources.value_of(file, node.id) if isinstance(node, ast.Name) else None
    return definition or (file, node)


def registered_as(audited: AuditedModule) -> Sequence[str]:
    """Return the keys, other than ``io_manager``, under which assets use IO managers of the module."""
    names = {manager.name for manager in io_managers(audited)}
    keys = {key for key, _, value in resource_items(audited) if key and key != KEY and _called(value) in names}
    return sorted(keys & set(_used_keys(audited)))


def _used_keys(audited: AuditedModule) -> Iterator[str]:
    for file in audited.sources.files:
        for keyword in file.nodes_of(ast.keyword):
            if keyword.arg == "io_manager_key" and (key := audited.sources.text(file, keyword.value)):
                yield key


def no_io_manager(audited: AuditedModule) -> str:
    """Return ``"no IO manager"`` if there is none."""
    return "" if io_managers(audited) else "no IO manager"


@check(
    "io-manager",
    "Has a custom IO manager",
    "Dagster's default stores outputs outside any volume, so they are lost with the container.",
    no_definitions,
)
def io_manager(audited: AuditedModule) -> Iterator[Problem]:
    """Check that the module defines an IO manager, or registers one from a library."""
    if not io_managers(audited):
        yield audited.missing("No custom IO manager")


@check(
    "storage-path",
    "The IO manager stores under DAGSTER_STORAGE_DIR",
    "Every container has the volume mounted there.",
    no_io_manager,
)
def storage_path(audited: AuditedModule) -> Iterator[Problem]:
    """Find the variable, or the volume's path, in the files that define or create the IO manager."""
    managers = io_managers(audited)
    names = {manager.name for manager in managers}
    files = [
        file
        for file in audited.sources.files
        if any(file is manager.file for manager in managers) or any(file.calls(*names))
    ]
    texts = [text for file in files for text in _texts(audited, file)]
    first = managers[0]
    where = audited.shown(first.file.path, first.node.lineno)
    if any(text.startswith(STORAGE) for text in texts):
        return
    if any(map(_REMOTE.match, texts)) or all(map(_is_for_a_service, managers)):
        yield Problem("the IO manager stores in a database or an object store", status="SKIP")
    elif any(map(_writes_files, managers)):
        fix = f"Read its base path from {STORAGE[0]}, with {STORAGE[1]} as the default"
        yield Problem("The IO manager stores elsewhere", fix, where)
    else:
        yield Problem("it is not visible where the IO manager stores", status="SKIP")


def _texts(audited: AuditedModule, file: SourceFile) -> Iterator[str]:
    # Skip docstrings: one that mentions the variable is no evidence.
    statements = {id(node.value) for node in file.nodes_of(ast.Expr)}
    for node in file.nodes:
        if id(node) not in statements:
            yield audited.sources.text(file, node) or ""


def _bases(manager: IOManager) -> Sequence[str]:
    return [last_name(base) for base in manager.node.bases] if isinstance(manager.node, ast.ClassDef) else []


def _is_for_a_service(manager: IOManager) -> bool:
    """Return whether it stores in a service, judged by its name, its bases, and its file's imports."""
    bases = _bases(manager)
    imported = [] if not manager.is_defined_here or "UPathIOManager" in bases else manager.file.packages
    return any(map(_SERVICES.search, (manager.name, *bases, *imported)))


def _writes_files(manager: IOManager) -> bool:
    if not manager.is_defined_here:
        return manager.name in _DEFAULTS
    return "UPathIOManager" in _bases(manager) or any(
        isinstance(node, ast.Call) and last_name(node.func) in _WRITING for node in ast.walk(manager.node)
    )


@check(
    "io-manager-registered",
    "The IO manager is registered in Definitions",
    "Assets use it only if it is registered there.",
    lambda audited: no_definitions(audited) or no_io_manager(audited),
)
def io_manager_registered(audited: AuditedModule) -> Iterator[Problem]:
    """Check that the resources of ``Definitions`` have the key ``io_manager``; follows names and imports."""
    keys = {key for key, _, _ in resource_items(audited)}
    if KEY in keys:
        return
    if others := registered_as(audited):
        first = others[0]
        message = f"The IO manager is registered as '{first}', which only assets with io_manager_key='{first}' use"
        yield Problem(message, f"Register it as '{KEY}', too, for the other assets", status="WARN")
    elif None in keys:
        yield Problem("the resources of Definitions are not visible without --load", status="SKIP")
    else:
        definitions = audited.code_location.definitions  # The check runs only if there are definitions.
        fix = f'Add resources={{"{KEY}": {io_managers(audited)[0].name}(…)}} to Definitions'
        yield Problem(f"No resource '{KEY}' in Definitions", fix, audited.shown(cast("Path", definitions)))
