"""``new``: what is made, and what is refused before anything is written."""

from __future__ import annotations

import ast
import json
import stat
import sys
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.base.names import LONGEST_NAME, problem_with_name, suggested_name
from tests.cli.terminal import Terminal, everything_in, terminal_in

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

BAD_NAMES = [
    "", "1bad", "My Project", "../evil", "/abs", "class", "match", "json", "dagster", "pandas", "deploy", "demo", "new",
    "-x", "a" * (LONGEST_NAME + 1), "größe", "a--b", "a_", "A", "a.b", "a/b", "a\nb", "dagster_webserver",
]  # fmt: skip


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """A workspace for tests of which none is in another's way."""
    terminal = terminal_in(tmp_path_factory.mktemp("shared"))
    terminal.done("workspace.init")
    return terminal


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_bad_name_is_refused_before_anything_is_written(shared: Terminal, name: str) -> None:
    before = everything_in(shared.root.parent)
    said = shared.refused("new", name) if not name.startswith("-") else shared.refused("new", "--name", name)
    assert "Try '" in said
    assert everything_in(shared.root.parent) == before


@pytest.mark.parametrize("name", [name for name in BAD_NAMES if name])
def test_what_is_suggested_is_allowed(name: str) -> None:
    assert problem_with_name(suggested_name(name)) is None


def test_an_existing_folder_is_refused_and_untouched(workspace: Terminal) -> None:
    (workspace.root / "projects/sales").mkdir()
    (workspace.root / "projects/sales/mine").write_text("precious")
    before = everything_in(workspace.root)
    assert "exists already" in workspace.refused("new", "sales")
    assert everything_in(workspace.root) == before


def test_names_that_fold_into_one_are_refused(workspace: Terminal) -> None:
    workspace.done("new", "sales-report", "--starter", "empty")
    assert "'sales-report'" in workspace.refused("new", "sales_report")


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--port", "22"], 1, "'22' is not a valid database port. Use a number from 1024 to 65535."),
        (["--port", "5999"], 2, "--port needs a database server. Pass --database postgresql or mysql"),
        (["--database", "duckdb", "--database-name", "x", "--database-user", "y"], 2, "--database-name and --database"),
    ],
)
def test_what_only_a_server_has_is_refused_without_one(
    shared: Terminal, flags: list[str], code: int, said: str
) -> None:
    """FAULTS E8: what is given for a database is judged where it is given, also where there is no database."""
    before = everything_in(shared.root)
    assert said in shared.refused("new", "unserved", *flags, code=code)
    assert everything_in(shared.root) == before


def test_what_else_was_asked_for_is_not_dropped_where_a_module_cannot_be_added(workspace: Terminal) -> None:
    """FAULTS E8: the module is made, and the deployment and the way to add it are the next steps."""
    with (workspace.root / "services/dagster/workspace.yaml").open("a") as file:
        file.write("# BEGIN: other\n")
    result = workspace.run("new", "sales", "--starter", "empty", "--workspace", "yes", "--deployment", "later")
    assert result.returncode == 1, result.stderr
    assert "Error: " in result.stderr
    assert "configure-deployment sales" in result.stdout
    assert "workspace.add sales" in result.stdout


TEXTS = [
    """it's "quoted" and 'so'""", "{{ 1+1 }}", "{% raw %}", "{# no #}", "$HOME and ${HOME} $$", "# hash: yes",
    "back\\slash \\n", '"""',
    "a: b, [c], &d *e !f %g @h `i`", "ümlaut 😀 日本", "<b>&amp;</b>", "}}", "0", "null", "- item",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_any_printable_text_comes_out_as_typed(shared: Terminal, text: str) -> None:
    name = f"text-{TEXTS.index(text)}"
    shared.done("new", name, "--title", text, "--description", text, "--database", "mysql", "--governance", "quick")
    module = shared.root / "projects" / name
    project = tomllib.loads((module / "pyproject.toml").read_text())["project"]
    assert project["description"] == text
    assert json.loads((module / ".dagster-module.json").read_text())["answers"]["title"] == text
    for file in module.rglob("*.py"):
        ast.parse(file.read_text())
    for file in (module / "workspace/local").glob("*.y*ml"):
        yaml.safe_load(file.read_text())
    shared.done("workspace.add", name, "--no-check")
    assert shared.done("workspace.validate", "--no-check").strip() == "No problems found."


@pytest.mark.parametrize("text", ["two\nlines", "bell\a", "nel\x85", "line\u2028separator", "\x7f"])
def test_what_cannot_be_printed_is_refused(shared: Terminal, text: str) -> None:
    before = everything_in(shared.root)
    assert "cannot be printed" in shared.refused("new", "sales", "--title", text)
    assert everything_in(shared.root) == before


def test_a_database_can_be_given_its_names_and_password(workspace: Terminal) -> None:
    workspace.environment["MODULE_DATABASE_PASSWORD"] = "given-by-me"
    workspace.done("new", "sales", "--database", "postgresql", "--database-name", "books", "--database-user", "keeper")
    env = workspace.root / "projects/sales/workspace/local/.env"
    assert {"SALES_DB_NAME='books'", "SALES_DB_USER='keeper'", "SALES_DB_PASSWORD='given-by-me'"} <= set(
        env.read_text().splitlines()
    )
    assert stat.S_IMODE(env.stat().st_mode) == 0o600


def test_required_programs_reach_the_image(workspace: Terminal) -> None:
    workspace.done("new", "sales", "--requires", "ssh,pdf")
    snippet = (workspace.root / "projects/sales/workspace/local/dockerfile.snippet").read_text()
    assert "openssh-client" in snippet
    assert "poppler-utils" in snippet


def test_an_unknown_requirement_is_wrong_usage(shared: Terminal) -> None:
    said = shared.refused("new", "sales", "--requires", "ssh,telepathy", code=2)
    assert "Unknown system requirement 'telepathy'. Choose from ssh, ftp, http, " in said


def test_new_integrates_when_told(workspace: Terminal) -> None:
    said = workspace.done("new", "sales", "--starter", "empty", "--governance", "quick", "--workspace", "yes")
    assert "Added sales" in said
    assert json.loads(workspace.done("workspace.list", "--json"))["modules"][0]["integrated"]


def test_nothing_temporary_and_no_replay_is_left(workspace: Terminal, tmp_path: Path) -> None:
    workspace.environment["TMPDIR"] = str(tmp_path / "tmp")
    (tmp_path / "tmp").mkdir()
    workspace.done("new", "sales", "--database", "postgresql")
    assert list((tmp_path / "tmp").iterdir()) == []
    home = Path(workspace.environment["HOME"])
    files = {path.relative_to(home) for path in home.rglob("*") if path.is_file()}
    # That it was made here is noted, so that its code is run unasked; and what Jinja compiled is in the cache.
    (note,) = (path for path in files if path.parent != Path(".cache/dagster-module-builder/templates"))
    assert note.parent == Path(".local/state/dagster-module-builder/trusted")
    assert [path.name for path in (workspace.root / "projects").iterdir() if path.name.startswith(".dag")] == []
