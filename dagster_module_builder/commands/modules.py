"""``new``: create a module from the template."""

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
        "name": "The module's name: lower-case letters, digits and '-', for example sales-report.",
        "root": ROOT_HELP,
        "title": "Title.",
        "description": "Description in one sentence.",
        "database": "Database: none, postgresql, mysql or duckdb.",
        "database-name": "Database name (default: the module's name).",
        "database-user": "Database user (default: <module>_user). Set a password in $MODULE_DATABASE_PASSWORD.",
        "governance": "Governance level: quick, standard or enterprise.",
        "executor": "Executor: in_process or multiprocess.",
        "code-server": "Code server: shared (the workspace's image) or own.",
        "requires": "System requirements, comma-separated: ssh,pdf,…",
        "starter": "Starter code: sample or empty.",
        "port": "Database port on this machine (default: the next free port).",
        "workspace": "Add it to the workspace: yes, no or later.",
        "deployment": "Configure a deployment: yes, no or later.",
        "no-input": "Use the defaults instead of asking.",
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
    """Create a module: code, tests, database, workspace fragments and documentation."""
    from dagster_module_builder.templating.questionnaire import Questionnaire
    from dagster_module_builder.workspaces.new import new as create

    flags = {
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
    answers = {key: value for key, value in flags.items() if value is not None} | _required(requires)
    console.tell(machine.report(machine.preflight()))
    ask = Questionnaire.ask if console.interactive() and not no_input else None
    created = create(root_of(root), name, answers, ask)
    console.say(f"Created {created.path}")
    console.say_made(created.files, created.path)
    workspace_answer, deployment_answer = (str(created.answers.get(key)) for key in ("workspace", "deployment"))
    _carry_out_next_steps(context, name, root, workspace_answer, deployment_answer)


def _required(requires: str | None) -> dict[str, str | bool]:
    names = [part.strip() for part in (requires or "").split(",")]
    from dagster_module_builder.workspaces.new import REQUIRES

    return {f"{REQUIRES}{name}": True for name in names if name}


def _carry_out_next_steps(context: Context, name: str, root: str | None, workspace: str, deployment: str) -> None:
    """Run the steps that were answered with yes, and print the commands for the others."""
    steps: list[tuple[str, str]] = []
    root_flag = f" --root {shlex.quote(root)}" if root else ""
    not_added: Exit | None = None
    if workspace == "yes":
        console.say()
        try:
            add(context, name, root=root)
        except Exit as error:
            if error.code > _SIGNALS:
                raise
            # The module exists: go on with the deployment.
            not_added = error
            steps.append((f"workspace.add {name}{root_flag}", "add it to the workspace, once that is fixed"))
    elif workspace == "later":
        steps.append((f"workspace.add {name}{root_flag}", "add it to the workspace"))
    if deployment == "yes" and console.interactive():
        console.say()
        configure_deployment(context, name, root=root)
    elif deployment in {"yes", "later"}:
        steps.append((f"configure-deployment {name}{root_flag}", "configure a deployment"))
    console.say_next(steps)
    if not_added:
        raise not_added
