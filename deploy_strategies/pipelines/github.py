"""GitHub Actions: a workflow of its own for each deployment.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from dagster_module_builder.formats.line_file import LineFile
from dagster_module_builder.formats.outline import outline_of
from deploy_strategies.pipelines.description import Pipeline
from deploy_strategies.pipelines.platform import Platform, patterns

#: By its commit, as the modules' own workflows have it: a tag can be moved.
CHECKOUT = "actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2"
WORKFLOWS = ".github/workflows"
RUNNER = "ubuntu-24.04"


def _places(pipeline: Pipeline) -> tuple[str, ...]:
    """Return two files: nothing is put among the triggers and rights of a workflow of others."""
    name = f"{WORKFLOWS}/deploy-{pipeline.deployment}"
    return f"{name}.yml", f"{name}-{pipeline.module}.yml"


def _values(pipeline: Pipeline, _others: Sequence[bytes]) -> Mapping[str, Any]:
    branch = f"github.ref == 'refs/heads/{pipeline.trigger.branch}'"
    return {
        "condition": "startsWith(github.ref, 'refs/tags/')" if pipeline.trigger.is_tag else branch,
        "paths": patterns(pipeline, "/**"),
        "runner": pipeline.runner or RUNNER,
        "checkout": CHECKOUT,
    }


def _mentions(pipeline: Pipeline, file: str) -> list[tuple[re.Pattern[str], str]]:
    return [
        (re.compile(r"(\bgh workflow run )deploy-[\w-]+\.yml\b"), file),
        (re.compile(r"(\benvironment `| --env )[A-Za-z0-9][A-Za-z0-9._/-]*"), pipeline.environment),
        (re.compile(r"(\brepos/\{owner\}/\{repo\}/environments/)[^/']+"), quote(pipeline.environment, safe="")),
    ]


def _text_lines(own: Sequence[bytes]) -> set[int]:
    return outline_of(own).scalar_lines()


PLATFORM = Platform(
    title="GitHub Actions",
    template="github.yml",
    places=_places,
    pattern=f"{WORKFLOWS}/*.yml",
    kind=LineFile("workflow", _text_lines, lambda _: 0),
    shares=False,
    secret="printf '%s\\n' \"${}\" | tr -d '\\r'",  # noqa: S106 - a command
    values=_values,
    mentions=_mentions,
    # GitHub empties its folder itself.
    removes_work=False,
)
