"""Problems in shared files: conflicting claims, repeated keys, ambiguous values, permissions."""

from __future__ import annotations

import re
import shlex
import stat
from collections.abc import Iterator
from functools import partial

from dagster_module_builder.base import settings
from dagster_module_builder.claims.conflicts import Finding, duplicates, undefined
from dagster_module_builder.modules.module import FRAGMENT_NAMES
from dagster_module_builder.shared_files.formats import compose, env_file, workspace_yaml
from dagster_module_builder.shared_files.formats.outline import outline_of
from dagster_module_builder.transactions import module_files
from dagster_module_builder.transactions.plan import SECRET_MODE
from dagster_module_builder.workspaces.clashes import all_facts
from dagster_module_builder.workspaces.workspace import Workspace

#: The shared file of each kind of claim; the compose file has the others.
_FILES = {"locations": workspace_yaml.NAME, "env": env_file.NAME, "ports": env_file.NAME}


def conflicting_claims(workspace: Workspace) -> Iterator[Finding]:
    """Yield what two owners claim, and variables that are not set."""
    facts = all_facts(workspace)
    where = partial(_where, workspace)
    yield from duplicates(facts, where=where)
    yield from undefined(facts, facts, where=where)


def _where(workspace: Workspace, owner: str, attribute: str, name: object) -> str:
    """Return the ``path:line`` of the first line that names a claim, or the path if no line does."""
    file = _FILES.get(attribute, compose.NAME)
    entry = workspace.registry.find(owner)
    if entry is None:
        path, text = workspace.path(file), workspace.files[file]
    else:
        module = workspace.root / entry.path
        path = module / settings.FRAGMENTS / FRAGMENT_NAMES[file]
        text = module_files.read(module, path)
    lines = (text or b"").split(b"\n")
    word = re.compile(rb"(?<![\w-])" + re.escape(str(name).encode()) + rb"(?![\w-])")
    line = next((number for number, text in enumerate(lines, 1) if word.search(text)), None)
    return f"{path}:{line}" if line else str(path)


def repeated_keys(workspace: Workspace) -> Iterator[Finding]:
    """Yield the repeated keys of the YAML files, of which only the last one counts."""
    for file in filter(workspace.layouts.__contains__, (workspace_yaml.NAME, compose.NAME)):
        layout = workspace.layouts[file]
        for position, path in outline_of(layout.own).repeated:
            where = f"{workspace.path(file)}:{layout.line_number(position)}"
            message = f"the key {path[-1]!r} is repeated, and only the last one counts"
            yield Finding("error", message, where, "Delete one")


def ambiguous_values(workspace: Workspace) -> Iterator[Finding]:
    """Yield the values outside of blocks that Dagster and Compose read differently."""
    path, layout = workspace.path(env_file.NAME), workspace.layouts[env_file.NAME]
    for entry, reason in env_file.read_differently(workspace.own_text(env_file.NAME)):
        message = f"Dagster and Compose do not read the same value of {entry.name}"
        where = f"{path}:{layout.line_number(entry.line)}"
        yield Finding("warning", message, where, reason[:1].upper() + reason[1:])


def readable_secrets(workspace: Workspace) -> Iterator[Finding]:
    """Yield a finding if other users may read the ``.env``."""
    path = workspace.path(env_file.NAME)
    if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077:
        command = f"chmod {SECRET_MODE:o} {shlex.quote(str(path))}"
        yield Finding("warning", "others can read the secrets in this file", str(path), f"Run '{command}'", "", command)
