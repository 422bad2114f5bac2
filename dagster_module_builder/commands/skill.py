"""``skill``: what a coding agent reads to work with this program (https://agentskills.io/specification)."""

from __future__ import annotations

from pathlib import Path

from invoke.context import Context

from dagster_module_builder.base.settings import expanded
from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import command

_NAME = "dagster-module-builder"
#: Where agents look for skills of a user; the first one is made if there is none.
_FOLDERS = ("~/.agents/skills", "~/.claude/skills")


@command(
    "skill",
    help={
        "install": "Install it for this user's coding agents, or bring it up to date.",
        "folder": f"The folder of skills to install it in (default: {' and '.join(_FOLDERS)}, where there are any).",
    },
)
def skill(_context: Context, install: bool = False, folder: str | None = None) -> None:
    """Print the path of the skill with which a coding agent uses this program, or install it."""
    from dagster_module_builder.templating.template_folders import candidates
    from dagster_module_builder.transactions.plan import FileChange, Plan
    from dagster_module_builder.transactions.transaction import commit_one

    places = [folder / _NAME / "SKILL.md" for folder in candidates("skills")]
    shipped = next((file for file in places if file.is_file()), places[-1])
    if not (install or folder):
        console.give({"file": str(shipped)})
        console.say(str(shipped))
        return
    text = shipped.read_bytes()
    files = [each / _NAME / "SKILL.md" for each in _chosen(folder)]
    plan = Plan(tuple(FileChange(file, file.read_bytes() if file.exists() else None, text) for file in files))
    for change in plan.effective:
        commit_one(change)
    console.give({"files": [str(file) for file in files]})
    for file in files:
        console.say(f"Installed {file}")


def _chosen(folder: str | None) -> list[Path]:
    if folder:
        return [expanded(folder).absolute()]
    folders = [expanded(each) for each in _FOLDERS]
    return [each for each in folders if each.parent.is_dir()] or folders[:1]
