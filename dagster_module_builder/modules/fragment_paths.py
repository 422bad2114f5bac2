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
    """Yield the paths of a module's fragments that are refused.

    Args:
        root: The workspace's root.
        judged: The rules' verdict on the fragments.

    Raises:
        NotPlainError: A file of variables is not a plain file.
    """
    for own_path in judged.paths:
        path = root / own_path.path
        base = root / (judged.owner.folder if judged.owner.owns(own_path.path) else settings.DATA)
        target = path.resolve()
        if not target.is_relative_to(base.resolve()):
            yield Refused(own_path.file, own_path.line, "", setting("link", f"{own_path.path}->{target}"), _LINK)
        elif own_path.variables:
            yield from _taken(judged.owner, own_path, module_files.read(base, path) or b"")


def _taken(owner: Owner, path: OwnPath, text: bytes) -> Iterator[Refused]:
    for line, name in taken_by_env_file(text, raw=path.variables == "raw"):
        if not owner.may_use(name):
            why = f"is taken by {path.path}:{line}, and may hold a secret of the workspace or of whoever starts it"
            yield Refused(path.file, path.line, "", setting("variable", name), why)
