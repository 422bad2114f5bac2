"""``configure-deployment``, ``deploy`` and ``deploy.*``: modules on their clients' hosts."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit

from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import DRY_RUN_HELP, JSON_HELP, ROOT_HELP, YES_HELP, command, root_of
from dagster_module_builder.commands.steps_table import StepsTable
from dagster_module_builder.errors import UsageError

if TYPE_CHECKING:
    from dagster_module_builder.deployment import Deployment
    from dagster_module_builder.rollout import HostOutcome
    from dagster_module_builder.templates import Answer, Question, Questionnaire

_NAME_HELP = "The deployment's name: the folder below the modules' deploy/."
_MODULE_HELP = "Only this module; may be given several times (default: every module that has the deployment)."
_HOST_HELP = "Only this host; may be given several times (default: all of them)."
_WAIT_HELP = "Seconds to wait for somebody else's deployment (default: 0)."
_FORCE_HELP = "Replace what somebody edited inside our blocks on the host."

_SHARED = {"name": _NAME_HELP, "module": _MODULE_HELP, "host": _HOST_HELP, "root": ROOT_HELP}
#: No short flags: -h is for help everywhere, not for --host.
_PLAIN: dict[str, Any] = {"auto_shortflags": False}
_LISTS: dict[str, Any] = {"iterable": ["module", "host"], **_PLAIN}


def _found(root: str | None, name: str, modules: Sequence[str] | None) -> list[Deployment]:
    from dagster_module_builder.deployment import find  # noqa: PLC0415 - commands that deploy nothing do not wait for it

    return find(root_of(root), name, modules or ())


def _report(outcomes: Sequence[HostOutcome], done: str) -> None:
    for outcome in outcomes:
        what = ", ".join(f"{module} {release}" for module, release in outcome.releases.items())
        console.say(f"{outcome.host}: {done} {what}".rstrip())
        if outcome.pruned:
            console.say(f"  removed {', '.join(outcome.pruned)}")
        if outcome.seconds:
            console.say("  " + ", ".join(f"{step} {value:.1f} s" for step, value in outcome.seconds.items()))
        for note in outcome.notes:
            console.tell(f"  {note}")


# -- configure-deployment ---------------------------------------------------------------------------------------------


@command(
    "configure-deployment",
    help={
        "module": "The module's name, or the path of its folder.",
        "root": ROOT_HELP,
        "deployment": "The deployment's name.",
        "client": "The client's name, as people write it.",
        "hosts": "Its hosts, with commas between them: host or host:port.",
        "user": "The user on the hosts (default: as SSH is configured).",
        "base-path": "The folder on the hosts.",
        "strategy": "How releases get there: a folder in deploy_strategies/.",
        "set": "An answer to any question of the strategy: NAME=VALUE; may be given several times.",
        "no-input": "Take the defaults instead of asking.",
    },
    iterable=["set"],
    **_PLAIN,
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
    no_input: bool = False,
) -> None:
    """Say how a module gets to a client's hosts."""
    from dagster_module_builder import configure_deployment as use_case  # noqa: PLC0415
    from dagster_module_builder.module import locate  # noqa: PLC0415

    where = root_of(root)
    folder = locate(where, module)
    given = {"deployment": deployment, "client": client, "hosts": hosts, "user": user, "base_path": base_path}
    answers: dict[str, Answer] = {
        **{key: value for key, value in given.items() if value is not None},
        **_settings(set or ()),
    }
    asks = console.interactive() and not no_input
    chosen = strategy or _ask_strategy(use_case.strategies(), asks=asks)
    questions = use_case.questionnaire(chosen)
    _refuse_unknown(questions, answers)
    detected = use_case.detected(where, folder, chosen)
    if asks:
        answers = _asked(questions, detected, answers)
    missing = [name for name in ("deployment", "client", "hosts") if name not in answers]
    if missing:
        raise UsageError(f"Nobody is there to be asked: give {', '.join(f'--{name}' for name in missing)}.")
    made = use_case.configure(where, folder, chosen, _typed(questions, answers))
    console.say(f"Made {made.folder}")
    for path in made.files:
        console.say(f"  made    {path.relative_to(made.folder)}")
    if made.empty:
        console.tell(f"Fill in {', '.join(made.empty)} in {made.folder / '.env.deploy'}.")
    name, suffix = made.folder.name, f" --root {shlex.quote(root)}" if root else ""
    console.say_next(
        [
            (f"deploy.trust {name}{suffix}", "pin the hosts' keys"),
            (f"deploy.setup {name}{suffix}", "prepare the hosts"),
            (f"deploy {name}{suffix} --dry-run", "see what would happen"),
        ]
    )


