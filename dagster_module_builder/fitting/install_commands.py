"""What commands of a Dockerfile install with pip, uv, Poetry or PDM: requirements, files of them, projects, locks."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from dagster_module_builder.compose.image import BuildStep

_ENDS = re.compile(r"[;&|()<>]+")
_FLAG = re.compile(r"\s*--(?:mount|network|security)=\S+")
_PIP = re.compile(r"pip[\d.]*")
_PYTHON = re.compile(r"python[\d.]*")
#: Options whose value is a file, and those of a file that installs nothing.
_FILES = ("-r", "--requirement", "--requirements")
_LIMITS = ("-c", "--constraint", "--constraints")
_PROJECTS = ("-e", "--editable")
#: Options that name another environment.
_PLACES = ("--python", "-p", "--target", "-t", "--prefix", "--root")
_WITH_VALUE = {
    *("-i", "--index-url", "--extra-index-url", "--index", "--default-index", "-f", "--find-links", "--trusted-host"),
    *("--cache-dir", "--timeout", "--retries", "--only-binary", "--no-binary", "--platform", "--python-version"),
    *("--python-platform", "--index-strategy", "--prerelease", "--resolution", "--link-mode", "--extra", "--group"),
    *("--override", "--overrides", "--config-settings", "--progress-bar", "--log", "--proxy", "--cert"),
}
#: Programs that install what a lock says.
_LOCKING = {
    "uv": {"sync", "export"},
    "poetry": {"install", "sync", "export"},
    "pdm": {"install", "sync", "export"},
}


@dataclass
class Install:
    """What one command installs.

    Attributes:
        environment: The folder of the environment; empty for the one that is found first.
        requirements: What it names.
        files: Files of requirements.
        limits: Files of constraints: they install nothing.
        projects: Folders or files of projects.
        lock: Whether it installs what the lock in the working directory says.
    """

    environment: str = ""
    requirements: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    projects: list[str] = field(default_factory=list)
    lock: bool = False


def installs_of(step: BuildStep) -> Iterator[Install]:
    """Yield what an instruction installs."""
    for command in _commands(step):
        install = _pip(command) or _project_tool(command)
        if install:
            yield install


def _commands(step: BuildStep) -> Iterator[list[str]]:
    text = step.text
    while match := _FLAG.match(text):
        text = text[match.end() :]
    if text.lstrip().startswith("["):
        yield BuildStep(step.line, step.keyword, text.strip()).words
        return
    command: list[str] = []
    for word in _words(text):
        if _ENDS.fullmatch(word):
            yield command
            command = []
        else:
            command.append(word)
    yield command


def _words(text: str) -> list[str]:
    lexer = shlex.shlex(text.replace("\n", " ; "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return list(lexer)
    except ValueError:
        return []


def _pip(words: Sequence[str]) -> Install | None:
    at = next((number for number, word in enumerate(words) if _PIP.fullmatch(posixpath.basename(word))), None)
    if at is None or "install" not in words[at:] or {"download", "wheel", "uninstall"} & set(words[at : at + 2]):
        return None
    before = words[at - 2] if words[at - 1 : at] == ["-m"] and at > 1 else words[at]
    return _arguments(Install(_environment(before)), words[words.index("install", at) + 1 :])


def _project_tool(words: Sequence[str]) -> Install | None:
    names = [posixpath.basename(word) for word in words]
    at = next((number for number, name in enumerate(names) if name in _LOCKING), None)
    if at is None:
        return None
    if names[at : at + 3] == ["uv", "pip", "sync"]:
        return Install(files=[word for word in words[at + 3 :] if not word.startswith("-")])
    task = next((word for word in words[at + 1 :] if not word.startswith("-")), "")
    if task == "add":
        return _arguments(Install(), words[words.index("add", at) + 1 :])
    return Install(lock=True) if task in _LOCKING[names[at]] else None


def _arguments(install: Install, words: Sequence[str]) -> Install:
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=") if word.startswith("--") else (word[:2], word[2:], word[2:])
        if not word.startswith("-"):
            (install.projects if _is_project(word) else install.requirements).append(word)
        elif (into := _list_of(install, name)) is not None:
            into.append(value if equals else next(rest, ""))
        elif name in _PLACES:
            install.environment = _environment(value if equals else next(rest, ""), is_program=False)
        elif name in _WITH_VALUE and not equals:
            next(rest, None)
    return install


def _list_of(install: Install, option: str) -> list[str] | None:
    lists = ((_FILES, install.files), (_LIMITS, install.limits), (_PROJECTS, install.projects))
    return next((found for options, found in lists if option in options), None)


def _is_project(word: str) -> bool:
    return word.startswith((".", "/")) or word.endswith("/")


def _environment(path: str, *, is_program: bool = True) -> str:
    """Return the folder of an environment by a path in it: ``"/opt/venv/bin/pip" -> "/opt/venv"``."""
    folder, program = posixpath.split(path)
    is_in_bin = posixpath.basename(folder) == "bin" and bool(_PIP.fullmatch(program) or _PYTHON.fullmatch(program))
    if is_in_bin:
        place = posixpath.dirname(folder)
        return "" if place in {"/usr", "/usr/local"} else place
    return "" if is_program or _PYTHON.fullmatch(path) else path
