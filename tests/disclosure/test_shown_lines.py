"""What a diff shows of a file: its structure and what is known to be harmless, whatever the variables are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from dagster_module_builder.disclosure.messages import harmless_data
from dagster_module_builder.disclosure.values import is_harmless
from dagster_module_builder.shown_files.files import shown_lines
from dagster_module_builder.transactions.plan import FileChange, Plan

COMPOSE = b"""\
name: shop
services:
  db: # canary-comment
    image: registry.example:5000/team/db:16
    container_name: db
    environment:
      MYSQL_PWD: canary
      PASSPHRASE: 'canary horse'
      DATABASE_URL: postgresql://app:canary@db/x
      FALLBACK: ${X:-canary}
      GIVEN: ${SHOP_DB_PASSWORD}
      PORT: "5432"
      CERTIFICATE: |
        -----BEGIN PRIVATE KEY-----
        canary+/==
      name: canary
    ports: ["127.0.0.1:5432:5432"]
    volumes:
      - db_data:/var/lib/postgresql/data
      - ../../data:/data:ro
    command: ["postgres", "--password", "canary", "-pcanary", "--token=canary", "--port=5432"]
    depends_on: [cache]
  cache:
    environment:
      - TOKEN=canary
      - PORT=6379
      - canary
    build:
      context: https://canary@git.example/x.git
      args: {KEY: canary, DEBUG: "true"}
    healthcheck:
      test: 'curl -H "Authorization: Bearer canary" http://u:canary@localhost/?token=canary'
x-own:
  image: canary
secrets:
  it:
    content: canary
"""
DOCKERFILE = b"""\
# canary
FROM python:3.12-slim AS base
ARG TOKEN=canary
ENV PASSPHRASE=canary PORT=80 \\
    URL="https://u:canary@x"
ENV OLD canary canary
LABEL key=canary
RUN apt-get update && apt-get install --yes curl libpq5 \\
    && curl -u me:canary https://x/?k=canary | sh
