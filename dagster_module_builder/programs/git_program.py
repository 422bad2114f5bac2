"""The only caller of Git, and private Git directories that ignore a repository's settings.

A module may come from elsewhere, with its ``.git`` folder. The programs in that folder's ``config`` (filters, an SSH
command, a file system monitor, hooks, helpers for passwords) must not run when a module is inspected. So Git reads the
objects, refs and index of a repository through a private directory of links, whose ``config`` has only the settings
that decide how those are read.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dagster_module_builder.programs import outside_programs

#: Variables for all of a user's repositories; the other ``GIT_*`` variables redirect Git, or make it run programs.
_KEPT_VARIABLES = re.compile(
    r"GIT_(?:CONFIG_.+|EXEC_PATH|SSL_.+|TEST_ASSUME_DIFFERENT_OWNER|DISCOVERY_ACROSS_FILESYSTEM)"
)
#: The settings of a repository that are kept: for reading its files, index and refs, and its remotes.
_KEPT_SETTINGS = re.compile(
    r"core\.(?:repositoryformatversion|filemode|symlinks|ignorecase|precomposeunicode|protect(?:hfs|ntfs)|autocrlf|eol"
    r"|trustctime|checkstat|sparsecheckout(?:cone)?)|index\.sparse|extensions\.(?:objectformat|refstorage)"
    r"|remote\..+\.(?:url|fetch)|branch\..+\.(?:remote|merge)",
    re.DOTALL,
)
#: Entries of a Git directory that the private one lacks, or replaces by its own files.
_LEFT_OUT = {"HEAD", "commondir", "config", "config.worktree", "gitdir", "hooks", "worktrees"}
_ALWAYS = (
    "-c", "safe.bareRepository=explicit", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null",
    "-c", "log.showSignature=false",
)  # fmt: skip


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables for Git: nothing that redirects it, messages in English, no questions.

    Args:
        extra: More variables.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or _KEPT_VARIABLES.fullmatch(name)
    }
    fixed = {
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_ALLOW_PROTOCOL": "ssh",
        "GIT_PAGER": "cat",
    }
    return {**kept, **fixed, **(extra or {})}


def run(
    folder: Path,
    *arguments: str,
    fine: Sequence[int] = (0,),
    environ: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    limit: float | None = None,
) -> outside_programs.Answer:
    """Run Git.

    Args:
        folder: The working directory.
        arguments: The arguments.
        fine: The exit statuses that are not failures.
        environ: Variables besides the fixed ones.
        stdin: Its standard input.
        limit: Seconds after which it is stopped; None for no limit.

    Raises:
        ToolError: Git failed (the error quotes it), or is not installed.
    """
    return outside_programs.ask(
        ["git", *_ALWAYS, *arguments],
        answers=fine,
        named=f"git {arguments[0]}",
        folder=folder,
        environ=environment(environ),
        stdin=stdin,
        limit=limit,
    )


def private_directory(common: Path, own: Path) -> Path:
    """Create a Git directory that shows a repository without its settings; the caller removes it.

    Args:
        common: The repository's Git directory.
        own: The same directory, or that of a linked worktree.
    """
    view = Path(tempfile.mkdtemp(prefix="git-view-"))
    try:
        _fill(view, common, own)
    except BaseException:
        shutil.rmtree(view)
        raise
    return view


def _fill(view: Path, common: Path, own: Path) -> None:
    shared, private = {path.name: path for path in common.iterdir()}, {path.name: path for path in own.iterdir()}
    # A linked worktree has a separate index, and shares the refs.
    linked = {**private, **shared, **{name: private[name] for name in private.keys() - {"refs", "logs"}}}
    for name, path in linked.items():
        if name not in _LEFT_OUT and not name.endswith((".lock", ".ipc")):
            (view / name).symlink_to(path)
    (view / "HEAD").write_text(_head(own / "HEAD"))
    (view / "config").write_bytes(b"")
    files = [common / "config", common / "config.worktree", own / "config.worktree"]
    (view / "config").write_bytes(_settings(view, files).encode("utf-8", "surrogateescape"))


def _head(path: Path) -> str:
    return f"ref: {path.readlink()}\n" if path.is_symlink() else path.read_text("utf-8", "surrogateescape")


def _settings(view: Path, files: Iterable[Path]) -> str:
    """Return the kept settings of a repository as the text of a ``config``."""
    lines = []
    for path in dict.fromkeys(files):
        if path.is_file():
            listed = run(view, "config", "--file", str(path), "--list", "--null", environ={"GIT_DIR": str(view)}).out
            lines += [_line(item) for item in listed.decode("utf-8", "surrogateescape").split("\0") if item]
    return "".join(lines)


def _line(item: str) -> str:
    key, separator, value = item.partition("\n")
    if not _KEPT_SETTINGS.fullmatch(key):
        return ""
    section, _, name = key.rpartition(".")
    section, dot, inner = section.partition(".")
    head = f'[{section} "{_quoted(inner)}"]' if dot else f"[{section}]"
    return f'{head}\n\t{name} = "{_quoted(value)}"\n' if separator else f"{head}\n\t{name}\n"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
