"""Bytes, duplicates, links and modes, two at once."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import BuilderError, NoWorkspaceError
from dagster_module_builder.shared_files.formats import dockerfile, env_file
from dagster_module_builder.shared_files.formats.shared_file import Contribution
from dagster_module_builder.transactions.backups import backup_ids, prune_backups
from dagster_module_builder.transactions.lock import LockedError, locked
from dagster_module_builder.transactions.plan import FileChange, Plan
from dagster_module_builder.transactions.replacement import ChangedMeanwhileError
from dagster_module_builder.transactions.transaction import commit
from dagster_module_builder.workspaces import sync
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.remove import remove_module
from tests import needs
from tests.engine.folders import (
    COMPOSE,
    DOCKERFILE,
    ENV,
    FIRST_PORT,
    SHARED,
    WORKSPACE,
    make_module,
    make_workspace,
    registry,
    services,
    shared,
    state,
)
from tests.engine.merging import merged, without
from tests.engine.refusals import refused

LINES = Contribution((), mapping=(b"X='1'",))
RUN = Contribution((), mapping=(b"RUN x",))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a workspace with a module ``seo`` that is not yet in it."""
    made = make_workspace(tmp_path / "ws")
    make_module(made, "seo")
    return made


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\n", b"\n# c"])
def test_bytes_that_are_no_text_stay_as_they_are(end: bytes) -> None:
    for kind, own, given in ((env_file.FILE, b"A=\xff\xfe", LINES), (dockerfile.FILE, b"FROM x\nENV A=\xe9", RUN)):
        found = merged(kind, own + end, {"seo": [given]})
        assert (found.text or b"").startswith(own + end)
        assert without(kind, found, "seo") == own + end


@pytest.mark.parametrize("blanks", [b" ", b"\t", b"  \t "])
def test_blanks_behind_a_marker_are_tolerated(blanks: bytes, root: Path) -> None:
    before = shared(root)
    add_module(root, "seo")
    for path in (services(root) / name for name in SHARED):
        path.write_bytes(re.sub(rb"(# (?:BEGIN|END): seo)\n", rb"\1" + blanks + rb"\n", path.read_bytes()))
    remove_module(root, "seo")
    assert shared(root) == before


#: A Dockerfile, with ``@`` where the block goes.
DOCKERFILES = [
    b"FROM x\nRUN y\n@CMD z\n",
    b"FROM x\nRUN y\n@# why not root\n# at all\nUSER 1000\nCMD z\n",
    b"FROM x AS a\nUSER 1\nFROM a\nRUN y\n@USER 2\n",
    b"FROM x\nRUN a \\\n  USER \\\n# c\n  b\n@CMD z\n",
    b"FROM x\nRUN <<EOF\nUSER a\nEOF\n@CMD z\n",
    b"FROM x\nRUN echo $((1<<3))\n@CMD z\n",
    b'FROM x\nRUN echo "a <<b"\n@CMD z\n',
    b"FROM x\nRUN a '<<EOF' b\n@CMD z\n",
    b"FROM x\nCOPY <<one.sh <<-two /x/\nUSER a\none.sh\nUSER b\n\ttwo\n@CMD z\n",
    b"FROM x\nUSER root\nRUN y\n@user 1000\n",
    b"FROM x\n@",
    b"FROM x\nRUN y\n\n@ENTRYPOINT a\nCMD b\n",
    b"@",
]


@pytest.mark.parametrize("text", DOCKERFILES)
@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_a_snippet_goes_before_what_says_how_the_image_runs(text: bytes, ending: bytes) -> None:
    text = text.replace(b"\n", ending)
    before = text.replace(b"@", b"")
    found = merged(dockerfile.FILE, before, {"seo": [RUN]})
    block = b"# BEGIN: seo\nRUN x\n# END: seo\n"
    assert found.text == text.replace(b"@", block.replace(b"\n", ending if before else b"\n"))
    assert without(dockerfile.FILE, found, "seo") == before


@pytest.mark.parametrize(
    "text", [b"FROM x\nRUN a \\\n", b"FROM x\nRUN a \\", b"FROM x\nRUN <<EOF\nx\n", b"FROM x\nRUN a \\\n# c\n\n"]
)
def test_an_instruction_without_its_end_is_refused(text: bytes, tmp_path: Path) -> None:
    whole = make_workspace(tmp_path / "whole", dockerfile=text)
    make_module(whole, "seo")
    assert f"{services(whole) / 'Dockerfile'}:2: " in refused(whole, lambda: add_module(whole, "seo"))
    fragment = make_workspace(tmp_path / "fragment")
    folder = make_module(fragment, "seo", dockerfile=text.removeprefix(b"FROM x\n"))
    said = refused(fragment, lambda: add_module(fragment, "seo"))
    assert f"{folder / 'workspace/local/dockerfile.snippet'}:1: " in said


