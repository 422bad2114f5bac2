"""The upgrade of many modules: what takes long, their renderings, is made for several at once; one writes at a time."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Protocol

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.modules.record import read_record
from dagster_module_builder.templating import cookiecutter_fork
from dagster_module_builder.upgrade import missing_pieces
from dagster_module_builder.upgrade.rendering import Prepared, prepared_template, rendering
from dagster_module_builder.upgrade.run import UpgradeResult, locate


class Upgrade(Protocol):
    """The upgrade of one module."""

    def __call__(self, name: str, *, prepared: Prepared | None) -> UpgradeResult:
        """Upgrade the module of that name, with a rendering that was made before."""


def upgrade_each(
    root: Path, names: Sequence[str], upgrade: Upgrade, began: Callable[[int, str], None]
) -> Iterator[tuple[str, UpgradeResult | BuilderError]]:
    """Upgrade modules one after the other, in their order, each with a rendering that another process made.

    Args:
        root: The workspace's root.
        names: The modules' names.
        upgrade: Upgrades one of them.
        began: Is told how many have ended, and which is next.

    Yields:
        Each name with its outcome, or with what was wrong.
    """
    workers = max(1, min(len(names), os.cpu_count() or 1))
    forked = multiprocessing.get_context("fork")
    with (
        prepared_template(root) as template,
        ProcessPoolExecutor(workers, forked, cookiecutter_fork.prepare) as pool,
    ):
        waiting: dict[str, Future[Prepared | None]] = {
            name: pool.submit(prepared, root, name, template) for name in names
        }
        for number, name in enumerate(names):
            began(number, name)
            try:
                yield name, upgrade(name, prepared=waiting.pop(name).result())
            except BuilderError as error:
                yield name, error


def prepared(root: Path, name: str, template: Path) -> Prepared | None:
    """Return the rendering that the upgrade of a module needs; None where the upgrade itself says what is wrong.

    Args:
        root: The workspace's root.
        name: The module's name.
        template: Today's, as ``prepared_template`` gives it.
    """
    try:
        module = locate(root, name)
        source = read_record(module) or missing_pieces.answers_for(module)
        return Prepared(source, rendering(root, source, template))
    except BuilderError:
        return None
