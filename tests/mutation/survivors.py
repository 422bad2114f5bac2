"""The mutants that no test can notice, as ``survivors.toml`` lists them."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = Path(__file__).with_name("survivors.toml")

#: A file, the lines that a mutant takes away there, and those that it brings.
Change = tuple[str, str, str]


def known(file: Path = FILE) -> set[Change]:
    """Return the mutants that do no harm, for a reason."""
    entries = tomllib.loads(file.read_text()).get("survivor", [])
    return {(entry["file"], entry["before"].strip(), entry["after"].strip()) for entry in entries if entry["why"]}


def stale(listed: Iterable[Change], files: Collection[str], made: Collection[Change]) -> list[Change]:
    """Return the entries that are no mutants: the code has changed since.

    Args:
        listed: What is listed.
        files: The files all of whose mutants were made.
        made: Those mutants, tried or not.
    """
    return sorted(entry for entry in listed if entry[0] in files and entry not in made)
