"""Three-way merge of a module's files: the old template's, the module's, and the current template's."""

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

#: Length of a conflict marker; longer if the files contain lines that look like markers.
MARKER_SIZE = 7
#: Suffix of the template's version, next to a file that cannot be merged line by line.
BESIDE = ".template-new"
#: Minimum share of equal lines for a file to count as renamed, as in git.
SAME_FILE = 0.5
#: A placeholder for a secret in the template's env files.
_PLACEHOLDER = re.compile(rb"^(\w+)='(@\w+@)'", re.MULTILINE)


@dataclass(frozen=True)
class UpgradedFile:
    """One file before and after the upgrade.

    Attributes:
        path: Its path in the module.
        before: Its content now; None if it does not exist.
        after: Its content after the upgrade; None if it is deleted.
        conflict: Whether both sides changed the same lines.
        note: A message about it.
        marker_size: The length of its conflict markers.
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
    """Return whether a text has a conflict marker; ``=======`` does not count, since headings look like it.

    Args:
        text: The file's bytes, or one line.
        size: The length of a marker.
    """
    return (
        re.search(rb"^(<{%d} yours|\|{%d} template |>{%d} template )" % (size, size, size), text, re.MULTILINE)
        is not None
    )


def merge(base: Tree, mine: Tree, current: Tree, versions: Versions) -> Iterator[UpgradedFile]:
    """Merge all files; yield those that change or have a note."""
    moved = {source: path for source, path in renamed(base, current).items() if source in mine and path not in mine}
    # The baseline is part of the module: it must not cause secrets to move to a file that git tracks.
    moved = {source: path for source, path in moved.items() if not is_private(source) or is_private(path)}
    for path in sorted({*base, *current} - set(moved.values())):
        yours = mine.get(path)
        old, new = (
            _like(side.get(name), yours, path) for side, name in ((base, path), (current, moved.get(path, path)))
        )
        yield from (
            _moved(path, moved[path], (old, yours, new), versions)
            if path in moved
            else _merged_file(path, old, yours, new, versions)
        )


def renamed(base: Tree, current: Tree) -> dict[str, str]:
    """Return the template's renamed files, recognised by their content: ``{"old.md": "new.md"}``."""
    renames: dict[str, str] = {}
    for source in sorted(set(base) - set(current)):
        candidates = [path for path in sorted(set(current) - set(base)) if path not in renames.values()]
        similarity = {path: _similarity(base[source].content, current[path].content) for path in candidates}
        best = max(candidates, key=similarity.__getitem__, default=None)
        if best and similarity[best] >= SAME_FILE:
            renames[source] = best
    return renames


def _similarity(old: bytes, new: bytes) -> float:
    # Empty files are all alike, which proves nothing.
    return SequenceMatcher(None, old.splitlines(), new.splitlines(), autojunk=False).ratio() if old else 0.0


def _moved(
    source: str, path: str, sides: tuple[FileContent | None, FileContent | None, FileContent | None], versions: Versions
) -> Iterator[UpgradedFile]:
    """Move a module's file to where the template moved it, with the changes of both sides."""
    old, yours, new = sides
    files = list(_merged_file(path, old, yours, new, versions))
    beside = [file for file in files if file.path != path]
    (merged,) = [file for file in files if file.path == path] or [UpgradedFile(path, yours, yours)]
    yield UpgradedFile(source, yours, None, note=f"The template renamed {source} to {path}; your file was moved too.")
    yield replace(merged, before=None)
    yield from beside


def _merged_file(
    path: str, old: FileContent | None, yours: FileContent | None, new: FileContent | None, versions: Versions
) -> Iterator[UpgradedFile]:
    if new in (old, yours):
        return
    if yours == old:
        yield UpgradedFile(path, yours, new)
    elif yours is None:
        yield UpgradedFile(path, None, None, note=f"The template changed {path}, which you deleted; it stays deleted.")
    elif new is None:
        yield UpgradedFile(path, yours, yours, note=f"The template deleted {path}, which you changed; it is kept.")
    else:
        yield from _both(path, old, yours, new, versions)


