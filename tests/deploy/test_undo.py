"""What was changed on a host can be taken back: on any file systems, in an order that a crash may cut off anywhere."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy.check import check
from dagster_module_builder.deploy.model.deployment import find
from tests import needs
from tests.deploy import spread
from tests.deploy.cut_off import await_free
from tests.deploy.host_driver import NEW, env, workspace
from tests.deploy.modules import set_value
from tests.deploy.quick_dagster import QuickDagster
from tests.deploy.sites import Site
from tests.engine.driver import DONE, REFUSED
from tests.engine.faults import CALLS, Driver

SHARED = ("workspace.yaml", ".env")


@pytest.fixture
def across(quick: Site) -> Iterator[Site]:
    """Give a host whose modules, workspace file and settings are on a file system each."""
    with spread.file_systems(quick.host.base):
        yield quick


def shared(site: Site) -> dict[str, bytes]:
    return {name: (site.host.base / name).read_bytes() for name in SHARED}


def test_what_dagster_does_not_take_goes_back_across_file_systems(across: Site) -> None:
    """FAULTS B1."""
    first = across.deploy()[0].releases["sales-report"]
    before = shared(across)
    (path,) = across.module.glob("src/*/definitions.py")
    (path.parent / "dagster_fails").touch()
    (across.module / "deploy/yoda/.env.deploy").write_text("SALES_REPORT_TOKEN='second'\n")
    with pytest.raises(BuilderError, match="Rolled back on every host"):
        across.deploy()
    assert shared(across) == before
    assert across.running() == across.current() == first
    assert all((across.host.base / name).is_symlink() for name in SHARED)
    (path.parent / "dagster_fails").unlink()
    second = across.deploy()[0].releases["sales-report"]
    assert across.running() == across.current() == second


def test_a_journal_of_an_earlier_version_is_undone_across_file_systems(across: Site) -> None:
    """FAULTS B1: such a journal has the old bytes in its own folder."""
    across.deploy()
    await_free(across)
    real = (across.host.base / "workspace.yaml").resolve()
    old, new = real.read_bytes(), b"load_from: []\n"
    real.write_bytes(new)
    journal = across.host.base / "modules/.journal"
    journal.mkdir(mode=0o700)
    (journal / "0.old").write_bytes(old)
    file = {"path": str(real), "mode": 0o644, "held": "0.old"}
    digests = {"before": hashlib.sha256(old).hexdigest(), "after": hashlib.sha256(new).hexdigest()}
    noted = {"files": [{**file, **digests}], "links": [], "made": [], "services": None}
    (journal / "journal.json").write_text(json.dumps(noted))
    set_value(across.module, 2)
    (outcome,) = across.deploy()
    assert "the old release was restored" in outcome.notes[0]
    assert across.running() == outcome.releases["sales-report"]
    assert not journal.exists()


def test_a_file_that_is_mounted_singly_is_refused_before_anything_moves(quick: Site) -> None:
    """FAULTS B1: a rename over it has EBUSY; that the two ends of the mount are on one file system hides it."""
    needs.root()
    quick.deploy()
    before = shared(quick)
    releases = quick.releases()
    set_value(quick.module, 2)
    path = quick.host.base / "workspace.yaml"
    beside = quick.host.base.parent / "workspace with a blank.yaml"
    beside.write_bytes(path.read_bytes())
    spread.mount("--bind", beside, path)
    try:
        assert "mounted as a single file" in check(find(quick.root, "yoda"))[0]["problems"][0]
        with pytest.raises(BuilderError, match=r"Nothing was switched[^$]*workspace\.yaml is mounted as a single file"):
            quick.deploy()
    finally:
        subprocess.run(["umount", str(path)], check=True)
    assert shared(quick) == before
    assert quick.releases() == releases


@pytest.fixture
def traced(tmp_path: Path) -> Iterator[tuple[Driver, Path, QuickDagster, Path]]:
    """Give a driver whose system calls are written down, with the paths of what they are for."""
    needs.program("strace")
    base, log = tmp_path / "srv", tmp_path / "log"
    (base / "modules").mkdir(parents=True)
    spread.fill(base)
    dagster = QuickDagster(base)
    with Driver(log, "tests.deploy.host_driver") as driver:
        yield driver, base, dagster, log
    dagster.stop()


def steps(log: Path, base: Path) -> list[str]:
    """Return the renames and syncs that succeeded, as ``rename FROM TO`` and ``sync PATH``, below the base path."""
    found = []
    for line in log.read_text().splitlines():
        if match := re.match(r"fsync\(\d+<(.*)>\)\s+= 0$", line):
            found.append(f"sync {match[1]}")
        elif match := re.match(r'rename\w*\((?:AT_FDCWD[^,]*, )?"(.*?)", (?:AT_FDCWD[^,]*, )?"(.*?)".*= 0$', line):
            found.append(f"rename {match[1]} {match[2]}")
    return [step.replace(f"{base}/", "").replace(str(base), ".") for step in found]


def traced_steps(traced: tuple[Driver, Path, QuickDagster, Path], command: str, code: int) -> list[str]:
    driver, base, dagster, log = traced
    ended = driver.trace((command, dagster.url), base, f"{CALLS['rename']},{CALLS['fsync']}", ["-y"])
    assert ended.code == code
    return steps(log, base)


def in_order(found: list[str], *wanted: str) -> None:
    """See that these steps come one behind the other."""
    rest = iter(found)
    for step in wanted:
        assert step in rest, f"{step} is not behind those before it in\n" + "\n".join(found)


OURS = "modules/sales-report"


def test_all_that_undoing_takes_is_on_the_disk_before_anything_changes(
    traced: tuple[Driver, Path, QuickDagster, Path],
) -> None:
    """FAULTS B11: the journal, then its folder, then the folder that it is in; then the old bytes beside each file."""
    found = traced_steps(traced, "switch", DONE)
    in_order(
        found,
        "sync modules/.journal.tmp/journal.json.deploy.tmp",
        "sync modules/.journal.tmp",
        "rename modules/.journal.tmp modules/.journal",
        "sync modules",
        "sync workspace.yaml.deploy.old.deploy.tmp",
        "rename workspace.yaml.deploy.old.deploy.tmp workspace.yaml.deploy.old",
        "sync .",
        f"rename {OURS}/releases/{NEW}.tmp {OURS}/releases/{NEW}",
        f"sync {OURS}/releases",
        "rename .env.deploy.tmp .env",
        "sync workspace.yaml.deploy.tmp",
        "rename workspace.yaml.deploy.tmp workspace.yaml",
        "sync .",
        f"rename {OURS}/current.deploy.tmp {OURS}/current",
        f"sync {OURS}",
        "rename modules/.journal modules/.journal.done",
        "sync modules",
    )
    changes = [step for step in found if step.endswith((" .env", f" {OURS}/state.json", f"releases/{NEW}"))]
    copies = [step for step in found if step.endswith(".deploy.old")]
    assert len(copies) == 3
    assert max(map(found.index, copies)) < min(map(found.index, changes))


def test_a_crash_is_taken_back_in_the_reverse_order(traced: tuple[Driver, Path, QuickDagster, Path]) -> None:
    """FAULTS B11: Dagster is told of the old release before that gets its settings and the new one loses its folder."""
    driver, base, dagster, _ = traced
    found = traced_steps(traced, "switch", DONE)
    count = found.index(f"rename {OURS}/current.deploy.tmp {OURS}/current")
    renames = [step for step in found[:count] if step.startswith("rename")]
    spread.empty(base)
    spread.fill(base)
    assert driver.run(("switch", dagster.url), base, "killed", "rename", len(renames) + 1).injured
    assert (base / "workspace.yaml").read_bytes() == workspace(base, NEW)
    found = traced_steps(traced, "recover", DONE)
    in_order(
        found,
        "rename workspace.yaml.deploy.old workspace.yaml",
        "sync .",
        "rename .env.deploy.old .env",
        "sync .",
        f"rename {OURS}/releases/{NEW} {OURS}/releases/{NEW}.bad",
        f"sync {OURS}/releases",
        "rename modules/.journal modules/.journal.done",
        "sync modules",
    )


def test_one_file_that_cannot_be_put_back_does_not_keep_the_others(
    traced: tuple[Driver, Path, QuickDagster, Path],
) -> None:
    """FAULTS B11: the journal stays until all is back."""
    driver, base, dagster, _ = traced
    dagster.alive = True
    dagster.on_request = lambda query: setattr(dagster, "alive", "reloadWorkspace" not in query and dagster.alive)
    found = traced_steps(traced, "switch", REFUSED)
    at = found.index("rename workspace.yaml.deploy.old workspace.yaml")
    number = sum(step.startswith("rename") for step in found[: at + 1])
    spread.empty(base)
    spread.fill(base)
    dagster.alive = True
    assert driver.run(("switch", dagster.url), base, "i/o error", "rename", number).code == REFUSED
    assert (base / "workspace.yaml").read_bytes() == workspace(base, NEW)
    assert (base / ".env").read_bytes() != env(NEW)
    assert (base / "modules/.journal/journal.json").exists()
    assert driver.trace(("recover", dagster.url), base, "none").code == DONE
    assert (base / "workspace.yaml").read_bytes() != workspace(base, NEW)
    assert not (base / "modules/.journal").exists()


def test_a_daemon_that_does_not_live_through_the_switch_takes_it_back(quick: Site) -> None:
    """FAULTS B11."""
    first = quick.deploy()[0].releases["sales-report"]
    set_value(quick.module, 2)

    def on_request(query: str) -> None:
        if "reloadWorkspace" in query:
            quick.dagster.alive = False

    quick.dagster.on_request = on_request
    with pytest.raises(BuilderError, match="daemon stopped at the switch"):
        quick.deploy()
    assert quick.running() == quick.current() == first