def _settings(pairs: Sequence[str]) -> dict[str, Answer]:
    for pair in pairs:
        if "=" not in pair:
            raise UsageError(f"--set {pair}: write NAME=VALUE.")
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def _ask_strategy(names: Sequence[str], *, asks: bool) -> str:
    if not asks:
        raise UsageError(f"Nobody is there to be asked: give --strategy ({', '.join(names)}).")
    from cookiecutter.prompt import read_user_choice  # noqa: PLC0415

    prompts = {"strategy": {"__prompt__": "How releases get to the hosts"}}
    return str(read_user_choice("strategy", list(names), prompts))


def _refuse_unknown(questions: Questionnaire, answers: Mapping[str, Answer]) -> None:
    known = {question.name for question in questions}
    for name in answers:
        if name not in known:
            raise UsageError(
                f"{name!r} is no question of {questions.folder.name}: there are {', '.join(sorted(known))}."
            )


def _asked(questions: Questionnaire, detected: Mapping[str, Answer], given: Mapping[str, Answer]) -> dict[str, Answer]:
    """Ask what neither a flag nor the module answers."""
    answers: dict[str, Answer] = {**detected, **given}
    for question in questions:
        if question.name not in answers:
            answers[question.name] = questions.ask(question, answers)
    return answers


def _typed(questions: Questionnaire, answers: Mapping[str, Answer]) -> dict[str, Answer]:
    """Give yes-or-no questions a yes or a no."""
    kinds: dict[str, Question] = {question.name: question for question in questions}
    return {
        name: str(answer).lower() in {"y", "yes", "true", "1"} if isinstance(kinds[name].default, bool) else answer
        for name, answer in answers.items()
    }


# -- deploy -----------------------------------------------------------------------------------------------------------


@command(
    "deploy",
    help={
        **_SHARED,
        "dry-run": DRY_RUN_HELP,
        "allow-dirty": "Deploy also what is not committed or not pushed; the release records it.",
        "wait": _WAIT_HELP,
        "drain": "Wait until no run of the module is in progress before the switch.",
        "keep": "How many good releases stay (default: as deployment.yaml says).",
        "only-failed": "Only the hosts that do not have this content yet.",
        "force": _FORCE_HELP,
        "no-settle": "Do not wait until Dagster's daemon knows a module's first release.",
        "json": JSON_HELP,
    },
    **_LISTS,
)
def deploy(
    _context: Context,
    name: str,
    module: Sequence[str] | None = None,
    host: Sequence[str] | None = None,
    root: str | None = None,
    dry_run: bool = False,
    allow_dirty: bool = False,
    wait: int = 0,
    drain: bool = False,
    keep: int = 0,
    only_failed: bool = False,
    force: bool = False,
    no_settle: bool = False,
    json: bool = False,
) -> None:
    """Put modules on their client's hosts: verified, switched and healthy, or everything as before."""
    from dagster_module_builder.deploy import Options  # noqa: PLC0415
    from dagster_module_builder.deploy import deploy as carry_out  # noqa: PLC0415

    deployments = _found(root, name, module)
    if dry_run:
        _preview(deployments, host or (), allow_dirty=allow_dirty, force=force, as_json=json)
        return
    options = Options(host or (), allow_dirty, float(wait), drain, keep or None, force, only_failed, not no_settle)
    with StepsTable() as table:
        outcomes = carry_out(deployments, options, table.update)
    if json:
        console.say_json([vars(one) for one in outcomes])
        return
    _report(outcomes, "runs")


def _preview(
    deployments: Sequence[Deployment], hosts: Sequence[str], *, allow_dirty: bool, force: bool, as_json: bool
) -> None:
    from dagster_module_builder.deploy_status import preview  # noqa: PLC0415

    found = preview(deployments, hosts, allow_dirty=allow_dirty, force=force)
    if as_json:
        console.say_json(found)
    else:
        for one in found:
            _say_preview(one)
    _exit_on_errors(found)


