"""git: exactly one commit of the module alone, pushed over the deployment's own connection, or fetched by the host."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dagster_module_builder.base.errors import BuilderError, RefusedError, ToolError
from dagster_module_builder.deploy.model.release import (
    Source,
    Staged,
    manifest_line,
    path_of,
    refuse_content,
    refuse_link,
)
from dagster_module_builder.deploy.model.source import WAY_OUT, changes, refuse_unpushed
from dagster_module_builder.deploy.strategies.base import Strategy
from dagster_module_builder.deploy.strategies.place import Place
from dagster_module_builder.deploy.strategies.snapshot import (
    Entry,
    Outbox,
    Snapshot,
    contents,
    exported,
    is_link,
    is_program,
    snapshot,
)
from dagster_module_builder.programs.version_control import COMMIT, Repository, find, refuse_uncommitted

#: Where the host's own copy of the repository keeps the commit; the next deployment sends only what is new.
KEPT = "refs/heads/deployed"
#: In the host's repository: it has never had anything but releases. One without it is replaced.
MARK = "releases-only"
#: Committed bytes are what arrives, whatever attributes and settings say (gitattributes(5)).
ATTRIBUTES = "* -text -ident -filter !working-tree-encoding -export-subst -export-ignore"

#: Ends with the failure of git, or with that of tar: a pipeline by itself ends as its last program does
#: (POSIX.1-2017, Shell Command Language, 2.9.2).
_UNPACKED = '''exec 4>&1
failed=$({ { git -C "$repository" --literal-pathspecs archive --format=tar "$tree" -- "$@"
echo $? >&3; } | tar -x >&4; } 3>&1) && exit "$failed"'''

_EXPORT = f"""repository=$1 tree=$2
cd "$3" && find . -mindepth 1 -delete || exit
set --
{_UNPACKED}
"""

#: Exports the files whose names come on stdin, each with a NUL behind it.
_EXPORT_SOME = f"""cd "$3" && xargs -0 sh -c '
repository=$1 tree=$2
shift 2
{_UNPACKED}
' sh "$1" "$2"
"""
#: Makes the repository, in place of one that has more than releases: the mark comes last.
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
        """Take in the commit; what is not committed is never part of it."""
        repository = find(module)
        if repository is None:
            raise RefusedError(f"{module} is in no git repository: make one, or choose the strategy 'rsync'.")
        branch = own.get("branch")
        commit = _commit(repository, branch)
        if not allow_dirty:
            if branch is None or commit == repository.commit():
                refuse_uncommitted(module, changes(self.deployment, repository), WAY_OUT)
            refuse_unpushed(repository, commit)
        whole = _snapshot(repository, own, commit)
        held = contents(repository, whole.entries)
        self.repository, self.snapshot = repository, exported(repository, whole, held)
        return _staged(self.snapshot.entries, held, Source(commit, branch or repository.branch))

    def sources(self, own: Mapping[str, Any], inside: str) -> tuple[str, ...]:
        """Return the module, where its files are taken from, and what is included."""
        named = [name.strip("/") for name in (own.get("path") or inside, *(own.get("include") or ()))]
        return tuple(dict.fromkeys([inside, *named]))

    def transfer(self, module: Path, own: Mapping[str, Any], staged: Staged, place: Place) -> None:  # noqa: ARG002
        """Have the release's tree on the host, and export it there."""
        repository, taken = self._taken()
        place.run("sh", "-c", _INIT, "sh", place.repository, MARK, taken.other_format, ATTRIBUTES)
        if own.get("repository"):
            _fetch(own, str(staged.source.commit), taken, place)
        else:
            before = None if place.source == staged.source.commit else place.source
            _push(repository, taken, _before(repository, own, before), place)
        _export(place, taken.tree, staged, place.lacking(staged))

    def commands(self, own: Mapping[str, Any], staged: Staged, place: Place, lacking: Sequence[str]) -> list[str]:
        """Name what brings the release there, and what exports it."""
        repository, taken = self._taken()
        there = shlex.quote(place.repository)
        brought = (
            place.typed(f"git -C {there} {shlex.join(_fetching(own, str(staged.source.commit)))}")
            if own.get("repository")
            else _typed(_path(repository, own), str(staged.source.commit), place)
        )
        some = "" if len(lacking) == len(staged.lines) else f" -- {shlex.join(map(path_of, lacking))}"
        export = f"git -C {there} archive {taken.tree}{some} | tar -x -C {shlex.quote(place.folder)}"
        return [brought, place.typed(export)] if lacking else [brought]

    def _taken(self) -> tuple[Repository, Snapshot]:
        if self.repository is None or self.snapshot is None:
            raise RefusedError("Nothing was staged.")
        return self.repository, self.snapshot


