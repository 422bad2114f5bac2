"""The files of a module as the template rendered them, kept with the module for later three-way merges.

Standard library only: the template's hooks import this file where Cookiecutter was installed alone.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: The archive's path in a module; it is committed with the module.
FILE = Path(".dagster-module/baseline.zip")

#: The template's record of its version and answers; the program alone writes it.
RECORD = ".dagster-module.json"

#: Limits of an archive: files, unpacked bytes, and the ratio of unpacked to packed size. A module of the template has
#: about 60 files and 200 kB. Entries packed to less than ``_NO_BOMB`` bytes are harmless at any allowed ratio.
MOST_FILES = 2000
MOST_BYTES = 64 << 20
MOST_RATIO = 100
_NO_BOMB = 10_000

#: A zip file without times is the same for the same files.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class FileContent:
    """One file: its bytes, and whether it is executable."""

    content: bytes
    executable: bool = False


Tree = Mapping[str, FileContent]


def tree_of(module: Path) -> dict[str, FileContent]:
    """Return the files that the template has just written, by their paths in the module."""
    files = (path for path in sorted(module.rglob("*")) if path.is_file())
    contents = {path.relative_to(module).as_posix(): _held(path) for path in files}
    return {name: content for name, content in contents.items() if name not in {RECORD, FILE.as_posix()}}


def _held(path: Path) -> FileContent:
    return FileContent(path.read_bytes(), bool(path.stat().st_mode & stat.S_IXUSR))


def packed(tree: Tree) -> bytes:
    """Return files as a zip archive, the same bytes for the same files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, file in sorted(tree.items()):
            entry = zipfile.ZipInfo(name, _NO_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (stat.S_IFREG | (0o755 if file.executable else 0o644)) << 16
            archive.writestr(entry, file.content)
    return stream.getvalue()


def read(module: Path) -> dict[str, FileContent] | None:
    """Return the baseline that is kept with a module, or None if the module has none.

    Raises:
        ValueError: It is a link, too large, or not a valid archive.
    """
    path = module / FILE
    if path.parent.is_symlink() or path.is_symlink():
        raise ValueError("it is behind a link")
    if not path.exists():
        return None
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        raise ValueError(f"it is not a file of at most {MOST_BYTES >> 20} MiB")
    return unpacked(path.read_bytes())


def unpacked(data: bytes, most_bytes: int = MOST_BYTES) -> dict[str, FileContent]:
    """Return the files of an archive that ``packed`` wrote: regular files with relative paths, each once.

    The archive may come from an untrusted source.

    Args:
        data: The archive.
        most_bytes: The limit of its unpacked size, in bytes.

    Raises:
        ValueError: The archive is anything else.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _refuse_unbounded(entries, most_bytes)
            for entry in entries:
                _refuse_unplain(entry)
            _refuse_repeated([entry.filename for entry in entries])
            return {
                entry.filename: FileContent(archive.read(entry), bool(entry.external_attr >> 16 & stat.S_IXUSR))
                for entry in entries
            }
    except (zipfile.BadZipFile, zlib.error, struct.error, KeyError, EOFError, RuntimeError, OverflowError) as error:
        raise ValueError(str(error)) from None


def _refuse_unbounded(entries: Sequence[zipfile.ZipInfo], most_bytes: int) -> None:
    # Python reads no more of an entry than its header says, so the headers bound what is read.
    total = sum(entry.file_size for entry in entries)
    if len(entries) > MOST_FILES or total > most_bytes:
        raise ValueError(f"it contains more than {MOST_FILES} files or {most_bytes >> 20} MiB")
    for entry in entries:
        if entry.file_size > MOST_RATIO * max(entry.compress_size, _NO_BOMB):
            raise ValueError(f"{entry.filename!r} is compressed by a factor of more than {MOST_RATIO}")


def _refuse_unplain(entry: zipfile.ZipInfo) -> None:
    name = entry.orig_filename
    parts = name.split("/")
    is_below = not any(part in {"", ".", "..", ".git"} for part in parts) and ":" not in parts[0]
    if not is_below or "\\" in name or not name.isprintable():
        raise ValueError(f"{name!r} is not a path of a file in the module")
    if stat.S_IFMT(entry.external_attr >> 16) not in {0, stat.S_IFREG}:
        raise ValueError(f"{name!r} is not a regular file")
    if entry.flag_bits & 1 or entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise ValueError(f"{name!r} is encrypted or compressed by an unsupported method")


def _refuse_repeated(names: Sequence[str]) -> None:
    folders = {"/".join(name.split("/")[:depth]) for name in names for depth in range(1, name.count("/") + 1)}
    repeated = next((name for name in sorted(names) if names.count(name) > 1 or name in folders), None)
    if repeated is not None:
        raise ValueError(f"it contains {repeated!r} twice")


def write(module: Path) -> None:
    """Store the baseline of a module that has just been rendered, before secrets are filled in."""
    data = packed(tree_of(module))
    path = module / FILE
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
