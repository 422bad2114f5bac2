"""The copy of a module's folder that its server sees: without secrets, and without what only its owner needs.

The module's group may read it, its user may not write it. Links stay links: one that leads out of the folder leads
nowhere where the server is.
"""

from __future__ import annotations

import compileall
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

#: What is left out: variables, and what tools keep beside the code.
_LEFT_OUT = re.compile(r"\.env(\..*)?|\.git|\.venv|venv|node_modules|__pycache__|\.[\w-]+_cache|\.dagster-module")
#: Files that show which folder is a project's.
_OF_PROJECT = ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt")


def project_of(folder: Path, root: Path) -> Path:
    """Return the folder of the project that a folder of code belongs to: the folder itself if none shows.

    Args:
        folder: The folder of code, below the root.
        root: The workspace's root, which is no project.
    """
    above = [folder, *folder.parents]
    candidates = above[: above.index(root)] if root in above else []
    return next((each for each in candidates if any((each / name).is_file() for name in _OF_PROJECT)), folder)


def copied(source: Path, target: Path) -> None:
    """Make the target what the source is; files that are the same already are left alone.

    The process's group and mask decide who may read it.
    """
    target.mkdir(parents=True, exist_ok=True)
    if _copied_folder(source, target):
        # A server may not write here, and would compile at each start.
        compileall.compile_dir(target, quiet=2)


def _copied_folder(source: Path, target: Path) -> bool:
    entries = {entry.name: entry for entry in _entries(source)}
    changed = False
    for name in os.listdir(target):
        if name not in entries and name != "__pycache__":
            _remove(target / name)
            changed = True
    for name, entry in entries.items():
        changed |= _copied_entry(entry, target / name)
    return changed


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from (entry for entry in entries if not _LEFT_OUT.fullmatch(entry.name))


def _copied_entry(entry: os.DirEntry[str], target: Path) -> bool:
    state = entry.stat(follow_symlinks=False)
    there = _state(target)
    if stat.S_ISDIR(state.st_mode):
        if there is None or not stat.S_ISDIR(there.st_mode):
            _remove(target)
            target.mkdir()
        return _copied_folder(Path(entry.path), target)
    if stat.S_ISLNK(state.st_mode):
        wanted = os.readlink(entry.path)
        if there is not None and stat.S_ISLNK(there.st_mode) and os.readlink(target) == wanted:
            return False
        _remove(target)
        target.symlink_to(wanted)
        return True
    if not stat.S_ISREG(state.st_mode) or (there is not None and _is_same(state, there)):
        return False
    return _copied_file(entry.path, state, target)


def _copied_file(source: str, state: os.stat_result, target: Path) -> bool:
    new = target.with_name(f"{target.name}.new")
    _remove(new)
    mode = 0o666 | (0o111 if state.st_mode & stat.S_IXUSR else 0)
    # A link that took the file's place since is not followed.
    read = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(read, "rb") as here, open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as there:
        shutil.copyfileobj(here, there)
    os.utime(new, ns=(state.st_atime_ns, state.st_mtime_ns))
    if target.is_dir() and not target.is_symlink():
        _remove(target)
    new.replace(target)
    return True


def _is_same(one: os.stat_result, other: os.stat_result) -> bool:
    return stat.S_ISREG(other.st_mode) and (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


def _state(path: Path) -> os.stat_result | None:
    with suppress(FileNotFoundError):
        return path.lstat()
    return None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
