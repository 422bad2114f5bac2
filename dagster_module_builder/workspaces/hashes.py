"""The hashes of what a workspace installs: brought into one of an earlier version, which knew versions only.

Lines of the Dockerfile are changed where they stand as the template wrote them, and no pip reads the file that they are
in: pip refuses constraints with hashes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dagster_module_builder.base import settings
from dagster_module_builder.claims.conflicts import Finding
from dagster_module_builder.modules.dagster_check import CONSTRAINTS
from dagster_module_builder.modules.hashes import HASHES, REFRESH, pins, shown, without_hashes
from dagster_module_builder.shared_files.blocks import join
from dagster_module_builder.shared_files.formats import compose, dockerfile
from dagster_module_builder.templating.template_folders import WORKSPACE_TEMPLATE, template_folder
from dagster_module_builder.transactions.plan import FileChange
from dagster_module_builder.workspaces.workspace import Workspace

LOCK = CONSTRAINTS.with_name(HASHES)
_IGNORE = Path(".dockerignore")
#: What the template's Dockerfile said before it knew of hashes, and with what it begins and ends to say it now.
_BEFORE = (
    b"COPY services/dagster/constraints.txt /opt/dagster/constraints.txt",
    b"RUN python3 -m pip install --no-cache-dir --constraint /opt/dagster/constraints.txt uv \\",
)
_FIRST, _LAST = b"COPY services/dagster/constraints.txt ", b"RUN python3 -m pip install "
#: A line by which pip, not uv, reads the constraints in the image.
_PIP = re.compile(rb"(?<!uv )pip3? .*/opt/dagster/constraints\.txt")


def with_lock(workspace: Workspace) -> tuple[Workspace, list[FileChange], list[str]]:
    """Return a workspace whose image is built by hashes, the changes of other files for it, and what to say of it."""
    if not is_missing(workspace):
        return workspace, [], []
    changes = [FileChange(workspace.root / LOCK, None, _template(LOCK))]
    text = _with_hashes(workspace)
    if text is None:
        note = f"Warning: {workspace.path(dockerfile.NAME)} was edited: the image takes no hashes from {LOCK.name}."
        return workspace, changes, [f"{note} The Dockerfile of a new workspace has the lines that do."]
    ignored = _ignored(workspace.root / _IGNORE)
    note = f"{LOCK.name} has the hashes of {CONSTRAINTS.name}: the image takes no other file, from the next build on."
    return replace(workspace, files={**workspace.files, dockerfile.NAME: text}), [*changes, *ignored], [note]


def is_missing(workspace: Workspace) -> bool:
    """Tell whether a workspace has versions of the template's, and not their hashes."""
    own = _text(workspace.root / CONSTRAINTS)
    if not own or not workspace.layout.has_compose or (workspace.root / LOCK).exists() or not _is_templates(workspace):
        return False
    return not set(pins(own)).isdisjoint(pins(_template(CONSTRAINTS).decode()))


def _is_templates(workspace: Workspace) -> bool:
    """Return whether the template made a workspace: a person's own constraints may have pins in common with its."""
    return any(b"/opt/dagster/constraints.txt" in line for line in workspace.layouts[dockerfile.NAME].own) or (
        b"${WORKSPACE_NETWORK}" in workspace.own_text(compose.NAME)
    )


def findings(workspace: Workspace) -> Iterator[Finding]:
    """Tell of versions that are installed without a look at their hashes."""
    where = str(workspace.root / LOCK)
    if is_missing(workspace):
        message = f"there are no hashes: what is installed is compared with the versions in {CONSTRAINTS.name} only"
        yield Finding("warning", message, where, "Run 'workspace.sync'", command="workspace.sync")
    elif (workspace.root / LOCK).is_file():
        lacking = without_hashes(_text(workspace.root / CONSTRAINTS), _text(workspace.root / LOCK))
        if lacking:
            message = f"hashes are not verified of {shown(lacking)}"
            yield Finding("warning", message, where, f"Run there: {REFRESH}")


def _with_hashes(workspace: Workspace) -> bytes | None:
    """Return the Dockerfile with today's lines in place of those of then; None where they are not as they were."""
    layout = workspace.layouts[dockerfile.NAME].copy()
    own = [line.rstrip(b"\r\n") for line in layout.own]
    at = next((number for number in range(len(own)) if tuple(own[number : number + 2]) == _BEFORE), None)
    others = [line for number, line in enumerate(own) if at is None or number not in {at, at + 1}]
    if at is None or any(map(_PIP.search, others)):
        return None
    layout.replace_own(at, 2, _lines_of_today())
    return join(layout)


def _lines_of_today() -> list[bytes]:
    lines = _template(settings.SERVICES / dockerfile.NAME).splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if line.startswith(_FIRST))
    last = next(number for number, line in enumerate(lines) if line.startswith(_LAST))
    return lines[first : last + 1]


def _ignored(path: Path) -> list[FileChange]:
    """Return the change by which the lock reaches the builder."""
    text = path.read_bytes() if path.is_file() else b""
    allowed, added = (b"!%s\n" % file.as_posix().encode() for file in (CONSTRAINTS, LOCK))
    if added in text or allowed not in text:
        return []
    return [FileChange(path, text, text.replace(allowed, allowed + added))]


def _template(file: Path) -> bytes:
    return (template_folder(WORKSPACE_TEMPLATE) / "{{cookiecutter.name}}" / file).read_bytes()


def _text(path: Path) -> str:
    return path.read_text("utf-8", "replace") if path.is_file() else ""
