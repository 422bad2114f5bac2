"""What each task prints with ``--json``, from the schemas that the package has."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster_module_builder
from docs_site.markdown_text import code, plain, table

PAGE = "reference/json.md"
FOLDER = "reference/json"
SCHEMAS = Path(dagster_module_builder.__file__ or "").parent / "commands/json_schemas"
_ERROR = "error"
_SUFFIX = ".schema.json"
#: Keys that the results of all tasks may have.
_OF_ALL = {"next", "tasks"}
_INTRODUCTION = """# What --json prints

With `--json` a task prints one JSON document on stdout, also if it fails; messages stay on stderr, and the
[exit status](tasks.md#tasks-and-exit-statuses) is the same as without. This page is made from the JSON Schemas of the
package; tests hold the program's real output against them. A program that reads it should bear keys that it does
not know: later versions may add some, and take none away.

A result that is a mapping may also have `next`, a list of what may be done next (`command`, ready to be pasted or
`null`, and `purpose`), and `tasks`, the results of tasks that this one has run, by their names. A task that had nothing
to do prints `{}`.
"""


def files() -> Iterator[tuple[str, bytes]]:
    """Yield each schema with its place on the site."""
    for path in sorted(SCHEMAS.glob(f"*{_SUFFIX}")):
        yield f"{FOLDER}/{path.name}", path.read_bytes()


def page() -> str:
    """Return the page."""
    names = sorted(path.name.removesuffix(_SUFFIX) for path in SCHEMAS.glob(f"*{_SUFFIX}"))
    tasks = [_section(name, name) for name in names if name != _ERROR]
    return "\n".join([_INTRODUCTION, _section(_ERROR, "A task that fails"), *tasks])


def _section(name: str, title: str) -> str:
    schema = json.loads((SCHEMAS / f"{name}{_SUFFIX}").read_text("utf-8"))
    rows = list(rows_of(schema, schema.get("definitions", {})))
    link = f"[Its schema](json/{name}{_SUFFIX})"
    return f"## {title}\n\n{plain(schema['description'])} {link}.\n\n{table(('key', 'value', 'what it is'), rows)}"


def rows_of(schema: Mapping[str, Any], known: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield a row for each key: ``findings[].area``, its type, what it is.

    Args:
        schema: A schema, or a part of one.
        known: The schema's definitions.
        above: The key that has the part.
    """
    if "$ref" in schema:
        yield from rows_of(known[schema["$ref"].rpartition("/")[2]], known, above)
    for one in schema.get("anyOf", ()):
        if one.get("description"):
            yield f"*{plain(one['description'].rstrip('.'))}:*", "", ""
        yield from rows_of(one, known, above)
    properties = {name: part for name, part in schema.get("properties", {}).items() if above or name not in _OF_ALL}
    for name, part in properties.items():
        key = f"{above}.{name}" if above else name
        yield code(key), type_of(part), plain(part.get("description", ""))
        yield from rows_of(part, known, key)
    if isinstance(schema.get("items"), Mapping):
        yield from rows_of(schema["items"], known, f"{above}[]")
    if isinstance(schema.get("additionalProperties"), Mapping):
        yield from rows_of(schema["additionalProperties"], known, f"{above}.<name>")


def type_of(part: Mapping[str, Any]) -> str:
    """Return the type of a value, in words: ``text or null``."""
    if "enum" in part:
        return ", ".join(code(json.dumps(value).strip('"')) or "empty" for value in part["enum"])
    names = part.get("type", "any value")
    words = {"string": "text", "boolean": "true or false", "array": "list", "integer": "whole number"}
    return " or ".join(words.get(name, name) for name in ([names] if isinstance(names, str) else names))
