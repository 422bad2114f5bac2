"""The part of a commit that the strategy git sends: one module's files as a tree, in a commit without parents."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from dagster_module_builder.base.errors import RefusedError, ToolError
from dagster_module_builder.deploy.model.deployment import DEPLOYMENTS, FILE
from dagster_module_builder.programs.version_control import Repository

#: The same for every release: equal trees are equal commits, and authors and dates are not sent.
_COMMIT = "tree {}\nauthor Release <> 0 +0000\ncommitter Release <> 0 +0000\n\nRelease\n"
_TREE, _LINK, _PROGRAM, _SUBMODULE = "040000", "120000", "100755", "160000"
_ATTRIBUTES = ".gitattributes"


class TreeEntry(NamedTuple):
    """A file, a link or a folder in a tree. There are thousands, so it is a tuple.

    Attributes:
        mode: Its mode as ``git ls-tree`` writes it.
        name: The object's name.
        path: Its path.
    """

    mode: str
    name: str
    path: str

    @property
    def order(self) -> bytes:
        """The key by which Git sorts a tree: a folder's name is compared as if it ended in a slash."""
        return (self.path + ("/" if self.mode == _TREE else "")).encode("utf-8", "surrogateescape")

    @property
    def line(self) -> bytes:
        """The entry as ``git mktree -z`` reads it."""
        kind = "tree" if self.mode == _TREE else "blob"
        return f"{self.mode} {kind} {self.name}\t{self.path}\0".encode("utf-8", "surrogateescape")

    @property
    def raw(self) -> bytes:
        """The entry as it is stored in a tree."""
        head = f"{self.mode.lstrip('0')} {self.path}\0".encode("utf-8", "surrogateescape")
        return head + bytes.fromhex(self.name)


@dataclass(frozen=True)
class Snapshot:
    """A release's files as Git objects.

    Attributes:
        entries: Its files and links.
        folders: The names of the trees that the repository has.
        made: The trees that the repository lacks, inner ones first, by name.
        tree: The name of the top tree.
    """

    entries: Sequence[TreeEntry]
    folders: frozenset[str]
    made: Mapping[str, Sequence[TreeEntry]] = field(default_factory=dict)
    tree: str = ""

    @property
    def format(self) -> str:
        """The hash by which objects are named: ``sha1`` or ``sha256``."""
        return "sha256" if len(self.tree) > 40 else "sha1"

    @property
    def other_format(self) -> str:
        """The same, if it is not the default of a new repository; else empty."""
        return "" if self.format == "sha1" else self.format

    @cached_property
    def objects(self) -> dict[str, bytes]:
        """The objects that the repository lacks, by name, as Git hashes them: trees, and the commit at the end."""
        trees = [_object("tree", b"".join(entry.raw for entry in inside)) for inside in self.made.values()]
        return {self._named(content): content for content in [*trees, self._commit]}

    @property
    def _commit(self) -> bytes:
        return _object("commit", _COMMIT.format(self.tree).encode())

    @property
    def commit(self) -> str:
        """The name of the commit."""
        return self._named(self._commit)

    def _named(self, content: bytes) -> str:
        return hashlib.new(self.format, content, usedforsecurity=False).hexdigest()


def _object(kind: str, content: bytes) -> bytes:
    return f"{kind} {len(content)}\0".encode() + content


def snapshot(repository: Repository, commit: str, path: str, include: Sequence[str] = ()) -> Snapshot:
    """Return a module's files in a commit, without deployments.

    Args:
        repository: The repository.
        commit: The commit.
        path: The module's folder in it; empty for the root.
        include: Further folders or files, with the same paths in the release as in the repository.

    Raises:
        RefusedError: One of them is not in the commit, or cannot be part of a release.
    """
    named = [name.strip("/") for name in include] if path else []
    options = ("ls-tree", "-r", "-t", "-z", "--full-tree", commit, *([path, *named] if path else []))
    items = [_entry(item) for item in repository.listed(*options)]
    trees = frozenset(entry.name for entry in items if entry.mode == _TREE)
    files = [entry for entry in items if entry.mode != _TREE]
    parts = [[entry._replace(path=entry.path[len(path) + 1 if path else 0 :]) for entry in _below(files, path)]]
    parts += [_below(files, name) for name in named]
    for name, part in zip([path, *named], parts, strict=True):
        if not part:
            raise RefusedError(
                f"Commit {commit[:8]} of {repository.top} has no {name or 'files'}: correct 'git:' in {FILE}."
            )
    return built(_without_deployments(parts), trees)


