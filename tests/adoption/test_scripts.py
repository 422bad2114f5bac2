"""What is left of a script for the container that calls it."""

from __future__ import annotations

import time

import pytest

from dagster_module_builder.adoption.commands import programs_in
from dagster_module_builder.adoption.scripts import reached

CASES = """#!/bin/sh
case "$1" in
  page|webserver) exec dagster-webserver ;;
  "clock")
    exec dagster-daemon run
    ;;
  code-*) exec dagster api grpc -m "$2" ;;
  *) exec "$@" ;;
esac
"""
BRANCHES = """#!/bin/sh
if [ "$1" = "page" ]; then
  exec dagster-webserver
elif [[ "$1" == "clock" ]]; then
  exec dagster-daemon run
elif [ "$1" = "all" ] && [ "$2" = "dev" ]
then
  exec dagster dev
fi
if [ -f /srv/.env ]; then
  . /srv/.env
fi
exec "$@"
"""


def roles(script: str, *arguments: str) -> list[str]:
    return [program.role for program in programs_in(reached(script, arguments, lambda text: text))]


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("page", ["webserver"]),
        ("webserver", ["webserver"]),
        ("clock", ["daemon"]),
        ("code-a", ["code server"]),
        ("x", []),
    ],
)
def test_a_case_is_decided_by_its_argument(argument: str, expected: list[str]) -> None:
    assert roles(CASES, argument) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("page",), ["webserver"]),
        (("clock",), ["daemon"]),
        (("all", "dev"), ["dev"]),
        (("all", "else"), []),
        ((), []),
    ],
)
def test_conditions_on_arguments_are_decided(arguments: tuple[str, ...], expected: list[str]) -> None:
    assert roles(BRANCHES, *arguments) == expected


def test_a_condition_that_is_no_comparison_may_hold() -> None:
    assert roles('if [ -n "$X" ]; then\n  dagster dev\nfi\n') == ["dev"]
    assert roles('if [ "$1" = "a" ] || [ -n "$X" ]; then\n  dagster dev\nfi\n', "b") == ["dev"]
    assert roles('if ! [ "$1" = "a" ]; then\n  dagster dev\nfi\n', "b") == ["dev"]


def test_variables_and_defaults_decide_too() -> None:
    script = 'case "${ROLE:-page}" in\n  page) dagster dev ;;\n  clock) dagster-daemon run ;;\nesac\n'
    for value, expected in (("page", ["dev"]), ("clock", ["daemon"])):
        left = reached(script, (), lambda text, value=value: value if text.startswith("$") else text)  # type: ignore[misc]
        assert [program.role for program in programs_in(left)] == expected
    assert roles('case "${1:-page}" in\n  page) dagster dev ;;\nesac\n') == ["dev"]


@pytest.mark.parametrize(
    "line", ["case $1 in\n", 'if [ "$1" = a ]; then\n', "case $1 in\n  a) x\n", "  if then\n", "if x; then echo\n"]
)
def test_a_script_without_ends_takes_no_long_time(line: str) -> None:
    began = time.perf_counter()
    reached(line * 50_000, (), lambda text: text)
    assert time.perf_counter() - began < 5
