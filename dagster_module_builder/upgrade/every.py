"""Upgrade many modules: the slow renderings run in parallel, the upgrades one after another."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.modules.record import read_record
from dagster_module_builder.programs.worker_pool import worker_pool
from dagster_module_builder.upgrade import missing_pieces
from dagster_module_builder.upgrade.rendering import Prepared, prepared_template, rendering
from dagster_module_builder.upgrade.result import UpgradeResult
from dagster_module_builder.upgrade.run import locate


class Upgrade(Protocol):
    """The upgrade of one module."""

    def __call__(self, name: str, *, prepared: Prepared | None) -> UpgradeResult:
        """Upgrade the named module, with a prepared rendering if there is one."""


def upgrade_each(
    root: Path, names: Sequence[str], upgrade: Upgrade, began: Callable[[int, str], None]
) -> Iterator[tuple[str, UpgradeResult | BuilderError]]:
    """Upgrade modules in order, each with a rendering from another process.

    Args:
        root: The workspace's root.
        names: The modules' names.
        upgrade: Upgrades one module.
        began: Called with the number of finished modules and the next name.

    Yields:
        Each name with its result, or with the error.
    """
    workers = max(1, min(len(names), os.cpu_count() or 1))
    with (
        prepared_template(root) as template,
        worker_pool(workers, _import_cookiecutter) as pool,
    ):
        renderings: dict[str, Future[Prepared | None]] = {
            name: pool.submit(prepared, root, name, template) for name in names
        }
        for number, name in enumerate(names):
            began(number, name)
            try:
                yield name, upgrade(name, prepared=renderings.pop(name).result())
            except BuilderError as error:
                yield name, error


def prepared(root: Path, name: str, template: Path) -> Prepared | None:
    """Return the rendering for a module's upgrade; None after an error, which the upgrade itself reports.

    Args:
        root: The workspace's root.
        name: The module's name.
        template: The current template, from ``prepared_template``.
    """
    try:
        module = locate(root, name)
        source = read_record(module) or missing_pieces.answers_for(module)
        return Prepared(source, rendering(root, source, template))
    except BuilderError:
        return None


def _import_cookiecutter() -> None:
    """Have each rendering begin as a copy of a process that has imported it."""
    import cookiecutter.main  # noqa: F401 - for the copies
