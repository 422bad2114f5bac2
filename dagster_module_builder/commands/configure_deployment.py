"""``configure-deployment``: create a deployment of a module to a client's hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from invoke.context import Context

from dagster_module_builder.base.errors import UsageError
from dagster_module_builder.commands import console, task_output
from dagster_module_builder.commands.base import ROOT_HELP, command, root_of
from dagster_module_builder.commands.task_output import step

if TYPE_CHECKING:
    from dagster_module_builder.deploy.configure import Configured
    from dagster_module_builder.templating.questionnaire import Answer


@command(
    "configure-deployment",
    help={
        "module": "The module's name, or the path of its folder.",
        "root": ROOT_HELP,
        "deployment": "The deployment's name.",
        "client": "The client's name.",
        "hosts": "Its hosts, comma-separated: host or host:port.",
        "user": "The user on the hosts (default: from the SSH configuration).",
        "base-path": "The folder on the hosts.",
        "strategy": "Deployment strategy: a folder in deploy_strategies/.",
        "set": "Answer a question of the strategy: NAME=VALUE; repeatable.",
        "answers": "A YAML or JSON file with answers, named as these flags and the questions are.",
        "no-input": "Use the defaults instead of asking.",
    },
    iterable=["set"],
)
def configure_deployment(
    _context: Context,
    module: str,
    root: str | None = None,
    deployment: str | None = None,
    client: str | None = None,
    hosts: str | None = None,
    user: str | None = None,
    base_path: str | None = None,
    strategy: str | None = None,
    set: Sequence[str] | None = None,  # noqa: A002 - the flag's name
    answers: str | None = None,
    no_input: bool = False,
) -> None:
    """Create a deployment of a module to a client's hosts."""
    from dagster_module_builder.commands.asking.answers_file import answers_in

    flags = {
        "deployment": deployment,
        "client": client,
        "hosts": hosts,
        "user": user,
        "base_path": base_path,
        "strategy": strategy,
    }
    passed = {name: value for name, value in flags.items() if value is not None}
    given = {**answers_in(answers), **_settings(set or ()), **passed}
    _configure(module, root, given, asks=console.interactive() and not no_input)


def refuse_unfit(answers: Mapping[str, Any]) -> None:
    """Refuse answers from which no deployment can be created, before its module is.

    Raises:
        UsageError: An answer is missing, unknown or not valid.
    """
    from dagster_module_builder.deploy.configure import problem_with_answers
    from dagster_module_builder.deploy.questions import carried_by

    _refuse_missing(answers)
    strategy, typed = _checked(answers)
    if problem := problem_with_answers(str(strategy), carried_by(str(strategy), typed), typed):
        raise UsageError(f"Not a valid deployment: {problem.rstrip('.')}.")


def configured_by(answers: Mapping[str, Any], module: str, root: str | None) -> None:
    """Create a deployment by answers alone, as a section of a file gives them.

    Raises:
        UsageError: An answer is missing.
    """
    output = task_output.current()
    # Programs get its result apart, as that of the task.
    with task_output.of_task("configure-deployment", as_json=output.as_json, quiet=output.quiet, root=root):
        _configure(module, root, answers, asks=False)


def _configure(module: str, root: str | None, given: Mapping[str, Any], *, asks: bool) -> None:
    from dagster_module_builder.deploy import configure as use_case
    from dagster_module_builder.modules.module import locate

    root_path = root_of(root)
    folder = locate(root_path, module)
    if not asks:
        _refuse_missing(given)
    strategy, answers = _checked(given)
    if asks:
        from dagster_module_builder.commands.asking.deployment_questions import ask_about_deployment
        from dagster_module_builder.commands.asking.prompts import asker

        strategy, answers = ask_about_deployment(root_path, folder, {**given, **answers}, asker())
    _say_created(use_case.configure(root_path, folder, str(strategy), answers))


def _refuse_missing(given: Mapping[str, Any]) -> None:
    from dagster_module_builder.deploy.questions import strategies

    missing = [f"--{name}" for name in ("deployment", "client", "hosts", "strategy") if not given.get(name)]
    if missing:
        hint = f" (strategies: {', '.join(strategies())})" if "--strategy" in missing else ""
        raise UsageError(f"Not running in a terminal: pass {', '.join(missing)}{hint}, or --answers with a file.")


def _checked(given: Mapping[str, Any]) -> tuple[str | None, dict[str, Answer]]:
    """Return the strategy, and the answers as its questions have them.

    Raises:
        UsageError: No question asks for an answer, or it is not one of the question's choices.
    """
    from dagster_module_builder.commands.asking.answers_file import refuse_unknown
    from dagster_module_builder.commands.asking.interview import answer_to
    from dagster_module_builder.deploy import questions as strategy_questions

    answers = {name: answer for name, answer in given.items() if name != "strategy"}
    strategy = given.get("strategy")
    if strategy is None:
        # Which of these questions are asked depends on the strategy, which a person is about to choose.
        refuse_unknown(answers, strategy_questions.all_names())
        return None, answers
    questions = strategy_questions.questionnaire(strategy, strategy_questions.carried_by(strategy, answers))
    questions.refuse_unknown(answers)
    typed = {name: answer_to(questions[name], answer) for name, answer in answers.items()}
    questions.refuse_unoffered(typed)
    return strategy, typed


def _say_created(created: Configured) -> None:
    from dagster_module_builder.commands.deploy_hosts import say_to_commit
    from dagster_module_builder.deploy.connection.typed_names import words
    from dagster_module_builder.deploy.model.deployment import read_deployment
    from dagster_module_builder.deploy.pipeline import summary

    configured = read_deployment(created.folder)
    console.give(
        {
            "deployment": configured.name,
            "module": configured.names.name,
            "folder": str(created.folder),
            "files": [str(path) for path in created.files],
            "to_fill_in": list(created.empty),
        }
    )
    console.say(f"Created {created.folder}")
    for path in created.files:
        is_inside = path.is_relative_to(created.folder)
        console.say(f"  made    {path.relative_to(created.folder) if is_inside else path}")
    if created.empty:
        console.say_next(step(f"Fill in {', '.join(created.empty)} in {created.folder / '.env.deploy'}"))
    if configured.pipeline is not None:
        console.say(f"{configured.names.name} is deployed to {configured.name!r} by {summary(configured)}.")
        console.say(f"The pipeline installs {configured.pipeline['tool']}.")
        if _is_of_this_machine(str(configured.pipeline["tool"])):
            console.alert(
                "Its runner cannot reach a folder of this machine. Set 'tool' in deployment.yaml to a version on an "
                "index, or to a git URL with a commit, and run 'deploy.pipeline'."
            )
    say_to_commit(configured)
    name = words(created.folder)
    console.say_next(
        step(f"The guide for this deployment: {created.folder / 'DEPLOYMENT.md'}"),
        step("pin the hosts' keys", "deploy.trust", *name),
        step("prepare the hosts", "deploy.setup", *name),
        step("show what would change", "deploy", *name, "--dry-run"),
    )


def _is_of_this_machine(requirement: str) -> bool:
    """Return whether a requirement is a folder or file here.

    >>> _is_of_this_machine("git+/home/ada/tool@1f0a"), _is_of_this_machine("git+https://git.example/tool@1f0a")
    (True, False)
    """
    place = requirement.rpartition(" @ ")[2].removeprefix("git+").removeprefix("file://")
    return place.startswith(("/", "./", "../", "~"))


def _settings(pairs: Sequence[str]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise UsageError(f"--set {pair} has no '='. Pass NAME=VALUE.")
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}
