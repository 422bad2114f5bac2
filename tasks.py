"""The tasks for ``invoke`` in this folder; ``dagster-module-builder`` offers the same tasks in any folder."""

from dagster_module_builder.commands import namespace
from dagster_module_builder.commands.typed_words.correct import correct_for_invoke
from dagster_module_builder.disclosure import terminal

__all__ = ["namespace"]

terminal.let_readers_go()
correct_for_invoke(namespace)
