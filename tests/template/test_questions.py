"""What a person is asked, and what they see when they are."""

from __future__ import annotations

import json
import re
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
    shutil.copytree(TEMPLATE, copy, dirs_exist_ok=True)
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

    assert {name for name in prompts if not name.startswith("__")} == set(visible(questions))
    for name in visible(questions):
        if isinstance(questions[name], list):
            assert set(prompts[name]) == {"__prompt__", *questions[name]}


def test_the_questions_come_in_their_order(desk: Desk):
    questions, _ = prepared(desk)
    requirements = [f"requires_{name}" for name in json.loads((TEMPLATE / "requirements.json").read_text())]

    assert visible(questions) == [
        *("name", "title", "description", "database", "requires"),
        *("database_name", "database_user", "database_port"),
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


def by_hand(desk: Desk, *answers: str, given: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Answer Cookiecutter's questions line by line; those after the last answer get Return."""
    return subprocess.run(
        [sys.executable, "-m", "cookiecutter", str(TEMPLATE), *given],
        cwd=desk.here,
        env=desk.environment(),
        input="\n".join([*answers, *[""] * 9]) + "\n",
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def answers_of(module: Path) -> dict[str, object]:
    answers: dict[str, object] = json.loads((module / ".dagster-module.json").read_text())["answers"]
    return answers


def test_cookiecutter_by_hand_asks_six_things(desk: Desk):
    """FAULTS G: no more than nine, numbered without a jump; all other answers are given as key=value."""
    done = by_hand(desk, "sales-report", "duckdb", "ssh, pdf", "2", given=("title=By hand", "executor=multiprocess"))

    assert done.returncode == 0, done.stderr
    numbers = re.findall(r"\[(\d+)/(\d+)\]", done.stdout)
    assert numbers == [(str(number), "6") for number in range(1, 7)]
    answers = answers_of(desk.here / "sales-report")
    assert (answers["title"], answers["executor"]) == ("By hand", "multiprocess")
    assert (answers["database"], answers["governance"]) == ("duckdb", "quick")
    assert {name for name, answer in answers.items() if answer is True} == {"requires_ssh", "requires_pdf"}
    assert "requires" not in answers


def test_an_answer_by_hand_is_judged_where_it_is_given(desk: Desk):
    done = by_hand(desk, "class", "sales", "oracle", "none", "ssh, vido", "video", "n", "video", "y")

    assert done.returncode == 0, done.stderr
    assert "'class' cannot be a module's name" in done.stderr
    assert "'oracle' is not one of none, postgresql, mysql, duckdb." in done.stderr
    assert "Unknown system requirement 'vido'. Did you mean 'video'?" in done.stderr
    assert done.stdout.count("Go on?") == 2
    assert "instead of video: processing outside the container" in done.stderr
    assert answers_of(desk.here / "sales")["requires_video"] is True


def test_the_one_answer_about_requirements_works_without_questions_too(desk: Desk):
    rendering = desk.rendered(requires="pdf", requires_ssh="yes")
    answers = answers_of(rendering.module)
    assert {name for name, answer in answers.items() if answer is True} == {"requires_ssh", "requires_pdf"}

    refused = desk.render("other", requires="pdff")
    assert "Did you mean 'pdf'?" in refused.stderr
    assert not refused.module.exists()


def test_another_template_is_asked_as_before(desk: Desk):
    """One process may render several templates: this one changes nothing for the others."""
    other = desk.root / "other"
    (other / "{{cookiecutter.a}}").mkdir(parents=True)
    (other / "cookiecutter.json").write_text('{"a": "x", "b": ["one", "two"], "c": true}')
    program = (
        "from cookiecutter.main import cookiecutter\n"
        f"cookiecutter({str(TEMPLATE)!r}, no_input=True)\ncookiecutter({str(other)!r})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=desk.here,
        env=desk.environment(),
        input="y\n2\nn\n",
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "[3/3]" in done.stdout
    assert (desk.here / "y").is_dir()


def test_the_page_about_the_template_names_every_question_and_answer(desk: Desk):
    page = (REPOSITORY / "docs/reference/module-questions.md").read_text("utf-8")
    questions, _ = prepared(desk)

    for name in visible(questions):
        assert f"`{name}`" in page or name.startswith("requires_")
        if isinstance(questions[name], list):
            assert ", ".join(f"`{answer}`" for answer in questions[name]) in page