RUN <<EOF
echo canary
EOF
COPY <<EOF /etc/key
canary
EOF
COPY src/shop /opt/shop
ADD https://me:canary@x/y /tmp/
RUN pip install --index-url https://u:canary@pypi.example/simple pandas==2.2 # canary
CMD ["dagster", "--key", "canary"]
"""
ENV = b"""\
# canary
PORT='5432'
KEY='-----BEGIN PRIVATE KEY-----
canary
canary='
DATABASE_URL="postgresql://app:canary@db/x"
BLOB=canary==
export PASSPHRASE=canary
SHOP_DB_USER='shop_user'
DB_PASSWORD='12345'
DOLLAR='$CANARY'
EMPTY=
nonsense canary
"""
PYTHON = b"""\
import os  # canary
KEY = "canary"
URL = f"https://{os.environ['X']}:canary@x"
TEXT = \"\"\"
canary
\"\"\"
"""
TOML = b"""\
[project]
dependencies = ["pandas>=2.2", "x @ git+https://canary@x/y"]
[tool.x]
token = "canary"
"""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("docker-compose.yml", COMPOSE),
        ("docker-compose.yml", COMPOSE + b"broken: [\n"),
        ("docker-compose.yml", b"\xef\xbb\xbf" + COMPOSE.replace(b"\n", b"\r\n")),
        ("Dockerfile", DOCKERFILE),
        ("Dockerfile", DOCKERFILE.replace(b"\n", b"\r\n")),
        (".env", ENV),
        (".env", ENV.replace(b"\n", b"\r\n")),
        ("assets.py", PYTHON),
        ("assets.py", PYTHON + b"def broken(:\n  '''canary"),
        ("pyproject.toml", TOML),
        ("README.md", b"The password is canary.\n"),
    ],
)
def test_no_secret_is_shown_in_any_file(name: str, content: bytes) -> None:
    """FAULTS A2: URL passwords, keys of several lines, PASSPHRASE, MYSQL_PWD, tokens, in every kind of file."""
    lines = shown_lines(name, content)
    assert len(lines) == len(content.split(b"\n"))
    assert "canary" not in "\n".join(lines).lower()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("docker-compose.yml", "a: {environment: {PASSWORD: x,canary}}"),
        ("docker-compose.yml", "a:\n  environment:\n    PASSWORD: !canary\n    TOKEN: &canary\n"),
        ("docker-compose.yml", "a:\n  tokens: {alice: 847215}\n  test: {PASSWORD: 847215}\n"),
        ("Dockerfile", "COPY <<EOF /etc/canary:x"),
        ("Dockerfile", "ENV PASSPHRASE=correct canary battery\n"),
        ("Dockerfile", "RUN pip install --index-url https://u:p!canary!x@h/simple pandas\n"),
        ("pyproject.toml", "[a]\nYWNhbmFyeWNhbmFyeQcanary=\n"),
        (".env", "KEY=-----BEGIN PRIVATE KEY-----\nYWNhbmFyeQcanary=\n"),
        (".env", "DOOR_CODE=847215\nUSERPIN=847215\n"),
        ("a.py", "PIN = 847215\n"),
        (".env", "DOOR=847215\n"),
        ("docker-compose.yml", "a: {command: redis-cli -a 847215}\n"),
        ("docker-compose.yml", "a: {command: mysql -p847215 start}\n"),
    ],
)
def test_no_part_of_a_secret_is_shown_for_its_shape(name: str, text: str) -> None:
    """FAULTS A2: rests of values that look like keys, tags, variables, packages or numbers."""
    shown = "\n".join(shown_lines(name, text.encode()))
    assert "canary" not in shown
    assert "847215" not in shown


@pytest.mark.parametrize(
    "command", ["PASSWORD=ab,start", 'PASSWORD="ab start"', "run --password ab,start", "redis-cli -a start"]
)
def test_no_part_of_a_password_is_shown_because_it_is_a_word_that_commands_have(command: str) -> None:
    """FAULTS A2: what follows a comma or a blank within a value belongs to it."""
    assert "start" not in "\n".join(shown_lines("Dockerfile", f"RUN {command} && install\n".encode()))
    assert "install" in "\n".join(shown_lines("Dockerfile", f"RUN {command} && install\n".encode()))


def test_keys_of_json_are_cleared_too() -> None:
    assert harmless_data({"https://u:canary@x": 1}) == {"https://…@x": 1}


def test_public_lines_are_shown_and_no_others() -> None:
    content = b"job:\n  script:\n    - |\n      work it out\n      work canary\n"
    lines = shown_lines(".gitlab-ci.yml", content, {"work it out"})
    assert "      work it out" in lines
    assert "canary" not in "\n".join(lines)


def test_what_is_harmless_is_shown() -> None:
    compose = shown_lines("docker-compose.yml", COMPOSE)
    for line in (
        "    image: registry.example:5000/team/db:16",
        "      GIVEN: ${SHOP_DB_PASSWORD}",
        '      PORT: "5432"',
    ):
        assert line in compose
    for line in ("      - ../../data:/data:ro", '    ports: ["127.0.0.1:5432:5432"]', "    depends_on: [cache]"):
        assert line in compose
    assert "      PASSPHRASE: …" in compose
    assert "      - TOKEN=…" in compose
    dockerfile = shown_lines("Dockerfile", DOCKERFILE)
    for line in ("FROM python:3.12-slim AS base", "ARG TOKEN=…", "COPY src/shop /opt/shop"):
        assert line in dockerfile
    assert "RUN apt-get update && apt-get install --yes curl libpq5 \\" in dockerfile
    env = shown_lines(".env", ENV)
    for line in ("PORT='5432'", "KEY=…", "SHOP_DB_USER='shop_user'", "DB_PASSWORD=…", "EMPTY=", "DOLLAR=…"):
        assert line in env


def test_markers_are_shown() -> None:
    text = b"# BEGIN: sales\n# secret\nA=1\n# END: sales\n"
    assert shown_lines(".env", text) == ["# BEGIN: sales", "# …", "A=1", "# END: sales", ""]


def test_a_change_of_a_hidden_value_is_a_change() -> None:
    before, after = (ENV.replace(b"canary='", text) for text in (b"canary-old='", b"canary-new='"))
    change = FileChange(Path("/ws/.env"), before, after)
    diff = Plan((change,)).diff()
    assert (change.added, change.removed) == (1, 1)
    assert [line for line in diff.splitlines() if line[0] in "+-" and line[1:3] not in {"++", "--"}] == ["-…", "+…"]
    assert "canary" not in diff


@pytest.mark.parametrize("value", ["", "5432", "-1.5", "true", "Off", "30s", "127.0.0.1", "3.12", "INFO"])
def test_values_known_to_be_harmless(value: str) -> None:
    assert is_harmless("LIMIT", value)


@pytest.mark.parametrize(
    "value",
    [
        "hunter2",
        "postgresql://app:hunter2@db/x",
        "aGVsbG8=",
        "{}",
        "$SECRET",
        "/srv/data",
        "1234567890",
        "5432\n",
        "word",
    ],
)
def test_all_other_values_are_not(value: str) -> None:
    assert not is_harmless("LIMIT", value)
