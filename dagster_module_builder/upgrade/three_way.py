"""Three versions of each file into one: the template's of then, the person's, and the template's of today."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path

from dagster_module_builder.base.baseline import FileContent, Tree
from dagster_module_builder.programs import git_program
from dagster_module_builder.shared_files.formats import env_file

#: How many characters a conflict's marker begins with; more where the files have such lines of their own.
MARKER_SIZE = 7
#: Beside a file that cannot be merged line by line.
BESIDE = ".template-new"
#: From which share of equal lines on two files are one that was renamed; git says half.
SAME_FILE = 0.5
#: Stands in the template's env files where a secret is put in.
_PLACEHOLDER = re.compile(rb"^(\w+)='(@\w+@)'", re.MULTILINE)


@dataclass(frozen=True)
class Merged:
    """What becomes of one file.

    Attributes:
        path: Its path in the module.
        before: As the person left it; None where it does not exist.
        after: As it will be; None where it will not exist.
        conflict: Whether both sides changed the same lines.
        note: What a person has to know about it.
        marker_size: How many characters the markers of its conflicts begin with.
    """

    path: str
    before: FileContent | None
    after: FileContent | None
    conflict: bool = False
    note: str = ""
    marker_size: int = MARKER_SIZE


@dataclass(frozen=True)
class Versions:
    """The template's versions, for the markers."""

    old: str
    new: str


def has_markers(text: bytes, size: int = MARKER_SIZE) -> bool:
    """Tell whether a file has a conflict's marker; the line between both sides does not count: headings look like it.

    Args:
        text: The file's bytes, or a line of them.
        size: How many characters a marker begins with.
    """
    return (
        re.search(rb"^(<{%d} yours|\|{%d} template |>{%d} template )" % (size, size, size), text, re.MULTILINE)
        is not None
    )


def merge(base: Tree, mine: Tree, today: Tree, versions: Versions) -> Iterator[Merged]:
    """Merge all files; yield those that change, or about which there is something to say."""
    moved = {source: path for source, path in renamed(base, today).items() if source in mine and path not in mine}
    # A baseline comes with the module: it must not lead secrets to a file that git tracks.
    moved = {source: path for source, path in moved.items() if not is_private(source) or is_private(path)}
    for path in sorted({*base, *today} - set(moved.values())):
        yours = mine.get(path)
        old, new = (_like(side.get(name), yours, path) for side, name in ((base, path), (today, moved.get(path, path))))
        yield from (
            _moved(path, moved[path], (old, yours, new), versions)
            if path in moved
            else _one(path, old, yours, new, versions)
        )


def renamed(base: Tree, today: Tree) -> dict[str, str]:
    """Return the template's files that have another path today, recognised by what they contain."""
    found: dict[str, str] = {}
    for source in sorted(set(base) - set(today)):
        others = [path for path in sorted(set(today) - set(base)) if path not in found.values()]
        likeness = {path: _likeness(base[source].content, today[path].content) for path in others}
        best = max(others, key=likeness.__getitem__, default=None)
        if best and likeness[best] >= SAME_FILE:
            found[source] = best
    return found


def _likeness(one: bytes, other: bytes) -> float:
    # Empty files are all alike, which says nothing.
    return SequenceMatcher(None, one.splitlines(), other.splitlines(), autojunk=False).ratio() if one else 0.0


def _moved(
    source: str, path: str, sides: tuple[FileContent | None, FileContent | None, FileContent | None], versions: Versions
) -> Iterator[Merged]:
    """Let a person's file go where the template's went, with what both changed in it."""
    old, yours, new = sides
    found = list(_one(path, old, yours, new, versions))
    beside = [one for one in found if one.path != path]
    (merged,) = [one for one in found if one.path == path] or [Merged(path, yours, yours)]
    yield Merged(source, yours, None, note=f"{source} is called {path} in the template now; yours went along.")
    yield replace(merged, before=None)
    yield from beside


