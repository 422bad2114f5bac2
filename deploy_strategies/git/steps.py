"""git: one commit of the module alone, pushed over the deployment's own connection, or fetched by the host."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dagster_module_builder.base.errors import BuilderError, RefusedError, ToolError
from dagster_module_builder.deploy.host_side.manifest import path_of
from dagster_module_builder.deploy.model.release import (
    ReleaseSource,
    Staged,
    manifest_line,
    refuse_content,
    refuse_link,
)
from dagster_module_builder.deploy.model.source import WAY_OUT, changes, refuse_unpushed
from dagster_module_builder.deploy.strategies.base import Strategy
from dagster_module_builder.deploy.strategies.outbox import Outbox, exported
from dagster_module_builder.deploy.strategies.release_folder import ReleaseFolder
from dagster_module_builder.deploy.strategies.snapshot import (
    Snapshot,
    TreeEntry,
    contents,
    is_link,
    is_program,
    snapshot,
)
from dagster_module_builder.programs.version_control import COMMIT, Repository, find, refuse_uncommitted

#: The branch for the commit in the host's repository; the next deployment sends only what is new.
KEPT = "refs/heads/deployed"
#: A file in the host's repository: it contains only releases. A repository without it is replaced.
MARK = "releases-only"
#: Attributes by which files arrive exactly as committed (gitattributes(5)).
ATTRIBUTES = "* -text -ident -filter !working-tree-encoding -export-subst -export-ignore"

#: Fails if git or tar fails; the status of a shell pipeline alone is that of its last program (POSIX.1-2017, Shell
#: Command Language, 2.9.2).
_UNPACKED = '''exec 4>&1
failed=$({ { git -C "$repository" --literal-pathspecs archive --format=tar "$tree" -- "$@"
echo $? >&3; } | tar -x >&4; } 3>&1) && exit "$failed"'''

_EXPORT = f"""repository=$1 tree=$2
cd "$3" && find . -mindepth 1 -delete || exit
set --
{_UNPACKED}
"""

#: Exports the files whose names are on standard input, each followed by a NUL.
_EXPORT_SOME = f"""cd "$3" && xargs -0 sh -c '
repository=$1 tree=$2
shift 2
{_UNPACKED}
' sh "$1" "$2"
"""
#: Makes the repository, and replaces one that has more than releases; the mark is written last.
_INIT = """test -e "$1/$2" && exit
rm -rf "$1" && git init --quiet --bare ${3:+--object-format="$3"} "$1" && mkdir -p "$1/info" &&
printf '%s\\n' "$4" >"$1/info/attributes" && : >"$1/$2"
"""


class Git(Strategy):
    """Exports one commit on the host."""

    tools_here = ("git", "ssh")
    tools_there = ("git", "tar")
    bulk = True
    shares = True

    def __init__(self) -> None:
        self.repository: Repository | None = None
        self.snapshot: Snapshot | None = None

    def stage(self, module: Path, own: Mapping[str, Any], *, allow_dirty: bool) -> Staged:
        """Read the commit; files that are not committed are never part of it."""
        repository = find(module)
        if repository is None:
            raise RefusedError(f"{module} is not in a git repository: make one, or use the strategy 'rsync'.")
        branch = own.get("branch")
        commit = _commit(repository, branch)
        if not allow_dirty:
            if branch is None or commit == repository.commit():
                refuse_uncommitted(module, changes(self.deployment, repository), WAY_OUT)
            refuse_unpushed(repository, commit)
        whole = _snapshot(repository, own, commit)
        held = contents(repository, whole.entries)
        self.repository, self.snapshot = repository, exported(repository, whole, held)
        return _staged(self.snapshot.entries, held, ReleaseSource(commit, branch or repository.branch))

    def sources(self, own: Mapping[str, Any], inside: str) -> tuple[str, ...]:
        """Return the module's folder, the folder of its files, and the included ones."""
        named = [name.strip("/") for name in (own.get("path") or inside, *(own.get("include") or ()))]
        return tuple(dict.fromkeys([inside, *named]))

    def transfer(self, module: Path, own: Mapping[str, Any], staged: Staged, release_folder: ReleaseFolder) -> None:  # noqa: ARG002
        """Bring the release's tree to the host, and export it there."""
        repository, taken = self._taken()
        release_folder.run("sh", "-c", _INIT, "sh", release_folder.repository, MARK, taken.other_format, ATTRIBUTES)
        if own.get("repository"):
            _fetch(own, str(staged.source.commit), taken, release_folder)
        else:
            before = None if release_folder.source == staged.source.commit else release_folder.source
            _push(repository, taken, _before(repository, own, before), release_folder)
        _export(release_folder, taken.tree, staged, release_folder.lacking(staged))

    def commands(
        self, own: Mapping[str, Any], staged: Staged, release_folder: ReleaseFolder, lacking: Sequence[str]
    ) -> list[str]:
        """Return the commands that bring the release to the host and export it there."""
        repository, taken = self._taken()
        folder = shlex.quote(release_folder.repository)
        brought = (
            release_folder.typed(f"git -C {folder} {shlex.join(_fetching(own, str(staged.source.commit)))}")
            if own.get("repository")
            else _typed(_path(repository, own), str(staged.source.commit), release_folder)
        )
        some = "" if len(lacking) == len(staged.lines) else f" -- {shlex.join(map(path_of, lacking))}"
        export = f"git -C {folder} archive {taken.tree}{some} | tar -x -C {shlex.quote(release_folder.path)}"
        return [brought, release_folder.typed(export)] if lacking else [brought]

    def _taken(self) -> tuple[Repository, Snapshot]:
        if self.repository is None or self.snapshot is None:
            raise RefusedError("Nothing was staged.")
        return self.repository, self.snapshot


