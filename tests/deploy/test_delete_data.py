"""What a module has stored is deleted with it when that is asked for, and not before it was dumped."""

from __future__ import annotations

import json
import multiprocessing
import os
import secrets
import shutil
import stat
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy import dry_runs
from dagster_module_builder.deploy.connection import conversation
from dagster_module_builder.deploy.host_side import dumps
from dagster_module_builder.deploy.host_side.client import Client
from dagster_module_builder.deploy.host_side.host import Host
from dagster_module_builder.deploy.model.deployment import find
from dagster_module_builder.deploy.removal import remove
from tests import needs
from tests.deploy.module_data import configure
from tests.deploy.program import run
from tests.deploy.quick_images import base_image
from tests.deploy.sites import Site
from tests.deploy.system_calls import traced
from tests.e2e.engine import Engine
from tests.ports import free_port
from tests.template import database_servers

SCHEMA = (
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, what VARCHAR(40)); INSERT INTO orders VALUES (1, 'eleven teapots');"
)
RUN = {"runId": "1", "status": "STARTED", "tags": [], "repositoryOrigin": {"repositoryLocationName": "sales_report"}}


@pytest.fixture(params=["postgresql", "mysql"])
def with_database(quick: Site, request: pytest.FixtureRequest) -> Iterator[tuple[Site, Path]]:
    """Give a deployed module with a database server on its host, which no container is."""
    settings = {"USER": "shop", "NAME": "orders", "PASSWORD": "s3cret-of-the-shop"}
    schema = quick.host.folder / "schema.sql"
    schema.write_text(SCHEMA)
    port = free_port()
    data = yaml.safe_load((quick.module / "deploy/yoda/deployment.yaml").read_text())
    data["database"] = {"type": request.param, "port": port}
    (quick.module / "deploy/yoda/deployment.yaml").write_text(yaml.safe_dump(data))
    with database_servers.running(request.param, port, settings, schema):
        named = {f"DB_{name}": value for name, value in settings.items()}
        storage = configure(quick, DB_HOST="127.0.0.1", DB_PORT=port, **named)
        quick.deploy()
        yield quick, storage


def test_dumped_and_deleted(with_database: tuple[Site, Path]) -> None:
    site, storage = with_database
    (planned,) = dry_runs.removal(find(site.root, "yoda"), delete_data=True)
    (change,) = planned["modules"].values()
    assert change["deleted"] == [f"what sales-report stored in {storage}"]
    assert "database orders on 127.0.0.1 is left there" in "\n".join(change["notes"])
    (planned,) = dry_runs.removal(find(site.root, "yoda"))
    assert planned["modules"]["sales-report"]["kept"] == change["deleted"]
    assert site.running() == site.current()
    (outcome,) = remove(find(site.root, "yoda"), delete_data=True)
    (dump,) = (site.host.base / "dumps").iterdir()
    assert stat.S_IMODE(dump.stat().st_mode) == 0o700
    assert stat.S_IMODE((dump / "database.sql").stat().st_mode) == 0o600
    assert "eleven teapots" in (dump / "database.sql").read_text()
    with tarfile.open(dump / "storage.tar.gz") as packed:
        assert "sales_report/number" in packed.getnames()
    assert [path.name for path in storage.iterdir()] == ["other_module"]
    assert not site.there.exists()
    told = "\n".join(outcome.notes)
    assert str(dump) in told
    assert "database orders on 127.0.0.1 is left there" in told
    assert "s3cret" not in told


def test_a_dump_that_fails_leaves_everything(with_database: tuple[Site, Path]) -> None:
    site, storage = with_database
    release = site.current()
    # As if the server's password had been changed since.
    env = site.there / "env" / f"{release}.env"
    env.write_text(env.read_text().replace("s3cret-of-the-shop", "another"))
    with pytest.raises(BuilderError, match="could not be dumped"):
        remove(find(site.root, "yoda"), delete_data=True)
    assert site.running() == site.current() == release
    assert (storage / "sales_report/number").exists()
    assert not list((site.host.base / "dumps").iterdir())


def test_runs_in_progress_keep_their_data(quick: Site) -> None:
    storage = configure(quick)
    quick.deploy()
    quick.dagster.runs = [RUN]
    with pytest.raises(BuilderError, match="1 runs of sales-report are in progress"):
        remove(find(quick.root, "yoda"), delete_data=True)
    assert quick.running() == quick.current()
    assert (storage / "sales_report/number").exists()


