"""``.dockerignore``: which files of a build context the builder does not get."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path, PurePosixPath

from dagster_module_builder.compose.stack import Reader

NAME = ".dockerignore"


def is_ignored(patterns: str, path: str) -> bool:
    """Return whether a file is ignored (https://docs.docker.com/build/concepts/context/#dockerignore-files).

    Args:
        patterns: The text of ``.dockerignore``; the last matching pattern decides.
        path: The file, relative to the context.
    """
    ignored = False
    for line in patterns.lstrip("\ufeff").splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        excepts = pattern.startswith("!")
        if _matches(posixpath.normpath(pattern.removeprefix("!").strip()).lstrip("/"), path):
            ignored = not excepts
    return ignored


def _matches(pattern: str, path: str) -> bool:
    shape = re.compile("".join(map(_translated, re.findall(r"\*\*/?|\*|\?|\[[^]]*\]|.", pattern))))
    folders = [str(parent) for parent in PurePosixPath(path).parents if str(parent) != "."]
    return any(shape.fullmatch(candidate) for candidate in (path, *folders))


def _translated(part: str) -> str:
    wildcards = {"**": ".*", "**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    return wildcards.get(part) or (part if len(part) > 1 else re.escape(part))


def path_in_context(context: Path, dockerfile: Path, file: Path, read: Reader) -> str | None:
    """Return a file's path in a build context, or None if the builder does not get it."""
    if not file.is_relative_to(context):
        return None
    path = file.relative_to(context).as_posix()
    # ``<Dockerfile>.dockerignore`` takes precedence over the context's ``.dockerignore``.
    patterns = read(dockerfile.with_name(dockerfile.name + NAME)) or read(context / NAME) or b""
    return None if is_ignored(patterns.decode("utf-8", "replace"), path) else path
