"""git: exactly one commit, fetched by the host, or pushed to it over the deployment's own connection."""

from __future__ import annotations

import io
import shlex
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dagster_module_builder.deployments.release import (
    Source,
    Staged,
    manifest_line,
    path_of,
    refuse_content,
    refuse_link,
)
from dagster_module_builder.errors import RefusedError, ToolError
from dagster_module_builder.version_control import git, git_bytes, refuse_uncommitted, refuse_unpushed, top
from deploy_strategies.base import Strategy
from deploy_strategies.place import Place

#: Where the host's own copy of the repository keeps the commit; the next deployment sends only what is new.
KEPT = "refs/heads/deployed"

_EXPORT = 'find "$3" -mindepth 1 -delete; git -C "$1" archive --format=tar "$2" | tar -x -C "$3"'

#: Exports the files whose names come on stdin, each with a NUL behind it.
_EXPORT_SOME = """cd "$3" && xargs -0 sh -c '
repository=$1 tree=$2
shift 2
git -C "$repository" --literal-pathspecs archive --format=tar "$tree" -- "$@" | tar -x
' sh "$1" "$2"
"""
_INIT = 'test -d "$1" || git init --quiet --bare "$1"'


class Git(Strategy):
    """Exports one commit on the host."""

    tools_here = ("git", "ssh")
    tools_there = ("git", "tar")
    bulk = True
    shares = True

    def stage(self, module: Path, own: Mapping[str, Any], *, allow_dirty: bool) -> Staged:
        """Take in the commit; what is not committed is never part of it."""
        repository = top(module)
        if repository is None:
            raise RefusedError(f"{module} is in no git repository: make one, or choose the strategy 'rsync'.")
        branch = own.get("branch")
        commit = _commit(module, branch)
        if commit == _head(module):
            changed = git(module, "status", "--porcelain", "--untracked-files=all", "--", ".")
            refuse_uncommitted(module, changed, allow_dirty=allow_dirty)
        refuse_unpushed(module, commit, allow_dirty=allow_dirty)
        tree = _tree(module, own, commit)
        _refuse_submodules(repository, tree)
        here = branch or git(module, "symbolic-ref", "-q", "--short", "HEAD", fine=(0, 1)) or None
        return _staged(repository, tree, Source(commit, here))

    def transfer(self, module: Path, own: Mapping[str, Any], staged: Staged, place: Place) -> None:
        """Have the commit on the host, and export it there."""
        commit = str(staged.source.commit)
        if own.get("repository"):
            _fetch(own, commit, place)
        else:
            place.run("sh", "-c", _INIT, "sh", place.repository)
            _push(module, commit, place)
        _export(place, _tree(module, own, commit), staged, place.lacking(staged))

    def commands(self, own: Mapping[str, Any], staged: Staged, place: Place, lacking: Sequence[str]) -> list[str]:
        """Name what brings the commit there, and what exports it."""
        commit = str(staged.source.commit)
        repository = shlex.quote(place.repository)
        brought = (
            place.typed(f"git -C {repository} {shlex.join(_fetching(own, commit))}")
            if own.get("repository")
            else shlex.join(["git", *_pushing(commit, place)])
        )
        tree = shlex.quote(_tree(self.deployment.module, own, commit))
        some = "" if len(lacking) == len(staged.lines) else f" -- {shlex.join(map(path_of, lacking))}"
        export = f"git -C {repository} archive {tree}{some} | tar -x -C {shlex.quote(place.folder)}"
        return [brought, place.typed(export)] if lacking else [brought]


def _export(place: Place, tree: str, staged: Staged, lacking: Sequence[str]) -> None:
    where = ("sh", place.repository, tree, place.folder)
    if len(lacking) == len(staged.lines):
        place.run("sh", "-c", _EXPORT, *where)
    elif lacking:
        names = b"".join(path.encode("utf-8", "surrogateescape") + b"\0" for path in map(path_of, lacking))
        place.run("sh", "-c", _EXPORT_SOME, *where, given=names)


