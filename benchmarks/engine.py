"""Times the engine on a workspace with many modules, and beside it the same edits by Ansible and by ruamel.yaml.

    python benchmarks/engine.py --modules 1000 --json engine.json

Each of our commands runs in a separate process and is timed without the interpreter's start; its peak memory is the
whole process's, and its processor seconds are those of other programs that it asked, too. "with uv and Compose" is what
a person waits for: uv resolves all requirements (for the first time, or once more, when it is remembered), and Compose
reads the file; "all" is the peak of our memory and theirs together.
Ansible's blockinfile is given one task for each file and module, on fewer modules, and its time is multiplied: it
starts a process for each task, so its cost is the same for each. ruamel.yaml reads, edits and writes the Compose file
with all modules in it, once for one more module.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uv
import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from dagster_module_builder.base.settings import cache_folder
from dagster_module_builder.modules.dagster_check import CONSTRAINTS
from tests.e2e.engine import compose_program
from tests.engine.folders import fragments, make_module, make_workspace, services

#: The Dagster side's lock, as a new workspace gets it.
LOCK = next(ROOT.glob("cookiecutter-dagster-workspace/**/constraints.txt"))
REQUIREMENTS = ["dagster>=1.13,<1.14", "fsspec>=2024.6", "pandas>=2.2", "pyarrow>=18", "universal-pathlib>=0.2.6"]
DATABASE_REQUIREMENTS = ["psycopg[binary]>=3.2", "sqlalchemy>=2,<3"]

COMMAND = """
import json, os, pathlib, resource, sys, time
from dagster_module_builder.workspaces import external_checks, sync
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.remove import remove_module
from dagster_module_builder.health import validate
root, name, asking = pathlib.Path(sys.argv[1]), sys.argv[3], sys.argv[4:] == ["asking"]
looks = external_checks.ALL if asking else ()
commands = {
    "sync": lambda: sync.sync(root, checks=looks),
    "add": lambda: add_module(root, name, checks=looks),
    "remove": lambda: remove_module(root, name),
    "validate": lambda: validate.validate(root, check=asking),
}
begun, before = time.perf_counter(), os.times()
found = commands[sys.argv[2]]()
seconds, after = time.perf_counter() - begun, os.times()
errors = [str(one) for one in (found if sys.argv[2] == "validate" else ()) if one.severity == "error"]
assert not errors, errors
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
cpu = sum(after[:4]) - sum(before[:4])
print(json.dumps({"seconds": seconds, "cpu_s": cpu, "peak_mb": peak}))
"""

#: Measured with the same interpreter: what it costs to start it and to import the engine.
START = """
from dagster_module_builder.workspaces import external_checks, sync
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.remove import remove_module
from dagster_module_builder.health import validate
"""

RUAMEL = """
import json, resource, sys, time
from ruamel.yaml import YAML
path = sys.argv[1]
begun = time.perf_counter()
yaml = YAML()
with open(path) as file:
    data = yaml.load(file)
data["services"]["one_more_db"] = {"image": "postgres:16"}
with open(path + ".new", "w") as file:
    yaml.dump(data, file)
