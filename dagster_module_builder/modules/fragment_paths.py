"""The files of a module that Docker reads: links that lead out of it, and variables that they take from the shell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dagster_module_builder.base import settings
from dagster_module_builder.fragment_rules.owner import Owner, OwnPath
from dagster_module_builder.fragment_rules.references import taken_by_env_file
from dagster_module_builder.fragment_rules.refused import Refused, setting
from dagster_module_builder.fragment_rules.rules import Judged
from dagster_module_builder.transactions import module_files

_LINK = "leads out of the module's folder through a link"


def refused_paths(root: Path, judged: Judged) -> Iterator[Refused]:
    """Yield what is refused of the paths that a module's fragments name.

    Args:
        root: The workspace's root.
        judged: What the rules say of the fragments.

    Raises:
        NotPlainError: A file of variables is none.
    """
    for one in judged.paths:
        path = root / one.path
        base = root / (judged.owner.folder if judged.owner.owns(one.path) else settings.DATA)
        target = path.resolve()
        if not target.is_relative_to(base.resolve()):
            yield Refused(one.file, one.line, "", setting("link", f"{one.path}->{target}"), _LINK)
        elif one.variables:
            yield from _taken(judged.owner, one, module_files.read(base, path) or b"")


def _taken(owner: Owner, path: OwnPath, text: bytes) -> Iterator[Refused]:
    for line, name in taken_by_env_file(text, raw=path.variables == "raw"):
        if not owner.may_use(name):
            why = f"is taken by {path.path}:{line}, and may hold a secret of the workspace or of whoever starts it"
            yield Refused(path.file, path.line, "", setting("variable", name), why)
