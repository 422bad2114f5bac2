"""Checks of the module's workspace fragments, and of its claims in the workspace."""

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
from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.claims.conflicts import duplicates, undefined
from dagster_module_builder.fragment_rules.refused import Refused
from dagster_module_builder.fragment_rules.rules import judge
from dagster_module_builder.modules.module import FRAGMENT_NAMES
from dagster_module_builder.programs import outside_programs
from dagster_module_builder.shared_files.formats import compose, env_file
from dagster_module_builder.shared_files.formats.outline import UnsafeEditError
from dagster_module_builder.shared_files.formats.yaml_text import parsed
from dagster_module_builder.workspaces.module_fragments import ModuleFragments, allowing

_LATEST = re.compile(r"^[^:@]+(:latest)?$")


@check(
    "fragments",
    "Has workspace/local/ with its four fragments",
    "'workspace.add' merges them into the workspace's files.",
    Always("every module can be added to a workspace"),
)
def fragments(audited: AuditedModule) -> Iterator[Problem]:
    """Check that the four files exist."""
    for file, name in FRAGMENT_NAMES.items():
        if not audited.fragment(file).is_file():
            yield audited.missing(f"No {settings.FRAGMENTS / name}")


@check(
    "fragments-fit",
    "The fragments can be merged into the workspace",
    "'workspace.add' would refuse the module.",
    lambda audited: no_workspace(audited) or no_fragments(audited),
)
def fragments_fit(audited: AuditedModule) -> Iterator[Problem]:
    """Read the fragments as ``workspace.add`` does."""
    if isinstance(audited.fragments, BuilderError) and not isinstance(audited.fragments, FragmentRefusedError):
        first, *reasons = str(audited.fragments).splitlines()
        yield Problem(
            next((line.removeprefix("- ") for line in reasons if line.startswith("- ")), first), "Fix that fragment"
        )


@check(
    "fragment-settings",
    "The fragments have only settings that need no permission",
    "A setting could give a container rights on this machine, or mount its folders.",
    lambda audited: no_fragments(audited) or _unreadable(audited),
    security=True,
)
def fragment_settings(audited: AuditedModule) -> Iterator[Problem]:
    """Find settings that need permission, and list those that were allowed."""
    fragments_ = audited.fragments
    if isinstance(fragments_, FragmentRefusedError):
        for position, text in fragments_.settings:
            path, _, line = position.rpartition(":")
            yield Problem(text, f"Remove it, or allow it: {fragments_.command}", audited.shown(Path(path), int(line)))
    elif isinstance(fragments_, ModuleFragments):
        for refused in fragments_.tolerated:
            command = allowing(audited.path.name, [refused], integrated=True)
            yield Problem(str(refused), f"Remove it, or allow it: {command}", _where(audited, refused), "WARN")
        for name in fragments_.allowed:
            yield Problem(f"{name!r} was allowed", "Remove it if it is not needed", status="WARN")
    else:
        for refused in _refused(audited):
            yield Problem(str(refused), "Remove it", _where(audited, refused))


def _where(audited: AuditedModule, refused: Refused) -> str:
    return audited.shown(audited.fragment(refused.file), refused.line)


def _refused(audited: AuditedModule) -> Sequence[Refused]:
    """Return the refused settings of a module outside a workspace."""
    return judge(audited.path.name, {file: audited.fragment_text(file) for file in FRAGMENT_NAMES}).refused


def _unreadable(audited: AuditedModule) -> str:
    try:
        _refused(audited)
    except UnsafeEditError:
        return "its fragments cannot be read"
    is_error = isinstance(audited.fragments, BuilderError) and not isinstance(audited.fragments, FragmentRefusedError)
    return "its fragments cannot be read" if is_error else ""


@check(
    "clashes",
    "Does not claim another module's names or ports",
    "Of two databases on one port only the first one starts.",
    no_facts,
)
def clashes(audited: AuditedModule) -> Iterator[Problem]:
    """Find services, volumes, ports, variables and locations that two modules claim."""
    for finding in duplicates(audited.facts, [audited.path.name]):
        yield Problem(finding.message, finding.fix)
    yield from _ports_of_others(audited)


def _ports_of_others(audited: AuditedModule) -> Iterator[Problem]:
    """Compare ports with modules that are not integrated, which the facts do not include."""
    ports = {value for name, value in audited.fragment_env.items() if name.endswith("_PORT")}
    for path in layout_of(audited.root).in_module_folders():
        name = path.name
        if name in audited.facts or not (path / settings.FRAGMENTS / ".env").exists():
            continue
        other_env = AuditedModule(path, audited.root).fragment_env
        for port in sorted(ports & {value for key, value in other_env.items() if key.endswith("_PORT")}):
            yield Problem(
                f"{name}, which is not integrated, also uses the port {port}", "Change one of them", status="WARN"
            )


