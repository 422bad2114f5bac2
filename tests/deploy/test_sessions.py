"""Commands, shells and Python on a host, with the environment of the release that runs there."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.command_lines import command_lines
from tests.deploy.host_terminal import host_terminal
from tests.deploy.modules import make_deployment, make_module, simplify
from tests.deploy.program import PROGRAM, run
from tests.deploy.sites import Site, quick_sites


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    for sites in quick_sites(tmp_path_factory.mktemp("sessions"), 1):
        sites.deploy()
        yield sites.sites[0]


def sessions(site: Site) -> list[Path]:
    folder = site.host.base / "modules/.sessions"
    return [*folder.iterdir()] if folder.exists() else []


def test_a_command_has_the_releases_folder_and_its_environment(deployed: Site) -> None:
    """Words stay words, bytes stay bytes, and the status is handed on."""
    script = (
        'pwd; printf "%s|" "$@"; echo "$SALES_REPORT_TOKEN $PYTHONPATH"; printf "\\033]0;x\\377"; echo no >&2; exit 7'
    )
    done = subprocess.run(
        [PROGRAM, "deploy.exec", "yoda", "--", "sh", "-c", script, "sh", "one  word", "$HOME;'\""],
        env={**os.environ, "DAGSTER_WORKSPACE": str(deployed.root)}, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    release = (deployed.there / "releases" / deployed.current()).resolve()
    assert done.stdout.decode("latin-1") == (
        f"{release}\none  word|$HOME;'\"|s3cret-of-production {release}/src\n\x1b]0;x\xff"
    )
    assert (done.returncode, done.stderr) == (7, b"no\n")
    assert sessions(deployed) == []
    (result,) = json.loads(run(deployed.root, "deploy.log", "yoda", "--json").stdout)
    last = result["modules"]["sales-report"][-1]
    assert {name: last[name] for name in ("action", "result", "release")} == {
        "action": "exec", "result": "exit status 7", "release": deployed.current()
    }  # fmt: skip
    assert "deploy.exec yoda -- sh -c" in last["command"]
    assert "@" in last["who"]
    assert "s3cret-of-production" not in deployed.log()


def test_what_a_host_prints_cannot_control_the_terminal_that_shows_it(deployed: Site) -> None:
    command = ("deploy.exec", "yoda", "--", "sh", "-c", 'printf "\\033]0;title\\007\\033[31mred\\033[0m\\n"; exit 3')
    with host_terminal(deployed.root, *command) as terminal:
        assert terminal.ends() == 3
    assert "\x1b]0" not in terminal.shown
    assert "\\x1b]0;title\\x07\x1b[31mred" in terminal.shown


def test_programs_get_what_a_command_printed_as_json(deployed: Site) -> None:
    done = run(deployed.root, "deploy.exec", "yoda", "--json", "--", "sh", "-c", "echo out; echo no >&2; exit 4")
    said = json.loads(done.stdout)
    assert done.returncode == 4, done
    assert (said["status"], said["out"], said["errors"]) == (4, "out\n", "no\n")
    assert (said["module"], said["release"]) == ("sales-report", deployed.current())


def test_a_command_reads_what_is_typed_here(deployed: Site) -> None:
    done = subprocess.run(
        [PROGRAM, "deploy.exec", "yoda", "--", "cat"],
        env={**os.environ, "DAGSTER_WORKSPACE": str(deployed.root)}, input=b"\x00\xff" * 70_000,
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, b"\x00\xff" * 70_000)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hears of all processes")
def test_no_secret_is_in_the_arguments_of_any_program(deployed: Site) -> None:
    with command_lines() as seen:
        done = run(deployed.root, "deploy.exec", "yoda", "--", "sh", "-c", "test $SALES_REPORT_TOKEN")
    assert done.returncode == 0, done
    assert any("start.py" in line for line in seen)
    assert not [line for line in seen if "s3cret" in line]


def test_a_command_ends_when_its_reader_is_gone(deployed: Site, tmp_path: Path) -> None:
    """Its children too; SSH alone would leave them."""
    script = f'sleep 300 & echo "$$ $!" >{tmp_path}/processes; trap "" HUP; wait'
    process = subprocess.Popen(
        [PROGRAM, "deploy.exec", "yoda", "--", "sh", "-c", script],
        env={**os.environ, "DAGSTER_WORKSPACE": str(deployed.root)}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    )  # fmt: skip
    processes = _numbers(tmp_path / "processes")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in sessions(deployed)[0].iterdir()}
    assert modes == {0o600}
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert process.stdout
    process.stdout.close()
    for number in processes:
        _await_end(number)
    assert sessions(deployed) == []


def _numbers(path: Path) -> list[int]:
    for _ in range(600):
        with contextlib.suppress(OSError):
            if text := path.read_text().split():
                return [int(number) for number in text]
        time.sleep(0.05)
    raise AssertionError(f"{path} was not written")


def _await_end(number: int) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        if not Path(f"/proc/{number}").exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"{number} still runs")


def test_a_shell_has_a_real_terminal(deployed: Site) -> None:
    """Its size, also when that changes; Ctrl-C ends what runs in it, not the shell; its status is handed on."""
    with host_terminal(deployed.root, "deploy.shell", "yoda") as terminal:
        terminal.type("PS1='ready> '; stty size; echo $SALES_REPORT_TOKEN\n")
        terminal.sees("\n24 80\r\n")
        terminal.sees("s3cret-of-production\r\n")
        terminal.resize(33, 99)
        terminal.type("sleep 0.5; stty size\n")
        terminal.sees("\n33 99\r\n")
        # What says that it runs is what Ctrl-C ends: a shell that is about to start a program may lose the signal.
        terminal.type("sh -c 'printf \"be%s\\n\" gun; exec sleep 300'\n")
        terminal.sees("begun\r\n")
        terminal.type("\x03")
        terminal.sees("ready> ")
        terminal.type("pwd -P\n")
        terminal.sees(str((deployed.there / "releases" / deployed.current()).resolve()))
        terminal.type("exit 9\n")
        assert terminal.ends() == 9
    assert sessions(deployed) == []


def test_without_a_terminal_there_is_no_shell(deployed: Site) -> None:
    for task in ("deploy.shell", "deploy.console"):
        done = run(deployed.root, task, "yoda")
        assert (done.returncode, "needs a terminal" in done.stderr) == (2, True), done
    assert run(deployed.root, "deploy.exec", "yoda", "--tty", "--", "true").returncode == 2
    assert "is missing" in run(deployed.root, "deploy.exec", "yoda").stderr


def test_several_modules_or_hosts_have_to_be_told_apart(tmp_path: Path) -> None:
    for sites in quick_sites(tmp_path, 2):
        sites.deploy()
        site = sites.sites[0]
        refused = run(site.root, "deploy.exec", "yoda", "--", "true")
        assert "pass --host" in refused.stderr, refused
        one = run(site.root, "deploy.exec", "yoda", "--host", str(sites.sites[1].host.address), "--", "pwd")
        assert str(sites.sites[1].host.base.resolve()) in one.stdout, one
        other = simplify(make_module(site.root, "stock"))
        make_deployment(other, [site.host], [site.dagster.url], str(site.host.folder / "python"))
        refused = run(site.root, "deploy.exec", "yoda", "--host", site.host.address, "--", "true")
        assert "pass --module" in refused.stderr, refused
        undeployed = run(site.root, "deploy.exec", "yoda", "--module", "stock", "--", "true")
        assert "stock is not deployed on this host" in undeployed.stderr, undeployed


def test_the_files_of_a_killed_session_go_with_the_next_one(deployed: Site) -> None:
    left = deployed.host.base / "modules/.sessions/left"
    left.mkdir(parents=True, mode=0o700)
    os.utime(left, (0, 0))
    assert run(deployed.root, "deploy.exec", "yoda", "--", "true").returncode == 0
    assert not left.exists()


def test_a_key_that_is_not_pinned_is_not_spoken_to(deployed: Site) -> None:
    path = deployed.module / "deploy/yoda/known_hosts"
    pinned = path.read_text()
    path.write_text("")
    try:
        done = run(deployed.root, "deploy.exec", "yoda", "--", "true")
    finally:
        path.write_text(pinned)
    assert (done.returncode, "not pinned" in done.stderr) == (1, True), done


@pytest.mark.dagster
def test_a_console_has_the_definitions_and_the_instance(site: Site) -> None:
    """Of the Dagster that runs there, whoever started it."""
    site.deploy()
    with host_terminal(site.root, "deploy.console", "yoda") as terminal:
        terminal.sees("are its definitions")
        terminal.type("[sorted(key.to_user_string() for key in defs.resolve_all_asset_keys())]\n")
        terminal.sees("[['number']]")
        terminal.type("'home', DagsterInstance.get().root_directory\n")
        terminal.sees(str(site.dagster.home))  # type: ignore[union-attr]
        terminal.type("import sys; sys.exit(5)\n")
        assert terminal.ends() == 5
    assert [*site.there.rglob("__pycache__")] == []