def _export(release_folder: ReleaseFolder, tree: str, staged: Staged, lacking: Sequence[str]) -> None:
    where = ("sh", release_folder.repository, tree, release_folder.path)
    if len(lacking) == len(staged.lines):
        release_folder.run("sh", "-c", _EXPORT, *where)
    elif lacking:
        names = b"".join(path.encode("utf-8", "surrogateescape") + b"\0" for path in map(path_of, lacking))
        release_folder.run("sh", "-c", _EXPORT_SOME, *where, stdin=names)


def _commit(repository: Repository, branch: str | None) -> str:
    # A pipeline's checkout has no local branch.
    names = [f"refs/heads/{branch}", f"refs/remotes/origin/{branch}"] if branch else ["HEAD"]
    commit = next(filter(None, map(repository.commit, names)), None)
    if commit is None:
        raise RefusedError(
            f"{repository.folder} has no branch {branch!r}: fetch it, or change 'git: branch' in deployment.yaml."
            if branch
            else f"{repository.folder} has no commit yet: make one."
        )
    return commit


def _path(repository: Repository, own: Mapping[str, Any]) -> str:
    return str(own.get("path") or repository.prefix).strip("/")


def _snapshot(repository: Repository, own: Mapping[str, Any], commit: str) -> Snapshot:
    return snapshot(repository, commit, _path(repository, own), own.get("include") or ())


def _staged(entries: Sequence[TreeEntry], held: Mapping[str, bytes], source: ReleaseSource) -> Staged:
    lines = []
    for entry in entries:
        content = held[entry.name]
        if is_link(entry):
            target = content.decode("utf-8", "surrogateescape")
            inside = not target.startswith("/") and not _leaves(entry.path, target)
            refuse_link(entry.path, target, inside=inside)
        else:
            refuse_content(entry.path, content)
        kind = "l" if is_link(entry) else "x" if is_program(entry) else "f"
        lines.append(manifest_line(entry.path, kind, content))
    files = {entry.path: held[entry.name] for entry in entries if not is_link(entry)}
    return Staged("".join(sorted(lines)), sum(map(len, files.values())), source, files.get)


def _leaves(name: str, target: str) -> bool:
    depth = name.count("/")
    for part in target.split("/"):
        depth += -1 if part == ".." else part not in {"", "."}
        if depth < 0:
            return True
    return False


