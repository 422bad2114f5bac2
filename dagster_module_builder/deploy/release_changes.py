"""What a new release changes for those who use Dagster's page: its definitions, and the packages that it runs with.

The old release is as the host's Dagster has loaded it: that is what runs, whoever deployed it and with which version of
this program, and it costs one question. The new one is loaded here, from the files that would be sent, with its
settings: before anything is sent there is nowhere else. Both give the same facts in the same form.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy.host_side.manifest import path_of
from dagster_module_builder.deploy.hosts.host_release import Release
from dagster_module_builder.deploy.hosts.host_run import HostRun
from dagster_module_builder.modules.code_location import table
from dagster_module_builder.modules.code_locations import read_code_location
from dagster_module_builder.modules.loading import LoadedDefinitions, compared, definitions_of, load
from dagster_module_builder.modules.trusted_code import is_trusted
from dagster_module_builder.native.module_python import python_for
from dagster_module_builder.native.native_environment import process_environment
from dagster_module_builder.shared_files.formats import env_file, toml_text

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PIN = re.compile(r"(?m)^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)")


def changes(run: HostRun, release: Release, root: Path | None, *, is_same: bool) -> dict[str, Any]:
    """Return what a release changes on a host.

    Args:
        run: The host.
        release: The new release.
        root: The workspace's root; None to compare nothing.
        is_same: Whether the release that runs has the same files.

    Returns:
        ``definitions`` and ``packages``, None if they cannot be compared; ``not_compared``: why.
    """
    if root is None:
        return _not_compared("It was not asked for.")
    if not run.state(release.module).get("current"):
        return _not_compared(f"No release of {release.module} runs there yet.")
    old = _running(run, release)
    packages = package_changes(old, release)
    if old["definitions"] is None:
        return _not_compared("Dagster does not tell its definitions.", packages)
    new = LoadedDefinitions({}, {}, details=old["definitions"]) if is_same else loaded_here(release, root)
    if problem := new.problem or ("" if new.details else "this Dagster is too old for that"):
        return _not_compared(f"The definitions were not loaded here: {problem}", packages)
    return {"definitions": compared(old["definitions"], new.details), "packages": packages, "not_compared": None}


def _not_compared(reason: str, packages: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"definitions": None, "packages": packages, "not_compared": reason}


def _running(run: HostRun, release: Release) -> dict[str, Any]:
    known = run.inspection["modules"][release.module]
    record = known["releases"].get(known["state"].get("current")) or {}
    return run.conversation.ask(
        "running",
        module=release.module,
        location=release.deployment.names.snake,
        python=run.python(release.deployment, record.get("environment")),
        where=run.where,
    )


def loaded_here(release: Release, root: Path) -> LoadedDefinitions:
    """Return the definitions of a release, loaded on this machine if the module's code may run here."""
    module = release.deployment.module
    if not is_trusted(root, module):
        cure = f"'audit {module} --load --trust' allows it for these files"
        return LoadedDefinitions({}, {}, f"that runs code of {module.name} here; {cure}.")
    try:
        python = python_for(root, module)
        with _files_of(release) as folder:
            environ = {**process_environment(root), **env_file.values(release.env)}
            # The module's code needs no key to the hosts.
            environ.pop("SSH_AUTH_SOCK", None)
            return definitions_of(load(read_code_location(folder), python, folder, environ))
    except BuilderError as error:
        return LoadedDefinitions({}, {}, str(error))


@contextlib.contextmanager
def _files_of(release: Release) -> Iterator[Path]:
    """Yield a folder with the files of a release, which may be a commit and not what is in the module's folder."""
    if release.strategy.serves:
        # An image is built from the folder itself.
        yield release.deployment.module
        return
    with tempfile.TemporaryDirectory(prefix="dmb-") as made:
        folder = Path(made).resolve() / release.module
        for name in map(path_of, release.staged.lines):
            content = release.staged.read(name)
            if content is not None:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
        yield folder


def package_changes(old: Mapping[str, Any], release: Release) -> dict[str, Any] | None:
    """Return the packages that a release adds, removes, or runs with in another version; None if that is not known.

    Args:
        old: ``packages`` and ``pyproject`` of the release that runs.
        release: The new release.
    """
    if old["packages"] is None:
        return None
    installed = {_plain(name): version for name, version in old["packages"].items()}
    wanted = _requirements(release.staged.read("pyproject.toml"))
    before = None if old["pyproject"] is None else _requirements(old["pyproject"].encode())
    # In the host's own environment nothing is installed.
    is_host = release.deployment.environment["kind"] == "host" and not release.strategy.serves
    pins = {} if is_host else {_plain(name): version for name, version in _PIN.findall(release.constraints)}
    known = installed if before is None else before
    changed = {
        name: [installed[name], pins[name]] for name in installed if pins.get(name, installed[name]) != installed[name]
    }
    for name in wanted.keys() & (before or {}).keys() - changed.keys():
        if before and before[name] != wanted[name]:
            changed[name] = [before[name], wanted[name]]
    return {
        "added": sorted(wanted[name] for name in wanted.keys() - known.keys()),
        "removed": sorted((before or {}).keys() - wanted.keys()),
        "changed": dict(sorted(changed.items())),
    }


def _requirements(pyproject: bytes | None) -> dict[str, str]:
    """Return the requirements in a ``pyproject.toml``, by the package's name."""
    try:
        listed = table(toml_text.parsed(pyproject or b""), "project").get("dependencies")
    except ValueError:
        return {}
    texts = map(str, listed) if isinstance(listed, list) else ()
    return {_plain(match[0]): text for text in texts if (match := _NAME.match(text))}


def _plain(name: str) -> str:
    """Return a package's name in its usual form (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
