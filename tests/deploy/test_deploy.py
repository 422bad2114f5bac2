"""A module gets to a host and runs there, or everything stays as it was."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.base.errors import BuilderError
from tests.deploy.modules import require_dagster, set_value
from tests.deploy.sites import Site

#: Notes down what loads the module: the first of its process's arguments.
NOTES = """
import sys
with open({path!r}, "a") as file:
    file.write(sys.argv[0] + "\\n")
"""


def test_first_and_second_release(site: Site, tmp_path: Path) -> None:
    """The definitions are loaded once to verify them, and once by Dagster's code server."""
    (path,) = site.module.glob("src/*/definitions.py")
    path.write_text(path.read_text() + NOTES.format(path=str(tmp_path / "loads")))
    (first,) = site.deploy()
    assert [Path(one).name for one in (tmp_path / "loads").read_text().split()] == ["-c", "__main__.py"]
    assert [*site.there.rglob("__pycache__")] == []
    assert site.running() == first.releases["sales-report"] == site.current()
    set_value(site.module, 2)
    (second,) = site.deploy()
    assert site.running() == second.releases["sales-report"] == site.current()
    assert site.releases() == sorted([first.releases["sales-report"], second.releases["sales-report"]])
    unchanged = [site.there / "releases" / one / "pyproject.toml" for one in site.releases()]
    assert unchanged[0].stat().st_ino == unchanged[1].stat().st_ino
    state = json.loads((site.there / "state.json").read_text())
    assert state["previous"] == first.releases["sales-report"]
    assert not (site.host.base / "modules/.journal").exists()


BROKEN = {
    "import nothing_of_that_name\n": "nothing_of_that_name",
    "raise SystemExit(0)\n": r"ends the process that loads it \(sys\.exit, os\._exit\)",
    "import os\nos._exit(0)\n": r"ends the process that loads it \(sys\.exit, os\._exit\)",
}


def test_broken_release_leaves_the_old_one(site: Site) -> None:
    """Nothing is switched; Dagster's own command takes a module that ends its process for one that loads."""
    (first,) = site.deploy()
    before = (site.host.base / "workspace.yaml").read_bytes()
    (path,) = site.module.glob("src/*/definitions.py")
    for text, said in BROKEN.items():
        path.write_text(text)
        with pytest.raises(BuilderError, match=rf"(?s)^Nothing was switched.*{said}"):
            site.deploy()
    assert site.running() == first.releases["sales-report"]
    assert (site.host.base / "workspace.yaml").read_bytes() == before
    assert site.releases() == [first.releases["sales-report"]]


TWO_STEPS = """\
import os
import time
from pathlib import Path

import dagster as dg

from .value import VALUE

FOLDER = Path({folder!r})


@dg.op
def first():
    (FOLDER / "first").write_text(f"{{VALUE}} {{os.environ['SALES_REPORT_TOKEN']}}")
    while not (FOLDER / "go").exists():
        time.sleep(0.2)


@dg.op(ins={{"before": dg.In(dg.Nothing)}})
def second():
    (FOLDER / "second").write_text(f"{{VALUE}} {{os.environ['SALES_REPORT_TOKEN']}}")


@dg.job
def numbers():
    second(first())


defs = dg.Definitions(jobs=[numbers])
"""

LAUNCH = """mutation { launchRun(executionParams: {mode: "default", selector: {
    repositoryLocationName: "sales_report", repositoryName: "__repository__", jobName: "numbers"}}) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""


@pytest.mark.slow
def test_run_in_progress_sees_one_release(site: Site, tmp_path: Path) -> None:
    """Steps are separate processes; the second one starts after the switch, and has the first one's code."""
    (path,) = site.module.glob("src/*/definitions.py")
    path.write_text(TWO_STEPS.format(folder=str(tmp_path)))
    (old,) = site.deploy()
    answer = site.dagster.ask(LAUNCH)["launchRun"]
    assert answer["__typename"] == "LaunchRunSuccess", answer
    await_file(tmp_path / "first")
    set_value(site.module, 2)
    (site.module / "deploy/yoda/.env.deploy").write_text("SALES_REPORT_TOKEN='second'\n")
    (new,) = site.deploy(keep=2)
    assert site.running() == new.releases["sales-report"] != old.releases["sales-report"]
    for value in (3, 4):
        set_value(site.module, value)
        site.deploy(keep=2)
    assert old.releases["sales-report"] in site.releases(), "a run in progress needs it"
    (tmp_path / "go").touch()
    await_file(tmp_path / "second")
    assert (tmp_path / "first").read_text() == (tmp_path / "second").read_text() == "1 s3cret-of-production"


def await_file(path: Path) -> None:
    for _ in range(600):
        if path.exists() and path.read_text():
            return
        time.sleep(0.1)
    raise AssertionError(f"no {path}")


@pytest.mark.slow
def test_environment_of_its_own(site: Site) -> None:
    """Built once for each set of requirements, and what the code then runs in."""
    require_dagster(site.module)
    path = site.module / "deploy/yoda/deployment.yaml"
    data = yaml.safe_load(path.read_text())
    data["environment"] = {"kind": "venv", "python": sys.executable}
    path.write_text(yaml.safe_dump(data))
    (first,) = site.deploy()
    (environment,) = (site.there / "venvs").iterdir()
    # Dagster's server writes none here.
    assert [*environment.rglob("dagster/__pycache__/*.pyc")], "what verifying compiled serves the code server"
    found = yaml.safe_load((site.host.base / "workspace.yaml").read_text())["load_from"][0]["python_package"]
    assert found["executable_path"] == str(environment / "bin/python")
    assert site.running() == first.releases["sales-report"]
    before = environment.stat().st_mtime_ns
    set_value(site.module, 2)
    (second,) = site.deploy()
    assert site.running() == second.releases["sales-report"]
    assert [one.stat().st_mtime_ns for one in (site.there / "venvs").iterdir()] == [before]
    pyproject = site.module / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("dagster==", "dagster==999."))
    with pytest.raises(BuilderError, match="could not be built"):
        site.deploy()
    assert site.running() == second.releases["sales-report"]
    assert list((site.there / "venvs").iterdir()) == [environment]


def test_assets_that_do_not_fit_together_are_not_deployed(site: Site) -> None:
    (first,) = site.deploy()
    (path,) = site.module.glob("src/*/definitions.py")
    whole = path.read_text()
    path.write_text(whole.replace("assets=[number]", "assets=[number, dg.AssetSpec('number')]"))
    with pytest.raises(BuilderError, match="do not load"):
        site.deploy()
    assert site.running() == site.current() == first.releases["sales-report"]
