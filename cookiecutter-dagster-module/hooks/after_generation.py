"""Finish a rendered module: remove unneeded files, write secrets, print the next commands."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import baseline
import settings
from layout import layout_of

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM = "dagster-module-builder"
SECRETS_FILE = settings.FRAGMENTS / ".env"

#: Files that only some answers need: path below the module (``@`` is its package), and the answers that keep it.
OPTIONAL: dict[str, dict[str, set[str]]] = {
    "@/database.py": {"database": {"postgresql", "mysql", "duckdb"}},
    "tests/test_database.py": {"database": {"postgresql", "mysql", "duckdb"}},
    "workspace/local/schema.sql": {"database": {"postgresql", "mysql"}},
    "@/data": {"starter": {"sample"}},
    "Dockerfile": {"code_server": {"own"}},
    "@/health.py": {"code_server": {"own"}},
    "tests/test_health.py": {"code_server": {"own"}},
    "@/schedules.py": {"governance": {"standard", "enterprise"}},
    "tests/integration": {"governance": {"standard", "enterprise"}},
    "TROUBLESHOOTING.md": {"governance": {"standard", "enterprise"}},
    "@/contract.py": {"governance": {"enterprise"}},
    "@/ownership.py": {"governance": {"enterprise"}},
    "@/notifiers.py": {"governance": {"enterprise"}},
    "@/sensors.py": {"governance": {"enterprise"}},
    "tests/test_contract.py": {"governance": {"enterprise"}},
    "tests/test_sensors.py": {"governance": {"enterprise"}},
    "RUNBOOK.md": {"governance": {"enterprise"}},
    "SECURITY.md": {"governance": {"enterprise"}},
    ".github": {"governance": {"enterprise"}},
    ".pre-commit-config.yaml": {"governance": {"enterprise"}},
}


def main(answers: Mapping[str, Any]) -> None:
    """Finish the module in the current folder; print the next commands unless a program called Cookiecutter."""
    module = Path.cwd()
    remove_unneeded(module, answers)
    baseline.write(module)
    write_secrets(module / SECRETS_FILE)
    if settings.CALLER_VARIABLE not in os.environ:
        carry_out_next_steps(module, answers)


def remove_unneeded(module: Path, answers: Mapping[str, Any]) -> None:
    """Remove the files that these answers do not need."""
    package = f"src/{answers['name'].replace('-', '_')}_dagster"
    for path, wanted_by in OPTIONAL.items():
        if any(answers[question] not in wanted for question, wanted in wanted_by.items()):
            _remove(module / path.replace("@", package))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_secrets(file: Path) -> None:
    """Replace the placeholders in an env file: the password from the environment if set, otherwise random secrets.

    The file's mode is 0600 before it holds a secret.
    """
    text = file.read_text(encoding="utf-8")
    file.chmod(0o600)
    password = os.environ.get(settings.PASSWORD_VARIABLE) or secrets.token_urlsafe(24)
    text = text.replace("@PASSWORD@", password).replace("@ROOT_PASSWORD@", secrets.token_urlsafe(24))
    file.write_text(text, encoding="utf-8")


def carry_out_next_steps(module: Path, answers: Mapping[str, Any]) -> None:
    """Run the steps that were answered with yes, and print the commands for those that are left."""
    print(f"Made {module}", file=sys.stderr)
    steps = [
        (answers["workspace"], add_command(module)),
        (answers["deployment"], [PROGRAM, "configure-deployment", module.name]),
    ]
    remaining = [command for answer, command in steps if answer == "later" or (answer == "yes" and not _run(command))]
    if remaining:
        print("Next:", *(f"  {shlex.join(command)}" for command in remaining), sep="\n", file=sys.stderr)
        if shutil.which(PROGRAM) is None:
            print(
                f"{PROGRAM} is not on PATH. Install it with 'pipx install <clone>', or run 'invoke' in its clone.",
                file=sys.stderr,
            )


def add_command(module: Path) -> list[str]:
    """Return the command that adds a module to the workspace, with ``--move`` if the module is outside it."""
    in_place = module.parent in layout_of(settings.workspace_root()).module_folders
    return [PROGRAM, "workspace.add", module.name] if in_place else [PROGRAM, "workspace.add", str(module), "--move"]


def _run(command: list[str]) -> bool:
    # A failure here must not fail the hook: Cookiecutter would then delete the new module.
    return shutil.which(command[0]) is not None and subprocess.run(command, check=False).returncode == 0
