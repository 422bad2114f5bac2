"""``audit``: how far modules are from today's pattern."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from invoke.context import Context
from invoke.exceptions import Exit

from dagster_module_builder.base.errors import UsageError
from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import JSON_HELP, ROOT_HELP, command, name_unless, root_of
from dagster_module_builder.commands.trusting import TRUST_HELP, agree_to_run


@command(
    "audit",
    help={
        "name": "The module's name, or the path of its folder; it may have been made by anybody.",
        "root": ROOT_HELP,
        "all": "Audit every module of the workspace.",
        "load": "Make an environment with the module's requirements, and load its definitions there.",
        "run-tests": "Run the module's tests in such an environment, too.",
        "python": "The Python of an environment to use instead of making one.",
        "trust": TRUST_HELP,
        "json": JSON_HELP,
        "markdown": "Print Markdown on stdout.",
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
    json: bool = False,
    markdown: bool = False,
) -> None:
    """Check a module against the current best practices; exit 1 when a check fails."""
    from dagster_module_builder.audit import report, run  # they load what only audits need

    if bool(name) == all or (json and markdown):
        raise UsageError("Give a module's name, or --all; and one of --json and --markdown at most.")
    where = root_of(root)
    wanted = run.Wanted(load, run_tests, Path(python).absolute() if python else None)
    if load or run_tests:
        for path in run.projects_in(where) if all else [run.find(where, str(name))]:
            agree_to_run(where, path, trust=trust)
    audits = run.audit_all(where, wanted) if all else [run.audit(where, run.find(where, str(name)), wanted)]
    if json:
        data = [one.to_json() for one in audits]
        console.say_json(data if all else data[0])
    elif markdown:
        console.say(report.markdown(audits))
    else:
        console.say("\n\n".join(report.text(one, fancy=_fancy(), program=console.program_name()) for one in audits))
        if all:
            console.say()
            console.say_table(("MODULE", "STATUS", "PASSED", "WARNINGS", "FAILURES"), report.summary(audits))
    if any(one.failed for one in audits):
        raise Exit(code=1)


def _fancy() -> bool:
    """Tell whether pictures can be shown: on a terminal that speaks UTF-8."""
    speaks = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return sys.stdout.isatty() and speaks and os.environ.get("TERM") != "dumb"