def test_asked_before_and_stays_otherwise(quick: Site) -> None:
    storage = configure(quick)
    quick.deploy()
    flags = ["deploy.remove", "yoda", "--module", "sales-report"]
    said = run(quick.root, *flags, "--delete-data")
    assert said.returncode == 1
    assert "stored files there after a dump" in said.stderr
    assert quick.there.exists()
    assert run(quick.root, *flags, "--yes").returncode == 0
    assert (storage / "sales_report/number").exists()
    assert not (quick.host.base / "dumps").exists()
    quick.deploy()
    said = run(quick.root, *flags, "--delete-data", "--yes", "--json")
    assert said.returncode == 0, said
    assert json.loads(said.stdout)[0]["deleted"] == [f"{storage}/sales_report"]
    assert not (storage / "sales_report").exists()
    assert (storage / "other_module").exists()


#: Kills the host's side at the N-th change of a folder, or start of a program, behind the switch.
INJURED = """
import os, signal, sys
from host_side import conversation, keep_or_undo
EVENTS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "subprocess.Popen"}
left = None
def hook(event, arguments):
    global left
    if left is not None and event in EVENTS:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
remove = keep_or_undo.remove_module
def injured(*arguments, **named):
    global left
    left = NUMBER
    return remove(*arguments, **named)
keep_or_undo.remove_module = injured
main = conversation.main
"""


