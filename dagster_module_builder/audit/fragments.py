"""Checks of what the module gives to the workspace, and of what it claims there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from dagster_module_builder.audit.audited_module import AuditedModule
from dagster_module_builder.audit.checks import Always, check
from dagster_module_builder.audit.lacks import no_dockerfiles, no_facts, no_fragments, no_workspace
from dagster_module_builder.audit.results import Problem
from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import BuilderError, FragmentRefusedError
from dagster_module_builder.claims.conflicts import duplicates, undefined
from dagster_module_builder.fragment_rules.refused import Refused
from dagster_module_builder.fragment_rules.rules import judge
from dagster_module_builder.modules.module import FRAGMENT_NAMES
from dagster_module_builder.programs import outside_programs
from dagster_module_builder.shared_files.formats import compose, env_file
from dagster_module_builder.shared_files.formats.outline import OutlineError
from dagster_module_builder.shared_files.formats.yaml_text import parsed
from dagster_module_builder.workspaces.module_fragments import ModuleFragments, allowing

_LATEST = re.compile(r"^[^:@]+(:latest)?$")


@check(
    "fragments",
    "Has workspace/local/ with its four fragments",
    "They are what brings the module into a workspace.",
    Always("every module can be brought into a workspace"),
)
def fragments(audited: AuditedModule) -> Iterator[Problem]:
    """Look for the four files."""
    for file, name in FRAGMENT_NAMES.items():
        if not audited.fragment(file).is_file():
            yield audited.missing(f"No {settings.FRAGMENTS / name}")


@check(
    "fragments-fit",
    "The fragments can be merged into the workspace",
    "'workspace.add' would refuse them.",
    lambda audited: no_workspace(audited) or no_fragments(audited),
)
def fragments_fit(audited: AuditedModule) -> Iterator[Problem]:
    """Read the fragments as ``workspace.add`` reads them."""
    if isinstance(audited.given, BuilderError) and not isinstance(audited.given, FragmentRefusedError):
        yield Problem(str(audited.given).partition("\n")[0], "Fix that fragment")


@check(
    "fragment-settings",
    "The fragments have only settings that a module may have by itself",
    "A container with rights over this machine, or a mount of its folders.",
    lambda audited: no_fragments(audited) or _unreadable(audited),
    security=True,
)
def fragment_settings(audited: AuditedModule) -> Iterator[Problem]:
    """Look for settings that a person has to allow, and name those that were allowed."""
    given = audited.given
    if isinstance(given, FragmentRefusedError):
        for place, text in given.settings:
            path, _, line = place.rpartition(":")
            yield Problem(text, f"Take it out, or allow it: {given.command}", audited.shown(Path(path), int(line)))
    elif isinstance(given, ModuleFragments):
        for one in given.tolerated:
            command = allowing(audited.path.name, [one], integrated=True)
            yield Problem(str(one), f"Take it out, or allow it: {command}", _where(audited, one), "WARN")
        for name in given.allowed:
            yield Problem(f"{name!r} was allowed", "Take it out where it is not needed", status="WARN")
    else:
        for one in _judged(audited):
            yield Problem(str(one), "Take it out", _where(audited, one))


def _where(audited: AuditedModule, refused: Refused) -> str:
    return audited.shown(audited.fragment(refused.file), refused.line)


def _judged(audited: AuditedModule) -> Sequence[Refused]:
    """Return what is refused of a module that is in no workspace."""
    return judge(audited.path.name, {file: audited.fragment_text(file) for file in FRAGMENT_NAMES}).refused


def _unreadable(audited: AuditedModule) -> str:
    try:
        _judged(audited)
    except OutlineError:
        return "its fragments cannot be read"
    is_error = isinstance(audited.given, BuilderError) and not isinstance(audited.given, FragmentRefusedError)
    return "its fragments cannot be read" if is_error else ""


@check(
    "clashes",
    "Claims nothing that another module has",
    "Two databases on one port: only the first one starts.",
    no_facts,
)
def clashes(audited: AuditedModule) -> Iterator[Problem]:
    """Look for services, volumes, ports, variables and locations that two modules claim."""
    for finding in duplicates(audited.facts, [audited.path.name]):
        yield Problem(finding.message, finding.fix)
    yield from _ports_of_others(audited)


def _ports_of_others(audited: AuditedModule) -> Iterator[Problem]:
    """Compare the port with those of modules that are not integrated yet; the module itself is among the facts."""
    mine = {value for name, value in audited.fragment_env.items() if name.endswith("_PORT")}
    for path in sorted((audited.root / settings.PROJECTS).glob(f"*/{settings.FRAGMENTS}/.env")):
        name = path.parents[2].name
        if name in audited.facts:
            continue
        other = AuditedModule(path.parents[2], audited.root).fragment_env
        for port in sorted(mine & {value for key, value in other.items() if key.endswith("_PORT")}):
            yield Problem(
                f"{name}, which is not integrated, has the port {port} too", "Change one of them", status="WARN"
            )


@check(
    "variables-set",
    "Every variable that Compose needs is set",
    "Compose puts nothing in the place of an unset one.",
    lambda audited: no_facts(audited) or ("" if _used(audited) else "Compose needs no variable"),
)
def variables_set(audited: AuditedModule) -> Iterator[Problem]:
    """Look for variables that the fragments use and nobody sets, or that are set to nothing."""
    for finding in undefined(audited.facts, [audited.path.name]):
        yield Problem(finding.message, finding.fix)
    for name in sorted(_used(audited)):
        if {**audited.workspace_env, **audited.fragment_env}.get(name) == "":
            fix = f"Give it a value in {settings.FRAGMENTS / env_file.NAME}"
            yield Problem(f"{audited.path.name} uses the variable {name}, which is set to nothing", fix)


def _used(audited: AuditedModule) -> set[str]:
    return set(audited.facts[audited.path.name].uses) if audited.path.name in audited.facts else set()


@check(
    "compose-lint",
    "The compose fragment follows the rules",
    "A port open to the network, a database that is not waited for.",
    lambda audited: "" if _is_no_yaml(audited) or audited.compose_services else "no service in Compose",
    security=True,
)
def compose_lint(audited: AuditedModule) -> Iterator[Problem]:
    """Look for what makes services unsafe or unreliable."""
    where = audited.shown(audited.fragment(compose.NAME))
    if error := _is_no_yaml(audited):
        mark = getattr(error, "problem_mark", None)
        yield Problem("This is not YAML", "Fix that line", f"{where}:{mark.line + 1}" if mark else where)
    for name, service in audited.compose_services.items():
        for message, fix in _unsafe(service):
            yield Problem(f"The service {name} {message}", fix, where, "WARN")


def _is_no_yaml(audited: AuditedModule) -> yaml.YAMLError | None:
    try:
        parsed(audited.fragment_text(compose.NAME))
    except yaml.YAMLError as error:
        return error
    return None


def _unsafe(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    image = str(data.get("image") or "")
    if "$" not in image and _LATEST.match(image.rpartition("/")[2]):
        yield f"uses {image} without a version", "Name the image's version"
    if image and "build" not in data and "healthcheck" not in data:
        yield "has no health check", "Add a healthcheck, so that others can wait for it"
    for port in data.get("ports") or []:
        if isinstance(port, (str, int)) and not re.match(r"(127\.|\[::1\]|localhost)", str(port)):
            yield f"opens the port {port} to the network", "Write 127.0.0.1: before it"


@check(
    "dockerfile-lint",
    "The Dockerfile follows the rules",
    "Images that grow, change by themselves, or hold secrets.",
    no_dockerfiles,
    security=True,
)
def dockerfile_lint(audited: AuditedModule) -> Iterator[Problem]:
    """Look for what makes images large or unsafe; Hadolint looks too, where it is installed."""
    for path in audited.dockerfiles:
        for line, message, fix in _in_dockerfile(audited.text_of(path)):
            yield Problem(message, fix, audited.shown(path, line), "WARN")
        yield from _hadolint(audited, path)


def _in_dockerfile(text: str) -> Iterator[tuple[int, str, str]]:
    # Continued lines are one instruction, which begins at the first of them.
    joined = re.sub(r"\\\r?\n", lambda found: " " * len(found[0]) + "\0", text)
    stages = {name.lower() for name in re.findall(r"(?im)^\s*FROM\s.*\sAS\s+(\S+)\s*$", text)}
    line = 1
    for instruction in joined.splitlines():
        stage = re.match(r"\s*FROM\s+(\S+)", instruction, re.IGNORECASE)
        if not instruction.lstrip().startswith("#") and not (stage and stage[1].lower() in stages):
            for message, fix in _in_instruction(instruction):
                yield line, message, fix
        line += 1 + instruction.count("\0")


def _in_instruction(instruction: str) -> Iterator[tuple[str, str]]:
    if "apt-get install" in instruction and "/var/lib/apt/lists" not in instruction:
        yield "apt's lists stay in the image", "End it with '&& rm -rf /var/lib/apt/lists/*'"
    if re.match(r"\s*FROM\s+[^\s:@$]+(:latest)?(\s|$)", instruction, re.IGNORECASE):
        yield "The base image has no version", "Name the image's version"
    if re.match(r"\s*(ENV|ARG)\s+\w*(PASSWORD|SECRET|TOKEN|API_KEY)\w*\s*[= ]\s*\S", instruction, re.IGNORECASE):
        yield "A secret would stand in the image", "Set it in workspace/local/.env"
    if re.match(r"\s*ADD\s+https?:", instruction, re.IGNORECASE):
        yield "ADD fetches from the network unchecked", "Fetch it with curl and check its digest"


def _hadolint(audited: AuditedModule, path: Path) -> Iterator[Problem]:
    if not outside_programs.is_installed("hadolint"):
        return
    # The fragment stands below a FROM and a shell of the shared Dockerfile's.
    ignored = ["DL3006", "DL3008", "DL4006", "SC2046"]
    options = [part for rule in ignored for part in ("--ignore", rule)]
    text = audited.text_of(path)
    given = text if re.search(r"(?im)^\s*FROM\s", text) else f"FROM scratch\n{text}"
    shift = 0 if given is text else 1
    # It ends with 1 where it found something, and where it cannot read a line, of which it names the column, too.
    asked = outside_programs.ask(["hadolint", "--no-color", *options, "-"], answers=(0, 1), stdin=given.encode())
    said = asked.out.decode("utf-8", "replace")
    if asked.status and not said.strip():
        raise outside_programs.failure("hadolint", outside_programs.ended(asked.status), asked.errors)
    for found in re.finditer(r"^(?:-|/dev/stdin):(\d+)(?::\d+)? (.*)$", said, re.MULTILINE):
        yield Problem(found[2], "See Hadolint's page for that rule", audited.shown(path, int(found[1]) - shift), "WARN")
