"""The tutorial, typed block by block as a reader does, with a real sshd and the Dagster that it makes on the host."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import uv

from tests import needs
from tests.deploy import sshd
from tests.deploy.sshd import SshHost, fingerprint, free_port
from tests.documents import Block, Document, read
from tests.shell_session import ShellSession

REPOSITORY = Path(__file__).parents[2]
TUTORIAL = read(REPOSITORY / "docs/tutorial/first-module.md")
#: The command that runs until it is interrupted.
ENDLESS = "dagster-module-builder workspace.dev"


def clone(folder: Path) -> Path:
    """Copy the repository's files as they are now, committed or not."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY, check=True, capture_output=True, text=True,
    ).stdout.split("\0")  # fmt: skip
    for name in names:
        if (source := REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / name)
    return folder


def printed(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@contextlib.contextmanager
def agent(key: Path) -> Iterator[dict[str, str]]:
    """Give the variables of an ssh agent that holds a key."""
    said = subprocess.run(["ssh-agent", "-s"], check=True, capture_output=True, text=True).stdout
    environ = dict(re.findall(r"(SSH_\w+)=([^;]+);", said))
    try:
        subprocess.run(["ssh-add", "-q", key], env={**os.environ, **environ}, check=True)
        yield environ
    finally:
        os.kill(int(environ["SSH_AGENT_PID"]), signal.SIGTERM)


@dataclass
class Reader:
    """A person who reads the tutorial, with a shell and a host."""

    session: ShellSession
    host: SshHost
    home: Path
    replaced: Mapping[str, str]

    def type(self, block: Block) -> str:
        """Type a block of the tutorial, with the reader's host in it."""
        text = block.text
        for old, new in self.replaced.items():
            text = text.replace(old, new)
        return self.session.run_until(text, page_answers) if text == ENDLESS else self.session.run(text)


SCHEDULES = "{repositoriesOrError {... on RepositoryConnection {nodes {schedules {name}}}}}"


def page_answers(said: str) -> bool:
    """Tell whether Dagster's page answers at the address that was printed, and knows the tutorial's schedule."""
    address = re.search(r"http://127\.0\.0\.1:\d+", said)
    if not address:
        return False
    try:
        body = json.dumps({"query": SCHEDULES}).encode()
        request = urllib.request.Request(f"{address[0]}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            nodes = json.load(answer)["data"]["repositoriesOrError"]["nodes"]
            return [one["name"] for node in nodes for one in node["schedules"]] == ["sales_report_daily"]
    except urllib.error.URLError:
        return False


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    needs.programs("git", "rsync", "ssh-agent")
    needs.registry()
    caches = {"UV_CACHE_DIR": printed(uv.find_uv_bin(), "cache", "dir")}
    # pip's own default; the environment of the tests need not have pip.
    cache = os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")
    caches["PIP_CACHE_DIR"] = os.environ.get("PIP_CACHE_DIR", f"{cache}/pip")
    named = re.compile("UV_|PIP_|SSL_|https?_proxy$", re.IGNORECASE)
    registries = {key: value for key, value in os.environ.items() if named.match(key)} | caches
    on_host = {**registries, "PATH": f"{Path(uv.find_uv_bin()).parent}:/usr/bin:/bin"}
    (home := tmp_path / "home").mkdir()
    (home / ".gitconfig").write_text("[user]\nname = Ada\nemail = ada@example.org\n")
    with sshd.hosts(tmp_path / "hosts", environ=on_host) as (host,), agent(host.client_key) as of_agent:
        environ = {**registries, **of_agent, "HOME": str(home), "PATH": os.environ["PATH"], "NO_COLOR": "1"}
        session = ShellSession(tmp_path / "session", environ, clone(tmp_path / "clone"))
        replaced = {
            "deploy@staging.example.org": f"{sshd.user()}@{host.address}:{host.port}",
            "SHA256:…": fingerprint(host),
            "http://127.0.0.1:3000": f"http://127.0.0.1:{free_port()}",
        }
        try:
            yield Reader(session, host, home, replaced)
        finally:
            session.close()
            for path in host.folder.glob("dagster/dagster-service/*.pid"):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(json.loads(path.read_text())["process"], signal.SIGKILL)


def shown(text: str) -> re.Pattern[str]:
    """Return what an output that the tutorial shows looks like; ``…`` stands for anything."""
    return re.compile(r"\s+".join(r"\S*".join(map(re.escape, word.split("…"))) for word in text.split()))


def follow(reader: Reader, document: Document) -> list[str]:
    """Type every block of commands, and compare what is shown behind one with what it printed."""
    said = [""]
    for block in document.blocks():
        if block.language == "text":
            assert shown(block.text).search(said[-1]), f"{block.text}\n{said[-1]}"
        else:
            assert block.language == "bash", block
            said.append(reader.type(block))
    return said


@pytest.mark.slow
def test_every_block_of_the_tutorial_works(reader: Reader) -> None:
    text = TUTORIAL.text
    assert all(text.count(old) for old in reader.replaced)
    assert len(follow(reader, TUTORIAL)) > 10
    there = reader.host.folder / "dagster"
    assert (there / "dagster-service").is_dir()
    assert not (there / "modules/sales-report").exists()
    assert "sales_report" not in (reader.home / "workspace/services/dagster/workspace.yaml").read_text()
    assert (reader.home / "workspace/projects/sales-report/src").is_dir()