seconds = time.perf_counter() - begun
print(json.dumps({"seconds": seconds, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def measured(python: Path | str, code: str, *arguments: object) -> dict[str, float]:
    """Run code in a separate process; return what it prints, and the peak memory of it and all that it started."""
    command = [str(python), "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        all_mb = 0.0
        while process.poll() is None:
            all_mb = max(all_mb, resident_mb(process.pid))
            time.sleep(0.01)
        said = process.stdout.read() if process.stdout else ""
    assert process.returncode == 0, command
    return {key: round(value, 3) for key, value in {**json.loads(said), "all_mb": all_mb}.items()}


def resident_mb(process: int) -> float:
    """Return the memory of a process and of those below it; pages that several of them share count several times."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        children = [
            int(one) for file in Path(f"/proc/{process}/task").glob("*/children") for one in file.read_text().split()
        ]
    except (OSError, IndexError):
        return 0.0
    return pages * resource.getpagesize() / 1024**2 + sum(map(resident_mb, children))


def best(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the quickest of several runs: the others were disturbed."""
    return min(runs, key=lambda run: run["seconds"])


def module(root: Path, name: str, port: int, *, database: bool = True) -> None:
    """Make a module with the requirements that the module template states."""
    without = {} if database else {"compose": None, "env": None}
    requirements = REQUIREMENTS + (DATABASE_REQUIREMENTS if database else [])
    project = f'[project]\nname = "{name}"\nversion = "0"\nrequires-python = ">=3.10"\n'
    (make_module(root, name, port, **without) / "pyproject.toml").write_text(
        f"{project}dependencies = {requirements}\n"
    )


def workspace(folder: Path, count: int, *, database: bool = True) -> Path:
    """Make a workspace with ``count`` modules under ``projects/``, none of them integrated."""
    root = make_workspace(folder / f"ws-{count}")
    shutil.copy(LOCK, root / CONSTRAINTS)
    for number in range(count):
        module(root, f"module-{number:04}", 10_000 + number, database=database)
    return root


def ours(folder: Path, count: int, runs: int) -> dict[str, dict[str, float]]:
    """Time our commands with ``count`` modules."""
    fresh = [workspace(folder / f"run-{number}", count) for number in range(runs)]
    found = {"sync": best([measured(sys.executable, COMMAND, root, "sync", "") for root in fresh])}
    root = fresh[0]
    found["sync again"] = best([measured(sys.executable, COMMAND, root, "sync", "") for _ in range(runs)])
    module(root, "one-more", 9_999)
    adds, removals = [], []
    for _ in range(runs):
        adds.append(measured(sys.executable, COMMAND, root, "add", "one-more"))
        removals.append(measured(sys.executable, COMMAND, root, "remove", "one-more"))
    found |= {"add": best(adds), "remove": best(removals)}
    found["validate"] = best([measured(sys.executable, COMMAND, root, "validate", "") for _ in range(runs)])
    bare = workspace(folder / "bare", count, database=False)
    measured(sys.executable, COMMAND, bare, "sync", "")
    return {**found, **asking(root, bare, runs)}


def asking(root: Path, bare: Path, runs: int) -> dict[str, dict[str, float]]:
    """Time what asks uv and Compose, too; ``bare`` has modules without databases."""
    found: dict[str, dict[str, float]] = {}
    for name, where in (("", root), (", no databases", bare)):
        first, again, adds = [], [], []
        for _ in range(runs):
            shutil.rmtree(forget(), ignore_errors=True)
            first.append(measured(sys.executable, COMMAND, where, "validate", "", "asking"))
            again.append(measured(sys.executable, COMMAND, where, "validate", "", "asking"))
            module(where, "one-more", 9_999, database=where is root)
            adds.append(measured(sys.executable, COMMAND, where, "add", "one-more", "asking"))
            measured(sys.executable, COMMAND, where, "remove", "one-more")
        found[f"validate with uv and Compose{name}"] = best(first)
        found[f"  once more{name}"] = best(again)
        found[f"add with uv and Compose{name}"] = best(adds)
    return found


def forget() -> Path:
    """Return the folder of what was resolved before."""
    return cache_folder() / "resolved"


def use_compose(folder: Path) -> None:
    """Have our commands find Compose, and remember in a separate folder what resolved; uv keeps its cache."""
    said = subprocess.run([uv.find_uv_bin(), "cache", "dir"], capture_output=True, text=True, check=True)
    os.environ["UV_CACHE_DIR"] = said.stdout.strip()
    os.environ["PATH"] = f"{compose_program().parent}{os.pathsep}{os.environ['PATH']}"
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    os.environ["XDG_STATE_HOME"] = str(folder / "state")


def started(runs: int) -> float:
    """Return how many seconds the interpreter and our imports take."""
    times = []
    for _ in range(runs):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", START], cwd=ROOT, check=True)
        times.append(time.perf_counter() - begun)
    return round(min(times), 3)


def venv(folder: Path, requirement: str) -> Path:
    """Make a virtual environment with one requirement; return its interpreter."""
    path = folder / f"venv-{requirement}"
    subprocess.run([uv.find_uv_bin(), "venv", "--quiet", "--python", sys.executable, str(path)], check=True)
    python = path / "bin" / "python"
    subprocess.run([uv.find_uv_bin(), "pip", "install", "--quiet", "--python", str(python), requirement], check=True)
    return python


def tasks(root: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return one task for each file and module that puts its fragment between markers."""
    found = []
    for number, name in enumerate(names):
        snake = name.replace("-", "_")
        for file, text in fragments(name, 20_000 + number).items():
            target = services(root) / ("Dockerfile" if file == "dockerfile.snippet" else file)
            lines = text.decode().split("\n")
            body = lines[1:] if file == "workspace.yaml" else lines[1:10] if file == "docker-compose.yml" else lines
            after = {"docker-compose.yml": "^  store:", "Dockerfile": "^RUN pip"}.get(target.name, "EOF")
            module = {
                "path": str(target),
                "marker": f"# {{mark}} {snake}",
                "block": "\n".join(body),
                "insertafter": after,
            }
            found.append({"name": f"{name} {file}", "ansible.builtin.blockinfile": module})
    return found


def ansible(folder: Path, python: Path, count: int) -> float:
    """Return how many seconds Ansible takes to put in ``count`` modules."""
    root = make_workspace(folder / "ansible")
    (services(root) / "workspace.yaml").write_text("load_from:\n")
    names = [f"module-{number:04}" for number in range(count)]
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks(root, names)}
    playbook = folder / "playbook.yml"
    playbook.write_text(yaml.safe_dump([play]))
    begun = time.perf_counter()
    command = [
        str(python.with_name("ansible-playbook")),
        "-i",
        "localhost,",
        "-e",
        f"ansible_python_interpreter={python}",
    ]
    subprocess.run([*command, str(playbook)], capture_output=True, check=True)
    return time.perf_counter() - begun


def peers(folder: Path, root: Path, count: int, ansible_count: int) -> dict[str, dict[str, Any]]:
    """Time the others at the same edits."""
    few, more = sorted({max(ansible_count // 4, 1), ansible_count})
    python = venv(folder, "ansible-core")
    times = {number: ansible(folder / f"ansible-{number}", python, number) for number in (few, more)}
    each = (times[more] - times[few]) / (more - few)
    compose = folder / "compose.yml"
    shutil.copy(services(root) / "docker-compose.yml", compose)
    return {
        "ansible": {
            "measured": {str(number): round(seconds, 2) for number, seconds in times.items()},
            "seconds_a_module": round(each, 3),
            "scaled_to": {str(count): round(times[more] + each * (count - more), 1)},
        },
        "ruamel.yaml": measured(venv(folder, "ruamel.yaml"), RUAMEL, compose),
    }


def shown(result: dict[str, Any], count: int) -> str:
    """Return the figures as a table."""
    small, large = result["ours"][str(count // 10)], result["ours"][str(count)]
    lines = [
        f"start-up and imports: {result['start_s']} s",
        "",
        f"{'':44}{count // 10:>10}{count:>10}{'factor':>8}{'CPU':>9}{'MB':>8}{'all MB':>8}",
    ]
    for name, run in large.items():
        factor = run["seconds"] / small[name]["seconds"]
        lines.append(
            f"{name:44}{small[name]['seconds']:>9}s{run['seconds']:>9}s{factor:>8.1f}"
            f"{run['cpu_s']:>8}s{run['peak_mb']:>8.0f}{run['all_mb']:>8.0f}"
        )
    ansible, ruamel = result["peers"]["ansible"], result["peers"]["ruamel.yaml"]
    scaled, each = ansible["scaled_to"][str(count)], ansible["seconds_a_module"]
    lines.append("")
    lines.append(
        f"Ansible blockinfile, {count} modules: {scaled} s, scaled from {ansible['measured']} at {each} s each"
    )
    lines.append(f"ruamel.yaml, one more in the Compose file alone: {ruamel['seconds']} s, {ruamel['peak_mb']:.0f} MB")
    return "\n".join(lines)


def main() -> None:
    """Measure, print a table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--modules", type=int, default=1000)
    parser.add_argument("--ansible-modules", type=int, default=20)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        use_compose(folder)
        small, large = given.modules // 10, given.modules
        result: dict[str, Any] = {"modules": large, "start_s": started(given.runs)}
        result["ours"] = {str(count): ours(folder / str(count), count, given.runs) for count in (small, large)}
        root = folder / str(large) / "run-0" / f"ws-{large}"
        result["peers"] = peers(folder, root, large, given.ansible_modules)
    print(shown(result, large))
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