def _say_preview(found: Mapping[str, Any]) -> None:
    if "error" in found:
        console.tell(str(found["error"]))
        return
    for module, change in found["modules"].items():
        console.say(f"{found['host']}: {module} {change['from'] or '(none)'} -> {change['release']}")
        for verb, paths in change["files"].items():
            shown = ", ".join(paths[:8]) + (f" and {len(paths) - 8} more" if len(paths) > 8 else "")
            console.say(f"  files {verb}: {shown or 'none'}")
        for line in change["commits"]:
            console.say(f"  commit {line}")
        for verb, names in change["settings"].items():
            if names:
                console.say(f"  settings {verb}: {', '.join(names)}")
        if change["builds_environment"]:
            console.say("  builds a new environment")
    console.say_diff(found["diff"])


def _exit_on_errors(found: Sequence[Mapping[str, Any]]) -> None:
    if any("error" in one for one in found):
        raise Exit(code=1)


# -- deploy.* ---------------------------------------------------------------------------------------------------------


@command(
    "deploy.trust",
    help={
        "name": _NAME_HELP,
        "module": _MODULE_HELP,
        "host": _HOST_HELP,
        "root": ROOT_HELP,
        "fingerprint": "Pin the key with this fingerprint (SHA256:…) without asking; may be given several times.",
    },
    iterable=["module", "host", "fingerprint"],
    **_PLAIN,
)
def trust(
    _context: Context,
    name: str,
    module: Sequence[str] | None = None,
    host: Sequence[str] | None = None,
    root: str | None = None,
    fingerprint: Sequence[str] | None = None,
) -> None:
    """Show the hosts' keys, and pin those that you confirm."""
    from dagster_module_builder.trust import Shown, shown_keys  # noqa: PLC0415
    from dagster_module_builder.trust import trust as pin  # noqa: PLC0415

    def confirm(one: Shown) -> bool:
        if one.has_changed:
            console.tell(f"{one.host} shows OTHER keys than those pinned. Find out why before you go on.")
        return console.confirmed(f"Pin these keys for {one.host}?", yes=False)

    host_given = bool(host)
    for deployment in _found(root, name, module):
        shown = shown_keys(deployment, host or ())
        for one in shown:
            for kind, value in one.fingerprints.items():
                console.tell(f"{one.host}  {kind}  {value}{'  (pinned)' if one.is_pinned else ''}")
        pinned = pin(deployment, shown, confirm, fingerprint or ())
        for one in pinned:
            console.say(f"pinned {len(one.keys)} keys of {one.host} in {deployment.known_hosts}")
        if pinned and any(
            host.address not in [one.host for one in shown] for host in deployment.hosts if not host_given
        ):
            console.tell("Now the hosts behind: run the same command again.")


@command(
    "deploy.setup",
    help={**_SHARED, "start": "Build and start Dagster's containers where there is no Dagster yet."},
    **_LISTS,
)
def setup(
    _context: Context,
    name: str,
    module: Sequence[str] | None = None,
    host: Sequence[str] | None = None,
    root: str | None = None,
    start: bool = False,
) -> None:
    """Prepare hosts for their first deployment; where that is done, change nothing."""
    from dagster_module_builder.deploy_setup import set_up  # noqa: PLC0415

    with StepsTable() as table:
        found = set_up(_found(root, name, module), host or (), start=start, progress=table.update)
    for one in found:
        if "error" in one:
            console.tell(str(one["error"]))
            continue
        console.say(f"{one['host']}: {'prepared' if one['made'] else 'was prepared before'}")
        for path in one["files"]:
            console.say(f"  made    {path}")
        for note in one["notes"]:
            console.tell(f"  {note}")
    _exit_on_errors(found)


@command("deploy.check", help={**_SHARED, "json": JSON_HELP}, **_LISTS)
def check(
    _context: Context,
    name: str,
    module: Sequence[str] | None = None,
    host: Sequence[str] | None = None,
    root: str | None = None,
    json: bool = False,
) -> None:
    """Find everything that would be in a deployment's way; change nothing."""
    from dagster_module_builder.deploy_status import check as look  # noqa: PLC0415

    found = look(_found(root, name, module), host or ())
    if json:
        console.say_json(found)
    for one in [] if json else found:
        count = len(one["problems"])
        console.say(f"{one['host']}: {f'{count} problems' if count else 'ready'}")
        for problem in one["problems"]:
            console.say(f"  {problem}")
    if any(one["problems"] for one in found):
        raise Exit(code=1)


