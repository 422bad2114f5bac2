"""What Invoke's flags lack: a usage error for what is not a number, and the short forms that people expect."""

from __future__ import annotations

from typing import Any

from invoke.exceptions import ParseError
from invoke.parser.argument import Argument
from invoke.tasks import Task

#: Short forms; Invoke's own would follow from the order of the arguments.
_SHORT = {"quiet": "q", "yes": "y", "dry_run": "n"}


class NumberArgument(Argument):
    """An argument whose value is a number."""

    def set_value(self, value: Any, cast: bool = True) -> None:
        """Set the value; Invoke would let ``int``'s ValueError escape.

        Raises:
            ParseError: The value is not a number.
        """
        try:
            super().set_value(value, cast)
        except ValueError:
            raise ParseError(f"--{self.name}: {value!r} is not a number. Pass a whole number.") from None


class NumberTask(Task[Any]):
    """A task whose ``int`` arguments are ``NumberArgument``s, and whose usual flags have short forms."""

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Return the arguments that Invoke derives from the task's signature."""
        arguments = super().get_arguments(ignore_unknown_help)
        for argument in arguments:
            if argument.kind is int:
                argument.__class__ = NumberArgument
            if short := _SHORT.get(str(argument.name)):
                argument.names = (*argument.names, short)
        return arguments
