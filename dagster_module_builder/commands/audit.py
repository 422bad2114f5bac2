"""``audit``: check modules against the current best practices."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from invoke.context import Context
from invoke.exceptions import Exit

from dagster_module_builder.base.errors import UsageError
from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import ROOT_HELP, command, name_unless, root_of
from dagster_module_builder.commands.task_output import program_name
from dagster_module_builder.commands.trusting import TRUST_HELP, agree_to_run


@command(
    "audit",
    help={
        "name": "The module's name, or the path of its folder; it need not come from the template.",
        "root": ROOT_HELP,
        "all": "Audit every module of the workspace.",
        "load": "Create an environment with the module's requirements, and load its definitions there.",
        "run-tests": "Also run the module's tests in that environment.",
        "python": "Use the environment of this Python instead of creating one.",
        "trust": TRUST_HELP,
        "markdown": "Print the report as Markdown.",
    },
    positional=name_unless("--all"),
)
def audit(
    _context: Context,
    name: str | None = None,
    root: str | None = None,
    all: bool = False,  # noqa: A002 - the flag's name
    load: bool = False,
    run_tests: bool = False,
    python: str | None = None,
    trust: bool = False,
    markdown: bool = False,
) -> None:
    """Check a module against the current best practices; exit 1 when a check fails."""
    from dagster_module_builder.audit import report, run  # imported late: only audits need them
    from dagster_module_builder.modules.module import folder_of

    if bool(name) == all or (markdown and console.is_for_programs()):
        raise UsageError("Pass a module's name or --all, and at most one of --json and --markdown.")
    root_path = root_of(root)
    options = run.AuditOptions(load, run_tests, Path(python).absolute() if python else None)
    if load or run_tests:
        for path in run.projects_in(root_path) if all else [folder_of(root_path, str(name))]:
            agree_to_run(root_path, path, trust=trust)
    if all:
        audits = run.audit_all(root_path, options)
    else:
        audits = [run.audit(root_path, folder_of(root_path, str(name)), options)]
    data = [result.to_json() for result in audits]
    console.give(data if all else data[0])
    if markdown:
        console.say(report.markdown(audits))
    else:
        console.say("\n\n".join(report.text(result, fancy=_fancy(), program=program_name()) for result in audits))
        if all:
            console.say()
            console.say_table(("MODULE", "STATUS", "PASSED", "WARNINGS", "FAILURES"), report.summary(audits))
    if any(result.failed for result in audits):
        raise Exit(code=1)


def _fancy() -> bool:
    """Return whether to print symbols such as ✅: on a UTF-8 terminal."""
    is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return sys.stdout.isatty() and is_utf8 and os.environ.get("TERM") != "dumb"