@command(
    "deploy.rollback",
    help={
        **_SHARED,
        "release": "The release to go back to (default: the one before).",
        "wait": _WAIT_HELP,
        "force": _FORCE_HELP,
    },
    **_LISTS,
)
def rollback(
    _context: Context,
    name: str,
    release: str | None = None,
    module: Sequence[str] | None = None,
    host: Sequence[str] | None = None,
    root: str | None = None,
    wait: int = 0,
    force: bool = False,
) -> None:
    """Go back to the release before, with its environment and settings; databases stay as they are."""
    from dagster_module_builder.rollback import roll_back  # noqa: PLC0415

    with StepsTable() as table:
        outcomes = roll_back(
            _found(root, name, module), release, host or (), wait=float(wait), force=force, progress=table.update
        )
    _report(outcomes, "runs")


@command("deploy.env", help={**_SHARED, "wait": _WAIT_HELP, "force": _FORCE_HELP}, **_LISTS)
def env(
    _context: Context,
    name: str,
    module: Sequence[str] | None = None,
    host: Sequence[str] | None = None,
    root: str | None = None,
    wait: int = 0,
    force: bool = False,
) -> None:
    """Give what runs the settings of .env.deploy, without a new release."""
    from dagster_module_builder.rollback import change_settings  # noqa: PLC0415

    with StepsTable() as table:
        outcomes = change_settings(
            _found(root, name, module), host or (), wait=float(wait), force=force, progress=table.update
        )
    _report(outcomes, "has new settings for")


@command(
    "deploy.remove",
    help={
        **_SHARED,
        "yes": YES_HELP,
        "wait": _WAIT_HELP,
        "force": _FORCE_HELP,
        "module": "The module to take off its hosts.",
    },
    iterable=["host"],
    **_PLAIN,
)
def remove(
    _context: Context,
    name: str,
    module: str | None = None,
    host: Sequence[str] | None = None,
    root: str | None = None,
    yes: bool = False,
    wait: int = 0,
    force: bool = False,
) -> None:
    """Take one module off its hosts; what it stored stays."""
    from dagster_module_builder.rollback import remove as take_off  # noqa: PLC0415

    if module is None:
        raise UsageError("Say which module with --module.")
    deployments = _found(root, name, [module])
    hosts = ", ".join(
        str(one) for one in deployments[0].hosts if not host or one.address.host in host or str(one) in host
    )
    if not console.confirmed(f"Take {module} with all its releases off {hosts}?", yes=yes):
        raise Exit("Nothing was changed.", 1)
    with StepsTable() as table:
        outcomes = take_off(deployments, host or (), wait=float(wait), force=force, progress=table.update)
    _report(outcomes, f"no longer has {module}")


@command("deploy.status", help={**_SHARED, "json": JSON_HELP}, **_LISTS)
def status(
    _context: Context,
    name: str,
    module: Sequence[str] | None = None,
    host: Sequence[str] | None = None,
    root: str | None = None,
    json: bool = False,
) -> None:
    """Show what runs on each host, since when and by whom, and whether Dagster has loaded it."""
    from dagster_module_builder.deploy_status import status as look  # noqa: PLC0415

    found = look(_found(root, name, module), host or ())
    if json:
        console.say_json(found)
    else:
        _say_status(found)
    _exit_on_errors(found)


def _say_status(found: Sequence[Mapping[str, Any]]) -> None:
    rows = [
        (one["host"], each["module"], each["release"] or "-", (each["commit"] or "-")[:8], each["since"] or "-",
         each["by"] or "-", each["location"])
        for one in found for each in one.get("modules", [])
    ]  # fmt: skip
    console.say_table(("host", "module", "release", "commit", "since", "by", "Dagster"), rows)
    for one in found:
        if "error" in one:
            console.tell(str(one["error"]))
        elif one["lock"]:
            console.tell(f"{one['host']}: {one['lock'].get('who')} is deploying since {one['lock'].get('since')}.")
        elif one["unfinished"]:
            console.tell(f"{one['host']}: a deployment was cut off; the next command there puts the old release back.")
        if one.get("daemon") is False:
            console.tell(f"{one['host']}: Dagster's daemon is not alive.")


