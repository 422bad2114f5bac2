"""Values of ``.env.deploy`` that a command gives, or an encrypted file: fetched in memory, for one deployment."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, MutableMapping
from pathlib import Path

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import BuilderError, DamagedFileError
from dagster_module_builder.disclosure.messages import remember_texts
from dagster_module_builder.programs import own_group
from dagster_module_builder.programs.outside_programs import ended, without_active_environment
from dagster_module_builder.shared_files.blocks import split_lines
from dagster_module_builder.shared_files.formats import env_file, env_value

#: Seconds that a command may take: a person may have to touch a key.
LIMIT = 60
#: The most bytes of a value, as of one from a file.
MOST = 120 * 1024
#: Where age's identity is, unless the value names another file.
AGE_IDENTITY = "~/.config/age/identity.txt"

_FETCHED = re.compile(r"!(command|age|sops)[ \t]+(\S.*)", re.DOTALL)


def fetched_entries(text: bytes) -> Iterator[tuple[env_file.Variable, str, str]]:
    """Yield the variables whose values have to be fetched, each with the way (``command``) and what follows it."""
    for entry in env_file.entries(text):
        raw = entry.raw.decode("utf-8", "replace").strip()
        written = env_value.ALIKE.fullmatch(raw)
        if match := _FETCHED.fullmatch(env_value.read(written) if written else raw):
            yield entry, match[1], match[2].strip()


def with_fetched(path: Path, text: bytes, known: MutableMapping[str, str]) -> bytes:
    """Return settings with the values that commands and encrypted files give.

    Args:
        path: ``.env.deploy``.
        text: Its content.
        known: What was fetched for this deployment already, by variable; it is added to.

    Raises:
        DamagedFileError: A command failed, or gave no value that can be a variable's; it names the variable, and does
            not quote what the command said.
    """
    lines = split_lines(text)
    for entry, way, rest in reversed(list(fetched_entries(text))):
        if entry.name not in known:
            known[entry.name] = _fetched(path, entry, way, rest)
        line = f"{entry.name}={env_value.written(known[entry.name])}\n".encode()
        lines[entry.line : entry.last + 1] = [line]
    return b"".join(lines)


def _fetched(path: Path, entry: env_file.Variable, way: str, rest: str) -> str:
    by_hand = f"Run it by hand in {path.parent}, and correct it. Its output is not shown, since it may have secrets."
    try:
        answer = own_group.run(_command(path.parent, way, rest), path.parent, without_active_environment(), LIMIT)
        problem, cure = _failure(answer.status), by_hand
    except own_group.LateError:
        problem, cure = f"did not end within {LIMIT} seconds", by_hand
    except ValueError:
        problem, cure = "cannot be split into words", "Close its quotes."
    except BuilderError as error:
        problem, cure = f"could not be run: {str(error).rstrip('.')}", "Install it, or correct the line."
    value = ""
    if not problem:
        value, problem, cure = _judged(answer.out)
    if problem:
        what = f"the {_WAYS[way]} of {entry.name} {problem}"
        raise DamagedFileError(path, entry.line + 1, what, cure or by_hand)
    return value


def _failure(status: int) -> str:
    """Return how a command failed; empty if it did not."""
    missing = " (the program is not installed)" if status == _NOT_FOUND else ""
    return f"failed with {ended(status)}{missing}" if status else ""


def _judged(out: bytes) -> tuple[str, str, str]:
    """Return the value that a command gave, and what is wrong with it, with the cure."""
    encoded = "Have it give Base64, and decode it in the code."
    try:
        value = out.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        return "", "gave bytes that are not UTF-8 text", encoded
    remember_texts([value, *value.split("\n")])
    if not value:
        return "", "gave nothing", ""
    if len(out) > MOST:
        return "", f"gave more than {MOST // 1024} KiB", "Have the code read it from a path on the host instead."
    if env_value.written(value) is None:
        return "", "gave text that Dagster and Compose read differently however it is quoted", encoded
    return value, "", ""


#: The exit status of a shell that does not find a program (POSIX.1-2017, Shell Command Language, 2.8.2).
_NOT_FOUND = 127
_WAYS = {"command": "command", "age": "age file", "sops": "sops file"}


def _command(folder: Path, way: str, rest: str) -> list[str]:
    """Return the command that gives a value.

    Raises:
        ValueError: What follows the way is not complete.
    """
    if way == "command":
        return ["/bin/sh", "-c", rest]
    words = shlex.split(rest)
    if way == "age":
        identity = words[1] if len(words) > 1 else AGE_IDENTITY
        own = settings.expanded(identity)
        return ["age", "--decrypt", "--identity", str(folder / own), str(folder / settings.expanded(words[0]))]
    extract = ["--extract", "".join(f"[{json.dumps(key)}]" for key in words[1:])] if len(words) > 1 else []
    return ["sops", "--decrypt", *extract, str(folder / settings.expanded(words[0]))]
