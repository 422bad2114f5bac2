"""Before the greeting: login shells, what their start files say, and the Python that the host's side runs in."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dagster_module_builder.base.errors import BuilderError, RefusedError
from dagster_module_builder.deploy.connection.address import Address
from dagster_module_builder.deploy.connection.conversation import Conversation
from dagster_module_builder.deploy.connection.host_start import start_line
from dagster_module_builder.deploy.connection.remote import Remote
from tests import needs
from tests.deploy.old_python import OLD
from tests.deploy.sshd import SshHost, make_key, user
from tests.ports import free_port

SHELLS = {
    "sh": "/bin/sh", "bash": "/bin/bash", "dash": "/bin/dash", "zsh": "/bin/zsh", "fish": "/usr/bin/fish",
    "csh": "/bin/bsd-csh", "tcsh": "/bin/tcsh", "busybox": "/bin/busybox",
}  # fmt: skip
#: What each shell reads although it has no terminal, and no login.
START_FILES = {
    "bash": ".bashrc",
    "zsh": ".zshenv",
    "fish": ".config/fish/config.fish",
    "csh": ".cshrc",
    "tcsh": ".cshrc",
}


@pytest.fixture(scope="module")
def shells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHost]:
    """Give a host with one user for each shell; they share a home folder."""
    needs.root()
    needs.programs("sshd", "ssh", "unshare", *(path for path in SHELLS.values()))
    folder = tmp_path_factory.mktemp("shells")
    host = SshHost(folder / "host", "127.0.0.2", free_port("127.0.0.2"), make_key(folder / "key"))
    (folder / "sh").symlink_to(SHELLS["busybox"])
    paths = {**SHELLS, "busybox": str(folder / "sh")}
    lines = [f"as-{name}:x:0:0::{host.folder}:{path}\n" for name, path in paths.items()]
    host.passwd = folder / "passwd"
    host.passwd.write_text(Path("/etc/passwd").read_text() + "".join(lines))
    try:
        yield host.start()
    finally:
        host.stop()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[SshHost]:
    """Give a host whose programs are chosen by the test."""
    made = SshHost(tmp_path / "host", "127.0.0.2", free_port("127.0.0.2"), make_key(tmp_path / "key"))
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "sh").symlink_to(needs.program("sh"))
    made.environ["PATH"] = str(programs)
    try:
        yield made.start()
    finally:
        made.stop()


def talk(host: SshHost, folder: Path, name: str | None = None, python: str | None = None) -> int:
    """Have a conversation with a host; return the process that it is had with."""
    (folder / "yoda").mkdir(exist_ok=True)
    known = folder / "yoda/known_hosts"
    known.write_text(host.known_hosts_line)
    address = Address(host.address, known, host.port, name or user(), str(host.client_key))
    with contextlib.closing(Remote(address)) as remote, Conversation(remote, python=python) as conversation:
        conversation.ask("layout", base="~/srv")
        return int(conversation.greeting["pid"])


def program(host: SshHost, name: str, text: str | None = None) -> Path:
    """Give a host a program: a real one of this machine's Python, or one with this text."""
    path = Path(host.environ["PATH"]) / name
    if text is None:
        path.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    else:
        path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("shell", SHELLS)
def test_every_login_shell_starts_the_host_side(shells: SshHost, tmp_path: Path, shell: str) -> None:
    """FAULTS D5: one line that all of them understand, whatever their start files say before it."""
    if shell in START_FILES:
        path = shells.folder / START_FILES[shell]
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = 'echo "Welcome to {"; printf "no end of line"' if shell != "csh" else 'echo "Welcome to {"'
        path.write_text(noise + "\n")
    assert talk(shells, tmp_path, f"as-{shell}") > 0


def test_the_line_is_one_word_that_csh_takes() -> None:
    """FAULTS D5: of less than 1024 characters, with nothing in it that one of the shells reads otherwise."""
    for line in (start_line(99_999), start_line(99_999, "~/a folder/python3.12")):
        word = line.removeprefix("exec sh -c '").removesuffix("'")
        assert len(word) < 1000
        assert not set(word) & {"'", "!", "\n"}


ENDS = {
    "echo You are not welcome; exit 3": r"did not start Python\. It said: 'You are not welcome'.*\.bashrc",
    "exec cat /etc/hostname": r"did not start Python\. It said: '",
}


@pytest.mark.parametrize("start_file", ENDS)
def test_where_no_greeting_comes_what_came_is_quoted(shells: SshHost, tmp_path: Path, start_file: str) -> None:
    """FAULTS D5: with the cure."""
    (shells.folder / ".bashrc").write_text(start_file + "\n")
    with pytest.raises(RefusedError, match=ENDS[start_file]):
        talk(shells, tmp_path, "as-bash")


