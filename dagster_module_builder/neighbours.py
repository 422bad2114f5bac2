"""The other workspaces that were made on this machine, so that a new one takes no name or port of theirs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from dagster_module_builder import settings
from dagster_module_builder.formats import env_file


def _record() -> Path:
    return settings.cache_folder() / "workspaces"


def remember(root: Path) -> None:
    """Note that a workspace was made."""
    # Without the note, only what runs is seen.
    with contextlib.suppress(OSError):
        _record().parent.mkdir(parents=True, exist_ok=True)
        with _record().open("a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(f"{root.absolute()}\n")


def taken(name: str, but: Path) -> set[str]:
    """Return the values that a variable has in the ``.env`` of every known workspace but one."""
    values = (_variables(root).get(name) for root in _known() if root != but.absolute())
    return {value for value in values if value}


def _known() -> list[Path]:
    try:
        lines = _record().read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []
    return [Path(line) for line in dict.fromkeys(lines) if line]


def _variables(root: Path) -> dict[str, str]:
    try:
        return env_file.values((root / settings.SERVICES / env_file.NAME).read_bytes())
    except OSError:
        # The workspace is gone, or another person's.
        return {}


def free_name(wanted: str, names: Iterable[str]) -> str:
    """Return a name that is not among others: the wanted one, or that with the first number from 2 up that is free."""
    others, number, name = set(names), 1, wanted
    while name in others:
        number += 1
        name = f"{wanted}-{number}"
    return name
