"""``new``: create a module from the template."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from invoke.context import Context
from invoke.exceptions import Exit

from dagster_module_builder.base import machine
from dagster_module_builder.base.errors import BuilderError, UsageError
from dagster_module_builder.base.settings import expanded
from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import ROOT_HELP, Positional, command, root_of
from dagster_module_builder.commands.configure_deployment import configure_deployment, configured_by, refuse_unfit
from dagster_module_builder.commands.task_output import step
from dagster_module_builder.commands.workspace import add

if TYPE_CHECKING:
    from dagster_module_builder.templating.questionnaire import Answer

#: Flags of ``new`` without a value.
_WITHOUT_VALUE = {"--no-input", "--accept-size"}
#: Exit codes above this one are those of signals.
_SIGNALS = 128


def _typed_names(typed: Sequence[str]) -> list[str]:
    """Return whether a name was typed behind ``new``: without one it is asked for, or a file has it."""
    if "new" not in typed:
        return ["name"]
    following = iter(typed[typed.index("new") + 1 :])
    for word in following:
        if not word.startswith("-"):
            return ["name"]
        if "=" not in word and word not in _WITHOUT_VALUE:
            next(following, None)
    return []


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
        "requires": "System requirements, comma-separated: ssh,pdf,…; or none.",
        "accept-size": "Accept system requirements of more than 100 MB.",
        "starter": "Starter code: sample or empty.",
        "into": "The folder that it goes into: one of 'projects' in dagster-module-builder.ini (default: the first).",
        "port": "Database port on this machine (default: the next free port).",
        "workspace": "Add it to the workspace: yes, no or later.",
        "deployment": "Configure a deployment: yes, no or later.",
        "answers": "A YAML or JSON file with answers, named as these flags are.",
        "no-input": "Use the defaults instead of asking.",
    },
    positional=Positional(_typed_names),
)
def new(
    context: Context,
    name: str | None = None,
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
    accept_size: bool = False,
    starter: str | None = None,
    port: str | None = None,
    into: str | None = None,
    workspace: str | None = None,
    deployment: str | None = None,
    answers: str | None = None,
    no_input: bool = False,
) -> None:
    """Create a module: code, tests, database, workspace fragments and documentation."""
    from dagster_module_builder.commands.asking import module_questions
    from dagster_module_builder.commands.asking.prompts import asker
    from dagster_module_builder.workspaces.new import new as create

    flags = {
        "name": name,
        "title": title,
        "description": description,
        "database": database,
        "database_name": database_name,
        "database_user": database_user,
        "port": port,
        "governance": governance,
        "executor": executor,
        "code_server": code_server,
        "requires": requires,
        "starter": starter,
        "workspace": workspace,
        "deployment": deployment,
        "accept_size": "yes" if accept_size else None,
    }
    given = _given(answers, flags)
    deployed_by = given.pop("deployment", None)
    is_large_accepted = given.pop("accept_size", "no") == "yes"
    asks = console.interactive() and not no_input
    _refuse_unanswered(given, deployed_by, asks=asks)
    passed = _passed(given, deployed_by)
    console.inform(machine.report(machine.preflight()))
    if not (asks or is_large_accepted):
        module_questions.refuse_large(passed)
    ask = partial(module_questions.ask_about_module, accept_size=is_large_accepted, ask=asker()) if asks else None
    folder = expanded(into).absolute() if into else None
    created = create(root_of(root), passed.pop("name", None), passed, ask, into=folder)  # type: ignore[arg-type]
    files = [str(path.relative_to(created.path)) for path in created.files]
    console.give({"module": created.path.name, "path": str(created.path), "files": files})
    console.say(f"Created {created.path}")
    console.say_made(created.files, created.path)
    assets = next((path for path in created.files if path.name == "assets.py"), created.path)
    console.say_next(step(f"Write your assets in {assets}, and read {created.path / 'README.md'}"))
    _carry_out_next_steps(context, created.path.name, root, created.answers, deployed_by)


def _given(file: str | None, flags: Mapping[str, str | None]) -> dict[str, Any]:
    """Return the answers of a file and, before them, those of the flags."""
    from dagster_module_builder.commands.asking.answers_file import answers_in, refuse_unknown

    written = answers_in(file)
    refuse_unknown(written, flags)
    return {**written, **{name: value for name, value in flags.items() if value is not None}}


def _refuse_unanswered(given: Mapping[str, Any], deployment: object, *, asks: bool) -> None:
    """Refuse what only a person at a terminal could still answer, before anything is created."""
    if not asks and "name" not in given:
        raise UsageError("The module's name is missing: 'new NAME'.")
    if isinstance(deployment, Mapping):
        refuse_unfit(deployment)
    if not asks and deployment == "yes":
        raise UsageError(
            "--deployment yes asks for a client and its hosts, and there is no terminal to ask. Pass --answers with a "
            "section 'deployment', or --deployment later and run 'configure-deployment' then."
        )


def _passed(given: dict[str, Any], deployment: object) -> dict[str, Answer]:
    """Return the answers with the template's names."""
    from dagster_module_builder.commands.asking.module_questions import required

    named = {"port": "database_port"}
    plain = {named.get(name, name): answer for name, answer in given.items() if name != "requires"}
    if nested := next((name for name, answer in plain.items() if isinstance(answer, Mapping)), None):
        raise UsageError(f"--answers: {nested} is one answer, not several.")
    if deployment is not None:
        plain["deployment"] = "yes" if isinstance(deployment, Mapping) else deployment
    return {**plain, **required(given.get("requires"))}


def _carry_out_next_steps(
    context: Context, name: str, root: str | None, answers: Mapping[str, Answer], deployed_by: object
) -> None:
    """Run the steps that were answered with yes, and print the commands for the others."""
    add_it = ("add it to the workspace", "workspace.add", name)
    deploy_it = ("configure a deployment", "configure-deployment", name)

    def configure() -> None:
        if isinstance(deployed_by, Mapping):
            configured_by(deployed_by, name, root)
        else:
            configure_deployment(context, name, root=root)

    wanted = [
        (str(answers["workspace"]), lambda: add(context, name, root=root), add_it),
        (str(answers["deployment"]), configure, deploy_it),
    ]
    failures: list[Exit] = []
    for answer, carry_out, (purpose, *typed) in wanted:
        failure = _failure_of(carry_out) if answer == "yes" else None
        if failure:
            # The module exists: go on with the next step.
            failures.append(failure)
            console.say_next(step(f"{purpose}, once that is fixed", *typed))
        elif answer == "later":
            console.say_next(step(purpose, *typed))
    if failures:
        raise failures[0]


def _failure_of(carry_out: Callable[[], None]) -> Exit | None:
    """Carry out a step; return how it failed, or None.

    Raises:
        Exit: A signal ended it.
    """
    console.say()
    try:
        carry_out()
    except Exit as error:
        if error.code > _SIGNALS:
            raise
        return error
    except BuilderError as error:
        # The other steps are tasks, which have said why they failed.
        console.alert(f"Error: {error}")
        return Exit(code=error.exit_code)
    return None
