"""Carry out an upgrade, prove that the definitions load as before, or take it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dagster_module_builder.base.errors import RefusedError, ToolError
from dagster_module_builder.modules.loading import LoadedDefinitions, gained
from dagster_module_builder.transactions.lock import locked
from dagster_module_builder.upgrade.changes import carry_out
from dagster_module_builder.upgrade.proof import Loader, added_requirements, concerns_loading, differences
from dagster_module_builder.upgrade.result import UpgradeResult


def carry_out_proven(root: Path, planned: UpgradeResult, loader: Loader | None) -> UpgradeResult:
    """Carry a planned upgrade out.

    Args:
        root: The workspace's root.
        planned: What is planned.
        loader: Loads the module's definitions; None to prove nothing.

    Raises:
        RefusedError: The definitions would no longer load as before. Nothing was changed.
    """
    if loader is None or planned.conflicts or not concerns_loading(planned.module, planned.plan):
        return _carried_out(root, planned)
    if unproven := _why_unproven(planned, loader):
        return replace(_carried_out(root, planned), notes=(*planned.notes, unproven))
    wanted = added_requirements(planned.module, planned.plan)
    _provide(loader, wanted)
    with locked(root):
        return _proven(root, planned, loader, wanted)


def _carried_out(root: Path, planned: UpgradeResult) -> UpgradeResult:
    with locked(root):
        backup = carry_out(root, planned.module, planned.plan)
        return replace(planned, backup=backup)


def _why_unproven(planned: UpgradeResult, loader: Loader) -> str:
    name = planned.module.name
    if not loader.allowed:
        return (
            f"Not checked whether the definitions load as before, since that runs code of {name}. "
            f"Run 'audit {name} --load --trust' to check that they load."
        )
    if problem := loader.before.problem:
        return (
            f"Not checked whether the definitions load as before, since they did not load before the upgrade either: "
            f"{problem}"
        )
    return ""


def _provide(loader: Loader, wanted: Sequence[str]) -> None:
    """Install what the upgrade adds to the requirements where the definitions are loaded."""
    try:
        loader.beside(wanted)
    except ToolError as error:
        raise RefusedError(
            f"{error}\nThe upgrade adds these requirements: {', '.join(wanted)}. Without them, it cannot be checked "
            f"whether the definitions still load. Nothing was changed. Pass --no-load to upgrade without the check."
        ) from None


def _proven(root: Path, planned: UpgradeResult, loader: Loader, wanted: Sequence[str]) -> UpgradeResult:
    before, loaded = loader.before, []

    def proof() -> None:
        loaded.append(loader.load(wanted))
        if broken := list(differences(before, loaded[0], lossless=planned.adds_only)):
            raise _undone(planned.module.name, broken)

    backup = carry_out(root, planned.module, planned.plan, proof)
    return replace(planned, backup=backup, proof=_words(before, loaded[0]))


def _undone(name: str, broken: Sequence[str]) -> RefusedError:
    return RefusedError(
        f"The upgrade of {name} was undone, since the definitions no longer load as before:\n"
        + "\n".join(f"- {line}" for line in broken)
        + f"\nNothing was changed. 'upgrade {name} --dry-run' shows what it would change."
    )


def _words(before: LoadedDefinitions, after: LoadedDefinitions) -> str:
    kept = f"The definitions load as before: {before.counted() or 'none'}."
    new, gone = list(gained(before, after)), list(gained(after, before))
    added = f" Added: {', '.join(new)}." if new else ""
    return kept + added + (f" Removed by the template: {', '.join(gone)}." if gone else "")
