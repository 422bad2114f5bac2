"""What a module may lack: a check with nothing to check is skipped and not counted; it never passes."""

from __future__ import annotations

from dagster_module_builder.audit.audited_module import AuditedModule
from dagster_module_builder.base import settings


def no_code(audited: AuditedModule) -> str:
    """Return ``"no Python file"`` if there is none."""
    return "" if audited.sources.files else "no Python file"


def no_definitions(audited: AuditedModule) -> str:
    """Return ``"no definitions"`` if no file builds ``Definitions``."""
    return "" if audited.code_location.definitions else "no definitions"


def no_fragments(audited: AuditedModule) -> str:
    """Return ``"no workspace/local/"`` if that folder does not exist."""
    return "" if (audited.path / settings.FRAGMENTS).is_dir() else f"no {settings.FRAGMENTS}/"


def no_workspace(audited: AuditedModule) -> str:
    """Return a reason if there is no workspace that can be read."""
    return "" if audited.workspace else f"no readable workspace at {audited.root}"


def no_facts(audited: AuditedModule) -> str:
    """Return a reason if the module's claims are not known."""
    return no_workspace(audited) or no_fragments(audited) or ("" if audited.facts else "its fragments cannot be read")


def no_dockerfiles(audited: AuditedModule) -> str:
    """Return ``"no Dockerfile"`` if no Dockerfile has an instruction."""
    lines = (line for path in audited.dockerfiles for line in audited.text_of(path).splitlines())
    return "" if any(line.strip() and not line.lstrip().startswith("#") for line in lines) else "no Dockerfile"


def no_deployments(audited: AuditedModule) -> str:
    """Return ``"no deployment"`` if there is none."""
    return "" if audited.deployments else "no deployment"


def no_tests(audited: AuditedModule) -> str:
    """Return ``"no tests"`` if there are none."""
    return "" if audited.tests else "no tests"
