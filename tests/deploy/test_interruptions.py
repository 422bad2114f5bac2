"""Changes that Ctrl-C, a signal, a cut connection or a kill ends: who hears of that, here and on the host."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy import rollout
from dagster_module_builder.deploy.deploy import deploy
from dagster_module_builder.deploy.model.deployment import find
from dagster_module_builder.deploy.status import log
from tests.deploy.cut_off import OPTIONS, Served, at, await_free, change, served
from tests.deploy.program import PROGRAM
from tests.deploy.receivers import web
from tests.deploy.sites import Site

__all__ = ["served"]

GONE = "The connection was lost, or the command was interrupted."


def waits(site: Site, begun: Path, point: str, **failing: str) -> None:
    """Have a hook on the host wait at a point, and others note what they are told of a failure."""
    line = f"touch {shlex.quote(str(begun))}; sleep 300"
    entries = [{"command": command, "where": where} for where, command in failing.items()]
    change(site, hooks={point: [{"command": line}], "on_failure": entries})


def noting(path: Path, *more: str) -> str:
    """Return a command that notes what failed; the file is complete as soon as it is there."""
    facts = " ".join(f'"${name}"' for name in ("DEPLOY_HOOK", "DEPLOY_ACTION", "DEPLOY_FAILURE", *more))
    return f"echo {facts} > {path}.tmp && mv {path}.tmp {path}"


def await_that(holds: Callable[[], object], limit: float = 40) -> None:
    until = time.monotonic() + limit
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


def begin(site: Site, *task: str) -> subprocess.Popen[bytes]:
    """Start the program as a terminal does: in a separate session, and without ignored signals."""
    environ = {**os.environ, "DAGSTER_WORKSPACE": str(site.root)}
    return subprocess.Popen(
        [PROGRAM, *task], env=environ, cwd=site.root, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - no threads
    )  # fmt: skip


@pytest.mark.parametrize(
    ("number", "action", "point"),
    [
        (signal.SIGINT, "deploy", "after_switch"),
        (signal.SIGTERM, "deploy", "before_verify"),
        (signal.SIGTERM, "rollback", "before_rollback"),
        (signal.SIGKILL, "deploy", "after_switch"),
    ],
)
def test_all_hear_of_a_signal_that_ends_the_command(
    served: Served, tmp_path: Path, number: signal.Signals, action: str, point: str
) -> None:
    """The host's hooks run when it has gone back; a kill leaves those of this machine no time."""
    site, release, files = served
    begun, here, there = (tmp_path / name for name in ("begun", "here", "there"))
    if action == "rollback":
        (outcome,) = site.deploy()
        release = outcome.releases["sales-report"]
    task = ["deploy", "yoda", "--allow-dirty", "--no-settle"] if action == "deploy" else ["deploy.rollback", "yoda"]
    with web() as receiver:
        env = site.module / "deploy/yoda/.env.deploy"
        env.write_text(f"SALES_REPORT_TOKEN='t0ken-of-two'\nTELL='http://127.0.0.1:{receiver.port}/'\n")
        waits(site, begun, point, here=noting(here), hosts=noting(there, "SALES_REPORT_TOKEN"))
        change(site, notifications=[{"webhook": "TELL", "events": ["failure"]}])
        with begin(site, *task, "--trust") as program:
            await_that(begun.exists)
            program.send_signal(number)
            said = program.communicate(timeout=60)[0].decode()
        told = [each["text"] for each in receiver.got]
    await_that(there.exists)
    token = "t0ken-of-two" if action == "deploy" else "s3cret-of-production"
    assert there.read_text() == f"on_failure {action} {GONE} {token}\n"
    assert token not in said + site.log()
    await_free(site)
    assert (site.current(), site.running()) == (release, release)
    if action == "deploy":
        assert {name: (site.host.base / name).read_bytes() for name in files} == files
    (result,) = log(find(site.root, "yoda"))
    last = result["modules"]["sales-report"][-1]
    assert last["result"] == "taken back"
    assert [(one["hook"], one["code"]) for one in last["hooks"] if one["hook"] == "on_failure"] == [("on_failure", 0)]
    if number == signal.SIGKILL:
        assert (program.returncode, here.exists(), told) == (-number, False, [])
        return
    assert program.returncode == 128 + number, said
    assert here.read_text() == f"on_failure {action} It was interrupted.\n"
    (text,) = told
    assert f"{action} FAILED" in text
    assert "It was interrupted." in text


def test_all_hear_of_a_connection_that_breaks(served: Served, tmp_path: Path) -> None:
    site, release, _ = served
    here, there = tmp_path / "here", tmp_path / "there"
    change(site, hooks={"on_failure": [
        {"command": noting(here), "where": "here"}, {"command": noting(there), "where": "hosts"}
    ]})  # fmt: skip
    with pytest.raises(BuilderError, match="was lost"):
        deploy(find(site.root, "yoda"), OPTIONS, at("switch", site.host.cut))
    assert "was lost" in here.read_text()
    await_that(there.exists)
    assert there.read_text() == f"on_failure deploy {GONE}\n"
    await_free(site)
    assert site.running() == release


@pytest.mark.parametrize("where", ["here", "hosts"])
def test_hooks_of_an_interruption_hold_nothing_up(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Here they have half a minute together; on the host the lock is free before they begin."""
    site, release, _ = served
    child, later = tmp_path / "child", tmp_path / "later"
    monkeypatch.setattr(rollout, "INTERRUPTED", 1.0)
    line = f"sleep 300 & echo $! > {child}.tmp; mv {child}.tmp {child}; wait"
    entries = [{"command": line, "where": where}, {"command": f"touch {later}", "where": where}]
    change(site, hooks={"on_failure": [{**entry, "limit": 10} for entry in entries]})

    def interrupt() -> None:
        raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt) as interrupted:
        deploy(find(site.root, "yoda"), OPTIONS, at("verified", interrupt))
    assert time.monotonic() - started < 20
    assert "ended after" in str(interrupted.value.args) if where == "here" else not interrupted.value.args
    await_that(child.exists)
    number = int(child.read_text())
    if where == "hosts":
        assert await_free(site) < 8
        assert Path(f"/proc/{number}").exists()
        await_that(later.exists)
    await_that(lambda: not Path(f"/proc/{number}/stat").exists() or " Z " in Path(f"/proc/{number}/stat").read_text())
    assert site.running() == release


def test_no_hook_of_a_failure_runs_after_a_change_that_stands(served: Served, tmp_path: Path) -> None:
    """The connection breaks once the host has been told to keep the release."""
    site, _, _ = served
    there = tmp_path / "there"
    change(site, hooks={"on_failure": [{"command": noting(there), "where": "hosts"}]})
    (outcome,) = deploy(find(site.root, "yoda"), OPTIONS, at("done", site.host.cut))
    assert outcome.stands
    await_free(site)
    assert not there.exists()
    assert json.loads(site.log().splitlines()[-1])["result"] == "good"
