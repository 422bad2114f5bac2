"""GitLab CI/CD: a marked block of jobs in the repository's one file. https://docs.gitlab.com/ci/yaml/."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dagster_module_builder.deploy.pipelines.description import Pipeline
from dagster_module_builder.deploy.pipelines.platform import Platform, patterns
from dagster_module_builder.shared_files.formats.line_file import LineFile
from dagster_module_builder.shared_files.formats.outline import UnsafeEditError, outline_of

if TYPE_CHECKING:
    import yaml

FILE = ".gitlab-ci.yml"
#: The packages of programs that GitLab's image lacks, if the name differs.
DEBIAN_PACKAGES = {"ssh": "openssh-client", "docker": "docker.io"}


def _values(pipeline: Pipeline, others: Sequence[bytes]) -> Mapping[str, Any]:
    tools = pipeline.programs
    return {
        "conditions": _conditions(pipeline),
        "rollback_condition": _place(pipeline),
        "comment_condition": _comment_condition(pipeline),
        # What jobs of merge requests have beside the others' secrets.
        "own_secrets": (*pipeline.secrets, pipeline.comment_token),
        "paths": patterns(pipeline, "/**/*"),
        "stages": _stages(others),
        "programs": ["git", "ssh-agent", *(tool for tool in tools if tool not in {"git", "ssh"})],
        "packages": sorted(
            {
                "git",
                "openssh-client",
                *(["git-lfs"] if pipeline.lfs else []),
                *(DEBIAN_PACKAGES.get(tool, tool) for tool in tools),
            }
        ),
    }


def _conditions(pipeline: Pipeline) -> list[str]:
    place = _place(pipeline)
    if pipeline.trigger.is_tag:
        return [place]
    sources = ["push"] if pipeline.trigger.kind == "push" else []
    return [f'{place} && $CI_PIPELINE_SOURCE == "{source}"' for source in (*sources, "web")]


def _comment_condition(pipeline: Pipeline) -> str:
    """Return the condition that a pipeline runs for a merge request that may change what is deployed."""
    own = "$CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_PROJECT_ID"
    target = f'$CI_MERGE_REQUEST_TARGET_BRANCH_NAME == "{pipeline.trigger.branch}"'
    into = [] if pipeline.trigger.is_tag else [target]
    return " && ".join(['$CI_PIPELINE_SOURCE == "merge_request_event"', own, *into])


def _place(pipeline: Pipeline) -> str:
    """Return the condition that a pipeline runs for the branch or the tags that are deployed."""
    if pipeline.trigger.is_tag:
        return f"$CI_COMMIT_TAG =~ /^{_expression(pipeline.trigger.tag)}$/"
    return f'$CI_COMMIT_BRANCH == "{pipeline.trigger.branch}"'


def _expression(pattern: str) -> str:
    """Return a pattern with ``*`` as a regular expression."""
    return "[^\\/]*".join(re.escape(part).replace("/", "\\/") for part in pattern.split("*"))


def _stages(others: Sequence[bytes]) -> dict[str, str]:
    """Return the stages of our jobs: those of the file, else GitLab's defaults."""
    key = outline_of(others).find(("stages",)) if others else None
    named = [str(item.value) for item in _items(key.value)] if key else []
    if not named:
        return {"test": "test", "deploy": "deploy"}
    test = "test" if "test" in named else named[0]
    later = named[named.index(test) :]
    return {"test": json.dumps(test), "deploy": json.dumps("deploy" if "deploy" in later else later[-1])}


def _items(node: yaml.Node) -> list[yaml.Node]:
    return list(node.value) if isinstance(node.value, list) else []


def _mentions(pipeline: Pipeline, _file: str) -> list[tuple[re.Pattern[str], str]]:
    named = r"(\benvironment `| --scope |Environments >\s+New, `)[A-Za-z0-9][A-Za-z0-9._/-]*"
    return [(re.compile(named), pipeline.environment)]


def _text_lines(own: Sequence[bytes]) -> set[int]:
    return outline_of(own).scalar_lines()


def _end(own: Sequence[bytes]) -> int:
    """Return the line for further jobs: the end of the top-level mapping."""
    outline = outline_of(own)
    keys = [key for key in outline.keys if len(key.path) == 1]
    if outline.root is not None and not keys:
        raise UnsafeEditError(0, "it is not a pipeline: a mapping in block style is needed")
    if keys and keys[0].column:
        raise UnsafeEditError(keys[0].line, "the jobs are indented: begin them at the start of the line")
    return outline.end_of_document()


PLATFORM = Platform(
    title="GitLab CI/CD",
    template="gitlab.yml",
    places=lambda _: (FILE,),
    pattern=FILE,
    kind=LineFile(FILE, _text_lines, _end),
    shares=True,
    # GitLab masks values of one line only.
    secret="printf '%s' \"${}\" | base64 --decode",  # noqa: S106 - a command
    values=_values,
    mentions=_mentions,
)
