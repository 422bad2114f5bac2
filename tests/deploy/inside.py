"""What has to hold for commands, shells, Python and logs of a release that a real container runs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.deploy.command_lines import command_lines
from tests.deploy.host_terminal import host_terminal
from tests.deploy.program import PROGRAM, run
from tests.e2e.dagster_web import await_that

#: What the asset of a module says, to Dagster and to its own output.
LOGGED, PRINTED = "the shop is closed", "printed by the step"
#: Neither text nor anything that a terminal may see.
BYTES = b"\x00\xff\r\n" * 40_000


@dataclass(frozen=True)
class Inside:
    """A release in a container.

    Attributes:
        root: The workspace.
        deployment: The deployment's name.
        folder: The folder that commands begin in, as the container has it.
        variable: The name of a setting.
        secret: Its value.
        processes: Returns what runs in the container.
    """

    root: Path
    deployment: str
    folder: str
    variable: str
    secret: str
    processes: Callable[[], str]

    def check_sessions(self, run_id: str) -> None:
        """Do everything that a person does there, who then goes away.

        Args:
            run_id: A run that the Dagster of the host has.
        """
        self._check_command()
        self._check_end_of_reader()
        self._check_shell()
        self._check_console(run_id)

    def _start(self, *command: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [PROGRAM, "deploy.exec", self.deployment, "--", *command],
            env={**os.environ, "DAGSTER_WORKSPACE": str(self.root)}, stdin=stdin,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def _check_command(self) -> None:
        """Folder, variables, words, bytes both ways and the status; no secret in the arguments of any program."""
        script = f'pwd; printf "%s|" "$@"; echo "${self.variable}"; cat; echo no >&2; exit 7'
        with command_lines() as seen, self._start("sh", "-c", script, "sh", "one  word", "$HOME;'\"", stdin=-1) as made:
            out, errors = made.communicate(BYTES, timeout=60)
        begin = f"{self.folder}\none  word|$HOME;'\"|{self.secret}\n".encode()
        assert out[: len(begin)] == begin, (out[:500], errors)
        assert out[len(begin) :] == BYTES
        assert (made.returncode, errors) == (7, b"no\n")
        assert any("start.py" in line for line in seen)
        assert not [line for line in seen if self.secret in line]
        with self._start("no-such-program") as made:
            said = b"".join(made.communicate(timeout=60))
        # Engines differ in the status; they say it themselves, on standard output.
        assert made.returncode in {126, 127}, said
        assert b"no-such-program" in said
        assert b"Traceback" not in said

    def _check_end_of_reader(self) -> None:
        """The engine would leave the command to itself."""
        with self._start("sh", "-c", 'trap "" HUP; sleep 4711 & wait') as made:
            await_that(lambda: "sleep 4711" in self.processes(), 60, "the command runs")
            made.send_signal(signal.SIGINT)
            assert made.wait(30) == 130
        await_that(lambda: "sleep 4711" not in self.processes(), 30, "the command ended with its children")

    def _check_shell(self) -> None:
        with host_terminal(self.root, "deploy.shell", self.deployment) as terminal:
            # Docker tells the container the size a moment after the start.
            terminal.type(f"PS1='ready> '; sleep 0.5; stty size; echo ${self.variable}\n")
            terminal.sees("24 80\r\n")
            terminal.sees(f"{self.secret}\r\n")
            terminal.resize(33, 99)
            terminal.type("sleep 0.5; stty size\n")
            terminal.sees("33 99\r\n")
            terminal.type("sh -c 'printf \"be%s\\n\" gun; exec sleep 4712'\n")
            terminal.sees("begun\r\n")
            terminal.type("\x03")
            terminal.sees("ready> ")
            terminal.type("pwd\n")
            terminal.sees(f"{self.folder}\r\n")
            terminal.type("exit 9\n")
            assert terminal.ends() == 9
        with host_terminal(self.root, "deploy.shell", self.deployment) as terminal:
            terminal.type("sh -c 'printf \"be%s\\n\" gun; exec sleep 4713'\n")
            terminal.sees("begun\r\n")
            assert "sleep 4713" in self.processes()
        await_that(lambda: "sleep 4713" not in self.processes(), 30, "the shell ended with its terminal")

    def _check_console(self, run_id: str) -> None:
        with host_terminal(self.root, "deploy.console", self.deployment) as terminal:
            terminal.sees("are its definitions")
            terminal.type("[key.to_user_string() for key in defs.resolve_all_asset_keys()]\n")
            terminal.sees("number']")
            terminal.type(f"'it', DagsterInstance.get().get_run_by_id('{run_id}').status.value\n")
            terminal.sees("('it', 'SUCCESS')")
            terminal.type("import sys; sys.exit(5)\n")
            assert terminal.ends() == 5

    @contextlib.contextmanager
    def followed(self) -> Iterator[Callable[[str], None]]:
        """Follow the logs meanwhile; give what waits for a line that has a text."""
        with subprocess.Popen(
            ["timeout", "300", PROGRAM, "deploy.logs", self.deployment, "--follow", "--text", LOGGED],
            env={**os.environ, "DAGSTER_WORKSPACE": str(self.root)}, stdout=subprocess.PIPE, text=True,
        ) as follower:  # fmt: skip
            try:
                yield lambda text: _await_line(follower.stdout, text)
            finally:
                follower.send_signal(signal.SIGINT)
                follower.communicate(timeout=30)

    def check_logs(self, run_id: str, *servers: str) -> None:
        """See what the servers and a run wrote.

        Args:
            run_id: The run.
            servers: Logs that there have to be.
        """
        said = run(self.root, "deploy.logs", self.deployment, "--json", "--lines", "5000")
        found = [json.loads(line) for line in said.stdout.splitlines()]
        assert {entry["source"] for entry in found} >= {*servers, f"run {run_id[:8]}"}, said
        assert all(entry["time"] for entry in found if entry["source"] in servers)
        of_run = run(self.root, "deploy.logs", self.deployment, "--run", run_id[:8], "--lines", "1000")
        assert LOGGED in of_run.stdout, of_run
        assert f"INFO {PRINTED}" in of_run.stdout, of_run
        (listed,) = json.loads(run(self.root, "deploy.runs", self.deployment, "--json").stdout)
        (one,) = (one for one in listed["runs"] if one["id"] == run_id)
        assert one["status"] == "SUCCESS"
        assert one["release"]


def _await_line(lines: IO[str] | None, text: str) -> None:
    assert lines
    read = []
    for line in lines:
        read.append(line)
        if text in line:
            return
    raise AssertionError(f"{text!r} is in none of {read}")
