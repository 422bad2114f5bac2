"""The shapes of a host's messages and answers: this program accepts nothing else.

A host may lie. Its values become contents of its files, arguments of programs on it, and text that people read here,
so each value is checked against a type and a limit before it is used.
"""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Mapping
from typing import Any

#: The most bytes of a message; and the most lists, mappings and values in it, which take more memory than on the line.
MESSAGE = 8 << 20
VALUES = 400_000
#: How deep lists and mappings may be nested.
DEPTH = 40

#: The keys and types of each kind of message.
_SHAPES: tuple[dict[str, type], ...] = (
    {"progress": str},
    {"line": str},
    {"ok": bool, "result": dict},
    {"ok": bool, "code": str, "message": str, "details": dict},
)
#: The most characters of a step's name, a program's line, a failure's code, and a failure's message.
_LONGEST = {"progress": 1000, "line": 1000, "code": 40, "message": 1 << 18}

Schema = Mapping[str, Any]


def _text(most: int, pattern: str = "") -> Schema:
    return {"type": "string", "maxLength": most, **({"pattern": pattern} if pattern else {})}


def _record(optional: Mapping[str, Schema] | None = None, /, **needed: Schema) -> Schema:
    """Return the shape of a mapping with these keys, and no others."""
    return {
        "type": "object", "required": list(needed), "properties": {**needed, **(optional or {})},
        "additionalProperties": False,
    }  # fmt: skip


def _open_record(**known: Schema) -> Schema:
    """Return the shape of a stored record: an earlier version may have written fewer keys, a later one more."""
    return {"type": "object", "properties": known, "additionalProperties": _PLAIN}


def _each(schema: Schema, most: int = 10_000) -> Schema:
    return {"type": "array", "items": schema, "maxItems": most}


def _by_name(schema: Schema, most: int = 10_000) -> Schema:
    return {"type": "object", "propertyNames": _NAME, "additionalProperties": schema, "maxProperties": most}


def _or_none(schema: Schema) -> Schema:
    return {"anyOf": [{"type": "null"}, schema]}


def _number(least: float, most: float, kind: str = "integer") -> Schema:
    return {"type": kind, "minimum": least, "maximum": most}


_FLAG: Schema = {"type": "boolean"}
_SAID = _text(1 << 18)
#: On one line: a name, a release, a commit, an image.
_NAME = _text(1000, r"^[^\x00-\x1f\x7f]*\Z")
#: An absolute path without "..".
_PATH = _text(4096, r"^/(?!(?:[^\x00]*/)?\.\.(?:/|\Z))[^\x00-\x1f\x7f]*\Z")
#: A path, which may begin with "~" if the host does not know the home folder.
_BASE = _text(4096, r"^[/~](?!(?:[^\x00]*/)?\.\.(?:/|\Z))[^\x00-\x1f\x7f]*\Z")
_SECONDS = _number(0, 1e7, "number")
_COUNT = _number(0, 1 << 62)
_BASE64: Schema = {"type": "string", "format": "base64"}
_DIGEST = _text(64, r"^[0-9a-f]{64}\Z")
_MANIFEST: Schema = {"type": "string", "format": "manifest"}
#: Only shown, and not used; ``DEPTH`` and the message's size limit it.
_PLAIN: Schema = {"type": ["string", "number", "boolean", "null", "array", "object"]}
_SERVER_NAME = _text(200, r"^[A-Za-z0-9][A-Za-z0-9_.:-]*\Z")
_SERVER = _record(name=_SERVER_NAME, host=_SERVER_NAME, port=_number(1, 65535), release=_NAME, image=_NAME)
_WHO = _open_record(who=_SAID, since=_NAME, command=_SAID, action=_NAME)
_FOLDER_OF: Schema = {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"folder": _PATH}}]}
_DUMP = _record(folder=_PATH, files=_by_name(_DIGEST))
_DATABASE = {
    **_open_record(
        name=_NAME,
        service={"type": "object"},
        volumes={"type": "object"},
        files=_by_name(_NAME),
        unallowed=_by_name(_SAID),
    ),
    "required": ["name", "service", "volumes"],
}
_REMAINS: Schema = {
    "anyOf": [
        {"type": "object", "maxProperties": 0},
        {
            **_open_record(location=_NAME, storage=_or_none(_NAME), service=_FOLDER_OF, dump=_or_none(_DUMP),
                           where=_or_none({"type": "object"}), image=_or_none(_NAME)),
            "required": ["location", "storage", "service", "where", "dump"],
        },
    ]
}  # fmt: skip
_STATE = _open_record(
    current=_or_none(_NAME), previous=_or_none(_NAME), since=_or_none(_NAME), by=_or_none(_SAID),
    server=_or_none(_open_record(name=_NAME)),
)  # fmt: skip
_RELEASE = _open_record(
    release=_NAME, commit=_or_none(_NAME), branch=_or_none(_NAME), dirty=_or_none(_FLAG), digest=_or_none(_NAME),
    image=_or_none(_NAME), environment=_or_none(_NAME), database=_or_none(_DATABASE), by=_or_none(_SAID),
)  # fmt: skip
_MODULE = _record(
    state=_STATE, releases=_by_name(_RELEASE), bad=_each(_NAME), unfinished=_each(_NAME), servers=_each(_NAME),
    environments=_by_name(_or_none(_NAME)), remains=_REMAINS,
)  # fmt: skip
_LOCATION = _record(
    loaded=_FLAG, status=_text(1000, r"\S"), error=_or_none(_text(1 << 20)), metadata=_by_name(_or_none(_SAID))
)
_DAGSTER: Schema = {
    "anyOf": [_record(error=_SAID), _record(locations=_by_name(_LOCATION), daemons=_FLAG)],
}
_ONE = {"kind": {"enum": ["schedule", "sensor"]}, "name": _NAME, "location": _NAME}
_AUTOMATION = _record(
    renamed=_each(_record(was=_NAME, running=_FLAG, **_ONE)), stopped=_each(_record(**_ONE)), missed=_each(_SAID)
)
_PORT = _number(1, 65535)
_COMMIT = _text(64, r"^(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_PREVIEW = {
    **_open_record(
        name=_text(10, r"^[0-9a-f]{10}\Z"), branch=_NAME, repository=_NAME, deployment=_NAME, commit=_or_none(_COMMIT),
        port=_PORT, by=_SAID, created=_NAME, updated=_NAME, expires=_NAME, reads=_or_none(_NAME), pushed=_FLAG,
        complete=_FLAG, running=_FLAG, expired=_FLAG, path=_PATH, modules=_by_name(_NAME),
    ),
    "required": ["branch", "repository", "deployment", "commit", "port", "created", "expires", "complete", "modules"],
}  # fmt: skip
_PATH_OR_FLAG = _text(4096, r"^[/-][^\x00-\x1f\x7f]*\Z")
_TIME = _or_none(_number(0, 1e11, "number"))
_RUN = _record(
    id=_NAME, status=_NAME, job=_NAME, assets=_each(_NAME), begun=_TIME, ended=_TIME, location=_or_none(_NAME),
    release=_or_none(_SAID),
)  # fmt: skip
_ENTRY = _record(time=_TIME, source=_NAME, level=_NAME, text=_SAID)

