"""Lines of logs as entries: when, how bad, and what; a line without a date belongs to the entry before it. Pure."""

from __future__ import annotations

import re
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
#: Dagster's own lines (``2026-01-05 06:00:00 +0000 - dagster.daemon - INFO - it said``), with or without a logger.
DAGSTERS = re.compile(
    r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:[.,](\d+))?(?: ([+-]\d{4}))? - (?:\S+ - )?"
    r"(DEBUG|INFO|WARNING|ERROR|CRITICAL) - "
)
#: uvicorn's (``INFO:     Started server process``).
UVICORNS = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL):\s+")
COLOUR = re.compile("\x1b\\[[0-9;]*m")
#: Characters of an entry that are sent.
LONGEST = 20_000


def seconds_of(date: str, fraction: str | None, zone: str | None) -> float | None:
    """Return a date of a log as seconds since 1970; this host's time if it names no zone."""
    try:
        if zone is None:
            whole = time.mktime(time.strptime(date, "%Y-%m-%d %H:%M:%S"))
        else:
            parsed = time.strptime(f"{date} +0000", "%Y-%m-%d %H:%M:%S +0000")
            away = (int(zone[1:3]) * 60 + int(zone[3:])) * 60 * (-1 if zone[0] == "-" else 1)
            whole = _utc(parsed) - away
    except (ValueError, OverflowError):
        return None
    return max(0.0, whole + (float(f"0.{fraction}") if fraction else 0.0))


def _utc(parsed: time.struct_time) -> float:
    from calendar import timegm

    return float(timegm(parsed))


def entries(source: str, lines: Iterable[tuple[float | None, str]]) -> Iterator[dict[str, Any]]:
    """Yield an entry for each line that begins one, with the lines that belong to it.

    Args:
        source: Whose log it is.
        lines: Each line with the time at which it was written, if that is known.
    """
    entry: dict[str, Any] = {}
    for known, line in lines:
        text = COLOUR.sub("", line.rstrip())
        found = DAGSTERS.match(text)
        plain = None if found else UVICORNS.match(text)
        if not text:
            continue
        if entry and not found and not plain and (text[0].isspace() or known is None):
            entry["text"] = f"{entry['text']}\n{text}"[:LONGEST]
            continue
        if entry:
            yield entry
        when = known if known is not None or not found else seconds_of(found[1], found[2], found[3])
        level = found[4] if found else plain[1] if plain else "INFO"
        if when is None and entry:
            when = entry["time"]
        rest = text[found.end() if found else plain.end() if plain else 0 :]
        entry = {"time": when, "source": source, "level": level, "text": rest[:LONGEST]}
    if entry:
        yield entry


def chosen(
    every: Iterable[dict[str, Any]], level: str, text: str, since: float | None, most: int
) -> Sequence[dict[str, Any]]:
    """Return the newest entries that are wanted.

    Args:
        every: Entries, the oldest first.
        level: The least level.
        text: What an entry must contain, in any case of letters.
        since: Seconds since 1970; an entry without a time counts as new.
        most: How many to return.
    """
    least, wanted = LEVELS.index(level), text.lower()
    found = [
        entry
        for entry in every
        if rank(entry["level"]) >= least
        and wanted in entry["text"].lower()
        and (since is None or entry["time"] is None or entry["time"] >= since)
    ]
    return found[-most:]


def rank(level: str) -> int:
    """Return a level's place; an unknown one counts as INFO."""
    return LEVELS.index(level) if level in LEVELS else 1