@command("deploy.releases", help={**_SHARED, "json": JSON_HELP}, **_LISTS)
def releases(
    _context: Context,
    name: str,
    module: Sequence[str] | None = None,
    host: Sequence[str] | None = None,
    root: str | None = None,
    json: bool = False,
) -> None:
    """List the releases on each host, newest first."""
    from dagster_module_builder.deploy_status import releases as look  # noqa: PLC0415

    found = look(_found(root, name, module), host or ())
    if json:
        console.say_json(found)
    else:
        rows = [
            (one["host"], module_name, each["release"], each["role"], (each.get("commit") or "-")[:8],
             each.get("by") or "-")
            for one in found for module_name, every in one.get("modules", {}).items() for each in every
        ]  # fmt: skip
        console.say_table(("host", "module", "release", "", "commit", "by"), rows)
        _tell_errors(found)
    _exit_on_errors(found)


def _tell_errors(found: Sequence[Mapping[str, Any]]) -> None:
    for one in found:
        if "error" in one:
            console.tell(str(one["error"]))


@command("deploy.log", help={**_SHARED, "json": JSON_HELP}, **_LISTS)
def log(
    _context: Context,
    name: str,
    module: Sequence[str] | None = None,
    host: Sequence[str] | None = None,
    root: str | None = None,
    json: bool = False,
) -> None:
    """Show what was done on each host, oldest first."""
    from dagster_module_builder.deploy_status import log as look  # noqa: PLC0415

    found = look(_found(root, name, module), host or ())
    if json:
        console.say_json(found)
    else:
        rows = [
            (each["at"], one["host"], module_name, each.get("action", "-"), each["result"], each.get("release") or "-",
             each.get("who", "-"), each.get("reason", "").replace("\n", " ")[:100])
            for one in found for module_name, every in one.get("modules", {}).items() for each in every
        ]  # fmt: skip
        console.say_table(("at", "host", "module", "action", "result", "release", "who", "reason"), rows)
        _tell_errors(found)
    _exit_on_errors(found)


@command("deploy.unlock", help={**_SHARED, "yes": YES_HELP}, **_LISTS)
def unlock(
    _context: Context,
    name: str,
    module: Sequence[str] | None = None,
    host: Sequence[str] | None = None,
    root: str | None = None,
    yes: bool = False,
) -> None:
    """End a deployment that hangs; what it had half done is undone."""
    from dagster_module_builder.deploy_status import unlock as end  # noqa: PLC0415

    deployments = _found(root, name, module)
    if not console.confirmed(f"End whoever is deploying {name!r} now?", yes=yes):
        raise Exit("Nothing was changed.", 1)
    found = end(deployments, host or ())
    for one in found:
        held = one.get("held")
        said = one.get("error") or (f"ended {held.get('who')}, since {held.get('since')}" if held else "nobody held it")
        console.say(f"{one['host']}: {said}")
    _exit_on_errors(found)


@command("deploy.list", help={"root": ROOT_HELP, "json": JSON_HELP}, **_PLAIN)
def list_(_context: Context, root: str | None = None, json: bool = False) -> None:
    """List the deployments of every module."""
    from dagster_module_builder.deployment import all_deployments, read_deployment  # noqa: PLC0415

    found = [read_deployment(folder) for folder in all_deployments(root_of(root))]
    rows = [
        {
            "deployment": one.name,
            "module": one.names.name,
            "client": str(one.data["client"]),
            "strategy": one.strategy,
            "hosts": [str(host) for host in one.hosts],
        }
        for one in found
    ]
    if json:
        console.say_json(rows)
        return
    cells = [[", ".join(value) if isinstance(value, list) else str(value) for value in row.values()] for row in rows]
    console.say_table(("deployment", "module", "client", "strategy", "hosts"), cells)


#: The tasks of the collection ``deploy`` beside its default, which is ``deploy`` itself.
TASKS = (trust, setup, check, rollback, env, remove, status, releases, log, unlock, list_)


def collection() -> Collection:
    """Return the collection ``deploy``."""
    made = Collection("deploy")
    made.add_task(deploy, default=True)
    for one in TASKS:
        made.add_task(one)
    return made
