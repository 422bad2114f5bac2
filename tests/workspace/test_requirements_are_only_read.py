"""FAULTS S6: looking at a module's requirements runs nothing of it, and asks no server that it names."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.modules import dagster_check
from dagster_module_builder.modules.dagster_check import Conflict, Unknown, resolve_together
from dagster_module_builder.modules.static_requirements import statement_of
from tests import needs
from tests.workspace.native_modules import add_module

HEAD = '[project]\nname = "guest"\nversion = "0"\n'
BACKEND = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


class Listener:
    """A server that notes who comes, and never answers."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.asked = 0
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://user:hunter2@127.0.0.1:{self.socket.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.asked += 1
            connection.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    listening = Listener()
    yield listening
    listening.socket.close()


@pytest.fixture
def guest(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module with a build backend that leaves a mark where it runs."""
    monkeypatch.setattr(dagster_check, "cache_folder", lambda: root / "cache")
    module = add_module(root, "guest")
    (module / "backend.py").write_text(f"open({str(module / 'ran')!r}, 'w')\n")
    return module


FOREIGN = {
    "an index": 'dependencies = ["six"]\n[[tool.uv.index]]\nurl = "{url}/simple"\n',
    "an extra index": 'dependencies = ["six"]\n[tool.uv]\nextra-index-url = ["{url}/simple"]\n',
    "links": 'dependencies = ["six"]\n[tool.uv]\nfind-links = ["{url}/links"]\n',
    "a URL": 'dependencies = ["acme @ {url}/acme-1.0.tar.gz"]\n',
    "a repository": 'dependencies = ["acme @ git+{url}/acme"]\n',
    "a source": 'dependencies = ["acme"]\n[tool.uv.sources]\nacme = {{git = "{url}/acme"}}\n',
    "a list of sources": 'dependencies = ["acme"]\n[tool.uv.sources]\nacme = [{{url = "{url}/a.whl"}}]\n',
}


@pytest.mark.parametrize("stated", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_server_that_a_module_names_is_named_and_not_asked(
    root: Path, guest: Path, listener: Listener, stated: str
) -> None:
    """FAULTS S6: without the password in its address."""
    needs.registry()
    (guest / "pyproject.toml").write_text(HEAD + stated.format(url=listener.url))
    found = resolve_together(root, [guest])
    assert isinstance(found, Unknown)
    assert "//127.0.0.1" in str(found)
    assert "hunter2" not in str(found)
    assert listener.asked == 0


@pytest.mark.parametrize("dynamic", ['["dependencies"]', '["version"]', '["version", "dependencies"]'])
def test_a_build_backend_of_a_module_is_not_run(root: Path, guest: Path, dynamic: str) -> None:
    needs.registry()
    listed = "" if "dependencies" in dynamic else 'dependencies = ["six"]\n'
    (guest / "pyproject.toml").write_text(f'[project]\nname = "guest"\ndynamic = {dynamic}\n{listed}{BACKEND}')
    found = resolve_together(root, [guest])
    assert not (guest / "ran").exists()
    if listed:
        assert found is None
    else:
        assert "requirements are computed at build time" in str(found)


def test_requirements_in_a_file_are_read_where_the_project_says_which(root: Path, guest: Path) -> None:
    """FAULTS S6: what setuptools would read is still judged; options in the file are not followed."""
    needs.registry()
    (guest / "pyproject.toml").write_text(
        '[project]\nname = "guest"\nversion = "0"\ndynamic = ["dependencies"]\n'
        '[tool.setuptools.dynamic]\ndependencies = {file = ["needs.txt"]}\n'
    )
    (guest / "needs.txt").write_text("--index-url http://127.0.0.1:9/\nattrs<22  # old\n\n")
    statement = statement_of(guest)
    assert statement.requirements == ("attrs<22",)
    assert statement.left_out == ("needs.txt: '--index-url http://127.0.0.1:9/' is not followed",)
    found = resolve_together(root, [guest])
    assert isinstance(found, Conflict)
    assert found.modules == ("guest",)


@pytest.mark.parametrize("listed", ['["-r /etc/passwd"]', '["a b c"]', '["six\\n--index-url http://127.0.0.1:9"]'])
def test_what_is_no_requirement_reaches_no_program(guest: Path, listed: str) -> None:
    (guest / "pyproject.toml").write_text(f"{HEAD}dependencies = {listed}\n")
    statement = statement_of(guest)
    assert statement.requirements == ()
    assert "is not a requirement" in statement.left_out[0]


@pytest.mark.parametrize("name", ["../../evil", "a b", "", "-x", "x\\n[tool.uv]"])
def test_a_name_that_no_package_can_have_is_refused(guest: Path, name: str) -> None:
    (guest / "pyproject.toml").write_text(f'[project]\nname = "{name}"\nversion = "0"\n')
    with pytest.raises(ToolError, match="does not name its project"):
        statement_of(guest)
