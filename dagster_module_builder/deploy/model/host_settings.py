"""``.env.deploy``: the settings and secrets of a deployment's hosts; some values may come from files."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import DamagedFileError, RefusedError
from dagster_module_builder.programs import version_control
from dagster_module_builder.shared_files.blocks import split_lines
from dagster_module_builder.shared_files.formats import env_file, env_value
from dagster_module_builder.shared_files.formats.outline import UnsafeEditError
from dagster_module_builder.transactions import module_files

ENV = ".env.deploy"
EXAMPLE = f"{ENV}.example"
#: The end of a variable's name whose value is a path: ``TOKEN_FILE`` names the file with the value of ``TOKEN``.
SUFFIX = "_FILE"
#: The beginning of a variable's name that gives previews of branches the variable named behind it.
PREVIEW = "PREVIEW_"
#: The most bytes of a value from a file: on Linux a variable with its name is below 128 KiB (``MAX_ARG_STRLEN`` in
#: execve(2)).
MOST = 120 * 1024

#: A variable that a module explains, even one that is commented out because the code has a default.
_EXPLAINED = re.compile(rb"^[ \t]*#?[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)=", re.MULTILINE)


def read(folder: Path) -> bytes:
    """Return the settings of a deployment's hosts, with values from files filled in.

    Args:
        folder: ``deploy/<name>`` in the module.

    Raises:
        RefusedError: The file is missing, or others may read it.
        DamagedFileError: Compose and Dagster would read a value differently, or the file of a value cannot be used.
    """
    path = folder / ENV
    text = module_files.read(folder.parent.parent, path)
    if text is None:
        raise RefusedError(f"{path} is missing: copy {EXAMPLE} there, fill in the secrets, and run 'chmod 600' on it.")
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise RefusedError(f"Other users can read {path}: run 'chmod 600 {shlex.quote(str(path))}'.")
    try:
        env_file.contributions(text)
    except UnsafeEditError as error:
        raise DamagedFileError(path, error.position + 1, error.reason, "Fix that line.") from None
    return _with_files(folder, text)


def without(text: bytes, names: Collection[str]) -> bytes:
    """Return settings without some of their variables."""
    lines = split_lines(text)
    for entry in reversed([entry for entry in env_file.entries(text) if entry.name in names]):
        del lines[entry.line : entry.last + 1]
    return b"".join(lines) if names else text


def with_values(path: Path, text: bytes, values: Mapping[str, str]) -> bytes:
    """Return settings in which some variables have other values, or are added.

    Args:
        path: The file that has the values, for messages.
        text: The settings.
        values: The values by name.

    Raises:
        RefusedError: Dagster and Compose would read a value differently, however it is written.
    """
    lines = [without(text, values.keys()).rstrip(b"\n")]
    for name, value in values.items():
        written = env_value.written(value)
        if written is None:
            raise RefusedError(f"{path}: Dagster and Compose read the value of {name} differently: write it as Base64.")
        lines.append(f"{name}={written}".encode())
    return b"\n".join(filter(None, lines)) + b"\n" if values else text


def preview_variables(text: bytes) -> set[str]:
    """Return the variables of settings that are for previews of branches alone: ``{"PREVIEW_TOKEN"}``."""
    return {entry.name for entry in env_file.entries(text) if re.fullmatch(f"{PREVIEW}[A-Z_]\\w*", entry.name)}


def settings_of_preview(text: bytes, shares: Collection[str], name: str) -> bytes:
    """Return the settings of a preview: ``PREVIEW_TOKEN='x' -> TOKEN='x'``, and the shared ones.

    Args:
        text: All of ``.env.deploy``.
        shares: The variables that it gets as they are.
        name: Its name, for which ``{preview}`` stands in values.
    """
    lines = split_lines(text)
    own = preview_variables(text)
    taken = []
    for entry in env_file.entries(text):
        mine = entry.name.removeprefix(PREVIEW) if entry.name in own else None
        if mine is None and (entry.name not in shares or PREVIEW + entry.name in own):
            continue
        written = b"".join(lines[entry.line : entry.last + 1])
        if mine is not None:
            written = written.replace(entry.name.encode(), mine.encode(), 1).replace(b"{preview}", name.encode())
        taken.append(written if written.endswith(b"\n") else written + b"\n")
    return b"".join(taken)


def from_files(folder: Path, text: bytes) -> list[tuple[str, env_file.Variable]]:
    """Return the variables whose values are in files, each with the entry that names the file.

    ``NAME_FILE`` is such an entry if the module explains ``NAME`` and does not explain ``NAME_FILE``.
    """
    entries = [entry for entry in env_file.entries(text) if entry.name.endswith(SUFFIX)]
    explained = _explained(folder) if entries else set()
    named = [(entry.name.removesuffix(SUFFIX), entry) for entry in entries if entry.name not in explained]
    return [(name, entry) for name, entry in named if name in explained]


def files_that_pipelines_lack(folder: Path) -> list[str]:
    """Return a problem for each value that comes from a file, since a pipeline does not have the file."""
    path = folder / ENV
    return [
        f"{path}:{entry.line + 1}: a pipeline does not have the file that {entry.name} names: set {name} itself here."
        for name, entry in (from_files(folder, module_files.read(folder.parent.parent, path) or b""))
    ]


def _explained(folder: Path) -> set[str]:
    """Return the variables that the module, or the deployment's example, names."""
    module = folder.parent.parent
    explaining, naming = (module / ".env.example",), (module / settings.FRAGMENTS / env_file.NAME, folder / EXAMPLE)
    names = {
        name.decode() for path in explaining for name in _EXPLAINED.findall(module_files.read(module, path) or b"")
    }
    return names.union(*(env_file.keys(module_files.read(module, path) or b"") for path in naming))


