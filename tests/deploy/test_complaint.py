"""FAULTS G: above the error of definitions that do not load are no warnings and colours of Dagster's."""

from __future__ import annotations

from dagster_module_builder.deploy.host_side.definitions import complaint

#: As Dagster 1.13 writes it.
SAID = """\
/venv/click/core.py:911: SupersessionWarning: Function `definitions_validate_command` is superseded.
  return callback(*args, **kwargs)
\x1b[32m2026-01-05 23:53:31 +0000\x1b[0m - dagster - \x1b[34mWARNING\x1b[0m - No dagster instance configuration file
\x1b[32m2026-01-05 23:53:31 +0000\x1b[0m - dagster - \x1b[31mValidation failed for code location sales.definitions:

RuntimeError: broken on purpose

Stack Trace:
  [12 dagster system frames hidden, run with --verbose to see the full stack trace]
  File "/srv/sales/definitions.py", line 15, in <module>
    raise RuntimeError('broken on purpose')
\x1b[0m
\x1b[32m2026-01-05 23:53:31 +0000\x1b[0m - dagster - \x1b[31mValidation for 1 code locations failed.\x1b[0m
"""


def test_the_error_of_definitions_stands_alone() -> None:
    assert complaint(SAID).splitlines() == [
        "RuntimeError: broken on purpose",
        "",
        "Stack Trace:",
        '  File "/srv/sales/definitions.py", line 15, in <module>',
        "    raise RuntimeError('broken on purpose')",
    ]


def test_another_error_is_told_as_it_is() -> None:
    assert complaint("\x1b[31mKilled\x1b[0m\n") == "Killed"
