"""Every message that the program may end or answer with, and its cure, gathered from the code."""

from __future__ import annotations

import ast
import functools
import html
import importlib
import pkgutil
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster_module_builder
import deploy_strategies
from dagster_module_builder.base.errors import BuilderError
from docs_site.spoken_texts import UNKNOWN, SourceFile

PAGE = "reference/messages.md"
PACKAGES = [Path(package.__file__ or "").parent for package in (dagster_module_builder, deploy_strategies)]
_HOST = "dagster_module_builder/deploy/host_side"
#: The headings, with the rooms whose messages they have.
HEADINGS: Mapping[str, Sequence[str]] = {
    "Command line and questions": ("commands", "program"),
    "Workspace": ("workspaces", "overview", "health", "base", "transactions", "claims"),
    "Shared files and fragments": ("shared_files", "shown_files", "fragment_rules", "fitting"),
    "Adopting a repository": ("adoption",),
    "Modules and templates": ("modules", "templating"),
    "Dagster, Docker and other programs": (
        "native",
        "care",
        "module_servers",
        "compose",
        "programs",
        "demo",
        "disclosure",
    ),
    "This machine: doctor": ("doctor",),
    "Audit": ("audit",),
    "Upgrade": ("upgrade",),
    "Deployments": ("deploy", "deploy_strategies"),
    "On a host": (_HOST,),
}


@dataclass(frozen=True)
class Place:
    """Where a call has its message and its cure: by position or, behind that, by keyword."""

    message: int
    cure: int | None = None
    keywords: tuple[str, str] = ("message", "fix")


#: Calls that are no error of one text.
_PLACES = {
    "DamagedFileError": Place(2, 3, ("problem", "way_out")),
    "Refusal": Place(0, 2, ("reason", "cure")),
    "Problem": Place(0, 1),
    "Finding": Place(1, 3),
    "Diagnosis": Place(2, 3, ("text", "cure")),
    "ConflictError": Place(0, None, ("reasons", "fix")),
}
#: What doctor says, in its own folder.
_DIAGNOSES = {"problem": Place(1, 2, ("text", "cure")), "warning": Place(1, 2, ("text", "cure"))}
#: Errors whose text their class makes of what they are given.
_MADE = {"NoWorkspaceError", "NoModuleError", "EditedBlockError", "FragmentRefusedError"}
#: How a cure begins where it is part of the same sentence.
_BEGINS = (
    "add|allow|ask|build|change|check|choose|commit|compare|complete|copy|correct|create|delete|deploy|end|exclude|export|fetch|finish|fix|"
    "free|give|go|"
    "install|list|log|make|mount|move|name|pass|pin|print|push|put|remove|rename|repair|resolve|restore|retry|run|say|see|set|"
    "start|stop|take|try|type|update|upgrade|use|wait|write"
)
_CURE = re.compile(
    rf"(?s)^(.+?)(?:(?<=[.!?])\s+(?=[A-Z`'])|[:;]\s+(?=(?:{_BEGINS})\b)|:?\n(?=\s*\S+ ))(.+)$", re.IGNORECASE
)


@dataclass(frozen=True, order=True)
class Message:
    """What is said, and what to do."""

    text: str
    cure: str


@functools.cache
def messages() -> dict[str, list[Message]]:
    """Return the messages of each heading.

    Raises:
        KeyError: A room has no heading.
    """
    errors = error_names()
    heading_of = {room: heading for heading, rooms in HEADINGS.items() for room in rooms}
    gathered: dict[str, set[Message]] = defaultdict(set)
    for folder in PACKAGES:
        for path in sorted(folder.rglob("*.py")):
            if (
                not {"_shipped", "templates"} & set(path.relative_to(folder).parts)
                and path.parent != folder / "_shipped"
            ):
                gathered[heading_of[_room(path, folder)]].update(_of_file(path, errors))
    return {heading: sorted(gathered[heading], key=_in_order) for heading in HEADINGS}


def _in_order(message: Message) -> tuple[str, str]:
    words = re.sub(r"<[^>]*>|[^a-z0-9 ]", "", message.text.lower()).strip()
    # What has no words by itself is last.
    return words or "~", message.cure