_DEFINITIONS = _or_none(_by_name(_by_name(_by_name(_PLAIN), 50_000), 10))

#: The shape of the answer to each request.
ANSWERS: Mapping[str, Schema] = {
    "open": _record(
        recovered=_each(_SAID), base=_BASE, user=_NAME, uid=_COUNT, gid=_COUNT, host=_NAME, python=_NAME,
        writable=_FLAG, disk=_record(bytes=_COUNT, files=_or_none(_COUNT)), docker=_or_none(_SAID),
        tools=_by_name(_or_none(_NAME)),
        files=_by_name(_or_none(_BASE64)), mounted=_each(_PATH), modes=_by_name(_or_none(_number(0, 0o7777))),
        modules=_by_name(_MODULE), dagster=_DAGSTER, lock=_or_none(_WHO), journal=_FLAG,
        interpreters=_by_name(_or_none(_NAME)),
        storage=_or_none(_record(told=_or_none(_text(4096)), seen=_FLAG, held=_FLAG, temporary=_each(_NAME))),
        service=_or_none(_record(made=_FLAG, port=_or_none(_number(1, 65535)), has_password=_FLAG)),
    ),
    "layout": _record(base=_BASE, made=_FLAG),
    "write": _record(made=_FLAG),
    "expect": _record(),
    "begin": _record(folder=_PATH, current=_or_none(_NAME), lacking=_or_none(_each(_COUNT, VALUES))),
    "put": _record(),
    "run": _record(code=_number(-256, 255), said=_text(20_000)),
    "hook": _record(code=_number(-256, 255), said=_text(20_000)),
    "log hooks": _record(),
    "leave hook": _record(),
    "environment": _record(built=_FLAG),
    "verify": _record({"server": _SERVER}, seconds=_SECONDS),
    "check": _record(seconds=_SECONDS),
    "fetch": _record(pulled=_FLAG),
    "layers": _record(layers=_each(_each(_NAME, 1000), 1000)),
    "serve": _record(server=_SERVER, seconds=_SECONDS),
    "port": _record(port=_number(1, 65535)),
    "hold": _record(held=_each(_NAME)),
    "wait": _record(waited=_FLAG),
    "service port": _record(),
    "service environment": _record(built=_FLAG),
    "service files": _record(changed=_each(_PATH), kept=_each(_PATH)),
    "start service": _record(
        by={"enum": ["systemd", "processes"]}, runs=_COUNT, by_hand=_each(_SAID), started=_each(_NAME), lingers=_FLAG
    ),
    "stop service": _record(stopped=_each(_NAME)),
    "restart daemon": _record(restarted=_FLAG),
    "previews": _record(base=_PATH, previews=_each(_PREVIEW, 1000)),
    "reserve preview": _record(new=_FLAG, port=_PORT, path=_PATH),
    "note preview": _PREVIEW,
    "drop preview": _record(removed=_FLAG),
    "bring": _record(brought=_COUNT),
    "switch": _record(seconds=_SECONDS, daemons=_FLAG),
    "keep": _record(pruned=_each(_NAME), stopped=_each(_NAME), problems=_each(_SAID), automation=_AUTOMATION),
    "back": _record(problems=_each(_SAID)),
    "daemon": _record(restarted=_FLAG),
    "dump": _DUMP,
    "remove": _record(deleted=_each(_SAID), problems=_each(_SAID)),
    "log": _record(log=_each({**_open_record(at=_NAME), "required": ["at"]}, VALUES)),
    "settings": _record(env=_BASE64),
    "contents": _record(manifest=_MANIFEST, env=_BASE64),
    "defined": _record(definitions=_by_name(_DEFINITIONS)),
    "running": _record(
        definitions=_DEFINITIONS, packages=_or_none(_by_name(_NAME)),
        pyproject=_or_none(_SAID),
    ),
    "take": _record(
        manifest=_MANIFEST, files={"type": "object", "additionalProperties": _BASE64}, next=_or_none(_COUNT)
    ),
    "unlock": _record(held=_or_none(_WHO)),
    "enter": _record(start=_each(_PATH_OR_FLAG, 5), release=_NAME),
    "left": _record(),
    "runs": _record(runs=_each(_RUN)),
    "run events": _record(entries=_each(_ENTRY), cursor=_or_none(_text(1000)), more=_FLAG),
    "printed": _record(entries=_each(_ENTRY)),
    "server logs": _record(entries=_each(_ENTRY), cursors=_by_name(_text(1000)), notes=_each(_SAID)),
}  # fmt: skip
#: The shape of a failure's details, by its code.
_DETAILS: Mapping[str, Schema] = {"manifest": _record(manifest=_MANIFEST)}