@pytest.fixture
def injure(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Have the host's side killed at its N-th change behind the switch; 0 lets it live."""
    whole = zlib.decompress(conversation.program())

    def at(number: int) -> None:
        added = [["host_side.injury", INJURED.replace("NUMBER", str(number))]] if number else []
        program = zlib.compress(json.dumps([*json.loads(whole), *added]).encode())
        monkeypatch.setattr(conversation, "program", lambda: program)

    return at


def tree_of(folder: Path) -> dict[str, bytes | None]:
    """Return what a folder holds, but for what tells of each command."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if path.name not in {".lock", ".holder", ".remains"} and ".logs" not in path.relative_to(folder).parts
    }


def test_a_deletion_on_a_host_can_be_cut_off_anywhere_and_said_again(
    quick: Site, injure: Callable[[int], None], tmp_path: Path
) -> None:
    """FAULTS B2, B7: a host that dies at any change behind the switch; the command said again deletes the rest."""
    storage = configure(quick)
    quick.deploy()
    settings = quick.module / "deploy/yoda/.env.deploy"
    text = settings.read_text()
    before, known = tmp_path / "before", dict(quick.dagster.known)
    shutil.copytree(quick.host.folder, before, symlinks=True)
    for number in range(1, 100, 4):
        injure(number)
        try:
            remove(find(quick.root, "yoda"), delete_data=True)
            break
        except BuilderError:
            injure(0)
            # As on another deployer's machine: what has to be deleted is known on the host alone.
            settings.write_text("")
            remove(find(quick.root, "yoda"), delete_data=True)
        assert [path.name for path in storage.iterdir()] == ["other_module"], number
        assert not [path for path in tree_of(quick.host.base / "modules") if "sales" in path], number
        (*_, dump) = sorted((quick.host.base / "dumps").iterdir())
        with tarfile.open(dump / "storage.tar.gz") as packed:
            assert "sales_report/number" in packed.getnames()
        for folder in (quick.host.base, storage):
            shutil.rmtree(folder)
            shutil.copytree(before / folder.relative_to(quick.host.folder), folder, symlinks=True)
        quick.dagster.known = dict(known)
        settings.write_text(text)
    assert number > 8


def test_what_was_kept_at_removal_can_be_deleted_later(quick: Site) -> None:
    """FAULTS B8, on hosts: the settings have gone with the module, and where its data is was remembered."""
    storage = configure(quick)
    quick.deploy()
    remove(find(quick.root, "yoda"))
    assert (storage / "sales_report/number").exists()
    # As on another deployer's machine, whose settings name another storage.
    (quick.module / "deploy/yoda/.env.deploy").write_text("")
    (outcome,) = remove(find(quick.root, "yoda"), delete_data=True)
    assert [path.name for path in storage.iterdir()] == ["other_module"]
    assert f"Deleted: {storage}/sales_report." in outcome.notes
    (outcome,) = remove(find(quick.root, "yoda"), delete_data=True)
    assert "Deleted" not in "".join(outcome.notes)


def test_a_module_that_came_back_keeps_its_data(quick: Site) -> None:
    """FAULTS B8, on hosts: what is remembered of a removed module ends with its next release."""
    storage = configure(quick)
    quick.deploy()
    remove(find(quick.root, "yoda"))
    assert list((quick.host.base / "modules/.remains").iterdir())
    quick.deploy()
    assert not list((quick.host.base / "modules/.remains").iterdir())
    remove(find(quick.root, "yoda"))
    assert (storage / "sales_report/number").exists()


@pytest.mark.parametrize("lost", ["a part", "a file"])
def test_stored_files_that_are_not_all_in_the_dump_stay(quick: Site, lost: str, tmp_path: Path) -> None:
    """FAULTS B2: what was packed is read back and compared; a tar that says nothing of what it lost stops it."""
    programs = tmp_path / "programs"
    programs.mkdir()
    real = needs.program("tar")
    truncated = f'exec {real} --exclude=number "$@"' if lost == "a file" else f'{real} "$@" | head -c 60'
    (programs / "tar").write_text(f"#!/bin/sh\n{truncated}\n")
    (programs / "tar").chmod(0o755)
    storage = configure(quick)
    quick.deploy()
    quick.host.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
    quick.host.restart()
    with pytest.raises(BuilderError, match=r"The dump of .* is incomplete"):
        remove(find(quick.root, "yoda"), delete_data=True)
    assert quick.running() == quick.current()
    assert (storage / "sales_report/number").exists()
    assert not list((quick.host.base / "dumps").iterdir())


@pytest.mark.parametrize(
    ("kind", "end"), [("postgresql", "PostgreSQL database dump complete"), ("mysql", "Dump completed on 2026-01-01")]
)
def test_a_dump_without_its_last_line_is_not_whole(kind: str, end: str, tmp_path: Path) -> None:
    """FAULTS B2: a row that speaks of the end is not the end."""
    path = tmp_path / "database.sql"
    path.write_text(f"INSERT INTO orders VALUES (1, 'x');\n-- {end}\n\n")
    assert dumps.ends_well(str(path), kind)
    path.write_text(f"INSERT INTO orders VALUES (1, '-- {end}');\nINSERT INTO ord")
    assert not dumps.ends_well(str(path), kind)


def test_a_dump_is_on_the_disk_before_anything_goes(quick: Site, tmp_path: Path) -> None:
    """FAULTS B2: the kernel's own record of the order: the dump's files, their folder, its folders, then deletion."""
    storage = configure(quick)
    quick.deploy()
    log = tmp_path / "calls"
    with traced(quick.host, "fsync,fdatasync,unlink,unlinkat,rmdir,rename", log, ["-y", "-s", "300"]):
        remove(find(quick.root, "yoda"), delete_data=True)
    lines = [line for line in log.read_text().splitlines() if "resumed" not in line]
    (dump,) = (quick.host.base / "dumps").iterdir()

    def first(call: str, path: Path) -> int:
        return next(number for number, line in enumerate(lines) if call in line and str(path) in line)

    synced = [first("sync(", path) for path in (dump / "storage.tar.gz", dump)]
    synced += [next(number for number, line in enumerate(lines) if "sync(" in line and f"<{path}>" in line)
               for path in (dump.parent, quick.host.base)]  # fmt: skip
    remembered = first("rename", quick.host.base / "modules/.remains/sales-report.json")
    assert max(synced) < remembered < first("unlink", storage / "sales_report")
    assert remembered < first("rename", quick.there)


def pack(folder: Path, volume: str, image: str) -> None:
    requests, _ = os.pipe()
    with (folder / "answers").open("wb") as answers:
        host = Host(Client(os.fdopen(requests, "rb"), answers))
        host.base = str(folder)
        dumps.dump_volume(host, str(folder), volume, image, time.monotonic() + 600)
        answers.flush()
        os._exit(0)


@pytest.mark.docker
def test_a_volume_whose_service_is_gone_is_packed_as_it_is(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAULTS B8, on hosts: the database cannot be asked any more; its files are kept."""
    for name, value in engine.environ.items():
        monkeypatch.setenv(name, value)
    volume, image = f"dmb-data-{secrets.token_hex(4)}", base_image(engine)
    engine.docker("volume", "create", volume)
    try:
        mount = f"--volume={volume}:/volume"
        engine.docker("run", "--rm", mount, image, "/bin/sh", "-c", "echo precious > /volume/rows")
        # In a separate process, which ends itself when its client is silent.
        process = multiprocessing.get_context("fork").Process(target=pack, args=(tmp_path, volume, image))
        process.start()
        process.join(60)
        assert process.exitcode == 0
    finally:
        engine.docker("volume", "rm", volume)
    with tarfile.open(tmp_path / f"{volume}.tar") as packed:
        rows = packed.extractfile("volume/rows")
        assert rows
        assert rows.read() == b"precious\n"
    assert not list(tmp_path.glob("*.again"))
