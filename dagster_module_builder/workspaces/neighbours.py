"""The other workspaces that were made on this machine, so that a new one takes no name or port of theirs.

A list of folders in the user's state folder. It is a hint: without it, or where it is damaged or unwritable, only what
runs is seen. The workspaces that it names are read, never written.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.shared_files.formats import env_file

#: How many workspaces are remembered, the ones made last.
_MOST = 500
#: Bytes of the largest file that is read.
_LARGEST = 1024 * 1024
#: Seconds to wait for another workspace that is just being made.
_PATIENCE = 60.0


def _folder() -> Path:
    return settings.state_folder() / "workspaces"


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Keep other processes from choosing a name or port meanwhile, if a lock can be made."""
    with contextlib.ExitStack() as stack:
        # Without a lock only two that are made in the same second can meet; 'workspace.up' refuses the second one.
        with contextlib.suppress(OSError, RuntimeError, Timeout):
            _make_private(_folder())
            stack.enter_context(FileLock(_folder() / ".lock", mode=0o600, timeout=_PATIENCE))
        yield


def remember(root: Path) -> None:
    """Note a workspace; best within ``one_at_a_time``."""
    known = [*_known(), root.absolute()]
    if known[-1] in known[:-1]:
        return
    # Without the note, only what runs is seen.
    with contextlib.suppress(OSError, RuntimeError):
        lines = [f"{path}\n" for path in known[-_MOST:] if "\n" not in str(path)]
        _make_private(_folder())
        # A new file of 0600 replaces the list: an existing file is never written to.
        handle, name = tempfile.mkstemp(dir=_folder())
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.writelines(lines)
        Path(name).replace(_folder() / "list")


def _make_private(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)


def taken(name: str, but: Path) -> set[str]:
    """Return the values that a variable has in the ``.env`` of every known workspace but one."""
    values = (_variables(root).get(name) for root in _known() if not _is_same(root, but))
    return {value for value in values if value}


def _known() -> list[Path]:
    try:
        text = _content(_folder() / "list").decode("utf-8", "surrogateescape")
    except (OSError, RuntimeError):
        return []
    return [Path(line) for line in dict.fromkeys(text.split("\n")) if line.startswith("/") and "\0" not in line]


def _is_same(root: Path, other: Path) -> bool:
    """Tell whether two paths lead to one folder, by a link or a mount."""
    try:
        return root == other.absolute() or root.samefile(other)
    except OSError:
        return False


def _variables(root: Path) -> dict[str, str]:
    try:
        return env_file.values(_content(layout_of(root).env_file))
    except (BuilderError, OSError, ValueError):
        # The workspace is gone, is another person's, or has no env file that can be read.
        return {}


def _content(path: Path) -> bytes:
    """Return the beginning of a regular file; of anything else nothing, without waiting for it."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        return file.read(_LARGEST) if stat.S_ISREG(os.fstat(handle).st_mode) else b""


def free_name(wanted: str, names: Iterable[str]) -> str:
    """Return a name that is not among ``names``: "a" with {"a", "a-2"} -> "a-3"."""
    others, number, name = set(names), 1, wanted
    while name in others:
        number += 1
        name = f"{wanted}-{number}"
    return name
