"""What command lines and scripts start of Dagster."""

from __future__ import annotations

import pytest

from dagster_module_builder.adoption.command_text import edited_command
from dagster_module_builder.adoption.commands import programs_in

STARTED = {
    "dagster-webserver -h 0.0.0.0 -w workspace.yaml": ["webserver"],
    "dagit -p 3000": ["webserver"],
    "python -m dagster_webserver": ["webserver"],
    "python3 -m debugpy --listen 0.0.0.0:5678 -m dagster_webserver -h 0.0.0.0": ["webserver"],
    "/opt/venv/bin/dagster-daemon run": ["daemon"],
    "dagster dev -m shop": ["dev"],
    "dg dev --host 0.0.0.0": ["dev"],
    "dagster api grpc -m shop": ["code server"],
    "dagster code-server start -f repo.py": ["code server"],
    "dagster-celery worker start -A dagster_celery.app": ["worker"],
    "celery -A dagster_celery.app worker --loglevel=info": ["worker"],
    "dagster instance migrate": ["job"],
    "dagster-daemon run & dagster-webserver -h 0.0.0.0": ["daemon", "webserver"],
    "sh -c 'sleep 10 && exec dagster-webserver'": ["webserver"],
    "tini -- wait-for-it db:5432 -- dagster-daemon run": ["daemon"],
    "if ! pgrep dagster; then dagster-daemon run; fi": ["daemon"],
    "while true; do dagster-daemon run; done": ["daemon"],
    "[program:page]\ncommand=dagster-webserver -h 0.0.0.0\n": ["webserver"],
    "web: dagster dev": ["dev"],
    "dagster dev \\\n  -m shop": ["dev"],
}
NOT_STARTED = (
    "pip install dagster dagit",
    "uv pip install dagster-webserver dagit",
    "apt-get install -y dagster dev",
    "echo 'Starting dagster dev'",
    "# dagster dev",
    "my-dagster dev",
    "adduser dagster sudo",
    "chown dagster dagit",
    "which dagster-webserver dagit",
    "postgres -c log_statement=all",
    "uvicorn dagster_api:app",
    "",
)


@pytest.mark.parametrize(("command", "roles"), STARTED.items())
def test_what_is_started_is_known_by_its_program(command: str, roles: list[str]) -> None:
    assert [program.role for program in programs_in(command)] == roles


@pytest.mark.parametrize("command", NOT_STARTED)
def test_what_is_only_mentioned_is_not_started(command: str) -> None:
    assert programs_in(command) == []


@pytest.mark.parametrize(
    ("command", "start"),
    [
        ("uv run dagster dev", "uv"),
        ("uv --quiet run --no-sync dagster dev", "uv"),
        ("poetry run dagster dev", "poetry"),
        ("bash -c 'poetry install && poetry run dagster-daemon run'", "poetry"),
        ("pdm run dagster dev", "pdm"),
        ("conda run -n flow dagster dev", "conda"),
        ("dagster dev", "direct"),
    ],
)
def test_a_runner_is_seen(command: str, start: str) -> None:
    assert [program.start for program in programs_in(command)] == [start]


def test_options_say_what_is_loaded_and_where() -> None:
    (program,) = programs_in(
        "cd /app && cd flows && python -m dagster dev -m bread -m cakes --working-directory=/srv -a x"
    )
    assert program.values("module") == ["bread", "cakes"]
    assert program.values("folder") == ["/srv"]
    assert program.values("attribute") == ["x"]
    assert program.folder == "/app/flows"


@pytest.mark.parametrize(
    ("command", "after"),
    [
        ("dagster dev -m shop -p 1", "dagster dev -w /w.yaml -p 1"),
        ("dagster dev --module-name=shop", "dagster dev --workspace=/w.yaml"),
        ("python -m dagster dev -f a.py -d /srv", "python -m dagster dev -w /w.yaml"),
        ('sh -c "cd /a && dagster dev -m shop"', 'sh -c "cd /a && dagster dev -w /w.yaml"'),
        ("uv run dg dev", "uv run dagster dev -w /w.yaml"),
    ],
)
def test_a_command_reads_a_workspace_file_instead(command: str, after: str) -> None:
    assert edited_command(command, "/w.yaml") == after
