"""Where the modules of a native host store their assets: in one place that lasts, whatever was before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy import check
from dagster_module_builder.deploy.connection import conversation, host_start
from dagster_module_builder.deploy.host_side import storage
from dagster_module_builder.deploy.hosts import host_storage
from dagster_module_builder.deploy.model.deployment import find
from dagster_module_builder.deploy.removal import remove
from tests.deploy.sites import Site


@pytest.fixture
def default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the default place of hosts: the real one is this machine's, with whatever is in it."""
    place = tmp_path / "default"
    name, *sources = json.loads(zlib.decompress(host_start.program()))
    text = json.dumps([name, *sources]).replace(storage.DEFAULT, str(place))
    monkeypatch.setattr(conversation, "program", lambda: zlib.compress(text.encode()))
    monkeypatch.setattr(host_storage, "DEFAULT", str(place))
    return place


class Started:
    """A process that looks like Dagster: its folder, its arguments, its variables. The stand-in answers for it."""

    def __init__(self, site: Site, **variables: str) -> None:
        command = [sys.executable, "-c", "input()", "dagster-webserver"]
        environ = {"PATH": os.environ["PATH"], **variables}
        self.process = subprocess.Popen(command, cwd=site.host.base, env=environ, stdin=subprocess.PIPE)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()


@pytest.fixture
def started(quick: Site, default: Path) -> Iterator[Site]:
    process = Started(quick)
    yield quick
    process.stop()


def said(site: Site) -> list[str]:
    """Return where the host's ``.env`` says that modules store."""
    path = site.host.base / ".env"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.partition("=")[2].strip("'") for line in lines if line.startswith("DAGSTER_STORAGE_DIR=")]


def give(site: Site, place: str | Path | None) -> None:
    """Let the deployment say where its module stores."""
    path = site.module / "deploy/yoda/.env.deploy"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("DAGSTER_STORAGE_DIR")]
    path.write_text("\n".join([*lines, *([f"DAGSTER_STORAGE_DIR='{place}'"] if place else [])]) + "\n")


def problems(site: Site) -> str:
    (found,) = check.check(find(site.root, "yoda"))
    return " ".join(found["problems"])


def test_a_folder_below_the_base_path_unless_something_else_is_said(started: Site) -> None:
    """FAULTS D7: what is in ``/tmp`` is lost at a restart, and refused to a second user."""
    place = str(started.host.base / "storage")
    (first,) = started.deploy()
    assert said(started) == [place]
    assert not [note for note in first.notes if "store" in note]
    started.deploy()
    assert said(started) == [place]
    give(started, "/srv/assets")
    (other,) = started.deploy()
    assert said(started) == ["/srv/assets"]
    assert any(f"those in {place} stay there" in note for note in other.notes)
    # Where the last module that says so does not any more, the others still store there.
    give(started, None)
    started.deploy()
    assert said(started) == ["/srv/assets"]
    remove(find(started.root, "yoda"))
    assert said(started) == ["/srv/assets"]


def test_what_was_stored_before_is_brought_along_once(started: Site, default: Path) -> None:
    """FAULTS D7: a host of an earlier version changes at its next deployment, and finds everything that it had."""
    # As an earlier version deployed: nothing says where modules store.
    started.deploy()
    env = started.host.base / ".env"
    env.write_bytes(host_storage.without_line(env.read_bytes()))
    assert said(started) == []
    asset = default / "sales_report/number.data"
    asset.parent.mkdir(parents=True)
    asset.write_text("1")
    (default / "link").symlink_to("sales_report")
    (outcome,) = started.deploy()
    place = started.host.base / "storage"
    assert said(started) == [str(place)]
    assert (place / "sales_report/number.data").read_text() == "1" == (place / "link/number.data").read_text()
    assert any(f"those in {default} were copied" in note for note in outcome.notes)
    assert asset.exists()
    asset.unlink()
    asset.write_text("of another program")
    started.deploy()
    assert (place / "sales_report/number.data").read_text() == "1"


LASTING = ["/tmpfiles/a", "s3://tmp/assets", "/srv/dagster/storage", "/mnt/memory-of-old"]
TEMPORARY = ["/tmp", "/tmp/assets", "/var/tmp/../tmp/a", "/srv/../dev/shm/a", "/mnt/memory/a"]


@pytest.mark.parametrize("place", [*LASTING, *TEMPORARY])
def test_which_places_last(place: str) -> None:
    """FAULTS D7: folders that are emptied, and file systems in memory, wherever they are mounted."""
    found = host_storage.problem(
        host_storage.HostStorage(place, "x", place), "/srv/dagster", [*storage.TEMPORARY, "/mnt/memory"]
    )
    assert (found is not None) == (place in TEMPORARY)


def test_a_place_that_does_not_last_is_refused(started: Site) -> None:
    """FAULTS D7: by ``deploy.check`` and by ``deploy``, with what to type."""
    for place in ("/var/tmp/a/../b", "/run/assets"):
        give(started, place)
        assert "a restart may empty" in problems(started)
        with pytest.raises(BuilderError, match=rf"(?s){started.module}/deploy/yoda/\.env\.deploy.*mkdir -p .*cp -a "):
            started.deploy()
    for place in ("/srv/assets", "s3://run/assets"):
        give(started, place)
        assert "a restart may empty" not in problems(started)


@pytest.mark.parametrize("place", ["/srv/of-the-host", "/var/tmp/of-the-host"])
def test_what_dagster_was_started_with_counts(quick: Site, place: str) -> None:
    """FAULTS D7: a line in ``.env`` would take the place of it, and hide what is stored."""
    process = Started(quick, DAGSTER_STORAGE_DIR=place)
    try:
        if place.startswith("/var"):
            with pytest.raises(BuilderError, match=rf"{place} \(as Dagster was started\), which a restart may empty"):
                quick.deploy()
        else:
            quick.deploy()
        assert said(quick) == []
    finally:
        process.stop()


def test_where_dagster_cannot_be_seen_nothing_is_changed(quick: Site) -> None:
    """FAULTS D7: it runs as another user, with variables that no other user may read."""
    (outcome,) = quick.deploy()
    assert said(quick) == []
    assert any("set DAGSTER_STORAGE_DIR in" in note for note in outcome.notes)
