"""The comment on a pull request, against a server that keeps comments as the platforms' APIs do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from dagster_module_builder.base.errors import BuilderError, UsageError
from dagster_module_builder.commands.pull_request_comment import post
from dagster_module_builder.deploy.pull_request import PullRequest, pull_request_of
from dagster_module_builder.shared_files.formats import env_file
from tests.deploy.receivers import comments_of, github_comments, gitlab_notes, web

TOKEN = "t0ken-that-may-comment"
#: By the place of the pull request, and who runs the job: what the server answers.
APIS = {
    "github": github_comments(7),
    "gitlab": gitlab_notes(7, "1217"),
    "jenkins, github": github_comments(7, "/api/v3"),
    "jenkins, gitlab": gitlab_notes(7, "group%2Fsales", "/api/v4"),
}
#: What GitHub takes, which is less than GitLab: https://docs.gitlab.com/administration/instance_limits/.
MOST = 65_536


def job_of(place: str, port: int, folder: Path, token: str = TOKEN) -> dict[str, str]:
    """Return the variables of a job that runs for a pull request."""
    address, event = f"http://127.0.0.1:{port}", folder / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": 7}}))
    return {
        "github": {
            "GITHUB_EVENT_PATH": str(event), "GITHUB_API_URL": address, "GITHUB_REPOSITORY": "yoda/sales",
            "GITHUB_TOKEN": token,
        },
        "gitlab": {
            "CI_MERGE_REQUEST_IID": "7", "CI_API_V4_URL": address, "CI_PROJECT_ID": "1217",
            "DEPLOY_COMMENT_TOKEN": token,
        },
        "jenkins, github": {"CHANGE_URL": f"{address}/yoda/sales/pull/7", "DEPLOY_COMMENT_TOKEN": token},
        "jenkins, gitlab": {
            "CHANGE_URL": f"{address}/group/sales/-/merge_requests/7", "DEPLOY_COMMENT_TOKEN": token,
        },
    }[place]  # fmt: skip


@pytest.mark.parametrize("place", APIS)
def test_a_pull_request_has_one_comment_for_each_deployment(place: str, tmp_path: Path) -> None:
    """It is found among many, no secret is in it, and it is no longer than the platforms take."""
    env_file.values(b"DB_PASSWORD='Canary7 of the settings'\nURL='https://u:Canary7url@db.example'\n")
    with comments_of(APIS[place], TOKEN) as server:
        server.got += ["of a person"] * 150
        environ = job_of(place, server.port, tmp_path)
        request = pull_request_of(environ)
        assert TOKEN not in str(environ) + repr(request)
        request.post("yoda sales", "first")
        request.post("leia sales", "of another deployment")
        request.post("yoda sales", f"Canary7 of the settings, {TOKEN}, https://u:Canary7url@db.example")
        own, other = server.got[150:]
        assert own == "<!-- dagster-module-builder: yoda sales -->\n…, …, …"
        request.post("yoda sales", "    + asset of_many\n" * 200_000)
        (long, _) = server.got[150:]
    assert set(server.got[:150]) == {"of a person"}
    assert other.endswith("of another deployment")
    assert MOST - 10_000 < len(long) < MOST
    assert long.endswith("    + asset of_many\n\nThe rest is on the page of the job.\n")


def refused(request: PullRequest, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the warning of a comment that could not be posted: an error for callers, and none for the task."""
    with pytest.raises(BuilderError, match=r"^The comment on the pull request "):
        request.post("yoda", "text")
    post(request, "yoda", "text")
    return capsys.readouterr().err


@pytest.mark.parametrize("place", APIS)
def test_a_comment_that_fails_is_a_warning(place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with comments_of(APIS[place], TOKEN) as server:
        other = pull_request_of(job_of(place, server.port, tmp_path, "t0ken-of-another"))
        said = refused(other, capsys)
        without = pull_request_of(job_of(place, server.port, tmp_path, ""))
        name = "GITHUB_TOKEN" if place == "github" else "DEPLOY_COMMENT_TOKEN"
        assert f"{name} has no token that may comment" in refused(without, capsys)
        assert server.got == []
    assert "HTTP Error 401" in said
    assert "t0ken-of-another" not in said
    # Its server is gone.
    assert "Connection refused" in refused(other, capsys)


@pytest.mark.parametrize("answer", ['{"message": "no list"}', "<html>", '[{"body": 3}, "x", {"id": "../../user"}]'])
def test_a_server_that_answers_otherwise_is_a_warning(
    answer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Something that is no comment of this program is never changed."""
    with web(answer) as server:
        request = pull_request_of(job_of("gitlab", server.port, tmp_path))
        if answer.startswith("["):
            request.post("yoda", "text")
            assert [each["body"].splitlines()[-1] for each in server.got] == ["text"]
        else:
            assert "could not be posted: GET http://127.0.0.1" in refused(request, capsys)
            assert server.got == []


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"CI_MERGE_REQUEST_IID": "7; x", "CI_API_V4_URL": "https://gitlab.example/api/v4"},
        {"CI_MERGE_REQUEST_IID": "7", "CI_API_V4_URL": "file:///etc"},
        {"CHANGE_URL": "https://bitbucket.example/projects/YODA/repos/sales/pull-requests/7"},
        {"CHANGE_URL": "file:///yoda/sales/pull/7"},
        {"CHANGE_URL": "https://github.com/yoda/sales/pull/7/../8"},
    ],
)
def test_a_job_without_a_pull_request_is_told(environ: Mapping[str, str]) -> None:
    with pytest.raises(UsageError, match="pass --markdown elsewhere"):
        pull_request_of({"DEPLOY_COMMENT_TOKEN": TOKEN, **environ})


def test_the_api_of_github_itself_has_its_own_address() -> None:
    request = pull_request_of({"CHANGE_URL": "https://github.com/yoda/sales/pull/7", "DEPLOY_COMMENT_TOKEN": TOKEN})
    assert request.comments == "https://api.github.com/repos/yoda/sales/issues/7/comments"
