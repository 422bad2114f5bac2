"""docker: an image by digest, and a separate code server beside the old one; everything here is real."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy.model.deployment import find
from dagster_module_builder.deploy.removal import remove
from dagster_module_builder.deploy.rollback import change_settings, roll_back
from dagster_module_builder.deploy.status import status
from tests.deploy.docker_place import Place, place, yard
from tests.deploy.modules import set_value

__all__ = ["place", "yard"]

pytestmark = [pytest.mark.docker, pytest.mark.slow]
#: What an asset does that begins in one release and ends when another one serves.
WAITING = """\
import pathlib, time
    storage = pathlib.Path("/tmp/dagster_storage")
    (storage / "begun").touch()
    while not (storage / "go").exists():
        time.sleep(0.1)
    from .value import VALUE
    (storage / "value").write_text(str(VALUE))
    return VALUE"""


def test_deploy_rollback_settings_remove(place: Place) -> None:
    before = (place.host.base / "workspace.yaml").read_bytes()
    first = place.deploy()
    assert place.running() == first
    assert "@sha256:" in place.metadata()["image"]
    (old,) = place.there_runs.containers()
    set_value(place.module, 2)
    second = place.deploy()
    assert place.running() == second != first
    (found,) = status(find(place.root, "yoda"))
    assert found["modules"][0]["location"] == "loaded"
    roll_back(find(place.root, "yoda"))
    assert place.running() == first
    assert place.metadata()["server"] != old
    env = place.module / "deploy/yoda/.env.deploy"
    env.write_text(env.read_text().replace("s3cret", "another"))
    change_settings(find(place.root, "yoda"))
    name = place.metadata()["server"]
    inside = place.there_runs.docker("exec", name, "printenv", "SALES_REPORT_TOKEN", "DAGSTER_CURRENT_IMAGE")
    assert inside.splitlines()[0] == "another"
    assert place.there_runs.docker("exec", name, "id", "-u").strip() != "0"
    remove(find(place.root, "yoda"))
    assert (place.host.base / "workspace.yaml").read_bytes() == before
    assert not place.there.exists()
    assert place.there_runs.containers() == set()


def test_what_does_not_start_or_load_leaves_the_old_one(place: Place) -> None:
    first = place.deploy()
    server = place.metadata()["server"]
    (definitions,) = place.module.glob("src/*/definitions.py")
    whole = definitions.read_text()
    definitions.write_text("import nothing_of_that_name\n")
    with pytest.raises(BuilderError, match=r"(?s)Nothing was switched.*nothing_of_that_name"):
        place.deploy()
    definitions.write_text("import os\nos._exit(0)\n")
    with pytest.raises(BuilderError, match=r"(?s)Nothing was switched.*ends the process that loads it"):
        place.deploy()
    definitions.write_text(whole)
    dockerfile = place.module / "deploy/yoda/Dockerfile"
    dockerfile.write_text(dockerfile.read_text() + 'ENTRYPOINT ["python3", "-c", "raise SystemExit(7)"]\n')
    with pytest.raises(BuilderError, match="does not start"):
        place.deploy()
    assert place.running() == first
    assert place.there_runs.containers() == {server}
    (found,) = status(find(place.root, "yoda"))
    assert found["lock"] is None
    assert found["modules"][0]["servers"] == [server]


def test_without_a_registry(place: Place) -> None:
    place.change(registry="none")
    first = place.deploy()
    assert place.running() == first
    assert place.metadata()["image"].startswith("sha256:")
    before = place.layers()
    set_value(place.module, 3)
    second = place.deploy()
    assert place.running() == second
    # A change of code makes the last layer again, and nothing else.
    after = place.layers()
    assert after[:-1] == before[:-1]
    assert after[-1] != before[-1]


def test_a_run_in_progress_keeps_its_server(place: Place, tmp_path: Path) -> None:
    (path,) = place.module.glob("src/*/definitions.py")
    job = 'dg.define_asset_job("numbers", executor_def=dg.in_process_executor)'
    path.write_text(path.read_text().replace("return VALUE", WAITING).replace('dg.define_asset_job("numbers")', job))
    place.deploy()
    (old,) = place.there_runs.containers()
    run = place.dagster.launch("sales_report", "numbers")
    storage = tmp_path / "storage"
    place.dagster.await_run(run, "STARTED")
    await_true((storage / "begun").exists)
    set_value(place.module, 2)
    place.deploy()
    unused = place.metadata()["server"]
    set_value(place.module, 3)
    third = place.deploy()
    # Both old servers were asked about their runs by then: the one without a run is gone.
    await_true(lambda: unused not in place.there_runs.containers())
    assert place.running() == third
    assert old in place.there_runs.containers()
    (storage / "go").touch()
    place.dagster.await_run(run, "SUCCESS")
    assert (storage / "value").read_text() == "1"
    await_true(lambda: place.there_runs.containers() == {place.metadata()["server"]})


def await_true(found: Callable[[], bool], limit: float = 180) -> None:
    until = time.monotonic() + limit
    while not found():
        assert time.monotonic() < until
        time.sleep(0.2)
