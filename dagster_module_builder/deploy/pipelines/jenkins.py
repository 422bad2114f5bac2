"""Jenkins: a declarative pipeline in a separate file. https://www.jenkins.io/doc/book/pipeline/syntax/."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dagster_module_builder.deploy.pipelines.description import Pipeline
from dagster_module_builder.deploy.pipelines.platform import Platform

FILE = "Jenkinsfile"
_PERSON = "triggeredBy 'UserIdCause'"


def _places(pipeline: Pipeline) -> tuple[str, ...]:
    """Return three possible files: a file has one pipeline, and Jenkins can be given the path of another file."""
    own = f"{FILE}.{pipeline.deployment}"
    return FILE, own, f"{own}-{pipeline.module}"


def _values(pipeline: Pipeline, _others: Sequence[bytes]) -> Mapping[str, Any]:
    label = f"{{ label '{pipeline.runner}' }}" if pipeline.runner else "any"
    compares = pipeline.trigger.kind == "push" and bool(pipeline.watched)
    return {
        "agent": label,
        "checkout": _checkout(pipeline),
        "place": _place(pipeline),
        "conditions": [_place(pipeline), *_cause(pipeline, compares=compares)],
        "change": "changeRequest()"
        if pipeline.trigger.is_tag
        else f"changeRequest target: '{pipeline.trigger.branch}'",
        "compares": compares,
        "watched": " ".join(f"'{path}'" for path in pipeline.watched),
    }


def _checkout(pipeline: Pipeline) -> str:
    """Return the step that checks out (https://www.jenkins.io/doc/pipeline/steps/params/scmgit/)."""
    extensions = [
        *(["submodule(recursiveSubmodules: true, parentCredentials: true)"] if pipeline.submodules else []),
        *(["lfs()"] if pipeline.lfs else []),
    ]
    if not extensions:
        return "checkout scm"
    more = f"scm.extensions + [{', '.join(extensions)}]"
    arguments = ("branches: scm.branches", f"extensions: {more}", "userRemoteConfigs: scm.userRemoteConfigs")
    return "\n    ".join(["checkout scmGit(", ",\n    ".join(arguments)]) + "\n)"


def _place(pipeline: Pipeline) -> str:
    """Return the condition that a build runs for the branch or the tags that are deployed."""
    if pipeline.trigger.is_tag:
        return f"tag pattern: '{pipeline.trigger.tag}', comparator: 'GLOB'"
    return f"branch '{pipeline.trigger.branch}'"


def _cause(pipeline: Pipeline, *, compares: bool) -> list[str]:
    """Return the condition on what started a build; empty if every start counts.

    ``changeset`` is not used: it compares with the previous build, whether or not that deployed, and is empty before a
    checkout (https://www.jenkins.io/doc/book/pipeline/syntax/#built-in-conditions).
    """
    if pipeline.trigger.kind == "manual":
        return [_PERSON]
    return [f"anyOf {{ expression {{ env.CHANGED == 'yes' }}; {_PERSON} }}"] if compares else []


PLATFORM = Platform(
    title="Jenkins",
    template="jenkins.groovy",
    places=_places,
    pattern=f"{FILE}*",
    kind=None,
    shares=False,
    # The variable has the path of a secret file.
    secret="tr -d '\\r' <\"${}\"",  # noqa: S106 - a command
    values=_values,
    mentions=lambda _, file: [(re.compile(r"(\bScript Path: `)Jenkinsfile[\w.-]*(?=`)"), file)],
)
