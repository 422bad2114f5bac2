"""Checks of secrets: where they stand, and who can read them."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from dagster_module_builder.audit.audited_module import AuditedModule
from dagster_module_builder.audit.checks import Always, check
from dagster_module_builder.audit.results import Problem
from dagster_module_builder.deploy.model.deployment import FILL_IN
from dagster_module_builder.deploy.model.host_settings import ENV
from dagster_module_builder.deploy.model.host_settings import EXAMPLE as DEPLOYED_EXAMPLE
from dagster_module_builder.disclosure.values import is_harmless
from dagster_module_builder.shared_files.formats import env_file
from dagster_module_builder.transactions.plan import SECRET_MODE

_NO_TEXT = frozenset({".csv", ".gif", ".gz", ".ico", ".jpg", ".jpeg", ".parquet", ".pdf", ".png", ".zip", ".lock"})
_LARGEST = 500_000
_HARMLESS = ("change-me", "changeme", "${", "$(", "<", "{{", "example", "xxx", "***")


def secret_files(audited: AuditedModule) -> list[Path]:
    """Return the files that hold secrets by what they are."""
    names = [
        audited.path / ".env",
        *audited.path.glob("workspace/**/.env"),
        *audited.path.glob("workspace/**/.env.kept"),
        *audited.path.glob(f"deploy/*/{ENV}"),
    ]
    return sorted({path for path in names if path.is_file()})


def _no_secret_files(audited: AuditedModule) -> str:
    return "" if secret_files(audited) else "no file with secrets"


@check(
    "secrets",
    "No secrets in files that git tracks",
    "Whoever can read the repository could read them, for ever.",
    Always("every module has files"),
    security=True,
)
def secrets(audited: AuditedModule) -> Iterator[Problem]:
    """Let detect-secrets look through the files; what was found is named, never shown."""
    from dagster_module_builder.audit.secret_scan import secrets_in  # a quarter of a second

    unread = {*audited.tests, *secret_files(audited)}
    for path, found in secrets_in([path for path in audited.tracked if path not in unread and _is_read(path)]):
        if not _is_harmless(str(found.secret_value)):
            fix = "Move it into workspace/local/.env, and change it where it is used"
            yield Problem(f"Looks like a secret: {found.type}", fix, audited.shown(path, found.line_number))
    yield from _committed_settings(audited)


def _committed_settings(audited: AuditedModule) -> Iterator[Problem]:
    """Find the values that earlier versions took over from ``.env`` into the examples of the deployments."""
    for path in sorted(audited.path.glob(f"deploy/*/{DEPLOYED_EXAMPLE}")):
        content = audited.bytes_of(path)
        values = env_file.values(content)
        for entry in env_file.entries(content):
            value = values.get(entry.name, "")
            if not is_harmless(entry.name, value) and not _is_harmless(value):
                cure = f"Write '{FILL_IN}' there, and change it where it is used if it is a secret"
                yield Problem(f"{entry.name} has a value there", cure, audited.shown(path, entry.line + 1))


def _is_read(path: Path) -> bool:
    return path.suffix.lower() not in _NO_TEXT and path.stat().st_size <= _LARGEST


def _is_harmless(value: str) -> bool:
    return any(mark in value.lower() for mark in _HARMLESS)


@check(
    "secret-modes",
    "Files with secrets are readable by their owner alone",
    "Others on the machine could read them.",
    _no_secret_files,
    security=True,
)
def secret_modes(audited: AuditedModule) -> Iterator[Problem]:
    """Look at the modes of the files that hold secrets."""
    for path in secret_files(audited):
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            where = audited.shown(path)
            yield Problem("Others can read the secrets in it", f"Run 'chmod {SECRET_MODE:o} {path}'", where)


@check(
    "secrets-ignored",
    "Git ignores the files with secrets",
    "A commit would publish them.",
    lambda audited: _no_secret_files(audited) or ("not in a git repository" if audited.repository is None else ""),
    security=True,
)
def secrets_ignored(audited: AuditedModule) -> Iterator[Problem]:
    """Look for files with secrets that git tracks, or would with the next ``git add``."""
    tracked = set(audited.tracked)
    for path in secret_files(audited):
        if path in tracked:
            fix = f"Add {path.name} to .gitignore, and 'git rm --cached' it"
            yield Problem("Git tracks it, or would", fix, audited.shown(path))
