"""``--comment``: the comment on the pull request that a pipeline's job runs for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.commands import console

if TYPE_CHECKING:
    from dagster_module_builder.deploy.pull_request import PullRequest


def pull_request_for(*, comment: bool) -> PullRequest | None:
    """Return the pull request to comment on; None if that was not asked for.

    Raises:
        UsageError: This process runs for no pull request.
    """
    from dagster_module_builder.deploy.pull_request import pull_request_of

    return pull_request_of(os.environ) if comment else None


def post(pull_request: PullRequest | None, name: str, text: str) -> None:
    """Comment; where that fails it is told, and what the task did is what it is.

    Args:
        pull_request: The pull request; None to post nothing.
        name: What tells the comment from others of this program.
        text: Markdown.
    """
    if pull_request is None:
        return
    try:
        pull_request.post(name, text)
    except BuilderError as error:
        console.alert(str(error))
