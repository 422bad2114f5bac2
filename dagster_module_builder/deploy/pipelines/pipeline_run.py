"""Whether a pipeline runs this process, and which run that is, by the platforms' variables."""

from __future__ import annotations

from collections.abc import Mapping

#: Variables that are set only in a pipeline, with their values
#: (https://docs.github.com/en/actions/reference/workflows-and-actions/variables,
#: https://docs.gitlab.com/ci/variables/predefined_variables/, https://www.jenkins.io/doc/book/pipeline/jenkinsfile/).
_SIGNS = {"GITHUB_ACTIONS": "true", "GITLAB_CI": "true"}


def is_in_pipeline(environ: Mapping[str, str]) -> bool:
    """Tell whether a pipeline runs this process."""
    return any(environ.get(name) == value for name, value in _SIGNS.items()) or bool(environ.get("JENKINS_URL"))


def who_runs(environ: Mapping[str, str]) -> str | None:
    """Return who started the pipeline, and its address: ``ada by https://…/runs/7``; None outside of one."""
    if not is_in_pipeline(environ):
        return None
    server, repository, run = (environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
    where = environ.get("CI_JOB_URL") or environ.get("BUILD_URL") or f"{server}/{repository}/actions/runs/{run}"
    person = environ.get("GITHUB_TRIGGERING_ACTOR") or environ.get("GITHUB_ACTOR") or environ.get("GITLAB_USER_LOGIN")
    return f"{person} by {where}" if person else where
