"""Who is told of a deployment: real receivers on this machine; one that does not answer holds nothing up."""

from __future__ import annotations

import base64
import email
import socket
import time
from email.message import Message
from pathlib import Path

import pytest

from dagster_module_builder.base.errors import DamagedFileError
from dagster_module_builder.deploy.deploy import release_of
from dagster_module_builder.deploy.model.deployment import find
from tests.deploy.cut_off import change
from tests.deploy.modules import set_value
from tests.deploy.program import run
from tests.deploy.receivers import mail, web
from tests.deploy.sites import Site

TASK = ["deploy", "yoda", "--allow-dirty", "--no-settle", "--trust"]


def settings(site: Site, **more: str) -> None:
    text = "".join(f"{name}='{value}'\n" for name, value in more.items())
    (site.module / "deploy/yoda/.env.deploy").write_text(f"SALES_REPORT_TOKEN='s3cret-of-production'\n{text}")


def test_a_webhook_is_told_of_beginning_success_rollback_and_failure(quick: Site) -> None:
    with web() as receiver:
        settings(quick, SLACK_URL=f"http://127.0.0.1:{receiver.port}/hook/k3y-of-slack")
        change(quick, notifications=[{"webhook": "SLACK_URL"}])
        assert run(quick.root, *TASK).returncode == 0
        set_value(quick.module, 2)
        assert run(quick.root, *TASK).returncode == 0
        assert run(quick.root, "deploy.rollback", "yoda", "--trust").returncode == 0
        change(quick, hooks={"before_switch": [{"command": 'echo "$SALES_REPORT_TOKEN is bad"; exit 1'}]})
        failed = run(quick.root, *TASK)
        assert failed.returncode == 1
        texts = [each["text"] for each in receiver.got]
        on_hosts = "".join(path.read_text() for path in quick.there.rglob("*.env"))
    told = [text.split(": ")[1].split(" after")[0].split(",")[0] for text in texts]
    deployed = ["deploy begins", "deployed"]
    assert told == [*deployed, *deployed, "rollback begins", "rolled back", "deploy begins", "deploy FAILED"]
    assert all(text.startswith("sales-report for Yoda Ltd (yoda): ") for text in texts)
    assert all(f"on {quick.host.address}:{quick.host.port}, by " in text for text in texts)
    assert "sales-report (none) -> 2" in texts[1]
    assert "is bad" in texts[-1]
    # The address is for this machine alone, and no secret is in a text.
    assert "SLACK_URL" not in on_hosts
    assert "s3cret-of-production" in on_hosts
    assert "s3cret" not in str(texts) + failed.stdout + failed.stderr
    assert "k3y-of-slack" not in failed.stdout + failed.stderr + quick.log()


def test_a_mail_says_what_happened(quick: Site) -> None:
    with mail() as receiver:
        settings(quick, SMTP_PASSWORD="p4ss-of-mail")
        entry = {
            "email": ["ops@example.org", "ada@example.org"], "from": "deploy@example.org", "user": "deploy",
            "server": f"127.0.0.1:{receiver.port}", "security": "none", "password": "SMTP_PASSWORD",
            "events": ["success"],
        }  # fmt: skip
        change(quick, notifications=[entry])
        done = run(quick.root, *TASK)
        assert (done.returncode, done.stderr.count("was not told")) == (0, 0), done.stderr
        login, text = receiver.got
    assert base64.b64decode(login.split()[-1]) == b"\0deploy\0p4ss-of-mail"
    message: Message = email.message_from_string(text)
    assert message["To"] == "ops@example.org, ada@example.org"
    assert message["Subject"] == "sales-report (yoda): success"
    assert "deployed after" in str(message.get_payload())


def test_a_command_reads_the_text(quick: Site, tmp_path: Path) -> None:
    got = tmp_path / "got"
    change(
        quick, notifications=[{"command": f"(echo $DEPLOY_EVENT $DEPLOY_MODULE; cat) >> {got}", "events": ["success"]}]
    )
    assert run(quick.root, *TASK).returncode == 0
    assert got.read_text().startswith("success sales-report\nsales-report for Yoda Ltd (yoda): deployed after")


@pytest.mark.parametrize("broken", ["silent", "refusing", "failing", "unset", "mail", "command"])
def test_a_receiver_never_fails_a_deployment_nor_holds_it_up(quick: Site, broken: str) -> None:
    with web() as receiver, socket.create_server(("127.0.0.1", 0)) as mute:
        addresses = {"silent": receiver.port, "failing": receiver.port, "refusing": 9}
        if broken == "silent":
            receiver.silent.set()
        receiver.status = 500
        if broken in addresses:
            settings(quick, SLACK_URL=f"http://127.0.0.1:{addresses[broken]}/")
        entry = {
            "mail": {
                "email": ["a@example.org"],
                "from": "b@example.org",
                "server": f"127.0.0.1:{mute.getsockname()[1]}",
            },
            "command": {"command": "sleep 300"},
        }.get(broken, {"webhook": "SLACK_URL"})
        change(quick, notifications=[{**entry, "events": ["success"]}])
        started = time.monotonic()
        done = run(quick.root, *TASK)
        took = time.monotonic() - started
    assert done.returncode == 0, done.stderr
    assert "The " in done.stderr
    assert any(words in done.stderr for words in ("was not told", "did not answer within")), done.stderr
    assert took < 60
    assert quick.running()


def test_notifications_need_consent_and_a_shape(quick: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "false")  # A pipeline has consent.
    change(quick, notifications=[{"command": "true"}])
    assert "--trust" in run(quick.root, "deploy", "yoda", "--allow-dirty").stderr
    for entry, words in (
        ({"webhook": "https://hooks.example.org/secret"}, "name of a variable"),
        ({"email": ["a@example.org"]}, "from"),
        ({"events": ["begin"]}, "write one of"),
    ):
        change(quick, notifications=[entry])
        with pytest.raises(DamagedFileError, match=words):
            find(quick.root, "yoda")


def test_a_variable_of_receivers_is_no_setting_of_the_module(quick: Site) -> None:
    settings(quick, SLACK_URL="http://127.0.0.1:9/", OTHER="on two")
    (quick.module / "deploy/yoda/.env.deploy.example").write_text("SLACK_URL='change-me'\nOTHER=''\n")
    change(quick, notifications=[{"webhook": "SLACK_URL"}])
    (deployment,) = find(quick.root, "yoda")
    release = release_of(deployment, allow_dirty=True)
    assert release.env == b"SALES_REPORT_TOKEN='s3cret-of-production'\nOTHER='on two'\n"
