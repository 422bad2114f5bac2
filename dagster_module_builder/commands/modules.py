"""``new``: a module from the template."""

from __future__ import annotations

import shlex

from invoke.context import Context
from invoke.exceptions import Exit

from dagster_module_builder.base import machine
from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import ROOT_HELP, command, root_of
from dagster_module_builder.commands.configure_deployment import configure_deployment
from dagster_module_builder.commands.workspace import add

#: Exit codes above this one are those of signals.
_SIGNALS = 128


@command(
    "new",
    help={
        "name": "The module's name: lower-case letters, digits and '-', as in sales-report.",
        "root": ROOT_HELP,
        "title": "Its title, for people.",
        "description": "What it does, in one sentence.",
        "database": "none, postgresql, mysql or duckdb.",
        "database-name": "The database's name (default: the module's).",
        "database-user": "The database's user (default: <module>_user). $MODULE_DATABASE_PASSWORD gives a password.",
        "governance": "quick, standard or enterprise.",
        "executor": "in_process or multiprocess.",
        "code-server": "shared (the workspace's image) or own.",
        "requires": "System requirements, separated by commas: ssh,pdf,…",
        "starter": "sample or empty.",
        "port": "The database's port on this machine (default: the next free one).",
        "workspace": "Integrate it: yes, no or later.",
        "deployment": "Configure a deployment: yes, no or later.",
        "no-input": "Take the defaults instead of asking.",
    },
)
def new(
    context: Context,
    name: str,
    root: str | None = None,
    title: str | None = None,
    description: str | None = None,
    database: str | None = None,
    database_name: str | None = None,
    database_user: str | None = None,
    governance: str | None = None,
    executor: str | None = None,
    code_server: str | None = None,
    requires: str | None = None,
    starter: str | None = None,
    port: str | None = None,
    workspace: str | None = None,
    deployment: str | None = None,
    no_input: bool = False,
) -> None:
    """Make a module: its code, tests, database, fragments for the workspace, documentation."""
    from dagster_module_builder.templating.questionnaire import Questionnaire
    from dagster_module_builder.workspaces.new import new as make

    given = {
        "title": title,
        "description": description,
        "database": database,
        "database_name": database_name,
        "database_user": database_user,
        "database_port": port,
        "governance": governance,
        "executor": executor,
        "code_server": code_server,
        "starter": starter,
        "workspace": workspace,
        "deployment": deployment,
    }
    answers = {key: value for key, value in given.items() if value is not None} | _required(requires)
    where = root_of(root)
    console.tell(machine.report(machine.preflight()))
    ask = Questionnaire.ask if console.interactive() and not no_input else None
    made = make(where, name, answers, ask)
    console.say(f"Made {made.path}")
    console.say_made(made.files, made.path)
    _go_on(context, name, root, str(made.answers.get("workspace")), str(made.answers.get("deployment")))


def _required(requires: str | None) -> dict[str, str | bool]:
    names = [part.strip() for part in (requires or "").split(",")]
    from dagster_module_builder.workspaces.new import REQUIRES

    return {f"{REQUIRES}{name}": True for name in names if name}


def _go_on(context: Context, name: str, root: str | None, workspace: str, deployment: str) -> None:
    """Do what was asked for; what was put off comes as the next steps."""
    steps: list[tuple[str, str]] = []
    where = f" --root {shlex.quote(root)}" if root else ""
    not_added: Exit | None = None
    if workspace == "yes":
        console.say()
        try:
            add(context, name, root=root)
        except Exit as error:
            if error.code > _SIGNALS:
                raise
            # The module is made: what else was asked for is done, too.
            not_added = error
            steps.append((f"workspace.add {name}{where}", "bring it into the workspace, once that is fixed"))
    elif workspace == "later":
        steps.append((f"workspace.add {name}{where}", "bring it into the workspace"))
    if deployment == "yes" and console.interactive():
        console.say()
        configure_deployment(context, name, root=root)
    elif deployment in {"yes", "later"}:
        steps.append((f"configure-deployment {name}{where}", "say where it is deployed to"))
    console.say_next(steps)
    if not_added:
        raise not_added