def _room(path: Path, folder: Path) -> str:
    name = path.relative_to(folder.parent)
    if name.is_relative_to(_HOST):
        return _HOST
    return (
        name.parts[0] if name.parts[0] == "deploy_strategies" else Path(name.parts[1]).stem.replace("__init__", "base")
    )


def error_names() -> set[str]:
    """Return the names of all classes of errors."""
    for package in (dagster_module_builder, deploy_strategies):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if "_shipped" not in module.name and "host_side" not in module.name:
                importlib.import_module(module.name)
    return {one.__name__ for one in _with_subclasses(BuilderError)}


def _with_subclasses(one: type[BuilderError]) -> Iterator[type[BuilderError]]:
    yield one
    for below in one.__subclasses__():
        yield from _with_subclasses(below)


def _of_file(path: Path, errors: set[str]) -> Iterator[Message]:
    file = SourceFile(ast.parse(path.read_text("utf-8")))
    on_host = "host_side" in path.parts
    places = {**dict.fromkeys(errors, Place(int(on_host))), **_PLACES, **(_DIAGNOSES if "doctor" in path.parts else {})}
    for name, call in file.calls():
        place = places.get(name)
        if place and name not in _MADE:
            yield from _said(file, call, place)
        elif name == "__init__" and path.name == "errors.py" and not on_host:
            yield from _said(file, call, Place(0))


def _said(file: SourceFile, call: ast.Call, place: Place) -> Iterator[Message]:
    found = _argument(call, place.message, place.keywords[0])
    cure = _argument(call, place.cure, place.keywords[1])
    cures = [text for text in file.texts(cure) if text] if cure else []
    whole = (found.elts if isinstance(found, ast.List) else [found]) if found else []
    for text in (text for one in whole for text in file.texts(one)):
        if _says_something(text):
            yield Message(_trimmed(text), _trimmed(" Or: ".join(dict.fromkeys(cures)))) if cures else _split(text)


def _argument(call: ast.Call, position: int | None, keyword: str) -> ast.expr | None:
    by_name = next((key.value for key in call.keywords if key.arg == keyword), None)
    return by_name or (call.args[position] if position is not None and position < len(call.args) else None)


def _says_something(text: str) -> bool:
    words = re.sub(r"<[^>]*>|^Nothing was changed\.", "", text)
    return bool(re.search(r"[A-Za-z]{3,} \S*[a-z]{2,}", words))


def _split(text: str) -> Message:
    parts = _CURE.match(text.strip())
    if parts and re.fullmatch(r"Nothing was \w+\.", parts[2].strip()):
        parts = None
    return Message(_trimmed(parts[1]), _trimmed(parts[2])) if parts else Message(_trimmed(text), "")


def _trimmed(text: str) -> str:
    text = re.sub(rf"{UNKNOWN}(\s*{UNKNOWN})+", UNKNOWN, " ".join(text.split()))
    return text.strip(" :")


def page() -> str:
    """Return the page; its field filters the rows by what is typed or pasted."""
    sections = [f"## {heading}\n\n{_table(said)}" for heading, said in messages().items() if said]
    return "\n".join([_INTRODUCTION, *sections])


_INTRODUCTION = """# Messages and their cures

This page is made from the code. `<name>` and … stand for what a message fills in. Where the right
column is empty, the message itself says what to change, or another program's words follow it. Errors go to stderr and
end with a status of [this table](tasks.md#tasks-and-exit-statuses).

<label class="message-search">Paste or type a message:
<input type="search" id="message-search" autocomplete="off" spellcheck="false"></label>
<p id="message-count" role="status"></p>
"""


def _table(said: Sequence[Message]) -> str:
    rows = "".join(f"<tr><td>{_shown(one.text)}</td><td>{_shown(one.cure)}</td></tr>\n" for one in said)
    head = "<thead><tr><th>message</th><th>what to do</th></tr></thead>"
    return f'<div class="messages"><table>\n{head}\n<tbody>\n{rows}</tbody>\n</table></div>\n'


def _shown(text: str) -> str:
    """Return a message in HTML: what is filled in and flags are marked."""
    marked = re.sub(r"&lt;([^&]*)&gt;", r"<var>\1</var>", html.escape(text, quote=False))
    return re.sub(r"(?<![\w-])--[a-z][a-z-]*", r"<code>\g<0></code>", marked)
