"""Jenkins: a declarative pipeline in a file of its own. https://www.jenkins.io/doc/book/pipeline/syntax/."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from deploy_strategies.pipelines.description import Pipeline
from deploy_strategies.pipelines.platform import Platform

FILE = "Jenkinsfile"


def _places(pipeline: Pipeline) -> tuple[str, ...]:
    """Return three files: a Jenkinsfile has exactly one pipeline, and Jenkins is told the path of another."""
    own = f"{FILE}.{pipeline.deployment}"
    return FILE, own, f"{own}-{pipeline.module}"


def _values(pipeline: Pipeline, _others: Sequence[bytes]) -> Mapping[str, Any]:
    label = f"{{ label '{pipeline.runner}' }}" if pipeline.runner else "any"
    return {"agent": label, "conditions": _conditions(pipeline)}


def _conditions(pipeline: Pipeline) -> list[str]:
    """Return the conditions, all of which have to hold."""
    if pipeline.trigger.is_tag:
        return [f"tag pattern: '{pipeline.trigger.tag}', comparator: 'GLOB'"]
    branch, person = f"branch '{pipeline.trigger.branch}'", "triggeredBy 'UserIdCause'"
    if pipeline.trigger.kind == "manual":
        return [branch, person]
    return [branch, f"anyOf {{ changeset '{pipeline.inside}/**'; {person} }}"] if pipeline.below else [branch]


PLATFORM = Platform(
    title="Jenkins",
    template="jenkins.groovy",
    places=_places,
    pattern=f"{FILE}*",
    kind=None,
    shares=False,
    # A secret file, whose path the variable has.
    secret="tr -d '\\r' <\"${}\"",  # noqa: S106 - a command
    values=_values,
    mentions=lambda _, file: [(re.compile(r"(\bScript Path: `)Jenkinsfile[\w.-]*(?=`)"), file)],
)