def _head(module: Path) -> str:
    return git(module, "rev-parse", "--verify", "--quiet", "HEAD", fine=(0, 1))


def _commit(module: Path, branch: str | None) -> str:
    # A pipeline's checkout has no branch of its own, only what it fetched.
    names = [f"refs/heads/{branch}", f"refs/remotes/origin/{branch}"] if branch else ["HEAD"]
    found = (git(module, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", fine=(0, 1)) for name in names)
    commit = next(filter(None, found), "")
    if not commit:
        raise RefusedError(f"{module}: there is no branch {branch!r} here any more: fetch it, or change 'git: branch'."
                           if branch else f"{module} has no commit yet.")  # fmt: skip
    return commit


def _tree(module: Path, own: Mapping[str, Any], commit: str) -> str:
    """Return the name of the module's folder in a commit."""
    path = own.get("path") or git(module, "rev-parse", "--show-prefix")
    return f"{commit}:{path.strip('/')}"


def _refuse_submodules(repository: Path, tree: str) -> None:
    for line in git(repository, "ls-tree", "-r", "-z", "--full-tree", tree).split("\0"):
        if line.startswith("160000 "):
            raise RefusedError(
                f"{line.partition(chr(9))[2]} is a submodule, which an export leaves empty: "
                f"choose the strategy 'rsync', or take it out."
            )


def _staged(repository: Path, tree: str, source: Source) -> Staged:
    lines, contents = [], {}
    with tarfile.open(fileobj=io.BytesIO(git_bytes(repository, "archive", "--format=tar", tree))) as archive:
        for member in archive:
            if member.issym():
                inside = not member.linkname.startswith("/") and not _leaves(member.name, member.linkname)
                refuse_link(member.name, member.linkname, inside=inside)
                lines.append(manifest_line(member.name, "l", member.linkname.encode("utf-8", "surrogateescape")))
            elif member.isfile() and (file := archive.extractfile(member)):
                contents[member.name] = file.read()
                refuse_content(member.name, contents[member.name])
                lines.append(manifest_line(member.name, "x" if member.mode & 0o100 else "f", contents[member.name]))
    return Staged("".join(sorted(lines)), sum(map(len, contents.values())), source, contents.get)


def _leaves(name: str, target: str) -> bool:
    depth = name.count("/")
    for part in target.split("/"):
        depth += -1 if part == ".." else part not in {"", "."}
        if depth < 0:
            return True
    return False


def _push(module: Path, commit: str, place: Place) -> None:
    settings = {"GIT_SSH_COMMAND": shlex.join(place.remote.bulk()), "GIT_SSH_VARIANT": "ssh"}
    try:
        git_bytes(module, *_pushing(commit, place), environ=settings)
    except ToolError as error:
        raise ToolError(f"{place.remote.address}: {error}") from None


def _pushing(commit: str, place: Place) -> list[str]:
    host = place.remote.address.host
    where = f"ssh://{f'[{host}]' if ':' in host else host}{quote(place.repository)}"
    return ["push", "--quiet", "--no-verify", "--no-recurse-submodules", where, f"+{commit}:{KEPT}"]


def _fetch(own: Mapping[str, Any], commit: str, place: Place) -> None:
    place.run("sh", "-c", _INIT, "sh", place.repository)
    settings = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes"}
    try:
        place.run("git", "-C", place.repository, *_fetching(own, commit), environ=settings)
        place.run("git", "-C", place.repository, "cat-file", "-e", f"{commit}^{{commit}}")
    except ToolError as error:
        raise ToolError(
            f"{error}. Is commit {commit[:8]} pushed, and may the host read {_without_password(own['repository'])}?"
        ) from None


def _fetching(own: Mapping[str, Any], commit: str) -> list[str]:
    wanted = f"+refs/heads/{own['branch']}:{KEPT}" if own.get("branch") else f"+{commit}:{KEPT}"
    options = ["-c", "fetch.recurseSubmodules=no", "fetch", "--quiet", "--no-tags", "--"]
    return [*options, own["repository"], wanted]


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}" if separator else url