def _with_files(folder: Path, text: bytes) -> bytes:
    named = from_files(folder, text)
    if not named:
        return text
    entries = list(env_file.entries(text))
    lines = split_lines(text)
    for name, entry in reversed(named):
        if twice := next((other for other in entries if other.name == name), None):
            raise DamagedFileError(
                folder / ENV,
                twice.line + 1,
                f"{name} is set here and by {entry.name} in line {entry.line + 1}",
                f"Delete one of the lines. If the code reads {entry.name} itself, add it to .env.example.",
            )
        lines[entry.line : entry.last + 1] = [_line(folder, name, entry)]
    return b"".join(lines)


def _line(folder: Path, name: str, entry: env_file.Variable) -> bytes:
    """Return the line, or lines, that set a variable to the content of its file."""
    written = env_value.ALIKE.fullmatch(entry.raw.decode())
    path = folder / settings.expanded(env_value.read(written) if written else "")
    if reason := next(_problems(folder, path), None):
        raise DamagedFileError(folder / ENV, entry.line + 1, f"the file that {entry.name} names {reason[0]}", reason[1])
    return f"{name}={env_value.written(path.read_bytes().decode())}\n".encode()


def _problems(folder: Path, path: Path) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the file of a value, each with its cure."""
    name = shlex.quote(str(path))
    if not path.is_file():
        yield "does not exist", f"Put the file at {path}, or name another one; paths are relative to {folder}."
    if not os.access(path, os.R_OK):
        yield "cannot be read", f"Run 'chmod u+r {name}' as its owner."
    status = path.stat()
    if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) & 0o077:
        yield "can be read by others", f"Run 'chmod 600 {name}'."
    yield from _problems_with_git(folder, path)
    if status.st_size > MOST:
        yield f"is larger than {MOST // 1024} KiB", "Have the code read it from a path on the host instead."
        return
    encoded = (
        f"Run 'install -m 600 /dev/null {name}.b64; base64 < {name} > {name}.b64', name {path.name}.b64 here, and "
        f"decode the value in the code (base64.b64decode)."
    )
    try:
        value = path.read_bytes().decode()
    except UnicodeDecodeError:
        yield "is not UTF-8 text", encoded
        return
    if env_value.written(value) is None:
        yield "has text that Dagster and Compose read differently however it is quoted", encoded


def _problems_with_git(folder: Path, path: Path) -> Iterator[tuple[str, str]]:
    """Yield that a file is, or would be, committed with the module."""
    repository = version_control.find(folder)
    path = path.resolve()
    if repository is None or not path.is_relative_to(repository.top):
        return
    ignored = f"echo {shlex.quote(f'/{path.name}')} >> {shlex.quote(str(path.parent / '.gitignore'))}"
    if repository.git("ls-files", "--", str(path)):
        inside = f"git -C {shlex.quote(str(path.parent))} rm --cached {shlex.quote(path.name)}"
        yield "is committed", f"Run '{inside}' and '{ignored}', and replace the secrets in it."
    elif not repository.git("check-ignore", "--", str(path), fine=(0, 1)):
        yield "would be committed with the module", f"Run '{ignored}'."