def _export(place: Place, tree: str, staged: Staged, lacking: Sequence[str]) -> None:
    where = ("sh", place.repository, tree, place.folder)
    if len(lacking) == len(staged.lines):
        place.run("sh", "-c", _EXPORT, *where)
    elif lacking:
        names = b"".join(path.encode("utf-8", "surrogateescape") + b"\0" for path in map(path_of, lacking))
        place.run("sh", "-c", _EXPORT_SOME, *where, given=names)


def _commit(repository: Repository, branch: str | None) -> str:
    # A pipeline's checkout has no branch of its own, only what it fetched.
    names = [f"refs/heads/{branch}", f"refs/remotes/origin/{branch}"] if branch else ["HEAD"]
    commit = next(filter(None, map(repository.commit, names)), None)
    if commit is None:
        raise RefusedError(
            f"{repository.folder}: there is no branch {branch!r} here any more: fetch it, or change 'git: branch'."
            if branch
            else f"{repository.folder} has no commit yet."
        )
    return commit


def _path(repository: Repository, own: Mapping[str, Any]) -> str:
    return str(own.get("path") or repository.prefix).strip("/")


def _snapshot(repository: Repository, own: Mapping[str, Any], commit: str) -> Snapshot:
    return snapshot(repository, commit, _path(repository, own), own.get("include") or ())


def _staged(entries: Sequence[Entry], held: Mapping[str, bytes], source: Source) -> Staged:
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


def _push(repository: Repository, taken: Snapshot, before: Sequence[Snapshot], place: Place) -> None:
    """Push the release; where the host has the one before, only what differs from it travels."""
    outbox = Outbox(repository, [taken], before)
    settings = {"GIT_SSH_COMMAND": shlex.join(place.remote.bulk()), "GIT_SSH_VARIANT": "ssh"}
    try:
        outbox.git(*_pushing(taken.commit, place), environ=settings)
    except ToolError as error:
        raise ToolError(f"{place.remote.address}: {error}") from None


def _before(repository: Repository, own: Mapping[str, Any], commit: str | None) -> list[Snapshot]:
    """Return what was sent for the commit that the host says it runs, if that is known here and was sent alike."""
    if commit is None or not COMMIT.fullmatch(commit) or repository.commit(commit) is None:
        return []
    try:
        whole = _snapshot(repository, own, commit)
        marks = [entry for entry in whole.entries if entry.path.endswith(".gitattributes")]
        return [exported(repository, whole, contents(repository, marks))]
    except BuilderError:
        # It had no such folder, or a history that is cut off here: everything is sent.
        return []


def _url(place: Place) -> str:
    host = place.remote.address.host
    return f"ssh://{f'[{host}]' if ':' in host else host}{quote(place.repository)}"


def _pushing(commit: str, place: Place) -> list[str]:
    options = ["--quiet", "--no-verify", "--no-recurse-submodules", "--thin"]
    return ["push", *options, "--", _url(place), f"+{commit}:{KEPT}"]


def _typed(path: str, commit: str, place: Place) -> str:
    """Return a push of one tree as a person would type it here."""
    tree = f"$(git ls-tree --full-tree {shlex.quote(f'{commit}:{path}')} | grep -v '[[:space:]]deploy$' | git mktree)"
    made = f'"$(git -c user.name=Release -c user.email=release commit-tree -m Release {tree}):{KEPT}"'
    return f"git push --quiet --force {shlex.quote(_url(place))} {made}"


def _fetch(own: Mapping[str, Any], commit: str, taken: Snapshot, place: Place) -> None:
    """Have the host fetch the commit without those before it, and make the release's tree of it."""
    settings = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes"}
    inside = ("git", "-C", place.repository)
    try:
        place.run(*inside, *_fetching(own, commit), environ=settings)
        if not _has(place, commit):
            # The branch has gone on since.
            place.run(*inside, *_fetching({**own, "branch": None}, commit), environ=settings)
    except ToolError as error:
        raise ToolError(
            f"{error}. Is commit {commit[:8]} pushed, and may the host read {_without_password(own['repository'])}?"
        ) from None
    if taken.made:
        trees = b"".join(b"".join(entry.line for entry in entries) + b"\0" for entries in taken.made.values())
        place.run(*inside, "mktree", "-z", "--batch", given=trees)


def _has(place: Place, commit: str) -> bool:
    test = 'git -C "$1" cat-file -e "$2" 2>/dev/null || echo no'
    # Beside it there may be a shell's warning, of a locale that it cannot change for example.
    return "no" not in place.run("sh", "-c", test, "sh", place.repository, f"{commit}^{{commit}}").splitlines()


def _fetching(own: Mapping[str, Any], commit: str) -> list[str]:
    wanted = f"+refs/heads/{own['branch']}:{KEPT}" if own.get("branch") else f"+{commit}:{KEPT}"
    options = ["-c", "fetch.recurseSubmodules=no", "fetch", "--quiet", "--no-tags", "--depth=1", "--"]
    return [*options, own["repository"], wanted]


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}" if separator else url
