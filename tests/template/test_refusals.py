"""What cannot be a module is refused in one sentence, and nothing is left of it."""

from __future__ import annotations

import socket

import pytest

from tests.template.rendering import Desk, as_literal, tree

BAD_NAMES = {
    "keyword": "class",
    "soft keyword": "match",
    "standard library": "email",
    "package": "pandas",
    "task": "deploy",
    "empty": "",
    "digit first": "1bad",
    "title": "My Project",
    "parent": "../evil",
    "nested": "a/b",
    "absolute": "/tmp/evil-module",
    "over-long": "a" * 41,
    "far over-long": "a" * 300,
    "non-ASCII": "größe",
    "dot": ".",
    "trailing line": "sales\n",
    "jinja": as_literal("{{ 1 }}"),
}


def refused(desk: Desk, *, environment: dict[str, str] | None = None, **answers: str) -> str:
    """Render what must be refused, and return what was said."""
    before = tree(desk.here)
    rendering = desk.render(environment=environment, **answers)
    assert rendering.returncode == 1, rendering.stdout + rendering.stderr
    assert tree(desk.here) == before
    assert "Traceback" not in rendering.stdout + rendering.stderr
    return rendering.stderr


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES.keys())
def test_a_bad_name_is_refused_before_anything_is_written(desk: Desk, name: str):
    said = refused(desk, name=name)

    assert "cannot be a module's name" in said
    assert "Try '" in said
    assert sorted(path.name for path in desk.root.iterdir()) == ["here", "home", "tmp", "workspace"]
    assert not list(desk.home.rglob("*"))


@pytest.mark.parametrize("option", [(), ("--overwrite-if-exists",), ("--overwrite-if-exists", "--skip-if-file-exists")])
def test_an_existing_folder_is_refused_and_untouched(desk: Desk, option: tuple[str, ...]):
    folder = desk.here / "sales-report"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")

    done = desk.call("--no-input", *option, "name=sales-report")

    assert done.returncode == 1
    assert "exists" in done.stdout + done.stderr
    assert tree(desk.here) == {"sales-report": None, "sales-report/mine.txt": b"mine"}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"title": "  "}, "title is empty"),
        ({"title": "two\nlines"}, "title contains '\\n'"),
        ({"description": "a\x1bb"}, "description contains"),
        ({"description": "right\u202eleft"}, "description contains"),
        ({"title": "x" * 81}, "the limit is 80"),
        ({"title": "{{ 1+1 }}"}, "{% raw %}{{ 1+1 }}{% endraw %}"),
        ({"database": "postgresql", "database_name": "Sales"}, "database name"),
        ({"database": "postgresql", "database_name": "a" * 64}, "postgresql allows 63"),
        ({"database": "postgresql", "database_name": "template1"}, "reserves that name"),
        ({"database": "postgresql", "database_user": "pg_me"}, "reserves that name"),
        ({"database": "mysql", "database_user": "a" * 33}, "mysql allows 32"),
        ({"database": "mysql", "database_user": "root"}, "reserves that name"),
        ({"database": "mysql", "database_name": "x'; DROP"}, "database name"),
        ({"database": "postgresql", "database_port": "1023"}, "1024 to 65535"),
        ({"database": "postgresql", "database_port": "65536"}, "1024 to 65535"),
        ({"database": "postgresql", "database_port": "5e3"}, "1024 to 65535"),
        ({"database": "postgresql", "database_port": "٥٤٤٠"}, "1024 to 65535"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_bad_answer_is_refused(desk: Desk, answers: dict[str, str], expected: str):
    assert expected in refused(desk, **answers)


def test_without_a_server_its_answers_do_not_matter(desk: Desk):
    desk.rendered(database_port="none", database_name="-", database="duckdb")


def test_a_port_that_the_workspace_knows_is_refused(desk: Desk):
    fragment = desk.workspace / "projects" / "orders" / "workspace" / "local" / ".env"
    fragment.parent.mkdir(parents=True)
    fragment.write_text("ORDERS_DB_PORT='5460'\n")

    said = refused(desk, database="mysql", database_port="5460")

    assert "5460 is taken" in said
    assert str(desk.workspace) in said


def test_a_port_that_is_listened_on_is_refused(desk: Desk):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])

        assert f"{port} is taken: a program" in refused(desk, database="postgresql", database_port=port)


def test_an_upgrade_keeps_the_port_that_it_has(desk: Desk):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        rendering = desk.render(
            database="postgresql", database_port=port, environment={"DAGSTER_MODULE_BUILDER_NEW": "upgrade"}
        )

    assert rendering.returncode == 0, rendering.stderr


@pytest.mark.parametrize("password", ["", "it's", "back\\slash", "two\nlines", "größe"])
def test_a_password_that_two_programs_would_read_differently_is_refused_unsaid(desk: Desk, password: str):
    said = refused(desk, database="postgresql", environment={"MODULE_DATABASE_PASSWORD": password})

    assert "MODULE_DATABASE_PASSWORD" in said
    assert not password or password not in said


def test_a_replayed_answer_is_checked_too(desk: Desk):
    desk.rendered()
    (replay,) = desk.home.rglob("*.json")
    replay.write_text(replay.read_text().replace('"sales-report"', '"../evil"'))

    done = desk.call("--replay-file", str(replay))

    assert done.returncode == 1
    assert "cannot be a module's name" in done.stderr
    assert not (desk.root / "evil").exists()
