"""The pull request of the pipeline that runs this process, and this program's comment on it: one for each deployment.

https://docs.github.com/en/rest/issues/comments, https://docs.gitlab.com/api/notes/#merge-requests. Jenkins's jobs know
the address of the pull request's page (https://plugins.jenkins.io/branch-api/), which says where the API is.
"""

from __future__ import annotations

import http.client
import json
import re
import urllib.request
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import quote, urlsplit

from dagster_module_builder.base.errors import BuilderError, UsageError
from dagster_module_builder.disclosure.messages import harmless_text, remember_texts

#: Seconds that a server may take to answer, the most bytes of an answer, and the most comments that are looked through.
_ANSWERING, _ANSWER, _COMMENTS = 30.0, 16 << 20, 3000
#: The comments of one answer, which is the most of both servers.
_PAGE = 100
#: The most characters of a comment: GitHub takes 65,536 and GitLab 1,000,000, which no person reads.
_MOST = 60_000
#: The variable with the token. GitHub's jobs have one themselves; ``CI_JOB_TOKEN`` of GitLab's may not comment.
GITHUB_TOKEN, OWN_TOKEN = "GITHUB_TOKEN", "DEPLOY_COMMENT_TOKEN"
#: The addresses of a pull request on GitHub, and of a merge request on GitLab.
_PULL = re.compile(r"/(?P<name>[^/]+/[^/]+)/pull/(?P<number>\d+)")
_MERGE = re.compile(r"/(?P<name>.+)/-/merge_requests/(?P<number>\d+)")


@dataclass(frozen=True)
class PullRequest:
    """A pull request, or GitLab's merge request.

    Attributes:
        comments: The address of its comments.
        edited: The address below which a comment is changed by its number.
        change: How that is asked for.
        headers: What says who asks.
        problem: Why nothing can be posted; empty if nothing is known to be in its way.
    """

    comments: str
    edited: str
    change: Literal["PATCH", "PUT"]
    headers: Mapping[str, str] = field(repr=False)
    problem: str = ""

    def post(self, name: str, text: str) -> None:
        """Comment, or change the comment that was made for the same deployment; secrets that are known are hidden.

        Args:
            name: The deployment's name, which tells its comment from others.
            text: Markdown.

        Raises:
            BuilderError: There is no token, or the server refused, or did not answer.
        """
        if self.problem:
            raise BuilderError(self.problem)
        mark = f"<!-- dagster-module-builder: {name} -->"
        body = f"{mark}\n{harmless_text(text)}"
        more = "\n\nThe rest is on the page of the job.\n"
        body = body if len(body) <= _MOST else f"{body[:_MOST].rpartition(chr(10))[0]}{more}"
        own = next((each["id"] for each in self._all() if str(each.get("body")).startswith(mark)), None)
        if own is None:
            self._ask("POST", self.comments, {"body": body})
        else:
            self._ask(self.change, f"{self.edited}/{own}", {"body": body})

    def _all(self) -> Iterator[Mapping[str, Any]]:
        for page in range(1, _COMMENTS // _PAGE + 1):
            address = f"{self.comments}?per_page={_PAGE}&page={page}"
            found = self._ask("GET", address)
            if not isinstance(found, list):
                raise _not_posted(f"GET {address}", "the answer is no list of comments")
            yield from (each for each in found if isinstance(each, dict) and isinstance(each.get("id"), int))
            if len(found) < _PAGE:
                return

    def _ask(self, method: str, address: str, data: Mapping[str, Any] | None = None) -> Any:
        body = None if data is None else json.dumps(data).encode()
        headers = {**self.headers, "Content-Type": "application/json", "User-Agent": "dagster-module-builder"}
        request = urllib.request.Request(address, body, headers, method=method)  # noqa: S310 - see pull_request_of
        try:
            with urllib.request.urlopen(request, timeout=_ANSWERING) as answer:  # noqa: S310 - the same
                return json.loads(answer.read(_ANSWER))
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise _not_posted(f"{method} {address}", error) from None


def _not_posted(asked: str, reason: object) -> BuilderError:
    return BuilderError(f"The comment on the pull request could not be posted: {asked}: {reason}")


def pull_request_of(environ: MutableMapping[str, str]) -> PullRequest:
    """Return the pull request of the job that runs this process; the token is taken out of its variables.

    Raises:
        UsageError: No job of a pull request on GitHub or GitLab runs it.
    """
    number = _number(environ.get("GITHUB_EVENT_PATH"))
    if number and (api := _address(environ, "GITHUB_API_URL")):
        return _on_github(api, environ.get("GITHUB_REPOSITORY", ""), number, _token(environ, GITHUB_TOKEN))
    number = environ.get("CI_MERGE_REQUEST_IID", "")
    if number.isdecimal() and (api := _address(environ, "CI_API_V4_URL")):
        return _on_gitlab(api, environ.get("CI_PROJECT_ID", ""), number, _token(environ, OWN_TOKEN))
    if found := _of_jenkins(_address(environ, "CHANGE_URL"), environ):
        return found
    raise UsageError(
        "--comment works in a job that GitHub, GitLab or Jenkins runs for a pull request on GitHub or GitLab: pass "
        "--markdown elsewhere."
    )


def _of_jenkins(address: str, environ: MutableMapping[str, str]) -> PullRequest | None:
    """Return the pull request that a job of Jenkins runs for; None if it is on neither GitHub nor GitLab.

    Args:
        address: Its page: ``https://github.com/yoda/sales/pull/7``.
        environ: The job's variables, with the token.
    """
    parts = urlsplit(address)
    origin = f"{parts.scheme}://{parts.netloc}"
    if found := _PULL.fullmatch(parts.path):
        # https://docs.github.com/en/enterprise-server/rest/using-the-rest-api/getting-started-with-the-rest-api
        api = "https://api.github.com" if parts.netloc == "github.com" else f"{origin}/api/v3"
        return _on_github(api, found["name"], found["number"], _token(environ, OWN_TOKEN))
    if found := _MERGE.fullmatch(parts.path):
        project = quote(found["name"], safe="")
        return _on_gitlab(f"{origin}/api/v4", project, found["number"], _token(environ, OWN_TOKEN))
    return None


def _on_github(api: str, repository: str, number: str, token: _Token) -> PullRequest:
    issues = f"{api}/repos/{repository}/issues"
    headers = {"Authorization": f"Bearer {token.text}", "Accept": "application/vnd.github+json"}
    return PullRequest(f"{issues}/{number}/comments", f"{issues}/comments", "PATCH", headers, token.problem)


def _on_gitlab(api: str, project: str, number: str, token: _Token) -> PullRequest:
    notes = f"{api}/projects/{project}/merge_requests/{number}/notes"
    return PullRequest(notes, notes, "PUT", {"PRIVATE-TOKEN": token.text}, token.problem)


def _number(event: str | None) -> str:
    """Return the number of the pull request that a job of GitHub runs for; empty if it is none."""
    if not event or not Path(event).is_file():
        return ""
    number = (json.loads(Path(event).read_bytes()).get("pull_request") or {}).get("number")
    return str(number) if isinstance(number, int) else ""


def _address(environ: Mapping[str, str], name: str) -> str:
    address = environ.get(name, "")
    return address if address.startswith(("https://", "http://")) else ""


class _Token(NamedTuple):
    """A token, or why there is none."""

    text: str
    problem: str


def _token(environ: MutableMapping[str, str], name: str) -> _Token:
    token = environ.pop(name, "").strip()
    remember_texts([token])
    lacks = f"The comment on the pull request was not posted: {name} has no token that may comment on pull requests."
    return _Token(token, "" if token else lacks)