@pytest.mark.parametrize(
    ("head", "line"),
    [(b"# escape=`\n", 1), (b"#syntax=docker/dockerfile:1\n # Escape = `  \n", 2), (b"\xef\xbb\xbf# escape=`\r\n", 1)],
)
def test_a_dockerfile_in_which_a_backslash_is_no_escape_is_refused(tmp_path: Path, head: bytes, line: int) -> None:
    """FAULTS S15: its lines are not those that modules' instructions are made of; what is no directive is a comment."""
    text = head + b"FROM x\nCOPY a `\n  b\n"
    root = make_workspace(tmp_path / "ws", dockerfile=text)
    make_module(root, "seo")
    said = refused(root, lambda: add_module(root, "seo"))
    assert f"{services(root) / 'Dockerfile'}:{line}: '# escape=`' changes how lines are continued" in said
    for harmless in (b"# escape=\\\n", b"# A word.\n# escape=`\n", b"\n# escape=`\n"):
        (root / "services/dagster/Dockerfile").write_bytes(harmless + b"FROM x\n")
        assert add_module(root, "seo", dry_run=True).plan.effective


@pytest.mark.parametrize(
    "line",
    [
        b"SEO_A=a b",
        b'SEO_A="$b"',
        b"SEO_A=$B",
        b"SEO_A='a",
        b"SEO_A='a'b'",
        b"just words",
        b"SEO-A='1'",
        b"SEO_A: '1'",
        b"='1'",
    ],
)
def test_a_variable_that_is_not_read_alike_is_refused_with_its_line(line: bytes, root: Path) -> None:
    folder = make_module(root, "seo", env=b"# fine\nSEO_DB_PORT='15440'\nSEO_DB_PASSWORD='x'\n" + line + b"\n")
    assert f"{folder / 'workspace/local/.env'}:4: " in refused(root, lambda: add_module(root, "seo"))


CLAIMED = {
    "a service": ("compose", COMPOSE.replace(b"\n  store:\n", b"\n  seo_db: {image: x}\n  store:\n"), "service seo_db"),
    "a volume": ("compose", COMPOSE + b"  seo_db_data:\n", "volume seo_db_data"),
    "a location": (
        "workspace",
        b"load_from:\n- python_module:\n    module_name: a\n    location_name: seo\n",
        "location seo",
    ),
    "a port": ("compose", COMPOSE.replace(b"\n  store:\n", b"\n  store:\n    ports: ['15440:1']\n"), "port 15440"),
    "a port of an address": (
        "compose",
        COMPOSE.replace(b"\n  store:\n", b"\n  store:\n    ports:\n      - 127.0.0.1:15440:80/tcp\n"),
        "port 15440",
    ),
    "a port of a range": (
        "compose",
        COMPOSE.replace(b"\n  store:\n", b'\n  store:\n    ports:\n      - "15400-15500:80-180"\n'),
        "port 15440",
    ),
    "a port in long form": (
        "compose",
        COMPOSE.replace(b"\n  store:\n", b'\n  store:\n    ports:\n      - target: 80\n        published: "15440"\n'),
        "port 15440",
    ),
    "a port in a variable": (
        "compose",
        COMPOSE.replace(b"\n  store:\n", b'\n  store:\n    ports:\n      - "${NONE:-15440}:80"\n'),
        "port 15440",
    ),
}


@pytest.mark.parametrize("what", CLAIMED)
def test_what_two_would_claim_is_refused_with_both_owners(what: str, tmp_path: Path) -> None:
    key, text, named = CLAIMED[what]
    root = make_workspace(tmp_path / "ws", **{key: text})
    make_module(root, "seo")
    said = refused(root, lambda: add_module(root, "seo"))
    assert re.search(rf"{named} is claimed by .*the workspace", said)
    assert "seo" in said


def test_two_modules_with_one_port_are_refused_and_both_are_named(root: Path) -> None:
    make_module(root, "other", FIRST_PORT)
    add_module(root, "seo")
    said = refused(root, lambda: add_module(root, "other"))
    assert "host port 15440 is claimed by seo and other" in said


