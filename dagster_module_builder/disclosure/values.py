"""Whether a value may be shown or committed: only if it is known to be harmless. Every output asks here.

The value itself decides. Its name can only make the decision stricter, or say which shape a harmless value has.
"""

from __future__ import annotations

import re

#: Shown in place of a hidden value.
HIDDEN = "…"

#: A reference to a variable in a compose file or a Dockerfile; its default is a value like any other.
_REFERENCE = re.compile(
    r"(?<!\$)\$(?:\{(?P<name>\w+)(?::?[-+](?P<default>[^{}$]*)|:?\?)?\}|[A-Z_][A-Z0-9_]*(?![A-Za-z0-9_]))"
)
#: Text that is harmless anywhere.
_ANYWHERE = re.compile(
    r"""(?ix)
    # numbers; a long one that is not round may be a PIN or an account
    | [-+]?(?:\d{1,5}(?:\.\d{1,6})?|[1-9]\d{0,5}000)
    | true|false|yes|no|on|off|null|none|~|auto|all
    | \d+(?:\.\d+){1,3}                                 # versions
    | (?:\d+(?:ns|us|ms|s|m|h|d))+ | \d+(?:b|k|m|g|kb|mb|gb|kib|mib|gib|ki|mi|gi)
    | localhost|127\.0\.0\.1|0\.0\.0\.0|::1|\[::1\]
    # ports
    | (?:(?:localhost|127\.0\.0\.1|0\.0\.0\.0):)?\d{1,5}(?:-\d{1,5})?(?::\d{1,5}(?:-\d{1,5})?)?(?:/(?:tcp|udp))?
    | debug|info|warning|error|critical
    | service_(?:healthy|started|completed_successfully) | unless-stopped|always|on-failure
    """
)
#: Names of secrets: their values are never shown, except references to variables.
_SECRET_NAME = re.compile(
    r"PASS|PWD|PW$|SECRET|TOKEN|KEY|CRED|AUTH|DSN|PIN(?:_|$)|CODE$|PHRASE|OTP|SALT|SEED|WEBHOOK|CERT|SIGN|PRIVATE|COOKIE"
    r"|SESSION|BEARER|LICEN[CS]E",
    re.IGNORECASE,
)

NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}"
IDENTIFIER = r"[a-z_][a-z0-9_-]{0,62}"
HOST = r"(?:[A-Za-z0-9][A-Za-z0-9_-]{0,62}(?:\.[A-Za-z0-9][A-Za-z0-9_-]{0,62}){0,8}|[0-9a-fA-F:]{2,39})"
IMAGE = r"(?:[a-z0-9.-]+(?::\d+)?/)?[a-z0-9._/-]+(?::[\w.-]{1,64})?(?:@sha256:[0-9a-f]{64})?"
PATH = r"(?:~|\.{1,2})?/?[A-Za-z0-9_.+-]+(?:/[A-Za-z0-9_.+*-]+)*/?|/|~|\.{1,2}|(?:\.\./)+\.{0,2}"
PATHS = rf"(?:{PATH})?(?::(?:{PATH})?){{0,4}}"
URL = rf"https?://{HOST}(?::\d{{1,5}})?/?"

#: Variables of the templates and of Dagster's images, with the shape that their harmless values have.
_KNOWN = (
    (r"\w+_DB_(?:NAME|USER)|(?:DAGSTER_)?POSTGRES_(?:DB|USER)|MYSQL_(?:DATABASE|USER)|PGUSER|PGDATABASE", IDENTIFIER),
    (r"(?:\w+_DB|DAGSTER_POSTGRES|POSTGRES|MYSQL|PG)_?HOST", HOST),
    (r"\w+_IMAGE|IMAGE", IMAGE),
    (r"COMPOSE_PROJECT_NAME|WORKSPACE_NETWORK", NAME),
    (r"PATH|PYTHONPATH|HOME|DAGSTER_HOME|DAGSTER_STORAGE_DIR", PATHS),
)
KNOWN = tuple((re.compile(name), re.compile(shape)) for name, shape in _KNOWN)


def is_secret_name(name: str) -> bool:
    """Return whether a name is that of a secret: ``"SALES_DB_PASSWORD" -> True``."""
    return _SECRET_NAME.search(name) is not None


def is_harmless(name: str, value: str) -> bool:
    """Return whether a variable's value may be shown, and written into a file that git tracks.

    Args:
        name: The variable.
        value: Its value, without quotes; ``$`` has no special meaning in it.
    """
    if not value:
        return True
    shapes = (shape for known, shape in KNOWN if known.fullmatch(name))
    harmless = is_harmless_anywhere(value) or any(shape.fullmatch(value) for shape in shapes)
    return harmless and not is_secret_name(name)


def is_harmless_setting(name: str, text: str) -> bool:
    """Do the same for a text that may refer to variables, as in compose files and Dockerfiles."""
    literal = without_references(text)
    return literal is not None and is_harmless(name, literal.strip(":/"))


def is_harmless_anywhere(text: str) -> bool:
    """Return whether a text is harmless anywhere: a number, switch, version, duration, port or loopback address."""
    return "\n" not in text and _ANYWHERE.fullmatch(text) is not None


def has_shape(text: str, shape: str) -> bool:
    """Return whether a text, apart from its references to variables, has a harmless shape."""
    literal = without_references(text)
    return literal is not None and (not literal.strip(":/ ") or re.fullmatch(shape, literal) is not None)


def without_references(text: str) -> str | None:
    """Return a text with ``0`` for each reference to a variable: ``"${HOST}:5432" -> "0:5432"``.

    A text that is one reference becomes the empty string. None if the default of a reference may not be shown.
    """
    defaults = [match["default"] or "" for match in _REFERENCE.finditer(text)]
    names = [match["name"] or "" for match in _REFERENCE.finditer(text)]
    if not all(is_harmless(name, default) for name, default in zip(names, defaults, strict=True)):
        return None
    return "" if _REFERENCE.fullmatch(text) else _REFERENCE.sub("0", text)


def shown(name: str, value: str) -> str:
    """Return a variable's value, or ``…`` if it may not be shown."""
    return value if is_harmless(name, value) else HIDDEN
