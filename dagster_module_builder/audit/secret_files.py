"""Checks of secrets: which files contain them, and who can read them."""

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

_NOT_SCANNED = frozenset({".csv", ".gif", ".gz", ".ico", ".jpg", ".jpeg", ".parquet", ".pdf", ".png", ".zip", ".lock"})
_LARGEST = 500_000
_HARMLESS = ("change-me", "changeme", "${", "$(", "<", "{{", "example", "xxx", "***")


def secret_files(audited: AuditedModule) -> list[Path]:
    """Return the files that hold secrets by their name, such as ``.env`` and ``.env.deploy``."""
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
    "Anyone with access to the repository could read them, even after a later commit.",
    Always("every module has files"),
    security=True,
)
def secrets(audited: AuditedModule) -> Iterator[Problem]:
    """Scan the files with detect-secrets; secrets are located, never shown."""
    from dagster_module_builder.audit.secret_scan import secrets_in  # importing it takes a quarter of a second

    excluded = {*audited.tests, *secret_files(audited)}
    for path, secret in secrets_in([path for path in audited.tracked if path not in excluded and _is_scanned(path)]):
        if not _is_harmless(str(secret.secret_value)):
            fix = "Move it to workspace/local/.env, and replace it where it is used"
            yield Problem(f"Looks like a secret: {secret.type}", fix, audited.shown(path, secret.line_number))
    yield from _committed_settings(audited)


def _committed_settings(audited: AuditedModule) -> Iterator[Problem]:
    """Find values that earlier versions copied from ``.env`` into the deployments' examples."""
    for path in sorted(audited.path.glob(f"deploy/*/{DEPLOYED_EXAMPLE}")):
        content = audited.bytes_of(path)
        values = env_file.values(content)
        for entry in env_file.entries(content):
            value = values.get(entry.name, "")
            if not is_harmless(entry.name, value) and not _is_harmless(value):
                fix = f"Replace it with '{FILL_IN}'; if it was a secret, also change it where it is used"
                yield Problem(f"{entry.name} has a value", fix, audited.shown(path, entry.line + 1))


def _is_scanned(path: Path) -> bool:
    return path.suffix.lower() not in _NOT_SCANNED and path.stat().st_size <= _LARGEST


def _is_harmless(value: str) -> bool:
    return any(mark in value.lower() for mark in _HARMLESS)


@check(
    "secret-modes",
    "Only the owner can read files with secrets",
    "Other users of the machine could read them.",
    _no_secret_files,
    security=True,
)
def secret_modes(audited: AuditedModule) -> Iterator[Problem]:
    """Check the modes of the files that hold secrets."""
    for path in secret_files(audited):
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            where = audited.shown(path)
            yield Problem("Other users can read its secrets", f"Run 'chmod {SECRET_MODE:o} {path}'", where)


@check(
    "secrets-ignored",
    "Git ignores the files with secrets",
    "A commit would publish them.",
    lambda audited: _no_secret_files(audited) or ("not in a git repository" if audited.repository is None else ""),
    security=True,
)
def secrets_ignored(audited: AuditedModule) -> Iterator[Problem]:
    """Find files with secrets that git tracks, or would track after ``git add``."""
    tracked = set(audited.tracked)
    for path in secret_files(audited):
        if path in tracked:
            fix = f"Add {path.name} to .gitignore, and run 'git rm --cached {path.name}'"
            yield Problem("Git tracks it, or does not ignore it", fix, audited.shown(path))
