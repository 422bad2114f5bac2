"""The pull request of the pipeline that runs this process, and this program's comment on it: one for each deployment.

https://docs.github.com/en/rest/issues/comments, https://docs.gitlab.com/api/notes/#merge-requests
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dagster_module_builder.base.errors import BuilderError, UsageError
from dagster_module_builder.disclosure.messages import remember_texts

#: Seconds that a server may take to answer, the most bytes of an answer, and the most comments that are looked through.
_ANSWERING, _ANSWER, _COMMENTS = 30.0, 16 << 20, 3000
#: The comments of one answer, which is the most of both servers.
_PAGE = 100
#: The most characters of a comment; GitHub takes 65536.
_MOST = 60_000
#: The variable with the token, by the platform. GitLab's jobs have none that may comment.
GITHUB_TOKEN, GITLAB_TOKEN = "GITHUB_TOKEN", "DEPLOY_COMMENT_TOKEN"


@dataclass(frozen=True)
class PullRequest:
    """A pull request, or GitLab's merge request.

    Attributes:
        comments: The address of its comments.
        edited: The address below which a comment is changed by its number.
        change: How that is asked for.
        headers: What says who asks.
    """

    comments: str
    edited: str
    change: Literal["PATCH", "PUT"]
    headers: Mapping[str, str] = field(repr=False)

    def post(self, name: str, text: str) -> None:
        """Comment, or change the comment that was made for the same deployment.

        Args:
            name: The deployment's name, which tells its comment from others.
            text: Markdown.

        Raises:
            BuilderError: The server refused, or did not answer.
        """
        mark = f"<!-- dagster-module-builder: {name} -->"
        body = f"{mark}\n{text}"
        more = "\n\nThe rest is on the page of the job.\n"
        body = body if len(body) <= _MOST else f"{body[:_MOST].rpartition(chr(10))[0]}{more}"
        own = next((each["id"] for each in self._all() if str(each.get("body")).startswith(mark)), None)
        if own is None:
            self._ask("POST", self.comments, {"body": body})
        else:
            self._ask(self.change, f"{self.edited}/{int(own)}", {"body": body})

    def _all(self) -> Iterator[Mapping[str, Any]]:
        for page in range(1, _COMMENTS // _PAGE + 1):
            found = self._ask("GET", f"{self.comments}?per_page={_PAGE}&page={page}")
            yield from found
            if len(found) < _PAGE:
                return

    def _ask(self, method: str, address: str, data: Mapping[str, Any] | None = None) -> Any:
        body = None if data is None else json.dumps(data).encode()
        headers = {**self.headers, "Content-Type": "application/json", "User-Agent": "dagster-module-builder"}
        request = urllib.request.Request(address, body, headers, method=method)  # noqa: S310 - see pull_request_of
        try:
            with urllib.request.urlopen(request, timeout=_ANSWERING) as answer:  # noqa: S310 - the same
                return json.loads(answer.read(_ANSWER))
        except (OSError, ValueError) as error:
            raise BuilderError(
                f"The comment on the pull request could not be posted: {method} {address}: {error}"
            ) from None


def pull_request_of(environ: MutableMapping[str, str]) -> PullRequest:
    """Return the pull request of the job that runs this process; the token is taken out of its variables.

    Raises:
        UsageError: No job of a pull request on GitHub or GitLab runs it, or it has no token.
    """
    number = _number(environ.get("GITHUB_EVENT_PATH"))
    if number and (api := _address(environ, "GITHUB_API_URL")):
        comments = f"{api}/repos/{environ.get('GITHUB_REPOSITORY', '')}/issues"
        headers = {"Authorization": f"Bearer {_token(environ, GITHUB_TOKEN)}", "Accept": "application/vnd.github+json"}
        return PullRequest(f"{comments}/{number}/comments", f"{comments}/comments", "PATCH", headers)
    number = environ.get("CI_MERGE_REQUEST_IID", "")
    if number.isdecimal() and (api := _address(environ, "CI_API_V4_URL")):
        notes = f"{api}/projects/{environ.get('CI_PROJECT_ID', '')}/merge_requests/{number}/notes"
        return PullRequest(notes, notes, "PUT", {"PRIVATE-TOKEN": _token(environ, GITLAB_TOKEN)})
    raise UsageError(
        "--comment works in a job that GitHub or GitLab runs for a pull request: pass --markdown elsewhere."
    )


def _number(event: str | None) -> str:
    """Return the number of the pull request that a job of GitHub runs for; empty if it is none."""
    if not event or not Path(event).is_file():
        return ""
    number = (json.loads(Path(event).read_bytes()).get("pull_request") or {}).get("number")
    return str(number) if isinstance(number, int) else ""


def _address(environ: Mapping[str, str], name: str) -> str:
    address = environ.get(name, "")
    return address if address.startswith(("https://", "http://")) else ""


def _token(environ: MutableMapping[str, str], name: str) -> str:
    token = environ.pop(name, "")
    if not token:
        raise UsageError(f"--comment needs {name}: a token that may comment on pull requests.")
    remember_texts([token])
    return token
