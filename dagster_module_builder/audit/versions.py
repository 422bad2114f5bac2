"""Checks of versions: Dagster's, and the template's."""

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
from dagster_module_builder.modules.poetry_requirements import poetry_requirements
from dagster_module_builder.modules.record import read_record
from dagster_module_builder.modules.stating import stated_in, stating_of
from dagster_module_builder.templating.template_folders import MODULE_TEMPLATE, template_folder

_STRING = re.compile(r"""["']([A-Za-z][\w.-]*(?:\[[^\]]*\])?\s*[^"']*)["']""")


def requirements_of(audited: AuditedModule) -> Sequence[Requirement]:
    """Return the module's requirements from where it states them."""
    listed = _listed(audited)
    return [requirement for text in listed if (requirement := _requirement(str(text)))]


def _listed(audited: AuditedModule) -> Sequence[object]:
    stating = stating_of(audited.path)
    if stating.kind == "poetry":
        return poetry_requirements(audited.pyproject)[0]
    if stating.kind in {"file", "requirements"}:
        return stated_in(audited.path, stating)
    listed = table(audited.pyproject, "project").get("dependencies")
    if isinstance(listed, list):
        return listed
    return old_requirements_of(audited.path) or _likely(audited.text_of(audited.path / SETUP_PY))


def _likely(setup: str) -> Sequence[str]:
    """Return the strings that look like requirements in a ``setup.py`` that computes them."""
    return _STRING.findall(setup)


def _requirement(text: str) -> Requirement | None:
    try:
        return Requirement(text)
    except InvalidRequirement:
        return None


@check(
    "requirements-stated",
    "Declares its requirements",
    "The shared image installs only declared requirements.",
    Always("every module needs Dagster"),
)
def requirements_stated(audited: AuditedModule) -> Iterator[Problem]:
    """Check that Dagster is among the module's requirements."""
    if "dagster" not in {requirement.name.lower() for requirement in requirements_of(audited)}:
        yield Problem(
            "pyproject.toml does not require dagster", "Add it to the dependencies in [project]", status="WARN"
        )


@check(
    "dagster-version",
    "Its Dagster version matches the workspace's",
    "One environment can have only one version.",
    lambda audited: (
        "" if _locked_and_wanted(audited) else "it requires no version of Dagster, or the workspace locks none"
    ),
)
def dagster_version(audited: AuditedModule) -> Iterator[Problem]:
    """Compare the versions that the module requires with the workspace's locked ones."""
    for wanted, version in _locked_and_wanted(audited):
        if not wanted.specifier.contains(version, prereleases=True):
            yield Problem(f"Requires {wanted}, but the workspace has {version}", "Change one of them")


def _locked_and_wanted(audited: AuditedModule) -> list[tuple[Requirement, str]]:
    """Return the module's requirements of Dagster and its libraries with the workspace's locked versions."""
    lock = audited.root / CONSTRAINTS
    text = lock.read_text("utf-8", "replace") if lock.is_file() else ""
    locked = dict(re.findall(r"^(dagster[\w.-]*)==([^\s;]+)", text, re.MULTILINE))
    required = [(requirement, requirement.name.lower()) for requirement in requirements_of(audited)]
    return [(requirement, locked[name]) for requirement, name in required if name in locked]


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
    "Made from the current template",
    "The template's later improvements are missing.",
    lambda audited: "" if (audited.path / RECORD).exists() else "not made from the template",
)
def template_version(audited: AuditedModule) -> Iterator[Problem]:
    """Compare the template version that the module records with the current one."""
    current = (template_folder(MODULE_TEMPLATE) / "VERSION").read_text("utf-8").strip()
    try:
        record = read_record(audited.path)
    except DamagedFileError as error:
        yield Problem(f"The record of the template: {error.problem}", error.way_out, RECORD)
        return
    recorded = record.version if record else current
    if Version(current) < Version(recorded):
        message = f"Made from template {recorded}, but this program has {current}"
        yield Problem(message, "Update this program", status="WARN")
    elif Version(recorded) < Version(current):
        yield Problem(
            f"Made from template {recorded}; the current one is {current}",
            "Run 'upgrade'",
            status="WARN",
            by_upgrade=True,
        )


@check(
    "upgrade-unfinished",
    "No upgrade is unfinished",
    "Files with marked conflicts do not load.",
    Always("any module can be upgraded"),
)
def upgrade_unfinished(audited: AuditedModule) -> Iterator[Problem]:
    """Find the state file of an unfinished upgrade."""
    if unfinished.path_of(audited.root, audited.path.name).is_file():
        name = audited.path.name
        yield Problem("An upgrade is not finished", f"Run 'upgrade {name} --continue' or 'upgrade {name} --abort'")
