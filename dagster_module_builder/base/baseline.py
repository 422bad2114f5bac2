"""What the template gave to a module when it was made: kept with the module, to tell later who changed what.

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

#: Where it lies in a module; beside the module's own files in git.
FILE = Path(".dagster-module/baseline.zip")

#: What the template records of itself, which nobody edits.
RECORD = ".dagster-module.json"

#: How many files an archive may hold, how much in bytes, and how many times smaller they may be packed; a module of
#: the template has some 60 files and 200 kB. What is packed to less than ``_NO_BOMB`` bytes can do no harm.
MOST_FILES = 2000
MOST_BYTES = 64 << 20
MOST_RATIO = 100
_NO_BOMB = 10_000

#: A zip file without times is the same for the same files.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Held:
    """One file: its bytes, and whether it can be executed."""

    content: bytes
    executable: bool = False


Tree = Mapping[str, Held]


def tree_of(module: Path) -> dict[str, Held]:
    """Read the files that the template has just written, by their paths in the module."""
    files = (path for path in sorted(module.rglob("*")) if path.is_file())
    found = {path.relative_to(module).as_posix(): _held(path) for path in files}
    return {name: one for name, one in found.items() if name not in {RECORD, FILE.as_posix()}}


def _held(path: Path) -> Held:
    return Held(path.read_bytes(), bool(path.stat().st_mode & stat.S_IXUSR))


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


def read(module: Path) -> dict[str, Held] | None:
    """Read the baseline that is kept with a module; None where there is none.

    Raises:
        ValueError: It is a link, too large, or no archive that can be believed.
    """
    path = module / FILE
    if path.parent.is_symlink() or path.is_symlink():
        raise ValueError("it is behind a link")
    if not path.exists():
        return None
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        raise ValueError(f"it is no file of at most {MOST_BYTES >> 20} MiB")
    return unpacked(path.read_bytes())


def unpacked(data: bytes, most_bytes: int = MOST_BYTES) -> dict[str, Held]:
    """Read what ``packed`` wrote: plain files below one folder, each once. The archive may come from a stranger.

    Args:
        data: The archive.
        most_bytes: How much it may hold, in bytes.

    Raises:
        ValueError: It is no such archive.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _refuse_unbounded(entries, most_bytes)
            for entry in entries:
                _refuse_unplain(entry)
            _refuse_repeated([entry.filename for entry in entries])
            return {
                entry.filename: Held(archive.read(entry), bool(entry.external_attr >> 16 & stat.S_IXUSR))
                for entry in entries
            }
    except (zipfile.BadZipFile, zlib.error, struct.error, KeyError, EOFError, RuntimeError, OverflowError) as error:
        raise ValueError(str(error)) from None


def _refuse_unbounded(entries: Sequence[zipfile.ZipInfo], most_bytes: int) -> None:
    # Python reads no more of an entry than its header says, so the headers bound what is read.
    total = sum(entry.file_size for entry in entries)
    if len(entries) > MOST_FILES or total > most_bytes:
        raise ValueError(f"it holds more than {MOST_FILES} files or {most_bytes >> 20} MiB")
    for entry in entries:
        if entry.file_size > MOST_RATIO * max(entry.compress_size, _NO_BOMB):
            raise ValueError(f"{entry.filename!r} is packed more than {MOST_RATIO} times")


def _refuse_unplain(entry: zipfile.ZipInfo) -> None:
    name = entry.orig_filename
    parts = name.split("/")
    is_below = not any(part in {"", ".", "..", ".git"} for part in parts) and ":" not in parts[0]
    if not is_below or "\\" in name or not name.isprintable():
        raise ValueError(f"{name!r} is no path of a file below the module")
    if stat.S_IFMT(entry.external_attr >> 16) not in {0, stat.S_IFREG}:
        raise ValueError(f"{name!r} is no plain file")
    if entry.flag_bits & 1 or entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise ValueError(f"{name!r} is packed in another way than this program's")


def _refuse_repeated(names: Sequence[str]) -> None:
    folders = {"/".join(name.split("/")[:depth]) for name in names for depth in range(1, name.count("/") + 1)}
    repeated = next((name for name in sorted(names) if names.count(name) > 1 or name in folders), None)
    if repeated is not None:
        raise ValueError(f"{repeated!r} is in it twice")


def write(module: Path) -> None:
    """Keep the files of a module that has just been rendered, before any secret stands in one."""
    data = packed(tree_of(module))
    path = module / FILE
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
