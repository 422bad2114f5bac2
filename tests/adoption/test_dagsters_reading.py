"""What a survey proposes is what Dagster itself reads from the files that it replaces."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from dagster_module_builder.adoption.survey import survey
from dagster_module_builder.shared_files.formats.yaml_text import parsed
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.adopt import adopt, look_through
from tests.adoption.cases import CASES, TREE
from tests.corpus.workspaces import Modules
from tests.deploy import dagster_host

pytestmark = pytest.mark.dagster

#: Prints the code locations that Dagster finds: their names, what they load, and from where.
READ = """
import json, os, sys
from dagster._core.workspace.load_target import ModuleTarget, PyProjectFileTarget, PythonFileTarget, WorkspaceFileTarget
here = os.getcwd()
targets = {
    "file": lambda value: WorkspaceFileTarget(paths=[value]),
    "toml": lambda value: PyProjectFileTarget(path=value),
    "-m": lambda value: ModuleTarget(value, None, here, None),
    "-f": lambda value: PythonFileTarget(value, None, here, None),
}
def said(origin):
    loaded = origin.loadable_target_origin
    code = loaded.module_name or os.path.abspath(loaded.python_file)
    return [origin.location_name, code, os.path.abspath(loaded.working_directory)]
print(json.dumps([said(origin) for origin in targets[sys.argv[1]](sys.argv[2]).create_origins()]))
"""


@pytest.fixture(scope="module")
def python() -> str:
    return dagster_host.python()


def read(python: str, folder: Path, kind: str, value: str) -> list[list[str]]:
    done = subprocess.run(
        [python, "-c", READ, kind, value], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def proposed(root: Path) -> str:
    """Write the proposed workspace file where it is proposed, and return its path."""
    found = survey(root)
    assert found.proposed_path
    assert found.proposed_workspace
    (root / found.proposed_path).write_bytes(found.proposed_workspace)
    return str(root / found.proposed_path)


def test_projects_have_the_same_names_code_and_folders(python: str, tmp_path: Path) -> None:
    root = tmp_path / "repository"
    shutil.copytree(CASES / "native-monorepo" / TREE, root)
    before = [read(python, root / folder, "toml", "pyproject.toml")[0] for folder in ("packages/silk", "packages/wool")]
    assert [name for name, _, _ in before] == ["fine silk", "wool.definitions"]
    # Dagster takes the working directory of a module from where it starts, which is where the file lies.
    assert read(python, root, "file", proposed(root)) == before


#: What Dagster's programs do with their options, up to the code locations; and then whether these load.
AS_TYPED = """
import click, json, os, tempfile
from dagster._cli.workspace.cli_target import workspace_opts_to_load_target
from dagster._core.instance import DagsterInstance
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster_shared.cli import WorkspaceOpts, workspace_options

def said(origin, entry):
    loaded = origin.loadable_target_origin
    code = loaded.module_name or loaded.package_name or os.path.abspath(loaded.python_file)
    where = os.path.abspath(loaded.working_directory)
    location = entry.code_location
    assets = [] if location is None else [
        key.to_user_string() for key in location.get_repositories()["__repository__"].asset_graph.get_all_asset_keys()
    ]
    return [origin.location_name, code, loaded.attribute, where, sorted(assets)]

@click.command()
@workspace_options
def main(**options):
    target = workspace_opts_to_load_target(WorkspaceOpts.extract_from_cli_options(options))
    origins = {origin.location_name: origin for origin in target.create_origins()}
    folder = tempfile.mkdtemp(dir=os.environ["HOME"])
    with DagsterInstance.local_temp(folder) as instance, WorkspaceProcessContext(instance, target) as context:
        entries = context.create_request_context().get_code_location_entries()
        print(json.dumps([said(origin, entries[name]) for name, origin in origins.items()]))
main()
"""
STOCK = "import dagster as dg\n\n\n@dg.asset\ndef {name}() -> None: ...\n\n\ndefs = dg.Definitions([{name}])\n"


def as_typed(python: str, folder: Path, words: list[str]) -> list[list[object]]:
    """Return what Dagster loads with these options: name, code, attribute, folder and assets of each code location."""
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        [python, "-c", AS_TYPED, *words], cwd=folder, env={**os.environ, "HOME": str(home)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # The code servers that it started say goodbye.
    found: list[list[object]] = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("[[")))
    return found


def stocked(root: Path, command: str) -> list[str]:
    """Write a project with code, whose container is this machine; return the folder of its code."""
    for path, name in {"apps/bread.py": "loaf", "apps/cakes.py": "tart", "apps/tea/__init__.py": "leaf"}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(STOCK.format(name=name))
    (root / "Dockerfile").write_text("FROM python:3.12-slim\nRUN pip install dagster dagster-webserver\n")
    (root / "compose.yaml").write_text(
        f"services:\n  page:\n    build: .\n    working_dir: {root}\n    volumes: ['.:{root}']\n"
        f"    command: dagster dev {command}\n"
    )
    return command.split()


@pytest.mark.parametrize(
    "options",
    [
        "-m bread -m cakes -d apps",
        "-f apps/bread.py -d apps --attribute defs",
        "--package-name tea -d apps",
        pytest.param("-m apps.bread -a defs", marks=pytest.mark.thorough),
        pytest.param("--module-name=bread --working-directory={root}/apps", marks=pytest.mark.thorough),
        pytest.param("-f apps/bread.py -f apps/cakes.py", marks=pytest.mark.thorough),
    ],
)
def test_dagster_loads_what_the_options_named(python: str, tmp_path: Path, options: str) -> None:
    """The program's own options, before and after adoption; the container's folder is this one."""
    root = tmp_path / "repository"
    words = stocked(root, options.format(root=root))
    before = as_typed(python, root, words)
    assert all(assets for *_, assets in before)
    adopt(look_through(root, write_workspace_file=True))
    after = parsed((root / "compose.yaml").read_bytes())["services"]["page"]["command"].split()[2:]
    assert after in (["-w", f"{root}/workspace.yaml"], [f"--workspace={root}/workspace.yaml"])
    assert as_typed(python, root, after) == before


def test_a_module_loads_beside_what_the_options_named(python: str, tmp_path: Path, modules: Modules) -> None:
    root = tmp_path / "repository"
    before = as_typed(python, root, stocked(root, "-m apps.bread -a defs"))
    shutil.copytree(modules.folders["sales-report"], root / "projects" / "sales-report")
    adopt(look_through(root, write_workspace_file=True))
    add_module(root, "sales-report")
    own, module = as_typed(python, root, ["-w", "workspace.yaml"])
    assert [own] == before
    assert module[0] == "sales_report"
    assert module[-1]
