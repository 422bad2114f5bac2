"""Clean-ups take what deployments left and nothing else; who is ended is who is meant."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy.deploy import deploy
from dagster_module_builder.deploy.host_side import processes
from dagster_module_builder.deploy.model.deployment import find
from dagster_module_builder.deploy.status import unlock
from tests.deploy.cut_off import OPTIONS, at
from tests.deploy.modules import set_value
from tests.deploy.quick_dagster import PYTHON
from tests.deploy.sites import Site

NAME = "20260101T000000Z-by-hand"


def by_hand(site: Site) -> list[Path]:
    """Deploy by hand, with an environment: none of our marks is in what that makes."""
    release, environment = site.there / "releases" / NAME, site.there / "venvs" / NAME
    (environment / "bin").mkdir(parents=True)
    (environment / "bin/python").write_text(PYTHON)
    (release / "src/sales_report_dagster").mkdir(parents=True)
    (release / "src/sales_report_dagster/definitions.py").touch()
    entry = {
        "package_name": "sales_report_dagster.definitions", "working_directory": str(release / "src"),
        "location_name": "sales_report", "executable_path": str(environment / "bin/python"),
    }  # fmt: skip
    path = site.host.base / "workspace.yaml"
    path.write_text(
        f"load_from:\n  # BEGIN: sales_report\n  - python_package: {json.dumps(entry)}\n  # END: sales_report\n"
    )
    site.dagster.reload()
    return [release, environment]


def test_what_was_made_by_hand_stays_and_is_refused_before_anything_travels(quick: Site) -> None:
    """FAULTS B5: the edited block is seen first, and what it names is never removed."""
    made = by_hand(quick)
    steps: list[str] = []
    with pytest.raises(BuilderError, match="is not in the registry"):
        deploy(find(quick.root, "yoda"), OPTIONS, lambda _, step: steps.append(step))
    assert not {"prepare", "environment", "transfer"} & set(steps)
    assert all(path.is_dir() for path in made)
    assert quick.running() == NAME
    outcome = quick.deploy(force=True)[0]
    assert quick.running() == outcome.releases["sales-report"]
    assert all(path.is_dir() for path in made)


def test_an_unfinished_environment_that_the_workspace_names_is_not_touched(quick: Site) -> None:
    """FAULTS B5."""
    made = by_hand(quick)[1]
    ours = made.with_name("0123456789abcdef")
    made.rename(ours)
    path = quick.host.base / "workspace.yaml"
    path.write_text(path.read_text().replace(f"venvs/{NAME}", f"venvs/{ours.name}"))
    other = made.with_name("fedcba9876543210")
    other.mkdir()
    quick.deploy(force=True)
    assert not other.exists()
    assert ours.is_dir()


@pytest.mark.parametrize("by", ["a process", "another module's lines"])
def test_a_release_that_something_names_is_not_pruned(quick: Site, by: str) -> None:
    """FAULTS B5."""
    oldest = quick.deploy()[0].releases["sales-report"]
    folder = quick.there / "releases" / oldest
    if by == "a process":
        waits = "import sys; sys.stdin.read()"
        process = subprocess.Popen([sys.executable, "-c", waits, folder / "src"], stdin=subprocess.PIPE)
    else:
        path = quick.host.base / "workspace.yaml"
        theirs = {"relative_path": f"modules/sales-report/releases/{oldest}/x.py", "location_name": "x"}
        text = f"load_from:\n  - python_file: {json.dumps(theirs)}\n"
        path.write_text(path.read_text().replace("load_from:\n", text))
        quick.dagster.reload = lambda: setattr(quick.dagster, "known", loaded(path))
    for value in (2, 3, 4):
        set_value(quick.module, value)
        pruned = quick.deploy(keep=2)[0].pruned
        assert oldest not in pruned
    assert len(pruned) == 1
    assert folder.is_dir()
    if by == "a process":
        process.communicate()
        set_value(quick.module, 5)
        assert oldest in quick.deploy(keep=2)[0].pruned


def loaded(path: Path) -> dict[str, dict[str, str]]:
    entries = [
        one["python_package"] for one in yaml.safe_load(path.read_text())["load_from"] if "python_package" in one
    ]
    return {one["location_name"]: {"working_directory": one["working_directory"]} for one in entries}


def stranger() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["cat"], stdin=subprocess.PIPE)


@pytest.mark.parametrize("started", [{"started": "another start"}, {"started": None}, {}])
def test_a_number_that_went_to_another_process_ends_no_process(quick: Site, started: dict[str, str | None]) -> None:
    """FAULTS B10: also where the holder was noted by an earlier version, without its start."""
    quick.deploy()
    modules = quick.host.base / "modules"
    with (
        stranger() as process,
        subprocess.Popen(
            ["flock", modules / ".lock", "sh", "-c", "echo held; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as holder,
    ):
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        (modules / ".holder").write_text(json.dumps({"who": "x", "pid": process.pid, "since": "2026", **started}))
        (found,) = unlock(find(quick.root, "yoda"))
        assert "nothing was ended" in found["error"]
        assert process.poll() is None
        (modules / ".holder").unlink()
        (found,) = unlock(find(quick.root, "yoda"))
        assert "The holder is not known" in found["error"]
        holder.communicate()
        process.communicate()


def test_a_holder_of_an_earlier_version_is_ended_if_it_has_the_lock_open(quick: Site) -> None:
    """FAULTS B10."""
    quick.deploy()
    modules = quick.host.base / "modules"
    holding = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print(); sys.stdin.read()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-uc", holding, modules / ".lock"], stdin=pipe, stdout=pipe) as holder:
        assert holder.stdout
        holder.stdout.readline()
        (modules / ".holder").write_text(json.dumps({"who": "x", "pid": holder.pid, "since": "2026"}))
        (found,) = unlock(find(quick.root, "yoda"))
        assert found["held"]["pid"] == holder.pid
        assert holder.wait(20) != 0


def test_a_process_is_told_from_the_next_one_of_its_number() -> None:
    """FAULTS B10: where there is no /proc, too."""
    with stranger() as process:
        first = processes.start_of(process.pid)
        assert first == processes.start_of(process.pid) != processes.start_of(os.getppid())
        assert not processes.end(process.pid, lambda: False)
        assert process.poll() is None
        assert processes.end(process.pid, lambda: True)
    assert processes.start_of(process.pid) is None


def test_only_deployers_may_open_the_lock(quick: Site) -> None:
    """FAULTS S14: whoever may read it may hold it; that of an earlier version is brought along."""
    modules = quick.host.base / "modules"
    for name in (".lock", ".holder"):
        (modules / name).write_text("{}")
        (modules / name).chmod(0o644)
    rights: dict[str, int] = {}

    def look() -> None:
        rights.update({name: (modules / name).stat().st_mode & 0o777 for name in (".lock", ".holder")})

    deploy(find(quick.root, "yoda"), OPTIONS, at("verified", look))
    assert rights == {".lock": 0o600, ".holder": 0o600}
    modules.chmod(0o775)
    set_value(quick.module, 2)
    deploy(find(quick.root, "yoda"), OPTIONS, at("verified", look))
    assert rights == {".lock": 0o660, ".holder": 0o660}
