"""The paths in a module's fragments: written for a workspace of the template, they are moved to where a workspace is.

Fragments are written as if the Compose file were in ``services/dagster`` and the module in ``projects``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import yaml

from dagster_module_builder.base.settings import PROJECTS, SERVICES
from dagster_module_builder.shared_files.blocks import split_lines
from dagster_module_builder.shared_files.formats.outline import KeyPath, Outline
from dagster_module_builder.shared_files.formats.shared_file import Contribution

_RELATIVE = re.compile(r"\.{1,2}(?:/|$)")
#: The end of a bind mount's source in short form: ``../../data:/data``.
_SOURCE = re.compile(r"[^:]+")


@dataclass(frozen=True)
class ModulePaths:
    """Where a workspace has what a module's fragments name.

    Attributes:
        name: The module's name.
        folder: Its folder, relative to the workspace's root.
        compose_folder: The folder that Compose resolves paths against, relative to the root.
        env_file: The workspace's file of variables, relative to the root.
    """

    name: str
    folder: str
    compose_folder: str = SERVICES.as_posix()
    env_file: str = (SERVICES / ".env").as_posix()

    @property
    def as_written(self) -> ModulePaths:
        """The paths that fragments are written with."""
        return ModulePaths(self.name, (PROJECTS / self.name).as_posix())

    def below_root(self, path: str) -> str:
        """Return a fragment's path, relative to the root, as the workspace has it."""
        written = self.as_written
        if path == written.env_file:
            return self.env_file
        inside = PurePosixPath(path)
        if not inside.is_relative_to(written.folder):
            return path
        return (PurePosixPath(self.folder) / inside.relative_to(written.folder)).as_posix()

    def moved(self, path: str) -> str:
        """Return a path for this workspace's Compose file: ``"../../projects/a/src" -> "./projects/a/src"``."""
        target = self.below_root(os.path.normpath(os.path.join(SERVICES, path)))  # noqa: PTH118 - "x/.." is resolved
        return _relative(target, self.compose_folder)

    def written(self, path: str) -> str:
        """Return a path as fragments have it: the reverse of ``moved``."""
        target, written = os.path.normpath(os.path.join(self.compose_folder, path)), self.as_written  # noqa: PTH118
        if target == self.env_file:
            target = written.env_file
        elif PurePosixPath(target).is_relative_to(self.folder):
            target = (PurePosixPath(written.folder) / PurePosixPath(target).relative_to(self.folder)).as_posix()
        return _relative(target, written.compose_folder)

    @property
    def differ(self) -> bool:
        """Whether this workspace has other paths than those that fragments are written with."""
        return self != self.as_written


def _relative(target: str, start: str) -> str:
    path = os.path.relpath(target, start)
    return path if path.startswith("..") or path == "." else f"./{path}"


def moved_contribution(contribution: Contribution, move: Callable[[str], str]) -> Contribution:
    """Return a contribution to a YAML file with every relative path of this machine moved."""
    mapping, sequence = (
        None if body is None else moved_lines(body, contribution.path, move)
        for body in (contribution.mapping, contribution.sequence)
    )
    return Contribution(contribution.path, mapping, sequence)


def moved_lines(body: Sequence[bytes], prefix: KeyPath, move: Callable[[str], str]) -> tuple[bytes, ...]:
    """Return lines of a Compose file, or of Dagster's workspace file, with every relative path of this machine moved.

    Args:
        body: The lines, without the keys of ``prefix``.
        prefix: The keys that they are below.
        move: Returns the new path for an old one.

    Raises:
        UnsafeEditError: The lines cannot be read.
    """
    outline = Outline(split_lines(b"\n".join(body)))
    nodes = sorted(_paths(outline.root, prefix), key=lambda node: -node.start_mark.index)
    text = outline.text
    for node in nodes:
        first, last = node.start_mark.index, node.end_mark.index
        text = text[:first] + _moved_scalar(text[first:last], node, move) + text[last:]
    return tuple(text.encode().split(b"\n"))


def _moved_scalar(raw: str, node: yaml.ScalarNode, move: Callable[[str], str]) -> str:
    source = _SOURCE.match(node.value)
    old = source[0] if source else node.value
    new = move(old)
    return raw.replace(old, new, 1)


def _paths(node: yaml.Node | None, path: KeyPath) -> Iterator[yaml.ScalarNode]:
    """Yield the scalars that are relative paths of this machine."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _paths(value, (*path, str(key.value)))
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _paths(item, (*path, "-"))
    elif isinstance(node, yaml.ScalarNode) and _is_path(path, node.value):
        yield node


def _is_path(path: KeyPath, value: str) -> bool:
    """Return whether a value is resolved against its file's folder: a build context, a bind mount, a file."""
    section, *rest = path
    if section == "load_from":
        return rest[-1:] == ["working_directory"] and _RELATIVE.match(value) is not None
    if section in {"secrets", "configs"}:
        return rest[1:] == ["file"]
    if section != "services":
        return False
    keys = rest[1:]
    if keys[:1] in (["env_file"], ["label_file"]):
        return keys[1:] in ([], ["-"], ["-", "path"])
    is_volume = keys in (["volumes", "-"], ["volumes", "-", "source"])
    return _RELATIVE.match(value) is not None and (is_volume or keys in (["build"], ["build", "context"]))
