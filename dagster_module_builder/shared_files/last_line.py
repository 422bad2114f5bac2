"""A file whose last line has no ending: it gets one before blocks follow, and loses it with the last of them."""

from __future__ import annotations

from dagster_module_builder.shared_files.blocks import Layout, ending_near
from dagster_module_builder.shared_files.formats.outline import KeyPath
from dagster_module_builder.shared_files.formats.shared_file import Scaffold
from dagster_module_builder.shared_files.registered_file import END_OF_FILE, RegisteredFile

Scaffolds = dict[KeyPath, Scaffold]


def end_last_line(layout: Layout, scaffolds: Scaffolds, known: RegisteredFile) -> None:
    """Add an ending to the last own line if it has none, so that blocks can follow."""
    if layout.own and not layout.own[-1].endswith(b"\n"):
        line, ending = layout.own[-1], ending_near(layout.own, len(layout.own) - 1)
        layout.own[-1] = line + ending
        remembered = known.sealed_line(line)
        scaffolds[END_OF_FILE] = Scaffold((remembered,), (remembered + ending,))


def restore_last_line(layout: Layout, scaffolds: Scaffolds, known: RegisteredFile) -> None:
    """Drop the ending that was added, if no block follows it."""
    scaffold = scaffolds.get(END_OF_FILE)
    if scaffold is None:
        return
    original = _original_line(layout, scaffold, known) if len(layout.own) not in layout.placed else None
    if original is not None:
        layout.own[-1:] = [original]
        del scaffolds[END_OF_FILE]
    elif not layout.placed:
        del scaffolds[END_OF_FILE]


def _original_line(layout: Layout, scaffold: Scaffold, known: RegisteredFile) -> bytes | None:
    """Return the last own line without the ending that was added; None if the line has changed since."""
    last = layout.own[-1] if layout.own else b""
    before, after = b"".join(scaffold.before), b"".join(scaffold.after)
    # An editor may have changed all endings.
    endings = (after.removeprefix(before), b"\r\n", b"\n")
    without = (last.removesuffix(ending) for ending in endings if last.endswith(ending))
    return next((line for line in without if known.sealed_line(line) == before), None)
