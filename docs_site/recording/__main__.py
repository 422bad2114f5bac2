"""``python -m docs_site.recording FILE``: ``new``, ``add``, ``dev`` and ``deploy``, recorded from the real program."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from docs_site.recording.animation import svg
from docs_site.recording.film import cut
from docs_site.recording.shell import CLEAR, CTRL_C, RETURN, Shell, shell_in
from tests.deploy import sshd
from tests.deploy.sshd import SshHost
from tests.ports import free_port

COLUMNS, LINES = 100, 22
PROGRAM = "dagster-module-builder"
TITLE = "A module from nothing to a client's host"
DESCRIPTION = (
    "In a terminal: 'new sales-report' asks seven questions and creates a module, 'workspace.add' merges it into the "
    "workspace's files, 'workspace.dev' runs it in Dagster, and 'deploy yoda' brings it to a host over SSH, verified."
)


def main(target: Path) -> None:
    """Record the story, and write it to a file."""
    with _place() as (home, host):
        environ = _environ(home)
        _prepare(environ, home, host)
        with shell_in(home, environ, COLUMNS, LINES) as shell:
            try:
                _tell(shell, environ, home, host)
            finally:
                _run(environ, home, "deploy.setup", "yoda", "--stop", check=False)
    target.write_text(svg(cut(shell.pictures), COLUMNS, TITLE, DESCRIPTION), "utf-8")


@contextmanager
def _place() -> Iterator[tuple[Path, SshHost]]:
    """Give a person's home, with a name that may be seen, and a host of a client."""
    home = Path(tempfile.gettempdir()) / "ada"
    home.mkdir(mode=0o700)
    try:
        program_folder = Path(sys.executable).parent
        with sshd.hosts(home / ".hosts", environ={**_registries(), "PATH": f"{program_folder}:/usr/bin:/bin"}) as hosts:
            yield home, hosts[0]
    finally:
        subprocess.run(["rm", "-rf", home], check=True)


def _registries() -> dict[str, str]:
    names = ("UV_", "PIP_", "SSL_")
    return {name: value for name, value in os.environ.items() if name.startswith(names) or name.endswith("_proxy")}


def _environ(home: Path) -> dict[str, str]:
    """Return the variables of a person for whom only the program was installed."""
    cache = subprocess.run(["uv", "cache", "dir"], check=True, capture_output=True, text=True).stdout.strip()
    return {
        **_registries(),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin:/usr/sbin:/sbin",
        "UV_CACHE_DIR": cache,
        "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org",
        "GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.org",
    }  # fmt: skip


def _prepare(environ: dict[str, str], home: Path, host: SshHost) -> None:
    """Do what was done long before: a workspace, the answers about the client and its host."""
    answers = {
        "deployment": "yoda",
        "client": "Yoda Ltd",
        "hosts": f"{host.address}:{host.port}",
        "user": sshd.user(),
        "identity_file": str(host.client_key),
        "base_path": "~/srv",
        "strategy": "rsync",
        "dagster_url": f"http://127.0.0.1:{free_port()}",
    }
    (home / "yoda.yaml").write_text("".join(f"{name}: {answer}\n" for name, answer in answers.items()))
    _run(environ, home, "workspace.init")
    # So that the environment is there, as it is after the first time.
    _run(environ, home, "new", "first", "--no-input", "--workspace", "yes")
    _run(environ, home, "workspace.materialize", "first")
    _run(environ, home, "workspace.remove", "first")
    subprocess.run(["rm", "-rf", home / "workspace/projects/first"], check=True)


def _tell(shell: Shell, environ: dict[str, str], home: Path, host: SshHost) -> None:
    shell.types(f"{PROGRAM} new sales-report")
    _agree(shell, 12)
    shell.presses(CLEAR)
    shell.types(f"{PROGRAM} workspace.add sales-report")
    shell.waits_for_prompt()
    shell.presses(CLEAR)
    shell.types(f"{PROGRAM} workspace.dev")
    shell.waits_for("Ctrl-C stops it")
    shell.watches(1.5)
    shell.presses(CTRL_C)
    shell.waits_for_prompt()
    shell.presses(CLEAR)
    shell.types(f"{PROGRAM} configure-deployment sales-report --answers yoda.yaml")
    _agree(shell, 12)
    _commit(environ, home, host)
    shell.presses(CLEAR)
    shell.types(f"{PROGRAM} deploy yoda")
    shell.waits_for_prompt(600)
    shell.watches(1)


def _agree(shell: Shell, most: int) -> None:
    """Take what is offered, until the command has ended."""
    for _ in range(most):
        shell.watches(1.2)
        if "Next:" in shell.text:
            break
        shell.presses(RETURN)
    shell.waits_for_prompt()


def _commit(environ: dict[str, str], home: Path, host: SshHost) -> None:
    """Do once, and out of sight, what a host needs; and what a person does with Git."""
    root = home / "workspace"
    _run(environ, home, "deploy.trust", "yoda", f"--fingerprint={sshd.fingerprint(host)}")
    _run(environ, home, "deploy.setup", "yoda", "--start")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "Sales report"]):
        subprocess.run(["git", *arguments], cwd=root, env=environ, check=True, capture_output=True)


def _run(environ: dict[str, str], home: Path, *arguments: str, check: bool = True) -> None:
    done = subprocess.run([PROGRAM, *arguments], cwd=home, env=environ, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise SystemExit(f"{' '.join(arguments)}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
