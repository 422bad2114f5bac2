"""Which words of a command may be shown: programs, options, packages and harmless values."""

from __future__ import annotations

import re

from dagster_module_builder.disclosure.redacted_text import RedactedText
from dagster_module_builder.disclosure.values import is_harmless_anywhere, is_harmless_setting, is_secret_name

_WORD = re.compile(r"""[^\s'"\[\],;()&|<>\\]+""")
#: The rest of a value after its first word: up to the closing quote, else up to the next white space.
_REST = re.compile(r"""(?:(?<==)"(?:\\.|[^"\\])*"?|(?<==)'[^']*'?|[^\s'"])*""")
#: An option whose value is a password, whatever its name (``redis-cli -a``).
_PASSWORDS = frozenset({"-a"})
_PUNCTUATION = re.compile(r"""['"\[\],;()&|<>\\]+""")
#: Words of the commands that build images and start services.
_PROGRAMS = frozenset((
    "apt-get", "apt", "apk", "dnf", "yum", "pip", "pip3", "uv", "python", "python3", "dagster", "dagster-webserver",
    "dagster-daemon", "code-server", "sh", "bash", "install", "update", "upgrade", "add",
    "remove", "clean", "run", "start", "instance", "migrate", "definitions", "validate", "api", "grpc",
    "mkdir", "chmod", "chown", "ln", "rm", "cp", "mv", "cd", "set", "true", "exit", "test", "printf", "echo",
    "curl", "wget", "health.py", "webserver", "daemon", "CMD", "CMD-SHELL", "NONE", "pg_isready",
    "mysqladmin", "ping", "postgres", "mysqld", "mariadbd", "redis-server", "redis-cli",
))  # fmt: skip
_OPTION = re.compile(r"--[a-z][a-z-]*|-[A-Za-z]|-rf|-ex|-eux|-euxo")
_VARIABLE = re.compile(r"\$\$?(?:\{[A-Z_][A-Z0-9_]*\}|[A-Z_][A-Z0-9_]*)")
_PLACE = re.compile(
    r"(?:/(?:workspace|opt/dagster|tmp|var/lib|etc/apt|usr|var/run)(?:/[a-z0-9_.*-]{1,40})*/?|projects/[\w./-]+)"
)
#: Package managers, and the shape of the packages they install.
_INSTALLS = re.compile(r"(?:apt-get|apt|apk|dnf|yum|pip3?)\b[^&|;\n]*?\b(?:install|add)\b((?:\\\n|[^&|;#\"'\n])*)")
_PACKAGE = re.compile(
    r"(?<!\S)[a-z][a-z0-9+.-]{1,40}(?:\[[a-z0-9,-]+\])?(?:(?:==|>=|<=|~=|=)\d[\d.*]{0,15})?(?![^\s\\])"
)


def show(redacted: RedactedText, start: int, end: int) -> None:
    """Make the harmless words of a command in a text visible."""
    part = redacted.text[start:end]
    for match in _PUNCTUATION.finditer(part):
        redacted.show(start + match.start(), start + match.end())
    before, secret_until = "", 0
    for match in _WORD.finditer(part):
        if match.start() < secret_until:
            continue
        name, equals, _ = match[0].partition("=")
        if before in _PASSWORDS or is_secret_name(before) or (equals and is_secret_name(name)):
            secret_until = _end_of(part, match.end())
        if before not in _PASSWORDS and not is_secret_name(before):
            _show_word(redacted, start + match.start(), match[0])
        before = match[0] if _OPTION.fullmatch(match[0]) else ""
    for match in _INSTALLS.finditer(part):
        for package in _PACKAGE.finditer(match[1]):
            first = start + match.start(1)
            _show_package(redacted, first + package.start(), first + package.end())


def _end_of(part: str, at: int) -> int:
    rest = _REST.match(part, at)
    return rest.end() if rest else at


def _show_package(redacted: RedactedText, start: int, end: int) -> None:
    """Make the name of a package visible, unless it follows an option that takes a value."""
    before = redacted.text[:start].split()[-1:]
    if (
        not before
        or not _OPTION.fullmatch(before[0])
        or before[0] in {"--yes", "-y", "--no-install-recommends", "--no-cache"}
    ):
        redacted.show(start, end)


def _show_word(redacted: RedactedText, start: int, word: str) -> None:
    name, equals, value = word.partition("=")
    if equals and re.fullmatch(r"(?:--)?[A-Za-z_][\w-]*", name):
        redacted.show(start, start + len(name) + 1)
        if (is_harmless(value) and not is_secret_name(name)) or is_harmless_setting(name, value):
            redacted.show(start, start + len(word))
    elif is_harmless(word):
        redacted.show(start, start + len(word))


def is_harmless(word: str) -> bool:
    """Return whether a word of a command may be shown."""
    shapes = (_OPTION, _VARIABLE, _PLACE)
    return word in _PROGRAMS or is_harmless_anywhere(word) or any(shape.fullmatch(word) for shape in shapes)
