"""The instructions that a module may contribute to the shared image.

They are read as BuildKit reads them (https://docs.docker.com/reference/dockerfile/), and refused if that is uncertain.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence

from dagster_module_builder.fragment_rules.owner import Owner, OwnPath, below_root
from dagster_module_builder.fragment_rules.refused import Refused, setting
from dagster_module_builder.shared_files.blocks import split_lines
from dagster_module_builder.shared_files.formats import dockerfile, env_value
from dagster_module_builder.shared_files.formats.dockerfile import Instruction, instructions

_FLAGS = re.compile(r"\s*(--\S*)")
_MOUNT_OPTION = re.compile(r"[\w./-]+(?:=[\w./@:-]*)?")
_WORD = re.compile(r"""(?:[^\s'"\\]|\\.|'[^'\\]*'|"(?:[^"\\]|\\.)*")+""", re.DOTALL)
_COPY_FLAG = re.compile(r"--(?:link|parents|chown=[\w:.-]+|chmod=[\w,+=-]+)")
#: Characters that are special in a path.
_REPLACED = re.compile(r"""['"\\$]""")
_NAME = re.compile(r"[A-Za-z_]\w*")
_DIRECTIVE = re.compile(rb"\s*#\s*(syntax|escape|check)\s*=", re.IGNORECASE)
#: A line of a heredoc that is an instruction for builders without heredocs.
_IN_HEREDOC = re.compile(
    rb"\s*(?:(USER|ENTRYPOINT|CMD|VOLUME|SHELL|ONBUILD)\s|(FROM)\s+\S+(?:\s+AS\s+\S+)?\s*$)", re.IGNORECASE
)
#: Variables of package managers: they would change where later lines of other modules get packages from.
_INSTALLERS = re.compile(
    r"(?:PIP|UV|GIT|CURL|NPM_CONFIG)_\w+|(?:https?|ftp|all|no)_proxy|SSL_CERT_\w+|REQUESTS_CA_BUNDLE",
    re.IGNORECASE,
)
_OWN_PATH_FIRST = re.compile(
    r"""("?)(?P<own>[^"'\s:$\\]+)(?::\$PYTHONPATH|:\$\{PYTHONPATH\}|\$\{PYTHONPATH:\+:\$\{PYTHONPATH\}\})\1"""
)

_NOT_ALLOWED = "changes the image of all modules: a module may use RUN, COPY, ADD, ENV, ARG and LABEL"
_RIGHTS = "gives a build step access to what is not the module's"
_CACHE = "shares a cache with every build on this machine: add an 'id=' that contains the module's name"
_ELSEWHERE = "copies what is not in the module's folder"
_FOR_ALL = "changes how the processes of all modules run, or where packages come from"
_UNCLEAR = "is ambiguous: use plain names and balanced quotes"
_HIDDEN = "is in a heredoc, and builders without heredocs would run it as an instruction"

_Rule = Callable[[Owner, int, str], Iterator[Refused]]


def _refuse(line: int, keyword: str, value: str, why: str) -> Refused:
    return Refused(dockerfile.NAME, line, "", setting(keyword, value), why)


def refused_in_snippet(owner: Owner, fragment: bytes) -> Iterator[Refused]:
    """Yield the refused settings of a snippet.

    Args:
        owner: The module.
        fragment: Its ``workspace/local/dockerfile.snippet``.
    """
    lines = split_lines(fragment)
    for number, line in enumerate(lines, 1):
        if directive := _DIRECTIVE.match(line):
            name = directive[1].decode().lower()
            yield _refuse(number, f"# {name}", line.partition(b"=")[2].decode("utf-8", "replace").strip(), _NOT_ALLOWED)
    for instruction in instructions(lines):
        keyword, arguments = instruction.keyword.decode("utf-8", "replace"), _arguments(instruction.text)
        rule = _RULES.get(keyword)
        if rule is None:
            yield _refuse(instruction.first + 1, keyword, arguments, _NOT_ALLOWED)
        else:
            yield from rule(owner, instruction.first + 1, arguments)
        yield from _hidden(lines, instruction)


def _hidden(lines: Sequence[bytes], instruction: Instruction) -> Iterator[Refused]:
    for number in range(instruction.body, instruction.end):
        if match := _IN_HEREDOC.match(lines[number]):
            yield _refuse(number + 1, (match[1] or match[2]).decode().upper(), _arguments(lines[number]), _HIDDEN)


def _arguments(line: bytes) -> str:
    """Return what follows a line's keyword."""
    return b"".join(line.split(maxsplit=1)[1:]).decode("utf-8", "replace").strip()