def test_the_newest_python_that_is_good_enough_is_taken(host: SshHost, tmp_path: Path) -> None:
    """FAULTS D5: where ``python3`` is too old for this program."""
    program(host, "python3", OLD)
    program(host, "python3.6", OLD)
    program(host, "python3.9", "#!/bin/sh\nexit 9\n")
    program(host, "python3.11")
    assert talk(host, tmp_path) > 0


def test_a_python_that_an_installer_put_into_the_home_folder_is_found(host: SshHost, tmp_path: Path) -> None:
    """FAULTS D9: as ``uv python install`` does."""
    folder = host.folder / ".local/bin"
    folder.mkdir(parents=True)
    program(host, "python3.12").rename(folder / "python3.12")
    assert talk(host, tmp_path) > 0


def test_a_python_that_is_too_old_is_named(host: SshHost, tmp_path: Path) -> None:
    """FAULTS D5: with its version, and what to do."""
    program(host, "python3", OLD)
    with pytest.raises(RefusedError, match=r"is Python 3\.6\.8, which is too old: install Python 3\.8 or newer"):
        talk(host, tmp_path)


def test_no_python_is_said(host: SshHost, tmp_path: Path) -> None:
    """FAULTS D5: nothing of a lost connection."""
    with pytest.raises(RefusedError, match=r"python3 is not installed on the host: install Python 3\.8 .* 'python:'"):
        talk(host, tmp_path)


def test_the_python_that_is_named_is_taken(host: SshHost, tmp_path: Path) -> None:
    """FAULTS D5: wherever it is."""
    program(host, "python3", OLD)
    inside = host.folder / "a folder"
    inside.mkdir()
    program(host, "mine").rename(inside / "mine")
    assert talk(host, tmp_path, python="~/a folder/mine") > 0
    assert talk(host, tmp_path, python=str(inside / "mine")) > 0
    with pytest.raises(BuilderError, match=r"the host has no .*/opt/python, which 'python:' in deployment.yaml names"):
        talk(host, tmp_path, python="/opt/python")


def test_tools_in_the_home_folder_are_found(host: SshHost, tmp_path: Path) -> None:
    """FAULTS D9: uv's installer puts it where a login without a terminal does not look."""
    program(host, "python3")
    for folder, name in ((".local/bin", "uv"), (".cargo/bin", "rsync")):
        (host.folder / folder).mkdir(parents=True)
        program(host, name).rename(host.folder / folder / name)
    known = tmp_path / "known_hosts"
    known.write_text(host.known_hosts_line)
    address = Address(host.address, known, host.port, user(), str(host.client_key))
    with contextlib.closing(Remote(address)) as remote, Conversation(remote) as conversation:
        conversation.ask("layout", base="~/srv")
        opening = {
            "base": "~/srv",
            "url": "http://127.0.0.1:9",
            "modules": [],
            "files": [],
            "holder": None,
            "wait": 0.0,
        }
        tools = conversation.ask("open", **opening, tools=["uv", "rsync"])["tools"]
    assert tools == {"uv": f"{host.folder}/.local/bin/uv", "rsync": f"{host.folder}/.cargo/bin/rsync"}


#: What a host may say that is no answer, again and again; ``hostile_host`` has more, without a connection.
LIES = {
    "no JSON": "b'Segmentation fault\\n'",
    "progress without end": 'b\'{"progress": "step"}\\n\' * 1000',
}


@pytest.mark.parametrize("lie", LIES)
def test_what_is_no_answer_is_refused(host: SshHost, tmp_path: Path, lie: str) -> None:
    """FAULTS S7: in one sentence, and with bounds for what is taken in."""
    hello = 'os.write(1, b\'{"hello": 1, "pid": 1}\\n\')'
    text = f"#!{sys.executable}\nimport os\n{hello}\nwhile True: os.write(1, {LIES[lie]})\n"
    liar = program(host, "liar", text)
    with pytest.raises(BuilderError, match=r"not a valid message|did not answer|was lost"):
        talk(host, tmp_path, python=str(liar))


def test_noise_without_end_is_given_up(host: SshHost, tmp_path: Path) -> None:
    """FAULTS D5: a start file that never stops speaking is named, and its last words only."""
    noisy = program(host, "noisy", f"#!{sys.executable}\nimport os\nwhile True: os.write(1, b'y\\n' * 1000)\n")
    with pytest.raises(BuilderError, match=r"did not start Python\. It said: '(y )+") as refused:
        talk(host, tmp_path, python=str(noisy))
    assert len(str(refused.value)) < 2000
