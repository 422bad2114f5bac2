"""Which modules' code may run: those in the workspace, those made here, and those that the person agreed to.

Adding a module is trusting it: from then on the workspace runs its code. Code of any other module runs only after a
question. The answer is remembered by the module's content, so that a changed module is asked about again.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.transactions.registry import parse_registry

#: Files of more bytes count by their size and time, not by their content.
_LARGE = 1 << 20
#: Folders that tools make while a person works on a module.
_MADE_BY_TOOLS = {".git", ".venv", "__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache"}


def is_trusted(root: Path, module: Path, environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether a module's code may run without a question.

    A pipeline (``CI=true``, as GitHub, GitLab and Jenkins's own plugins set it) runs what was checked out for it.

    Args:
        root: The workspace's root.
        module: The module's folder.
        environ: This process's variables.
    """
    in_pipeline = environ.get("CI", "").lower() in {"1", "true"}
    return in_pipeline or _is_integrated(root, module) or _is_noted(module)


def _is_noted(module: Path) -> bool:
    try:
        return _made(module).exists() or _agreed(module).exists()
    except (OSError, RuntimeError):
        # There is no folder for notes: a user without an entry in the passwd file has no home.
        return False


def remember_made(module: Path) -> None:
    """Note that a module was made here, by its path."""
    _note(module, _made)


def remember_agreed(module: Path) -> None:
    """Note that the person agreed to a module, by its content."""
    _note(module, _agreed)


def _is_integrated(root: Path, module: Path) -> bool:
    path = layout_of(root).registry
    try:
        entry = parse_registry(path, path.read_bytes() if path.is_file() else None).find(module.name)
    except (BuilderError, OSError):
        return False
    return entry is not None and (root / entry.path).resolve() == module.resolve()


def _folder() -> Path:
    return settings.state_folder() / "trusted"


def _made(module: Path) -> Path:
    return _folder() / f"made-{hashlib.sha256(os.fsencode(module.resolve())).hexdigest()}"


def _agreed(module: Path) -> Path:
    return _folder() / f"agreed-{_content(module)}"


def _note(module: Path, file_of: Callable[[Path], Path]) -> None:
    try:
        file = file_of(module)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(0o600)
    except (OSError, RuntimeError):
        # Without a note, the question is asked again.
        return


def _content(module: Path) -> str:
    digest = hashlib.sha256(os.fsencode(module.name))
    for path in sorted(_paths(module)):
        digest.update(os.fsencode(path.relative_to(module)) + b"\0" + _what(path) + b"\0")
    return digest.hexdigest()


def _paths(module: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(module):
        folders[:] = [name for name in folders if name not in _MADE_BY_TOOLS]
        yield from (Path(folder, name) for name in (*folders, *files))


def _what(path: Path) -> bytes:
    state = path.lstat()
    if stat.S_ISLNK(state.st_mode):
        return b"link " + os.fsencode(os.readlink(path))  # noqa: PTH115 - its bytes
    if not stat.S_ISREG(state.st_mode):
        return b"folder" if stat.S_ISDIR(state.st_mode) else b"other"
    if state.st_size > _LARGE:
        return b"large %d %d" % (state.st_size, state.st_mtime_ns)
    return hashlib.sha256(path.read_bytes()).digest()
