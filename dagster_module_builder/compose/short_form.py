"""Compose's short form of volumes and ports: parts between colons, which variables may contain too."""

from __future__ import annotations

import posixpath
import re


def parts_of(text: str) -> list[str]:
    """Return the parts of a short form: ``"${A:-${B}/c}:/d:ro" -> ["${A:-${B}/c}", "/d", "ro"]``."""
    parts, depth = [""], 0
    for position, letter in enumerate(text):
        if letter == "{" and text[:position].endswith("$"):
            depth += 1
        elif letter == "}" and depth:
            depth -= 1
        if letter == ":" and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def clean_path(path: str) -> str:
    """Return a container's path as Compose writes it: ``"//srv/a/../b/" -> "/srv/b"``."""
    # ``normpath`` keeps two slashes at the beginning, as POSIX allows it to mean something else.
    return re.sub("^//", "/", posixpath.normpath(path))
