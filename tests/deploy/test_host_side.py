"""What is sent to a host: all of it, with every function that a request names, in a Python that old hosts read."""

from __future__ import annotations

import ast
from pathlib import Path

from dagster_module_builder.deploy import host_side
from dagster_module_builder.deploy.host_side import conversation
from tests.deploy.host_process import start

FOLDER = Path(host_side.__file__).parent


def test_every_module_is_sent() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} - {"__init__"} == set(host_side.MODULES)


def test_every_request_has_its_function() -> None:
    for request in conversation.REQUESTS:
        assert callable(conversation.work_of(request)), request


def test_hosts_with_python_3_8_can_read_it() -> None:
    for path in FOLDER.glob("*.py"):
        ast.parse(path.read_text(), feature_version=(3, 8))


def test_a_traceback_names_the_module() -> None:
    with start() as process:
        _, said = process.communicate(b'{"do": "layout", "base": 7}\n', timeout=20)
    assert b'File "host_side/conversation.py"' in said
    assert b'File "host_side/releases.py"' in said


def test_it_ends_with_its_client() -> None:
    with start() as process:
        assert process.stdout.readline() == b"\n"
        assert b'"hello"' in process.stdout.readline()
        process.stdin.close()
        assert process.wait(20) == 0
        assert process.stderr.read() == b""
