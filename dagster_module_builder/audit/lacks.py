"""What a module may lack: a check of what does not exist is skipped and not counted, never passed."""

from __future__ import annotations

from dagster_module_builder.audit.audited_module import AuditedModule
from dagster_module_builder.base import settings


def no_code(audited: AuditedModule) -> str:
    """Say that there is no Python file."""
    return "" if audited.sources.files else "no Python file"


def no_definitions(audited: AuditedModule) -> str:
    """Say that no file builds ``Definitions``."""
    return "" if audited.code_location.definitions else "no definitions"


def no_fragments(audited: AuditedModule) -> str:
    """Say that there is no ``workspace/local/``."""
    return "" if (audited.path / settings.FRAGMENTS).is_dir() else f"no {settings.FRAGMENTS}/"


def no_workspace(audited: AuditedModule) -> str:
    """Say that there is no workspace."""
    return "" if audited.workspace else f"no workspace at {audited.root} that can be read"


def no_facts(audited: AuditedModule) -> str:
    """Say why it is not known what the module claims in the workspace."""
    return no_workspace(audited) or no_fragments(audited) or ("" if audited.facts else "its fragments cannot be read")


def no_dockerfiles(audited: AuditedModule) -> str:
    """Say that there is no Dockerfile, or none with an instruction."""
    lines = (line for path in audited.dockerfiles for line in audited.text_of(path).splitlines())
    return "" if any(line.strip() and not line.lstrip().startswith("#") for line in lines) else "no Dockerfile"


def no_deployments(audited: AuditedModule) -> str:
    """Say that there is no deployment."""
    return "" if audited.deployments else "no deployment"


def no_tests(audited: AuditedModule) -> str:
    """Say that there are no tests."""
    return "" if audited.tests else "no tests"
