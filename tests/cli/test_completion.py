"""Tab completes tasks, flags, values and names in bash, zsh and fish, after one command installed it."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from invoke.program import Program

from dagster_module_builder.base.errors import UsageError
from dagster_module_builder.commands import namespace
from dagster_module_builder.commands.typed_words.candidates import candidates
from dagster_module_builder.commands.typed_words.completion import SHELLS, with_block
from dagster_module_builder.transactions.backups import backup_ids
from tests import needs
from tests.cli.terminal import PROGRAM
from tests.engine.folders import make_module, make_workspace

REPOSITORY = Path(__file__).resolve().parents[2]
PROMPT = "ready> "
#: How each shell is started with the settings of its user.
START = {"bash": ["-i"], "zsh": ["-i"], "fish": ["-i"]}
#: Settings that a person has already: a prompt that is easy to wait for.
SETTINGS = {
    "bash": (".bashrc", f"PS1='{PROMPT}'\nbind 'set enable-bracketed-paste off'"),
    "zsh": (".zshrc", f"PS1='{PROMPT}'\nunsetopt zle_bracketed_paste prompt_cr prompt_sp"),
    "fish": (".config/fish/config.fish", f"function fish_prompt; printf '{PROMPT}'; end\nset -g fish_greeting"),
}
ESCAPES = re.compile(r"\x1b\[[0-9;?<>=]*[a-zA-Z]|\x1b[=>()][B0]?|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x0f|\r")


class Typing:
    """A shell at a pseudo-terminal."""

    def __init__(self, screen: int) -> None:
        self.screen, self.shown = screen, ""

    def type(self, text: str) -> None:
        self.shown = ""
        os.write(self.screen, text.encode())

    def see(self, text: str) -> None:
        """Wait until a text is on the screen."""
        until = time.monotonic() + 30
        while text not in self.shown:
            assert time.monotonic() < until, self.shown
            if select.select([self.screen], [], [], 0.2)[0]:
                read = os.read(self.screen, 65536).decode("utf-8", "replace")
                # fish asks the terminal who it is, and waits for the answer.
                if "\x1b[c" in read or "\x1b[0c" in read:
                    os.write(self.screen, b"\x1b[?1;2c")
                self.shown += ESCAPES.sub("", read)


@contextmanager
def shell_of(shell: str, home: Path, folder: Path) -> Iterator[Typing]:
    program = needs.program(shell)
    process, screen = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execve(program, [shell, *START[shell]], environment(shell, home))
    try:
        typing = Typing(screen)
        typing.see(PROMPT)
        yield typing
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(screen)


def environment(shell: str, home: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    return {
        "HOME": str(home),
        "PATH": path,
        "SHELL": f"/usr/bin/{shell}",
        "TERM": "xterm",
        "LANG": "C.UTF-8",
        "COLUMNS": "300",
    }


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    for name, text in SETTINGS.values():
        (tmp_path / "home" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "home" / name).write_text(text)
    return tmp_path / "home"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = make_workspace(tmp_path / "ws")
    make_module(root, "sales-report")
    return root


def installed(shell: str, home: Path, *flags: str) -> str:
    command = [str(PROGRAM), "completion", *flags]
    return subprocess.run(command, env=environment(shell, home), check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_completes_what_is_typed(shell: str, home: Path, root: Path) -> None:
    assert f"Start a new {shell}" in installed(shell, home, "--install")
    for typed, rest in {
        "dagster-module-builder workspace.val": "idate",
        "dagster-module-builder new x --database post": "gresql",
        "dagster-module-builder new x --database=post": "gresql",
        f"dagster-module-builder audit --root {root} sales": "-report",
        "dagster-module-builder deploy --dry": "-run",
        "invoke workspace.val": "idate",
    }.items():
        with shell_of(shell, home, REPOSITORY) as typing:
            typing.type(typed)
            typing.see(typed)
            typing.type("\t")
            typing.see(rest)


@pytest.mark.parametrize("shell", SHELLS)
def test_what_was_installed_goes_without_a_trace(shell: str, home: Path) -> None:
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    installed(shell, home, "--install")
    assert {path for path in home.rglob("*") if path.is_file()} > {*before}
    assert "installed already" in installed(shell, home, "--install")
    installed(shell, home, "--remove")
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before
    assert "not installed" in installed(shell, home, "--remove")


@pytest.mark.parametrize("text", [b"", b"alias x=y\n", b"alias x=y", b"\n\n", b"\xff\xfe\n"])
def test_settings_come_back_byte_for_byte(text: bytes) -> None:
    with_it = with_block(text, Path("/home/a b/it's"))
    assert with_it.startswith(text)
    assert with_block(with_it, Path("/home/a b/it's")) == with_it
    assert with_block(with_it, None) == text
    # As 'echo … >> .bashrc' adds it.
    gap = b"" if not text or text.endswith(b"\n") else b"\n"
    assert with_it.endswith(b"\n")
    assert with_block(with_it + b"alias later=x\n", None) == text + gap + b"alias later=x\n"


def test_settings_behind_a_link_are_changed_where_they_are(home: Path, tmp_path: Path) -> None:
    kept = tmp_path / "dotfiles"
    (home / ".bashrc").rename(kept)
    (home / ".bashrc").symlink_to(kept)
    installed("bash", home, "--install")
    assert (home / ".bashrc").is_symlink()
    assert b"# BEGIN: dagster-module-builder" in kept.read_bytes()


def test_damaged_settings_are_refused() -> None:
    with pytest.raises(UsageError, match="Remove these lines by hand"):
        with_block(b"# BEGIN: dagster-module-builder\nalias x=y\n", None)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["workspace.ad"], ["workspace.add", "workspace.adopt"]),
        (["workspace", "ad"], ["add", "adopt"]),
        (["deploy.rol"], ["deploy.rollback"]),
        (["new", "x", "--gover"], ["--governance"]),
        (["new", "x", "--governance", ""], ["quick", "standard", "enterprise"]),
        (["new", "x", "--governance", "="], ["quick", "standard", "enterprise"]),
        (["new", "x", "--governance", "=", "s"], ["standard"]),
        (["new", "x", "--governance=s"], ["--governance=standard"]),
        (["--li"], ["--list", "--list-depth", "--list-format"]),
        (["nosuch", "x"], []),
    ],
)
def test_what_could_be_typed_next(words: Sequence[str], found: Sequence[str]) -> None:
    assert [*candidates(words, namespace, Program())] == found


def test_names_are_those_that_the_task_takes(root: Path) -> None:
    make_module(root, "seo")
    subprocess.run([PROGRAM, "workspace.add", "seo", "--no-check", "--root", root], check=True, capture_output=True)
    for task, names in {
        "workspace.add": ["sales-report"],
        "workspace.remove": ["seo"],
        "audit": ["seo", "sales-report"],
    }.items():
        assert [*candidates([task, "--root", str(root), ""], namespace, Program())] == names
    assert [*candidates(["workspace.restore", "--root", str(root), ""], namespace, Program())] == backup_ids(root)


def test_where_there_is_no_workspace_nothing_is_said(tmp_path: Path) -> None:
    assert candidates(["audit", "--root", str(tmp_path), ""], namespace, Program()) == {}