def parsed(line: bytes) -> dict[str, Any] | None:
    """Return a host's message; None if it is not valid.

    ``{"progress": …}`` reports a step; ``{"ok": true, "result": …}`` is an answer, and ``{"ok": false, "code": …,
    "message": …, "details": …}`` a failure.
    """
    # Counted before it is parsed: '{},' takes 72 bytes of memory.
    if not line.isascii() or sum(map(line.count, (b"[", b"{", b",", b":"))) > VALUES:
        return None
    try:
        data = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or _is_deeper(data, DEPTH):
        return None
    fitting = any(
        data.keys() == shape.keys() and all(isinstance(data[name], kind) for name, kind in shape.items())
        for shape in _SHAPES
    )
    if not fitting or data.get("ok", True) is ("message" in data):
        return None
    if any(len(data.get(name, "")) > most for name, most in _LONGEST.items()):
        return None
    return data if "details" not in data or _fits(_validator(_DETAILS, str(data["code"])), data["details"]) else None


#: Keys of the answer that must have exactly the names in a key of the request.
_BY_NAME = {
    "open": {"modules": "modules", "files": "files", "tools": "tools", "pythons": "interpreters"},
    "defined": {"modules": "definitions"},
}


def answer_to(what: str, result: Mapping[str, Any], asked: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the answer to a request; None if it is valid.

    Args:
        what: The request's name.
        result: The answer.
        asked: The request's values.
    """
    import fastjsonschema

    try:
        _validator(ANSWERS, what)(result)
    except fastjsonschema.JsonSchemaValueException as error:
        # The message names the key, and not the value.
        return str(error.message)[:200]
    for names, key in _BY_NAME.get(what, {}).items():
        if set(asked.get(names) or ()) != set(result[key]):
            return f"data.{key} must have the names that were asked for"
    return None


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _is_deeper(data: Any, depth: int) -> bool:
    if not isinstance(data, (dict, list)):
        return False
    return not depth or any(
        _is_deeper(value, depth - 1) for value in (data.values() if isinstance(data, dict) else data)
    )


def _fits(validate: Any, data: Any) -> bool:
    import fastjsonschema

    try:
        validate(data)
    except fastjsonschema.JsonSchemaValueException:
        return False
    return True


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return True


_LINE = re.compile(r'[0-9a-f]{64} [flx] ("[^\x00-\x1f]{1,20000}")')


def _is_manifest(text: str) -> bool:
    """Tell whether a text is a manifest, whose lines ``path_of`` can read."""
    lines = text.split("\n")
    matches = [_LINE.fullmatch(line) for line in lines[:-1]]
    try:
        return not lines[-1] and all(match is not None and json.loads(match[1]) for match in matches)
    except ValueError:
        return False


_FORMATS = {"base64": _is_base64, "manifest": _is_manifest}


@functools.cache
def _validator_of(schema: str) -> Any:
    import fastjsonschema  # slow to load, and only commands with a host need it

    return fastjsonschema.compile(json.loads(schema), formats=_FORMATS, use_default=False)


def _validator(schemas: Mapping[str, Schema], name: str) -> Any:
    return _validator_of(json.dumps(schemas.get(name, _record())))