def _entry(item: str) -> TreeEntry:
    head, _, path = item.partition("\t")
    mode, _, name = head.split(" ")
    return TreeEntry(mode, name, path)


def _below(files: Iterable[TreeEntry], path: str) -> list[TreeEntry]:
    return [entry for entry in files if not path or entry.path == path or entry.path.startswith(f"{path}/")]


def _without_deployments(parts: Sequence[Sequence[TreeEntry]]) -> list[TreeEntry]:
    """Return the entries of all parts that are not in a deployment, once each."""
    entries = {entry.path: entry for part in parts for entry in part}
    marks = (Path(path).parents for path in entries if path.endswith(FILE) and Path(path).name == FILE)
    folders = {str(above[1]) for above in marks if len(above) > 2 and above[1].name == DEPLOYMENTS} | {DEPLOYMENTS}
    twice = sum(map(len, parts)) - len(entries) and _ambiguous(parts)
    if twice:
        raise RefusedError(f"{twice} is in the module and below 'git: include': rename one of them.")
    return [entry for path, entry in entries.items() if not is_in(path, folders)]


def _ambiguous(parts: Sequence[Sequence[TreeEntry]]) -> str | None:
    seen: dict[str, str] = {}
    both = (entry.path for part in parts for entry in part if seen.setdefault(entry.path, entry.name) != entry.name)
    return next(both, None)


def is_in(path: str, folders: set[str]) -> bool:
    """Tell whether a path is one of these folders, or below one."""
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def built(entries: Sequence[TreeEntry], known: frozenset[str]) -> Snapshot:
    """Return files as a tree.

    Args:
        entries: The files and links.
        known: The names of the trees that the repository has.
    """
    for entry in entries:
        if entry.mode == _SUBMODULE:
            raise RefusedError(
                f"{entry.path} is a submodule, which would be empty on hosts: use the strategy 'rsync', or remove it."
            )
    long = next((len(entry.name) for entry in entries), 40) > 40
    made: dict[str, Sequence[TreeEntry]] = {}
    unfinished = Snapshot(entries, known, made, "0" * (64 if long else 40))
    return replace(unfinished, tree=_tree(unfinished, [(entry.path.split("/"), entry) for entry in entries], 0))


def _tree(snapshot: Snapshot, files: Iterable[tuple[list[str], TreeEntry]], depth: int) -> str:
    """Return the name of the tree of some files, and note the trees that the repository lacks."""
    inside: dict[str, list[tuple[list[str], TreeEntry]]] = {}
    entries = []
    for parts, entry in files:
        if len(parts) == depth + 1:
            entries.append(TreeEntry(entry.mode, entry.name, parts[depth]))
        else:
            inside.setdefault(parts[depth], []).append((parts, entry))
    entries += [TreeEntry(_TREE, _tree(snapshot, below, depth + 1), name) for name, below in inside.items()]
    if len({entry.path for entry in entries}) < len(entries):
        raise RefusedError(
            "A file in the module and a folder below 'git: include' have the same path: rename one of them."
        )
    entries.sort(key=lambda entry: entry.order)
    content = _object("tree", b"".join(entry.raw for entry in entries))
    name = hashlib.new(snapshot.format, content, usedforsecurity=False).hexdigest()
    if name not in snapshot.folders:
        snapshot.made[name] = entries  # type: ignore[index]
    return name


def contents(repository: Repository, entries: Sequence[TreeEntry]) -> dict[str, bytes]:
    """Return the bytes of objects by their names, as committed."""
    names = list(dict.fromkeys(entry.name for entry in entries))
    if not names:
        return {}
    wanted = "".join(f"{name}\n" for name in names).encode()
    said = memoryview(repository.git_bytes("cat-file", "--batch", "--buffer", stdin=wanted))
    texts: dict[str, bytes] = {}
    position = 0
    for name in names:
        end = _line_end(said, position)
        head = bytes(said[position:end]).split(b" ")
        if len(head) < 3:
            said_of_it = b" ".join(head).decode()
            raise ToolError(
                f"git cat-file: {said_of_it}. {repository.top} is damaged or incomplete: "
                f"run 'git fsck' and 'git fetch' there."
            )
        position = end + 1 + int(head[2])
        texts[name] = bytes(said[end + 1 : position])
        position += 1
    return texts


def _line_end(said: memoryview, position: int) -> int:
    return position + bytes(said[position : position + 200]).index(b"\n")


def is_link(entry: TreeEntry) -> bool:
    """Tell whether an entry is a link."""
    return entry.mode == _LINK


def is_program(entry: TreeEntry) -> bool:
    """Tell whether an entry may be executed."""
    return entry.mode == _PROGRAM
