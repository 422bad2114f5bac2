"""What a module may lack: a check of what does not exist is skipped and not counted, never passed."""

from __future__ import annotations

from dagster_module_builder.audit.subject import Subject
from dagster_module_builder.base import settings


def no_code(subject: Subject) -> str:
    """Say that there is no Python file."""
    return "" if subject.sources.files else "no Python file"


def no_definitions(subject: Subject) -> str:
    """Say that no file builds ``Definitions``."""
    return "" if subject.layout.definitions else "no definitions"


def no_fragments(subject: Subject) -> str:
    """Say that there is no ``workspace/local/``."""
    return "" if (subject.path / settings.FRAGMENTS).is_dir() else f"no {settings.FRAGMENTS}/"


def no_workspace(subject: Subject) -> str:
    """Say that there is no workspace."""
    return "" if subject.workspace else f"no workspace at {subject.root} that can be read"


def no_facts(subject: Subject) -> str:
    """Say why it is not known what the module claims in the workspace."""
    return no_workspace(subject) or no_fragments(subject) or ("" if subject.facts else "its fragments cannot be read")


def no_dockerfiles(subject: Subject) -> str:
    """Say that there is no Dockerfile, or none with an instruction."""
    lines = (line for path in subject.dockerfiles for line in subject.text_of(path).splitlines())
    return "" if any(line.strip() and not line.lstrip().startswith("#") for line in lines) else "no Dockerfile"


def no_deployments(subject: Subject) -> str:
    """Say that there is no deployment."""
    return "" if subject.deployments else "no deployment"


def no_tests(subject: Subject) -> str:
    """Say that there are no tests."""
    return "" if subject.tests else "no tests"
