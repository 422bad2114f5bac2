"""``doctor``: what is in order, what is not, and the cure."""

from __future__ import annotations

from dataclasses import asdict

from invoke.context import Context
from invoke.exceptions import Exit

from dagster_module_builder.base.settings import chosen_root
from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import ROOT_HELP, command


@command("doctor", help={"root": ROOT_HELP})
def doctor(_context: Context, root: str | None = None) -> None:
    """Look at this machine, the workspace and its deployments; exit 1 if something keeps them from working."""
    from dagster_module_builder.doctor.examine import examine

    path, reason = chosen_root(root)
    found = []
    for diagnosis in examine(path, reason):
        found.append(diagnosis)
        console.say(f"{diagnosis.state:<8} {diagnosis.area}: {diagnosis.text}")
        if diagnosis.cure:
            console.say(f"{'':<8}   -> {diagnosis.cure}")
    states = [diagnosis.state for diagnosis in found]
    problems, warnings = states.count("problem"), states.count("warning")
    console.give({"ok": not problems, "findings": [asdict(diagnosis) for diagnosis in found]})
    console.say(f"\n{console.counted(problems, 'problem')}, {console.counted(warnings, 'warning')}")
    if problems:
        raise Exit(code=1)
