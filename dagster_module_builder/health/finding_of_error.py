"""Turning errors into findings, and the commands that findings name."""

from __future__ import annotations

from pathlib import Path

from dagster_module_builder.base.errors import (
    BuilderError,
    ConflictError,
    DamagedFileError,
)
from dagster_module_builder.claims.conflicts import Finding

SYNC = "workspace.sync"
FORCE = "workspace.sync --force"
PRUNE = "workspace.sync --prune"
REPAIR = "workspace.sync --repair"
VALIDATE = "workspace.validate"


def finding_of(error: BuilderError, where: Path, fix: str, owner: str = "") -> Finding:
    """Return an error as a finding, with the error's place and cure if it has them."""
    if isinstance(error, DamagedFileError):
        return Finding("error", error.problem, error.place, error.way_out, owner)
    reasons = "; ".join(error.reasons) if isinstance(error, ConflictError) else str(error)
    return Finding("error", reasons, str(where), fix, owner)