def _flags(arguments: str) -> tuple[list[str], str]:
    """Return the flags of an instruction, and what follows them."""
    flags = []
    while match := _FLAGS.match(arguments):
        flags.append(match[1])
        arguments = arguments[match.end() :]
    return flags, arguments.strip()


def _run(owner: Owner, line: int, arguments: str) -> Iterator[Refused]:
    for flag in _flags(arguments)[0]:
        if flag not in {"--network=none", "--network=default", "--security=sandbox"} and not _is_own_mount(owner, flag):
            yield _refuse(line, "RUN", flag, _CACHE if "type=cache" in flag else _RIGHTS)


def _is_own_mount(owner: Owner, flag: str) -> bool:
    name, _, value = flag.partition("=")
    options = value.split(",")
    if name != "--mount" or not all(_MOUNT_OPTION.fullmatch(option) for option in options):
        return False
    settings = dict(option.partition("=")[::2] for option in options)
    # A cache is identified by its id, or else by its target, so without an id it could be that of others.
    if settings.get("type") == "cache":
        return "from" not in settings and owner.is_named_after(settings.get("id", ""))
    if settings.get("type", "bind") == "bind":
        source = below_root(settings.get("source") or settings.get("src") or "", ".")
        return "from" not in settings and len(options) == len(settings) and source is not None and owner.owns(source)
    return settings["type"] == "tmpfs"


def _copies(keyword: str) -> _Rule:
    """Return the rule for an instruction that copies files."""

    def rule(owner: Owner, line: int, arguments: str) -> Iterator[Refused]:
        flags, rest = _flags(arguments)
        for flag in flags:
            if not _COPY_FLAG.fullmatch(flag):
                yield _refuse(line, keyword, flag, _ELSEWHERE)
        for source in _sources(rest):
            path = below_root(source, ".") if not _REPLACED.search(source) else None
            if path is None or not owner.owns(path):
                yield _refuse(line, keyword, source, _ELSEWHERE)
            else:
                owner.paths.append(OwnPath(dockerfile.NAME, line, path))

    return rule


def _sources(text: str) -> list[str]:
    """Return the sources of a copying instruction, without heredocs."""
    try:
        words = [str(word) for word in json.loads(text)] if text.startswith("[") else text.split()
    except (ValueError, RecursionError):
        words = text.split()
    return [word for word in words[:-1] if not word.startswith("<<")]


def _variables(keyword: str) -> _Rule:
    """Return the rule for an instruction that sets variables."""

    def rule(owner: Owner, line: int, arguments: str) -> Iterator[Refused]:
        words = _words(arguments)
        if not words:
            yield _refuse(line, keyword, arguments, _UNCLEAR)
        elif keyword == "ENV" and "=" not in words[0]:
            # The older form: one name, and the rest of the line is its value.
            yield from _variable(owner, line, keyword, *arguments.split(maxsplit=1))
        else:
            for word in words:
                yield from _variable(owner, line, keyword, *word.partition("=")[::2])

    return rule


def _words(text: str) -> list[str] | None:
    """Return the words of an instruction; None if it is ambiguous, for example because a quote is not closed."""
    return None if _WORD.sub("", text).strip() else _WORD.findall(text)


def _variable(owner: Owner, line: int, keyword: str, name: str, value: str = "") -> Iterator[Refused]:
    if not _NAME.fullmatch(name):
        yield _refuse(line, keyword, name, _UNCLEAR)
    elif (env_value.is_reserved(name) or _INSTALLERS.fullmatch(name)) and not _extends_python_path(owner, name, value):
        yield _refuse(line, keyword, name, _FOR_ALL)


def _extends_python_path(owner: Owner, name: str, value: str) -> bool:
    """Return whether a value puts the module's own folder before the current PYTHONPATH."""
    match = _OWN_PATH_FIRST.fullmatch(value.strip())
    if name != "PYTHONPATH" or match is None:
        return False
    own = below_root(match["own"].removeprefix("/workspace/"), ".")
    return match["own"].startswith("/workspace/") and own is not None and owner.owns(own)


def _label(_owner: Owner, _line: int, _arguments: str) -> Iterator[Refused]:
    return iter(())


_RULES: dict[str, _Rule] = {
    "RUN": _run,
    "COPY": _copies("COPY"),
    "ADD": _copies("ADD"),
    "ENV": _variables("ENV"),
    "ARG": _variables("ARG"),
    "LABEL": _label,
}
