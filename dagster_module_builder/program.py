"""The installed program: offers the same tasks in any folder as ``invoke`` in a checkout."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from invoke.exceptions import Exit, ParseError
from invoke.program import Program

from dagster_module_builder import __version__
from dagster_module_builder.base.errors import BuilderError, UsageError
from dagster_module_builder.commands import namespace
from dagster_module_builder.commands.failing import INTERRUPTED, UNFORESEEN, of_system, unforeseen
from dagster_module_builder.commands.typed_words.correct import correct
from dagster_module_builder.disclosure import terminal

NAME = "dagster-module-builder"


class BuilderProgram(Program):
    """Invoke's program, with exit code 2 for wrong usage and 130 for an interrupt (Invoke returns 1 for both)."""

    def run(self, argv: list[str] | None = None, exit: bool = True) -> None:  # noqa: A002 - Invoke's own word
        """Parse, run, and end with the task's exit code."""
        terminal.open_descriptors()
        try:
            if argv is None:
                correct(namespace, self)
            super().run(argv, exit=exit)
        except BuilderError as error:
            terminal.alert(f"Error: {error}")
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except BrokenPipeError:
            # The reader of a list or of help, such as `head`, has closed the pipe.
            terminal.leave(sys.stdout)
        except OSError as error:
            # Invoke reads its settings from folders that may not be accessible, such as the home folder.
            terminal.alert(f"Error: {of_system(error)}")
            sys.exit(1)
        except Exception as error:  # noqa: BLE001 - an error in Invoke
            terminal.alert(f"Error: {unforeseen(error)}")
            sys.exit(UNFORESEEN)
        finally:
            terminal.flush()

    def parse_core(self, argv: list[str] | None) -> None:
        """Parse the flags before the tasks."""
        self._parsed(super().parse_core, argv)

    def parse_tasks(self) -> None:
        """Parse the tasks and their flags."""
        self._parsed(super().parse_tasks)

    def parse_cleanup(self) -> None:
        """Print help and lists, which end the program before a task runs."""
        self._parsed(super().parse_cleanup)

    @staticmethod
    def _parsed(parse: Callable[..., None], *arguments: Any) -> None:
        try:
            parse(*arguments)
        except (ParseError, ValueError) as error:
            # Invoke does not catch the ValueError of 'int' for a value that is not a number.
            raise Exit(terminal.shown(str(error)), UsageError.exit_code) from None


def program() -> BuilderProgram:
    """Return the program."""
    return BuilderProgram(name=NAME, binary=NAME, namespace=namespace, version=__version__)


def main() -> None:
    """Run the program on the command line's arguments."""
    program().run()
