"""GitHub Actions: one workflow for each deployment.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from dagster_module_builder.deploy.pipelines.description import Pipeline
from dagster_module_builder.deploy.pipelines.platform import Platform, patterns
from dagster_module_builder.shared_files.formats.line_file import LineFile
from dagster_module_builder.shared_files.formats.outline import outline_of

#: Pinned by their commits, since a tag can be moved.
CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"
SETUP_PYTHON = "actions/setup-python@5fda3b95a4ea91299a34e894583c3862153e4b97 # v7.0.0"
#: By the kind of registry: the action that logs a job in at the cloud by its OIDC token.
CLOUDS = {
    "aws": "aws-actions/configure-aws-credentials@e6de054238d6b7531b4efff3b6587d9aade6a06c # v6.2.3",
    "google": "google-github-actions/auth@7c6bc770dae815cd3e89ee6cdf493a5fab2cc093 # v3.0.0",
    "azure": "Azure/login@f5d393ae46f8fde4be8b75f32e3fc50e654ad0ca # v3.0.1",
}
PYTHON = "3.12"
WORKFLOWS = ".github/workflows"
RUNNER = "ubuntu-24.04"


def _places(pipeline: Pipeline) -> tuple[str, ...]:
    """Return two possible files: a workflow of other people, with its triggers and permissions, is never changed."""
    name = f"{WORKFLOWS}/deploy-{pipeline.deployment}"
    return f"{name}.yml", f"{name}-{pipeline.module}.yml"


def _values(pipeline: Pipeline, _others: Sequence[bytes]) -> Mapping[str, Any]:
    # GitHub's own registry accepts the job's own token, so no password is stored for it.
    own_registry = (pipeline.registry or "").partition("/")[0] == "ghcr.io"
    pushes_by_token = {pipeline.registry_user, pipeline.registry_password} if own_registry or pipeline.login else set()
    return {
        "condition": _condition(pipeline),
        "paths": patterns(pipeline, "/**"),
        "runner": pipeline.runner or RUNNER,
        "checkout": CHECKOUT,
        "more_checkout": _checked_out_too(pipeline),
        "setup_python": SETUP_PYTHON,
        "own_registry": own_registry,
        "secrets": [name for name in pipeline.secrets if name not in pushes_by_token],
        "cloud": CLOUDS[pipeline.login.kind] if pipeline.login else None,
        "python": PYTHON,
    }


def _checked_out_too(pipeline: Pipeline) -> list[str]:
    """Return the settings of the checkout (https://github.com/actions/checkout#usage)."""
    return [*(["submodules: recursive"] if pipeline.submodules else []), *(["lfs: true"] if pipeline.lfs else [])]


def _condition(pipeline: Pipeline) -> str:
    """Return the condition that a run deploys.

    The ref of a pull request that was merged is the branch that it was merged into
    (https://docs.github.com/en/actions/reference/workflows-and-actions/contexts#github-context).
    """
    place = _place(pipeline)
    return f"github.event_name != 'pull_request' && {place}" if pipeline.previews else place


def _place(pipeline: Pipeline) -> str:
    """Return the condition that a run is for the branch or the tags that are deployed.

    GitHub's expressions have no patterns, so each part between the ``*`` of a tag is checked by itself.
    """
    if not pipeline.trigger.is_tag:
        return f"github.ref == 'refs/heads/{pipeline.trigger.branch}'"
    first, *others = f"refs/tags/{pipeline.trigger.tag}".split("*")
    if not others:
        return f"github.ref == '{first}'"
    *middle, last = others
    parts = [f"contains(github.ref, '{part}')" for part in middle if part]
    ends = [f"endsWith(github.ref, '{last}')"] if last else []
    return " && ".join([f"startsWith(github.ref, '{first}')", *parts, *ends])


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
    # GitHub empties the working folder itself.
    removes_work=False,
)