@check(
    "variables-set",
    "Every variable that Compose uses is set",
    "Compose replaces an unset variable with an empty string.",
    lambda audited: no_facts(audited) or ("" if _used(audited) else "Compose uses no variable"),
)
def variables_set(audited: AuditedModule) -> Iterator[Problem]:
    """Find variables that the fragments use and that are not set, or are empty."""
    for finding in undefined(audited.facts, [audited.path.name]):
        yield Problem(finding.message, finding.fix)
    for name in sorted(_used(audited)):
        if {**audited.workspace_env, **audited.fragment_env}.get(name) == "":
            fix = f"Set it in {settings.FRAGMENTS / env_file.NAME}"
            yield Problem(f"{audited.path.name} uses the variable {name}, which is empty", fix)


def _used(audited: AuditedModule) -> set[str]:
    return set(audited.facts[audited.path.name].uses) if audited.path.name in audited.facts else set()


@check(
    "compose-lint",
    "The compose fragment follows the rules",
    "Ports should not be open to the network, and services should wait for their database.",
    lambda audited: "" if _yaml_error(audited) or audited.compose_services else "no service in Compose",
    security=True,
)
def compose_lint(audited: AuditedModule) -> Iterator[Problem]:
    """Find settings that make services unsafe or unreliable."""
    where = audited.shown(audited.fragment(compose.NAME))
    if error := _yaml_error(audited):
        mark = getattr(error, "problem_mark", None)
        yield Problem("This is not valid YAML", "Fix that line", f"{where}:{mark.line + 1}" if mark else where)
    for name, service in audited.compose_services.items():
        for message, fix in _unsafe(service):
            yield Problem(f"The service {name} {message}", fix, where, "WARN")


def _yaml_error(audited: AuditedModule) -> yaml.YAMLError | None:
    try:
        parsed(audited.fragment_text(compose.NAME))
    except yaml.YAMLError as error:
        return error
    return None


def _unsafe(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    image = str(data.get("image") or "")
    if "$" not in image and _LATEST.match(image.rpartition("/")[2]):
        yield f"uses {image} without a version", "Specify the image's version"
    if image and "build" not in data and "healthcheck" not in data:
        yield "has no health check", "Add a healthcheck, so that other services can wait for it"
    for port in data.get("ports") or []:
        if isinstance(port, (str, int)) and not re.match(r"(127\.|\[::1\]|localhost)", str(port)):
            yield f"opens the port {port} to the network", "Prefix it with 127.0.0.1:"


@check(
    "dockerfile-lint",
    "The Dockerfile follows the rules",
    "Images should stay small, be reproducible, and contain no secrets.",
    no_dockerfiles,
    security=True,
)
def dockerfile_lint(audited: AuditedModule) -> Iterator[Problem]:
    """Find instructions that make images large or unsafe; also run Hadolint if it is installed."""
    for path in audited.dockerfiles:
        for line, message, fix in _in_dockerfile(audited.text_of(path)):
            yield Problem(message, fix, audited.shown(path, line), "WARN")
        yield from _hadolint(audited, path)


def _in_dockerfile(text: str) -> Iterator[tuple[int, str, str]]:
    # Join continued lines into one instruction, which starts at the first line.
    joined = re.sub(r"\\\r?\n", lambda match: " " * len(match[0]) + "\0", text)
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
        yield "apt's package lists stay in the image", "Append '&& rm -rf /var/lib/apt/lists/*'"
    if re.match(r"\s*FROM\s+[^\s:@$]+(:latest)?(\s|$)", instruction, re.IGNORECASE):
        yield "The base image has no version", "Specify the image's version"
    if re.match(r"\s*(ENV|ARG)\s+\w*(PASSWORD|SECRET|TOKEN|API_KEY)\w*\s*[= ]\s*\S", instruction, re.IGNORECASE):
        yield "The image would contain a secret", "Set it in workspace/local/.env"
    if re.match(r"\s*ADD\s+https?:", instruction, re.IGNORECASE):
        yield "ADD downloads a file without checking it", "Download it with curl and check its digest"


def _hadolint(audited: AuditedModule, path: Path) -> Iterator[Problem]:
    if not outside_programs.is_installed("hadolint"):
        return
    # A fragment follows the FROM and SHELL of the shared Dockerfile.
    ignored = ["DL3006", "DL3008", "DL4006", "SC2046"]
    options = [part for rule in ignored for part in ("--ignore", rule)]
    text = audited.text_of(path)
    dockerfile_text = text if re.search(r"(?im)^\s*FROM\s", text) else f"FROM scratch\n{text}"
    shift = 0 if dockerfile_text is text else 1
    # Exit code 1 means problems, or a line that it cannot parse; it then also prints the column.
    result = outside_programs.ask(
        ["hadolint", "--no-color", *options, "-"], answers=(0, 1), stdin=dockerfile_text.encode()
    )
    output = result.out.decode("utf-8", "replace")
    if result.status and not output.strip():
        raise outside_programs.failure("hadolint", outside_programs.ended(result.status), result.errors)
    for match in re.finditer(r"^(?:-|/dev/stdin):(\d+)(?::\d+)? (.*)$", output, re.MULTILINE):
        where = audited.shown(path, int(match[1]) - shift)
        yield Problem(match[2], "See Hadolint's page for that rule", where, "WARN")
