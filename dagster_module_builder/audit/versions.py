"""Checks of versions: Dagster's, and the template's that the module was made from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version

from dagster_module_builder.audit.audited_module import AuditedModule
from dagster_module_builder.audit.checks import Always, check
from dagster_module_builder.audit.results import Problem
from dagster_module_builder.base.errors import DamagedFileError
from dagster_module_builder.modules import unfinished
from dagster_module_builder.modules.code_location import table
from dagster_module_builder.modules.dagster_check import CONSTRAINTS
from dagster_module_builder.modules.hashes import HASHES, REFRESH, shown, without_hashes
from dagster_module_builder.modules.legacy_requirements import SETUP_PY, old_requirements_of
from dagster_module_builder.modules.module import RECORD
from dagster_module_builder.modules.record import read_record
from dagster_module_builder.templating.template_folders import MODULE_TEMPLATE, template_folder

_STRING = re.compile(r"""["']([A-Za-z][\w.-]*(?:\[[^\]]*\])?\s*[^"']*)["']""")


def requirements_of(audited: AuditedModule) -> Sequence[Requirement]:
    """Return the module's requirements, from ``pyproject.toml``, else as ``setup.py`` lists them."""
    listed = table(audited.pyproject, "project").get("dependencies")
    if not isinstance(listed, list):
        listed = old_requirements_of(audited.path) or _likely(audited.text_of(audited.path / SETUP_PY))
    return [found for text in listed if (found := _requirement(str(text)))]


def _likely(setup: str) -> Sequence[str]:
    """Return what looks like a requirement, where a ``setup.py`` works them out."""
    return _STRING.findall(setup)


def _requirement(text: str) -> Requirement | None:
    try:
        return Requirement(text)
    except InvalidRequirement:
        return None


@check(
    "requirements-stated",
    "States its requirements",
    "The shared image installs what stands there, and nothing else.",
    Always("every module needs Dagster"),
)
def requirements_stated(audited: AuditedModule) -> Iterator[Problem]:
    """Look for Dagster among the module's requirements."""
    if "dagster" not in {one.name.lower() for one in requirements_of(audited)}:
        yield Problem(
            "No requirement of dagster in pyproject.toml", "Add it to the dependencies in [project]", status="WARN"
        )


@check(
    "dagster-version",
    "Its Dagster is the workspace's",
    "One environment holds one version.",
    lambda audited: "" if _locked_and_wanted(audited) else "no version of Dagster is asked for, or none is locked",
)
def dagster_version(audited: AuditedModule) -> Iterator[Problem]:
    """Compare the versions that the module asks for with those that the workspace locks."""
    for wanted, version in _locked_and_wanted(audited):
        if not wanted.specifier.contains(version, prereleases=True):
            yield Problem(f"Asks for {wanted}, and the workspace has {version}", "Change one of them")


def _locked_and_wanted(audited: AuditedModule) -> list[tuple[Requirement, str]]:
    """Return the module's requirements of Dagster and its libraries with the versions that the workspace locks."""
    lock = audited.root / CONSTRAINTS
    text = lock.read_text("utf-8", "replace") if lock.is_file() else ""
    locked = dict(re.findall(r"^(dagster[\w.-]*)==([^\s;]+)", text, re.MULTILINE))
    wanted = [(one, one.name.lower()) for one in requirements_of(audited)]
    return [(one, locked[name]) for one, name in wanted if name in locked]


@check(
    "hashes",
    "What it installs is known by hashes",
    "A version says who released it, a hash which file that was.",
    lambda audited: "" if audited.text_of(audited.path / HASHES) else f"no {HASHES}",
)
def hashes(audited: AuditedModule) -> Iterator[Problem]:
    """Compare the module's constraints with their hashes."""
    own, lock = (audited.text_of(audited.path / name) for name in (CONSTRAINTS.name, HASHES))
    if lacking := without_hashes(own, lock):
        message = f"Hashes are not verified of {shown(lacking)}"
        yield Problem(message, f"Run in the module's folder: {REFRESH}", HASHES, status="WARN")


@check(
    "template-version",
    "Made from today's template",
    "What the template learnt since is missing.",
    lambda audited: "" if (audited.path / RECORD).exists() else "not made from the template",
)
def template_version(audited: AuditedModule) -> Iterator[Problem]:
    """Compare the template's version that the module records with today's."""
    today = (template_folder(MODULE_TEMPLATE) / "VERSION").read_text("utf-8").strip()
    try:
        record = read_record(audited.path)
    except DamagedFileError as error:
        yield Problem(f"The record of the template: {error.found}", error.way_out, RECORD)
        return
    recorded = record.version if record else today
    if Version(today) < Version(recorded):
        message = f"Made from template {recorded}, and this program has {today}"
        yield Problem(message, "Update this program", status="WARN")
    elif Version(recorded) < Version(today):
        yield Problem(
            f"Made from template {recorded}, and {today} is there", "Run 'upgrade'", status="WARN", by_upgrade=True
        )


@check(
    "upgrade-unfinished",
    "No upgrade waits for its end",
    "Files with marked conflicts do not load.",
    Always("any module can be upgraded"),
)
def upgrade_unfinished(audited: AuditedModule) -> Iterator[Problem]:
    """Look for the state that an upgrade with conflicts leaves."""
    if unfinished.path_of(audited.root, audited.path.name).is_file():
        name = audited.path.name
        yield Problem("An upgrade is not finished", f"Run 'upgrade {name} --continue', or 'upgrade {name} --abort'")