def _push(repository: Repository, taken: Snapshot, before: Sequence[Snapshot], release_folder: ReleaseFolder) -> None:
    """Push the release; if the host has the previous one, only the differences are sent."""
    outbox = Outbox(repository, [taken], before)
    settings = {"GIT_SSH_COMMAND": shlex.join(release_folder.remote.bulk()), "GIT_SSH_VARIANT": "ssh"}
    try:
        outbox.git(*_pushing(taken.commit, release_folder), environ=settings)
    except ToolError as error:
        raise ToolError(f"{release_folder.remote.address}: {error}") from None


def _before(repository: Repository, own: Mapping[str, Any], commit: str | None) -> list[Snapshot]:
    """Return the snapshot that was sent for the host's current commit; empty if that is not known here."""
    if commit is None or not COMMIT.fullmatch(commit) or repository.commit(commit) is None:
        return []
    try:
        whole = _snapshot(repository, own, commit)
        marks = [entry for entry in whole.entries if entry.path.endswith(".gitattributes")]
        return [exported(repository, whole, contents(repository, marks))]
    except BuilderError:
        # The commit has no such folder, or is not in this shallow clone: everything is sent.
        return []


def _url(release_folder: ReleaseFolder) -> str:
    host = release_folder.remote.address.host
    return f"ssh://{f'[{host}]' if ':' in host else host}{quote(release_folder.repository)}"


def _pushing(commit: str, release_folder: ReleaseFolder) -> list[str]:
    options = ["--quiet", "--no-verify", "--no-recurse-submodules", "--thin"]
    return ["push", *options, "--", _url(release_folder), f"+{commit}:{KEPT}"]


def _typed(path: str, commit: str, release_folder: ReleaseFolder) -> str:
    """Return the command that pushes one tree, as a person would type it here."""
    tree = f"$(git ls-tree --full-tree {shlex.quote(f'{commit}:{path}')} | grep -v '[[:space:]]deploy$' | git mktree)"
    made = f'"$(git -c user.name=Release -c user.email=release commit-tree -m Release {tree}):{KEPT}"'
    return f"git push --quiet --force {shlex.quote(_url(release_folder))} {made}"


def _fetch(own: Mapping[str, Any], commit: str, taken: Snapshot, release_folder: ReleaseFolder) -> None:
    """Have the host fetch the commit alone, and make the release's tree from it."""
    settings = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes"}
    inside = ("git", "-C", release_folder.repository)
    try:
        release_folder.run(*inside, *_fetching(own, commit), environ=settings)
        if not _has(release_folder, commit):
            # The branch has moved on since.
            release_folder.run(*inside, *_fetching({**own, "branch": None}, commit), environ=settings)
    except ToolError as error:
        raise ToolError(
            f"{error}. Check that commit {commit[:8]} is pushed, and that the host may read "
            f"{_without_password(own['repository'])}."
        ) from None
    if taken.made:
        trees = b"".join(b"".join(entry.line for entry in entries) + b"\0" for entries in taken.made.values())
        release_folder.run(*inside, "mktree", "-z", "--batch", stdin=trees)


def _has(release_folder: ReleaseFolder, commit: str) -> bool:
    test = 'git -C "$1" cat-file -e "$2" 2>/dev/null || echo no'
    # The output may contain a warning of the shell, for example about a locale.
    return (
        "no"
        not in release_folder.run(
            "sh", "-c", test, "sh", release_folder.repository, f"{commit}^{{commit}}"
        ).splitlines()
    )


def _fetching(own: Mapping[str, Any], commit: str) -> list[str]:
    wanted = f"+refs/heads/{own['branch']}:{KEPT}" if own.get("branch") else f"+{commit}:{KEPT}"
    options = ["-c", "fetch.recurseSubmodules=no", "fetch", "--quiet", "--no-tags", "--depth=1", "--"]
    return [*options, own["repository"], wanted]


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}" if separator else url
