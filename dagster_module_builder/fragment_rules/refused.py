"""A setting that a module may not have by itself, and what a person allows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dagster_module_builder.base.errors import UsageError

#: What is longer says too much to be allowed unread.
_LONGEST_SETTING = 300
#: A module's name and a setting, as ``--allow`` takes them.
_ALLOWANCE = re.compile(r"([a-z][a-z0-9_-]*)=(\S.*)")


@dataclass(frozen=True)
class Refused:
    """A setting that a module has and may not have by itself.

    Attributes:
        file: The shared file that its fragment is for.
        line: Its line in the fragment, counted from 1.
        place: What in the fragment has it: ``services.shop_db``, or an instruction.
        setting: What ``--allow`` calls it: its key, and behind a colon its value (``cap_add:SYS_ADMIN``).
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
    """Return a setting's name, from its key path and its value.

    >>> setting("cap_add", "SYS_ADMIN"), setting("privileged", "true")
    ('cap_add:SYS_ADMIN', 'privileged')
    """
    name = path if value in {None, "", "true"} else f"{path}:{value}"
    return " ".join(name[:_LONGEST_SETTING].split())


def covers(allowed: str, name: str) -> bool:
    """Tell whether a setting is allowed: by its name, or by the key before its value.

    >>> covers("cap_add", "cap_add:SYS_ADMIN"), covers("cap_add:SYS", "cap_add:SYS_ADMIN")
    (True, False)
    """
    is_value = ":" in allowed
    return name == allowed or name.startswith(f"{allowed}:") or (not is_value and name.startswith(f"{allowed}."))


def covered(allowed: Iterable[str], refused: Refused) -> bool:
    """Tell whether one of the allowed settings is this one."""
    return any(covers(name, refused.setting) for name in allowed)


def parse_allowances(given: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Read what ``--allow`` was given: ``NAME=SETTING``, as often as there are settings.

    Returns:
        The settings by the module's name.

    Raises:
        UsageError: One of them is none.
    """
    found: dict[str, tuple[str, ...]] = {}
    for text in given:
        match = _ALLOWANCE.fullmatch(text.strip())
        if match is None:
            raise UsageError(f"--allow takes NAME=SETTING, as the refusal prints it, and not {text!r}.")
        found[match[1]] = (*found.get(match[1], ()), match[2])
    return found


def used(allowed: Sequence[str], refused: Sequence[Refused]) -> tuple[str, ...]:
    """Return the allowed settings that a module has, once each."""
    return tuple(dict.fromkeys(name for name in allowed if any(covers(name, one.setting) for one in refused)))
