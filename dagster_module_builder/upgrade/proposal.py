"""What an upgrade proposes: each file after the upgrade, and what the module will record."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dagster_module_builder.base import baseline, ports, settings
from dagster_module_builder.base.baseline import FileContent, Tree
from dagster_module_builder.base.errors import DamagedFileError, UsageError
from dagster_module_builder.modules.record import Record, read_record, refuse_newer
from dagster_module_builder.shared_files.formats import env_file
from dagster_module_builder.transactions import module_files
from dagster_module_builder.upgrade import missing_pieces, three_way
from dagster_module_builder.upgrade.changes import confined, read_content
from dagster_module_builder.upgrade.proof import Loader
from dagster_module_builder.upgrade.rendering import Prepared, Rendering, rendering
from dagster_module_builder.upgrade.three_way import UpgradedFile, Versions

#: Secrets of a removed database, next to the fragment; git and deployments ignore ``.env.*``.
KEPT_SECRETS = settings.FRAGMENTS / ".env.kept"


@dataclass(frozen=True)
class Proposal:
    """The proposed files and records.

    Attributes:
        files: The files that change or have a note.
        record: The new record: version and answers; None to keep the current one.
        baseline: The new baseline; None to keep the current one.
        notes: Messages about the upgrade as a whole.
        behind: Why the module is not up to date even after the upgrade; empty if it is.
        by_hand: What has to be done by hand, with the lines to add.
    """

    files: Sequence[UpgradedFile]
    record: bytes | None = None
    baseline: bytes | None = None
    notes: tuple[str, ...] = ()
    behind: str = ""
    by_hand: tuple[str, ...] = ()

    @property
    def conflicts(self) -> tuple[str, ...]:
        """The paths of the files with conflicts."""
        return tuple(file.path for file in self.files if file.conflict)


def propose(
    root: Path,
    module: Path,
    from_template: Path | None,
    answers: Mapping[str, str],
    prepared: Prepared | None,
    loader: Loader | None = None,
    location: str | None = None,
) -> Proposal:
    """Return what an upgrade would make of a module.

    Args:
        root: The workspace's root.
        module: The module's folder.
        from_template: The template that the module was created from, if it has no baseline.
        answers: Answers that replace recorded ones.
        prepared: A rendering made in advance; used if it was made from the current record.
        loader: Loads the module's definitions where its files do not show them; None to load nothing.
        location: The dotted name of the code location of a module that was not made from the template.

    Raises:
        DamagedFileError: The record or the baseline cannot be used.
        RefusedError: The module was made with a newer template.
        UsageError: There are answers, but the module was not made from the template.
    """

    def rendered(source: Mapping[str, Any] | Record) -> Rendering:
        return prepared.rendering if prepared and prepared.source == source else rendering(root, source)

    def missing_only(behind: str = "") -> Proposal:
        template = rendered(missing_pieces.answers_for(module)).tree
        missing = missing_pieces.missing(root, module, template, loader, location)
        return Proposal(missing.files, notes=missing.notes, behind=behind, by_hand=missing.by_hand)

    record = read_record(module)
    if record is None:
        if answers:
            raise UsageError(f"--set: {module.name!r} was not made from the template, so it has no answers to change.")
        return missing_only()
    wanted = record.with_answers(answers, ports.known_ports(root)) if answers else record
    current = rendered(wanted)
    refuse_newer(module.name, record.version, current.version)
    base = _base(root, record, current, from_template, same=not answers)
    if base is None:
        return missing_only(
            f"{module.name} was made from template {record.version} and has no baseline, so only missing files were "
            f"added. Pass --from-template with a checkout of that template to merge its changes."
        )
    mine = _contents(module, {*base, *current.tree})
    merged = three_way.merge(base, mine, current.tree, Versions(record.version, current.version))
    files = _with_secrets(module, base, list(merged))
    return Proposal(files, current.record, baseline.packed(current.tree), current.notes)


def _base(root: Path, record: Record, current: Rendering, from_template: Path | None, *, same: bool) -> Tree | None:
    """Return the files that the module was made from; None if they are not known."""
    module = record.path.parent
    try:
        stored = baseline.read(module)
    except ValueError as error:
        problem = f"this baseline cannot be used: {error}"
        raise DamagedFileError(module / baseline.FILE, None, problem, "Restore it from git.") from None
    if stored is not None:
        return stored
    if from_template:
        return rendering(root, record, from_template.absolute()).tree
    if record.version != current.version:
        return None
    return current.tree if same else rendering(root, record).tree


def _contents(module: Path, names: Iterable[str]) -> dict[str, FileContent]:
    paths = {name: confined(module, name) for name in names}
    return {name: read_content(module, path) for name, path in paths.items() if path.is_file()}


def _with_secrets(module: Path, base: Tree, merged: Sequence[UpgradedFile]) -> list[UpgradedFile]:
    """Create new secrets, and keep removed ones in another file: an old volume still needs its password."""
    before = module_files.read(module, confined(module, KEPT_SECRETS.as_posix()))
    kept = env_file.values(before or b"")
    files = [_with_values(file, kept) for file in merged]
    for file in files:
        if file.path == (settings.FRAGMENTS / env_file.NAME).as_posix() and file.before:
            names = three_way.secret_names(base[file.path].content) if file.path in base else set()
            yours, after = (env_file.values(side.content if side else b"") for side in (file.before, file.after))
            kept = {name: value for name, value in kept.items() if name not in after}
            kept |= {name: yours[name] for name in sorted(names & set(yours) - set(after))}
    content = b"".join(b"%s='%s'\n" % (name.encode(), value.encode()) for name, value in kept.items()) or None
    if content != before:
        note = f"Secrets that the module no longer needs are kept in {KEPT_SECRETS}." if content else ""
        old, new = (None if side is None else FileContent(side) for side in (before, content))
        files.append(UpgradedFile(KEPT_SECRETS.as_posix(), old, new, note=note))
    return files


def _with_values(file: UpgradedFile, kept: Mapping[str, str]) -> UpgradedFile:
    """Replace the placeholders of an env file by kept secrets, and the others by new ones."""
    if file.after is None or not file.path.endswith("/.env"):
        return file
    content = three_way.with_secrets(file.after.content, kept)
    for placeholder in three_way.placeholders(content):
        content = content.replace(placeholder, secrets.token_urlsafe(24).encode())
    return replace(file, after=FileContent(content, file.after.executable))