def _one(
    path: str, old: FileContent | None, yours: FileContent | None, new: FileContent | None, versions: Versions
) -> Iterator[Merged]:
    if new in (old, yours):
        return
    if yours == old:
        yield Merged(path, yours, new)
    elif yours is None:
        yield Merged(
            path, None, None, note=f"{path} was changed in the template; you deleted it, and it stays deleted."
        )
    elif new is None:
        yield Merged(path, yours, yours, note=f"{path} is no longer in the template; you changed it, and it stays.")
    else:
        yield from _both(path, old, yours, new, versions)


def _both(
    path: str, old: FileContent | None, yours: FileContent, new: FileContent, versions: Versions
) -> Iterator[Merged]:
    executable = new.executable if old and yours.executable == old.executable else yours.executable
    base = old.content if old else b""
    if new.content in (base, yours.content):
        content = yours.content
    elif yours.content == base:
        content = new.content
    elif any(b"\0" in one for one in (base, yours.content, new.content)):
        note = f"{path} cannot be merged line by line: the template's is beside it; keep one, delete {path}{BESIDE}."
        yield Merged(path + BESIDE, None, new, conflict=True, note=note)
        return
    else:
        size = _marker_size(base, yours.content, new.content)
        conflicts, content = _lines(base, yours.content, new.content, versions, size)
        yield Merged(path, yours, FileContent(content, executable), conflicts > 0, marker_size=size)
        return
    if (after := FileContent(content, executable)) != yours:
        yield Merged(path, yours, after)


def _marker_size(*texts: bytes) -> int:
    """Return a size that no line of the files has, so that a marker can be told from what they contain."""
    size = MARKER_SIZE
    while any(has_markers(text, size) for text in texts):
        size += 1
    return size


def _lines(base: bytes, yours: bytes, new: bytes, versions: Versions, size: int) -> tuple[int, bytes]:
    """Merge line by line; return how many conflicts git reports (up to 127), and the result."""
    labels = ("yours", f"template {versions.old}", f"template {versions.new} (new)")
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("yours", yours), ("base", base), ("new", new)):
            Path(folder, name).write_bytes(text)
        options = [f"--marker-size={size}", *(part for label in labels for part in ("-L", label))]
        # Its exit status is the number of conflicts, up to 127 (git-merge-file(1)).
        files = ("yours", "base", "new")
        command = ("merge-file", "-p", "--diff3", *options, *files)
        in_no_repository = {"GIT_CEILING_DIRECTORIES": str(Path(folder).parent)}
        done = git_program.run(Path(folder), *command, fine=range(128), environ=in_no_repository)
        return done.status, done.out


def _like(one: FileContent | None, yours: FileContent | None, path: str) -> FileContent | None:
    """Give the template's file what the person's has by nature: its secrets, and its line endings."""
    if one is None or yours is None:
        return one
    content = one.content
    if path.rpartition("/")[2].startswith(".env"):
        content = with_secrets(content, env_file.values(yours.content))
    if _ends_in_crlf(yours.content) and b"\r" not in content:
        content = content.replace(b"\n", b"\r\n")
    return FileContent(content, one.executable)


def _ends_in_crlf(text: bytes) -> bool:
    return 2 * text.count(b"\r\n") > text.count(b"\n")


def with_secrets(text: bytes, known: Mapping[str, str]) -> bytes:
    """Put known values in the place of an env file's placeholders."""

    def value(found: re.Match[bytes]) -> bytes:
        given = known.get(found[1].decode())
        return found[0] if given is None else b"%s='%s'" % (found[1], given.encode())

    return _PLACEHOLDER.sub(value, text)


def secret_names(text: bytes) -> set[str]:
    """Return the variables of an env file whose values are placeholders of secrets."""
    return {found[1].decode() for found in _PLACEHOLDER.finditer(text)}


def is_private(path: str) -> bool:
    """Tell whether a file holds secrets by its name: ``.env``, ``.env.deploy``; not ``.env.example``."""
    name = path.rpartition("/")[2]
    return name.startswith(".env") and not name.endswith(".example")


def placeholders(text: bytes) -> set[bytes]:
    """Return the placeholders of secrets that are left in an env file."""
    return {found[2] for found in _PLACEHOLDER.finditer(text)}
