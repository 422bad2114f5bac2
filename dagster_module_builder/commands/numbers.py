"""Flags that take a number: one that is none is wrong usage, whichever program parses the command line."""

from __future__ import annotations

from typing import Any

from invoke.exceptions import ParseError
from invoke.parser.argument import Argument
from invoke.tasks import Task


class NumberArgument(Argument):
    """An argument whose value is a number."""

    def set_value(self, value: Any, cast: bool = True) -> None:
        """Take a value; Invoke itself lets out what ``int`` says of it.

        Raises:
            ParseError: It is no number.
        """
        try:
            super().set_value(value, cast)
        except ValueError:
            raise ParseError(f"--{self.name}: {value!r} is not a number. Give a whole number.") from None


class NumberTask(Task[Any]):
    """A task whose arguments with a number say so."""

    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Return the arguments, as Invoke made them of the task's signature."""
        made = super().get_arguments(ignore_unknown_help)
        for argument in made:
            if argument.kind is int:
                argument.__class__ = NumberArgument
        return made