def test_keys_that_yaml_would_accept_twice_are_refused(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws", compose=COMPOSE + b"volumes:\n  more:\n")
    make_module(root, "seo")
    line = COMPOSE.count(b"\n") + 1
    assert f"{services(root) / 'docker-compose.yml'}:{line}: the key 'volumes'" in refused(
        root, lambda: add_module(root, "seo")
    )


def test_links_inside_the_workspace_are_followed(root: Path) -> None:
    target = root / "shared.env"
    (services(root) / ".env").rename(target)
    (services(root) / ".env").symlink_to("../../shared.env")
    add_module(root, "seo")
    assert b"BEGIN: seo" in target.read_bytes()
    assert (services(root) / ".env").is_symlink()
    remove_module(root, "seo")
    assert target.read_bytes() == ENV


def test_links_out_of_the_workspace_are_refused(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.env"
    (services(root) / ".env").rename(outside)
    (services(root) / ".env").symlink_to(outside)
    assert str(outside) in refused(root, lambda: add_module(root, "seo"))
    assert outside.read_bytes() == ENV


def test_a_link_in_a_circle_is_refused(root: Path) -> None:
    (services(root) / ".env").unlink()
    (services(root) / ".env").symlink_to(".env")
    refused(root, lambda: add_module(root, "seo"))


def test_a_file_with_two_names_is_refused(root: Path) -> None:
    os.link(services(root) / ".env", root / "second")
    assert "hard links" in refused(root, lambda: add_module(root, "seo"))


def test_a_read_only_file_is_refused_before_anything_is_written(root: Path) -> None:
    (services(root) / "Dockerfile").chmod(0o444)
    assert f"{services(root) / 'Dockerfile'} is read-only" in refused(root, lambda: add_module(root, "seo"))


def test_modes_stay_and_backups_have_them_too(root: Path) -> None:
    (services(root) / ".env").chmod(0o640)
    (services(root) / "Dockerfile").chmod(0o664)
    outcome = add_module(root, "seo")
    backup = root / settings.BACKUPS / str(outcome.backup)
    for folder, names in ((services(root), (".env", "Dockerfile")), (backup, ("1-.env", "3-Dockerfile"))):
        assert [mode(folder / name) for name in names] == [0o640, 0o664]
    assert mode(backup) == 0o700


def test_a_made_env_file_is_for_its_owner_alone_and_goes_again(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws", env=None, dockerfile=None)
    make_module(root, "seo", dockerfile=None)
    add_module(root, "seo")
    assert mode(services(root) / ".env") == 0o600
    remove_module(root, "seo")
    assert set(shared(root)) == {"workspace.yaml", "docker-compose.yml"}


def test_the_owner_stays(root: Path) -> None:
    needs.root()
    os.chown(services(root) / ".env", 1234, 1235)
    add_module(root, "seo")
    found = (services(root) / ".env").stat()
    assert (found.st_uid, found.st_gid) == (1234, 1235)


def test_a_file_that_is_mounted_singly_is_refused(root: Path) -> None:
    """FAULTS B1: that both ends of the mount are on one file system hides it from everything but the list of mounts."""
    needs.root()
    needs.program("unshare")
    mount = f"mount --bind {root / 'second'} {services(root) / '.env'}"
    (root / "second").write_bytes(ENV)
    old = state(root)
    script = root / "command.py"
    script.write_text(
        "import pathlib\nfrom dagster_module_builder.base import errors\n"
        "from dagster_module_builder.workspaces.add import add_module\n"
        f"try:\n    add_module(pathlib.Path({str(root)!r}), 'seo')\n"
        "except errors.RefusedError as error:\n    print(error)\n"
    )
    command = ["unshare", "--mount", "sh", "-c", f"{mount} && exec {sys.executable} {script}"]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if "permission denied" in done.stderr.lower() or "not permitted" in done.stderr.lower():
        needs.lacking("a kernel that lets this user mount")
    assert "is mounted as a single file" in done.stdout, done.stderr
    assert state(root) == old


def test_only_one_may_hold_the_lock(root: Path) -> None:
    """FAULTS S14: whoever may read a file may lock it; files of an earlier version are brought along."""
    modules = services(root) / "modules"
    for name in (".lock", ".lock-holder"):
        (modules / name).write_text("{}")
        (modules / name).chmod(0o644)
    with locked(root):
        assert {(modules / name).stat().st_mode & 0o777 for name in (".lock", ".lock-holder")} == {0o600}


@contextlib.contextmanager
def holding(root: Path) -> Iterator[subprocess.Popen[str]]:
    """Hold a workspace's lock in another process."""
    code = (
        "import sys, pathlib; from dagster_module_builder.transactions.lock import locked\n"
        "with locked(pathlib.Path(sys.argv[1])):\n    print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(root)]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.communicate(timeout=20)


def test_who_waits_is_told_who_holds_the_workspace_and_for_how_long_it_is_waited(root: Path) -> None:
    before = state(root)
    with holding(root) as process:
        begun = time.monotonic()
        with pytest.raises(LockedError) as caught, locked(root, wait=0.5):
            pass
        assert 0.4 < time.monotonic() - begun < 5
        said = str(caught.value)
        assert f"process {process.pid} on " in said
        assert re.search(r"since 20\d\d-\d\d-\d\dT", said)
        assert str(root) in said
    assert state(root) == before
    add_module(root, "seo")


def test_a_holder_that_was_killed_holds_nothing(root: Path) -> None:
    with holding(root) as process:
        process.kill()
        process.wait(timeout=20)
        with locked(root, wait=5):
            pass


def test_an_editor_between_plan_and_commit_wins(root: Path) -> None:
    """The check between is where the editor saves: of each file in turn, the last to be replaced too."""
    for name in (*SHARED, "modules/.registry"):
        path = services(root) / name
        text = path.read_bytes() if path.exists() else b'{"version": "1.0.0", "integrated_modules": []}'
        old = {**state(root)[0]}

        def save(_workspace: object, _plan: Plan, path: Path = path, text: bytes = text) -> list[str]:
            path.write_bytes(text + b"\n")
            return []

        with pytest.raises(ChangedMeanwhileError, match=re.escape(str(path))):
            add_module(root, "seo", checks=[save])
        assert path.read_bytes() == text + b"\n"
        assert {**shared(root), name: b""} == {**old, name: b""}
        path.write_bytes(text)
    add_module(root, "seo")


def test_what_is_written_after_ours_is_not_rolled_back(root: Path) -> None:
    """A second file fails while an editor has saved over the first one, which was replaced already."""
    first, second = services(root) / "workspace.yaml", services(root) / ".env"
    second.write_bytes(ENV + b"CHANGED='1'\n")
    plan = Plan((FileChange(first, WORKSPACE, b"load_from: [a.py]\n"), FileChange(second, ENV, ENV + b"X='1'\n")))
    stop = threading.Event()

    def save_over() -> None:
        while not stop.is_set():
            if first.read_bytes() == b"load_from: [a.py]\n":
                # By a rename, as editors save: half a file is never seen.
                saved.write_bytes(b"load_from: [mine.py]\n")
                saved.replace(first)

    saved = first.with_name("workspace.yaml.saved")
    editor = threading.Thread(target=save_over)
    editor.start()
    try:
        for _ in range(20):
            first.write_bytes(WORKSPACE)
            with pytest.raises(ChangedMeanwhileError):
                commit(root, plan)
            assert first.read_bytes() in (WORKSPACE, b"load_from: [mine.py]\n")
    finally:
        stop.set()
        editor.join()
    assert second.read_bytes() == ENV + b"CHANGED='1'\n"


def test_backups_are_kept_for_a_week_and_the_newest_for_ever(root: Path) -> None:
    add_module(root, "seo")
    remove_module(root, "seo")
    first, second = backup_ids(root)
    later = datetime.now(timezone.utc) + timedelta(days=8)
    assert prune_backups(root, datetime.now(timezone.utc) + timedelta(days=6)) == []
    assert prune_backups(root, later) == [first]
    assert prune_backups(root, later) == []
    assert backup_ids(root) == [second]


def test_a_second_sync_writes_no_file(root: Path) -> None:
    make_module(root, "other", FIRST_PORT + 1)
    assert sync.sync(root).added == ("other", "seo")
    made = backup_ids(root)
    again = sync.sync(root)
    assert again.outcome.plan.effective == ()
    assert backup_ids(root) == made


def test_a_sync_is_all_modules_or_none(root: Path) -> None:
    make_module(root, "broken", FIRST_PORT + 1, workspace=b"load_from: {\n")
    refused(root, lambda: sync.sync(root))
    assert registry(root) == {"integrated_modules": []}


def test_a_folder_that_is_no_workspace_stays_empty(tmp_path: Path) -> None:
    with pytest.raises(NoWorkspaceError):
        add_module(tmp_path, "seo")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["workspace.yaml", "docker-compose.yml", ".env", "Dockerfile"])
def test_a_folder_in_place_of_a_file_is_refused(name: str, root: Path) -> None:
    (services(root) / name).unlink()
    (services(root) / name).mkdir()
    with pytest.raises(BuilderError):
        add_module(root, "seo")
    assert (services(root) / name).is_dir()
    assert DOCKERFILE in {**shared(root), "": DOCKERFILE}.values()