def _both(
    path: str, old: FileContent | None, yours: FileContent, new: FileContent, versions: Versions
) -> Iterator[UpgradedFile]:
    executable = new.executable if old and yours.executable == old.executable else yours.executable
    base = old.content if old else b""
    if new.content in (base, yours.content):
        content = yours.content
    elif yours.content == base:
        content = new.content
    elif any(b"\0" in content for content in (base, yours.content, new.content)):
        note = f"{path} cannot be merged line by line. Compare it with {path}{BESIDE}, then delete that file."
        yield UpgradedFile(path + BESIDE, None, new, conflict=True, note=note)
        return
    else:
        size = _marker_size(base, yours.content, new.content)
        conflicts, content = _lines(base, yours.content, new.content, versions, size)
        yield UpgradedFile(path, yours, FileContent(content, executable), conflicts > 0, marker_size=size)
        return
    if (after := FileContent(content, executable)) != yours:
        yield UpgradedFile(path, yours, after)


def _marker_size(*texts: bytes) -> int:
    """Return a marker length that no line of the files has."""
    size = MARKER_SIZE
    while any(has_markers(text, size) for text in texts):
        size += 1
    return size


def _lines(base: bytes, yours: bytes, new: bytes, versions: Versions, size: int) -> tuple[int, bytes]:
    """Merge line by line; return the number of conflicts (up to 127) and the merged text."""
    labels = ("yours", f"template {versions.old}", f"template {versions.new} (new)")
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("yours", yours), ("base", base), ("new", new)):
            Path(folder, name).write_bytes(text)
        options = [f"--marker-size={size}", *(part for label in labels for part in ("-L", label))]
        # The exit status is the number of conflicts, up to 127 (git-merge-file(1)).
        files = ("yours", "base", "new")
        command = ("merge-file", "-p", "--diff3", *options, *files)
        outside_repositories = {"GIT_CEILING_DIRECTORIES": str(Path(folder).parent)}
        result = git_program.run(Path(folder), *command, fine=range(128), environ=outside_repositories)
        return result.status, result.out


def _like(template_file: FileContent | None, yours: FileContent | None, path: str) -> FileContent | None:
    """Return the template's file with the secrets and line endings of the module's file."""
    if template_file is None or yours is None:
        return template_file
    content = template_file.content
    if path.rpartition("/")[2].startswith(".env"):
        content = with_secrets(content, env_file.values(yours.content))
    if _ends_in_crlf(yours.content) and b"\r" not in content:
        content = content.replace(b"\n", b"\r\n")
    return FileContent(content, template_file.executable)


def _ends_in_crlf(text: bytes) -> bool:
    return 2 * text.count(b"\r\n") > text.count(b"\n")


def with_secrets(text: bytes, known: Mapping[str, str]) -> bytes:
    """Replace an env file's placeholders by known values: ``A='@PASSWORD@'`` -> ``A='s3cret'``."""

    def replacement(match: re.Match[bytes]) -> bytes:
        value = known.get(match[1].decode())
        return match[0] if value is None else b"%s='%s'" % (match[1], value.encode())

    return _PLACEHOLDER.sub(replacement, text)


def secret_names(text: bytes) -> set[str]:
    """Return the variables of an env file whose values are placeholders."""
    return {match[1].decode() for match in _PLACEHOLDER.finditer(text)}


def is_private(path: str) -> bool:
    """Return whether a file holds secrets by its name: ``.env``, ``.env.deploy``; not ``.env.example``."""
    name = path.rpartition("/")[2]
    return name.startswith(".env") and not name.endswith(".example")


def placeholders(text: bytes) -> set[bytes]:
    """Return the remaining placeholders in an env file."""
    return {match[2] for match in _PLACEHOLDER.finditer(text)}
