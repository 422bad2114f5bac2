"""What a container's command line starts of Dagster: programs, their options, and the scripts between."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

from dagster_module_builder.adoption.model import Role, Runner, Start

_ROLES: tuple[tuple[re.Pattern[str], Role], ...] = (
    (
        re.compile(r"(?:\S*/)?(?:dagster-webserver|dagit)(?:\s|$)|-m\s+(?:dagster_webserver|dagit)\b"),
        "webserver",
    ),
    (re.compile(r"(?:\S*/)?dagster-daemon\s+run\b|-m\s+dagster\.(?:_?daemon)\b"), "daemon"),
    (re.compile(r"(?:\S*/)?(?:dagster|dg)\s+dev\b|-m\s+dagster\s+dev\b"), "dev"),
    (re.compile(r"(?:\S*/)?dagster\s+(?:api\s+grpc|code-server\s+start)\b"), "code server"),
    (re.compile(r"(?:\S*/)?dagster-celery\s+worker\s+start\b|celery\s.*dagster_celery\S*.*\bworker\b"), "worker"),
    (
        re.compile(
            r"(?:\S*/)?(?:(?:dagster|dg)\s+(?:asset|check|debug|definitions|instance|job|launch|list|run|schedule|sensor)\b"
            r"|dagster-daemon\s+(?:liveness-check|wipe)\b|dagster-graphql\s)"
        ),
        "job",
    ),
)
_SEPARATORS = re.compile(r"&&|\|\||[;&|\n]")
_CONTINUED = re.compile(r"\\\r?\n\s*")
_CHANGES_FOLDER = re.compile(r"(?:.*\s-\w*c\s+[\"']?)?cd\s+[\"']?([^\s\"']+)")
#: What mentions a program without starting it.
_NO_START = re.compile(
    r"(?:.*\s-\w*c\s+[\"']?)?(?:echo|printf|export|which|command\s+-v|p?grep|pkill|cat|cp|mv|ln|mkdir|chmod|chown|rm|ls|curl|"
    r"wget|test|\[|if|while|until|for)\b|.*\b(?:pip3?|uv|apt|apt-get|apk|conda|poetry|npm)\s(?:.*\s)?(?:install|add|sync)\b"
)
_BY_DG = re.compile(r"\bdg\s+dev\b")
_COMMENT = re.compile(r"(?:^|\s)#[^\n]*")
_RUNNERS: tuple[tuple[re.Pattern[str], Runner], ...] = tuple(
    (re.compile(rf"\b{name}\s+(?:-\S+\s+)*run\b"), name) for name in get_args(Runner)
)
_OPTIONS = {
    "-w": "workspace", "--workspace": "workspace",
    "-m": "module", "--module-name": "module", "--module": "module",
    "-f": "file", "--python-file": "file",
    "--package-name": "package",
    "-a": "attribute", "--attribute": "attribute", "--fn-name": "attribute",
    "-d": "folder", "--working-directory": "folder",
    "-p": "port", "--port": "port",
    "--project-dir": "folder",
}  # fmt: skip


#: What these options name is code.
CODE_OPTIONS = frozenset({"module", "file", "package", "attribute", "folder"})


@dataclass(frozen=True)
class Program:
    """A program of Dagster's that a command line starts.

    Attributes:
        role: What it is.
        start: How it is started.
        options: The values of the options that say what it loads, in order.
        folder: The folder that a ``cd`` before it changed to, if any.
        by_dg: Whether it is ``dg dev``.
    """

    role: Role
    start: Start
    options: tuple[tuple[str, str], ...] = ()
    folder: str | None = None
    by_dg: bool = False

    def values(self, name: str) -> list[str]:
        """Return the values of an option by its name here, such as ``workspace`` for ``-w``."""
        return [value for option, value in self.options if option == name]


def programs_in(text: str) -> list[Program]:
    """Return the programs of Dagster's in a command line or a script, in order.

    Example:
        ``"cd /app && uv run dagster dev -m shop"`` -> one program, ``dev`` by ``uv`` in ``/app``.
    """
    found: list[Program] = []
    folder: str | None = None
    for line in _SEPARATORS.split(_COMMENT.sub("", _CONTINUED.sub(" ", text))):
        part = line.strip().strip("\"'").strip()
        if match := _CHANGES_FOLDER.match(part):
            folder = posixpath.join(folder or "", match[1])
        elif role := role_of(part):
            found.append(Program(role, _start(part), tuple(_options(part)), folder, bool(_BY_DG.search(part))))
    return found


def role_of(part: str) -> Role | None:
    """Return what a command starts of Dagster; None if it starts nothing, or only mentions a program."""
    if _NO_START.match(part):
        return None
    return next((role for pattern, role in _ROLES if _begins(pattern, part)), None)


def _begins(pattern: re.Pattern[str], part: str) -> bool:
    """Return whether a program is the command, not part of a word: ``my-dagster dev`` is none."""
    match = pattern.search(part)
    return bool(match and (match.start() == 0 or part[match.start() - 1] in " \t\"'(="))


def _start(part: str) -> Start:
    return next((start for pattern, start in _RUNNERS if pattern.search(part)), "direct")


def _options(part: str) -> Iterator[tuple[str, str]]:
    words = words_of(part)
    # ``python -m dagster``: that option is Python's.
    first = next((i for i, word in enumerate(words) if re.search(r"dagster|dagit|^dg$", posixpath.basename(word))), 0)
    for position, word in enumerate(words[first:], first):
        name, equals, value = word.partition("=")
        if option := _OPTIONS.get(name):
            following = value if equals else next(iter(words[position + 1 :]), "")
            yield option, following


def option_of(word: str) -> str | None:
    """Return what an option says, by its name here: ``"--module-name=shop" -> "module"``."""
    return _OPTIONS.get(word.partition("=")[0])


def words_of(text: str) -> list[str]:
    """Return the words of a command line; those of the shell's quoting where it can be read."""
    try:
        return shlex.split(text)
    except ValueError:
        return [word.strip("\"'") for word in text.split()]


def named_files(command: Sequence[str]) -> Sequence[str]:
    """Return the words of a command line that may be files which start something."""
    words = [word for part in command for word in part.split()]
    return [word for word in words if re.fullmatch(r"[\w./~${}-]*[\w}](?:\.(?:sh|bash|conf|ini|cfg))?", word)]
