"""Refused settings, and the settings that the user allows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dagster_module_builder.base.errors import UsageError

#: A longer name of a setting is cut.
_LONGEST_SETTING = 300
#: A module's name and a setting, as ``--allow`` takes them.
_ALLOWANCE = re.compile(r"([a-z][a-z0-9_-]*)=(\S.*)")


@dataclass(frozen=True)
class Refused:
    """A setting of a module that needs the user's permission.

    Attributes:
        file: The shared file that its fragment is for.
        line: Its line in the fragment, counted from 1.
        place: What has it: ``services.shop_db``, or an instruction.
        setting: Its name for ``--allow``: its key, and its value after a colon (``cap_add:SYS_ADMIN``).
        why: What it would do.
    """

    file: str
    line: int
    place: str
    setting: str
    why: str

    def __str__(self) -> str:
        place = f"{self.place}: " if self.place else ""
        return f"{place}{self.setting!r} {self.why}"


def setting(path: str, value: str | None) -> str:
    """Return a setting's name from its key path and value.

    >>> setting("cap_add", "SYS_ADMIN"), setting("privileged", "true")
    ('cap_add:SYS_ADMIN', 'privileged')
    """
    name = path if value in {None, "", "true"} else f"{path}:{value}"
    return " ".join(name[:_LONGEST_SETTING].split())


def covers(allowed: str, name: str) -> bool:
    """Return whether a setting is allowed by its name, or by its key.

    >>> covers("cap_add", "cap_add:SYS_ADMIN"), covers("cap_add:SYS", "cap_add:SYS_ADMIN")
    (True, False)
    """
    is_value = ":" in allowed
    return name == allowed or name.startswith(f"{allowed}:") or (not is_value and name.startswith(f"{allowed}."))


def covered(allowed: Iterable[str], refused: Refused) -> bool:
    """Return whether one of the allowed settings is this one."""
    return any(covers(name, refused.setting) for name in allowed)


def parse_allowances(texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the settings in the values of ``--allow``, by module: ``["shop=pid"] -> {"shop": ("pid",)}``.

    Raises:
        UsageError: A value is not ``NAME=SETTING``.
    """
    allowed: dict[str, tuple[str, ...]] = {}
    for text in texts:
        match = _ALLOWANCE.fullmatch(text.strip())
        if match is None:
            raise UsageError(f"--allow {text!r}: write NAME=SETTING, as the error message prints it.")
        allowed[match[1]] = (*allowed.get(match[1], ()), match[2])
    return allowed


def used(allowed: Sequence[str], refused: Sequence[Refused]) -> tuple[str, ...]:
    """Return the allowed settings that a module has, without duplicates."""
    return tuple(dict.fromkeys(name for name in allowed if any(covers(name, each.setting) for each in refused)))
