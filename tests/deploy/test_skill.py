"""The skill's command lines that speak to hosts, carried out on one, as it is told to: look first, then deploy."""

from __future__ import annotations

from pathlib import Path

from tests.cli.skill_page import MODES, REMOTE, mentioned
from tests.deploy.modules import set_value
from tests.deploy.program import run
from tests.deploy.sites import Site
from tests.deploy.staging import git, named_staging, published


def test_the_commands_that_speak_to_hosts_work_one_after_the_other(quick: Site, tmp_path: Path) -> None:
    named_staging(quick)
    published(quick.module, tmp_path / "remote.git")
    # A module's very first deployment waits a minute for the daemon.
    assert run(quick.root, "deploy", "staging", "--no-settle").returncode == 0
    first = quick.running()
    set_value(quick.module, 2)
    git(quick.module, "commit", "-qam", "second")
    git(quick.module, "push", "-q")
    lines = [line for line in MODES.typed() if line[0] in REMOTE]
    assert {line[0] for line in lines} == REMOTE
    said = mentioned(MODES)
    for line in [*lines, *(line for line in said if line == ["deploy", "staging"]), ["deploy.rollback", "staging"]]:
        assert line in lines + said
        if line[0] == "deploy.rollback":
            assert quick.running() == quick.current() != first
        done = run(quick.root, *line)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    assert quick.running() == first
    # A key is shown, and pinned only by a person who compared it.
    (quick.module / "deploy/staging/known_hosts").write_text("")
    assert ["deploy.trust", "staging"] in said
    shown = run(quick.root, "deploy.trust", "staging")
    assert (shown.returncode, "SHA256:" in shown.stderr) == (1, True)
