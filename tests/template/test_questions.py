"""What a person is asked, and what they see when they are."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dagster_module_builder.base import ports
from tests.template.rendering import REPOSITORY, TEMPLATE, Desk


def prepared(desk: Desk, stdin: int | None = subprocess.DEVNULL) -> tuple[dict[str, object], str]:
    """Run the hook before the prompts in a copy, as Cookiecutter does; return the questions and what it said."""
    copy = desk.root / "copy"
    shutil.copytree(TEMPLATE, copy)
    hook = [sys.executable, str(copy / "hooks" / "pre_prompt.py")]
    done = subprocess.run(
        hook, cwd=copy, env=desk.environment(), stdin=stdin, capture_output=True, encoding="utf-8", check=True
    )
    return json.loads((copy / "cookiecutter.json").read_text("utf-8")), done.stderr


def visible(questions: dict[str, object]) -> list[str]:
    return [name for name in questions if not name.startswith("_")]


def test_every_question_is_put_in_words(desk: Desk):
    questions, _ = prepared(desk)
    prompts = questions["__prompts__"]

    assert set(prompts) == set(visible(questions))
    for name in visible(questions):
        if isinstance(questions[name], list):
            assert set(prompts[name]) == {"__prompt__", *questions[name]}


def test_the_questions_come_in_their_order(desk: Desk):
    questions, _ = prepared(desk)
    requirements = [f"requires_{name}" for name in json.loads((TEMPLATE / "requirements.json").read_text())]

    assert visible(questions) == [
        *("name", "title", "description", "database", "database_name", "database_user", "database_port"),
        *("governance", "executor", "code_server", "starter", *requirements, "workspace", "deployment"),
    ]


def test_the_template_itself_is_left_alone(desk: Desk):
    before = (TEMPLATE / "cookiecutter.json").read_bytes()

    desk.rendered()

    assert (TEMPLATE / "cookiecutter.json").read_bytes() == before


def test_the_machine_is_reported(desk: Desk):
    _, said = prepared(desk)

    for program in ("Python", "git", "docker", "rsync", "ssh"):
        assert program in said


def test_no_terminal_is_needed(desk: Desk):
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m cookiecutter --no-input {TEMPLATE} <&-"],
        cwd=desk.here,
        env=desk.environment(),
        capture_output=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "file", ["services/dagster/.env", "projects/orders/workspace/local/.env", "services/dagster/modules/.registry"]
)
def test_the_port_offered_is_the_next_that_no_module_has(desk: Desk, file: str):
    free = ports.next_free_port(())
    registry = {"integrated_modules": [{"name": "orders", "database": {"type": "mysql", "port": free}}]}
    path = desk.workspace / file
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(registry) if file.endswith("registry") else f"ORDERS_DB_PORT='{free}'\n")

    questions, _ = prepared(desk)

    assert int(questions["database_port"]) > free


def test_the_port_offered_is_one_that_nothing_listens_on(desk: Desk):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        services = desk.workspace / "services" / "dagster"
        services.mkdir(parents=True)
        (services / ".env").write_text("".join(f"A{number}_PORT={number}\n" for number in range(5440, port)))

        questions, _ = prepared(desk)

    assert int(questions["database_port"]) > port


def test_an_answer_of_a_requirement_is_a_yes_or_a_no(desk: Desk):
    refused = desk.render(requires_pdf="perhaps")

    assert refused.returncode != 0
    assert not refused.module.exists()


def test_a_person_at_a_terminal_is_asked_every_question(desk: Desk):
    answers = "sales-report\n" + "\n" * 40
    done = subprocess.run(
        [sys.executable, "-m", "cookiecutter", str(TEMPLATE)],
        cwd=desk.here,
        env=desk.environment(),
        input=answers,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "Module name" in done.stdout
    assert "PDF with poppler-utils? (+27 MB)" in done.stdout
    assert Path(desk.here / "sales-report" / "pyproject.toml").is_file()


def test_the_page_about_the_template_names_every_question_and_answer(desk: Desk):
    page = (REPOSITORY / "docs/reference/module-questions.md").read_text("utf-8")
    questions, _ = prepared(desk)

    for name in visible(questions):
        assert f"`{name}`" in page or name.startswith("requires_")
        if isinstance(questions[name], list):
            assert ", ".join(f"`{answer}`" for answer in questions[name]) in page
