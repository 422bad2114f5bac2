"""What the template gave to a module when it was made: kept with the module, to tell later who changed what.

Standard library only: the template's hooks import this file where Cookiecutter was installed alone.
"""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: Where it lies in a module; beside the module's own files in git.
FILE = Path(".dagster-module/baseline.zip")

#: What the template records of itself, which nobody edits.
RECORD = ".dagster-module.json"

#: A zip file without times is the same for the same files.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Held:
    """One file: its bytes, and whether it can be executed."""

    content: bytes
    executable: bool = False


Tree = Mapping[str, Held]


def held(path: Path) -> Held:
    """Read one file."""
    return Held(path.read_bytes(), bool(path.stat().st_mode & stat.S_IXUSR))


def tree_of(module: Path) -> dict[str, Held]:
    """Read the files that the template has just written, by their paths in the module."""
    files = (path for path in sorted(module.rglob("*")) if path.is_file())
    found = {path.relative_to(module).as_posix(): held(path) for path in files}
    return {name: one for name, one in found.items() if name not in {RECORD, FILE.as_posix()}}


def packed(tree: Tree) -> bytes:
    """Write files as a zip archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, one in sorted(tree.items()):
            entry = zipfile.ZipInfo(name, _NO_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (stat.S_IFREG | (0o755 if one.executable else 0o644)) << 16
            archive.writestr(entry, one.content)
    return stream.getvalue()


def unpacked(data: bytes) -> dict[str, Held]:
    """Read what ``packed`` wrote.

    Raises:
        ValueError: It is no such archive.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {
                entry.filename: Held(archive.read(entry), bool(entry.external_attr >> 16 & stat.S_IXUSR))
                for entry in archive.infolist()
            }
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise ValueError(str(error)) from None


def write(module: Path) -> None:
    """Keep the files of a module that has just been rendered, before any secret stands in one."""
    data = packed(tree_of(module))
    path = module / FILE
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
