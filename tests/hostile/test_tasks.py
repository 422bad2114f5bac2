"""Every hostile module through every task of the namespace: nothing is read, written, run or asked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dagster_module_builder.commands import namespace
from dagster_module_builder.workspaces.add import add_module
from tests.cli.documented_exits import assert_documented
from tests.cli.quick_program import QuickProgram, Result
from tests.cli.task_lines import line_of
from tests.cli.terminal import Terminal
from tests.engine.folders import make_module
from tests.hostile.machine import (
    CANARY,
    HONEST,
    OTHERS,
    SECRETS,
    Seen,
    Visitors,
    copied,
    put_programs,
    seen,
    server,
    written,
)
from tests.hostile.modules import ALL, Hostile, Places
from tests.security_page import row_of, says_nothing

# The machines that they are tried on are made once.
pytestmark = pytest.mark.xdist_group("guests")

FLAGS = {context.name: set(context.flags) for context in namespace.to_contexts() if context.name}
TASKS = sorted(FLAGS)
#: What a task is given in turn, where it knows it: what promises to write nothing, and what asks before it runs code.
WAYS = ((), ("--dry-run",), ("--check",), ("--load",), ("--run-tests", "--load"), ("--json",), ("--data",), ("--all",),
        ("--delete-data", "--yes"), ("--prune",), ("--no-check",))  # fmt: skip
#: Each module meets one in so many tasks, and each task as many modules; ``nox -s sweeps`` has every pair.
ONE_IN = int(os.environ.get("GUESTS_ONE_IN", "32"))
#: What no task needs to say of this machine.
NEVER_SHOWN = re.compile(f"{CANARY}|{OTHERS}|root:x:0:0|\x1b", re.IGNORECASE)
#: Where a row's words let a task write.
AREAS = {
    "the workspace": ("workspace/services", "workspace/data", "workspace/.", "workspace/projects/fresh"),
    "the module": ("workspace/projects/guest", "workspace/projects/fresh"),
    "the new module": ("workspace/projects/fresh",),
    "the deployment's `known_hosts`": ("workspace/projects/guest/deploy",),
    "`.native/`": ("workspace/.native",),
    "`data/`": ("workspace/data",),
    "the pipeline's files in its repository": ("workspace/.github", "workspace/projects/guest"),
}
#: What this program notes of its work, what programs keep between runs, and the locks of what is read.
NOTES = re.compile(r"(state|cache|tmp)(/.*)?|.*/\.lock[^/]*")


#: What a new deployment is asked for.
ANSWERS = ("--deployment=leia", "--client=x", "--hosts=leia.example", "--user=deploy", "--strategy=rsync")


def ways_of(task: str) -> list[tuple[str, ...]]:
    return [way for way in WAYS if set(way) <= FLAGS[task]]


PAIRS = [
    pytest.param(task, hostile, ways_of(task)[turn // ONE_IN % len(ways_of(task))], id=f"{task}-{hostile.name}")
    for number, task in enumerate(TASKS)
    for turn, hostile in enumerate(ALL)
    # What takes no workspace meets no module.
    if ("--root" in FLAGS[task] and (number + turn) % ONE_IN == 0) or (turn == 0 and ONE_IN == 1)
]


@pytest.fixture(scope="module")
def strangers(made: Terminal, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine with an honest module that is not in the workspace."""
    top = tmp_path_factory.mktemp("strangers")
    root = copied(made.root, top / "workspace")
    make_module(root, "other", env=f"OTHER_DB_PORT='15440'\nOTHER_DB_PASSWORD='{OTHERS}'\n".encode())
    add_module(root, "other")
    written(top, SECRETS)
    make_module(root, "guest", 15441)
    written(root / "projects/guest", HONEST)
    return top


@pytest.fixture(scope="module")
def members(strangers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same machine, on which the module was added while it was honest."""
    top = copied(strangers, tmp_path_factory.mktemp("members") / "p")
    add_module(top / "workspace", "guest")
    return top


@pytest.fixture(scope="module")
def stranger_to() -> Iterator[Visitors]:
    """Every server but the index: as a proxy, and as what modules name."""
    with server("127.0.0.1", "502 Bad Gateway") as visitors:
        yield visitors


@pytest.fixture(scope="module")
def index() -> Iterator[Visitors]:
    """The index that the person configured: it has no packages."""
    with server("127.0.0.2", "404 Not Found") as visitors:
        yield visitors


def environ_of(top: Path, programs: Path, stranger_to: Visitors, index: Visitors) -> dict[str, str]:
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"), stranger_to.url)
    folders = {"HOME": "home", "TMPDIR": "tmp", "XDG_STATE_HOME": "state", "XDG_CACHE_HOME": "cache",
               "XDG_DATA_HOME": "cache", "UV_CACHE_DIR": "cache/uv"}  # fmt: skip
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "LANG": "C.UTF-8",
        "DAGSTER_WORKSPACE": str(top / "workspace"),
        "UV_DEFAULT_INDEX": f"{index.url}/simple/",
        "UV_HTTP_RETRIES": "0",
        "UV_PYTHON_DOWNLOADS": "never",
        "no_proxy": "127.0.0.2",
        "NO_PROXY": "127.0.0.2",
        **proxies,
        **{name: str(top / folder) for name, folder in folders.items()},
    }


def line(task: str, way: tuple[str, ...]) -> list[str]:
    """Return what is typed: ``new`` makes another module beside the guest."""
    answers = {"new": ["--no-input"], "configure-deployment": ["--no-input", *ANSWERS]}.get(task, [])
    return [*line_of(task, "fresh" if task == "new" else "guest"), *way, *answers]


@pytest.mark.parametrize(("task", "hostile", "way"), PAIRS)
def test_a_hostile_module_gains_nothing_by_any_task(
    strangers: Path, members: Path, quick_program: QuickProgram, stranger_to: Visitors, index: Visitors,
    tmp_path: Path, task: str, hostile: Hostile, way: tuple[str, ...],
) -> None:  # fmt: skip
    """FAULTS S1-S9, S15: SECURITY.md says what each may do; a new task needs a row there, and is tried."""
    row = row_of(task)
    # What is in the workspace may run where a task runs anything.
    is_member = says_nothing(row.cells[0], way) and hash_of(hostile.name) % 2 == 0
    top = copied(members if is_member else strangers, tmp_path / "p")
    for name in ("ran", "tmp", "state", "cache"):
        (top / name).mkdir()
    put_programs(tmp_path / "programs", top / "ran")
    module = top / "workspace/projects/guest"
    hostile.change(module, Places(top / "home", top / "ran", stranger_to.url))
    before = seen(top)
    environ = environ_of(top, tmp_path / "programs", stranger_to, index)
    folder = module if module.is_dir() else top
    result = quick_program.run(*line(task, way), environ=environ, folder=folder)
    assert_documented(result)
    assert not NEVER_SHOWN.search(result.text), result
    assert list((top / "ran").iterdir()) == []
    assert stranger_to.so_far() == []
    asked = index.so_far()
    assert "the index" in row.cells[2] or not asked
    assert CANARY not in " ".join(asked)
    check_files(before, seen(top), () if says_nothing(row.cells[1], way) else areas_of(row.cells[1]), result)


@pytest.mark.parametrize("task", ["workspace.add", "configure-deployment", "deploy.list", "upgrade"])
def test_the_honest_module_is_not_refused_on_that_machine(
    strangers: Path, quick_program: QuickProgram, stranger_to: Visitors, index: Visitors, tmp_path: Path, task: str
) -> None:
    """What the others gain nothing by does something."""
    top = copied(strangers, tmp_path / "p")
    for name in ("ran", "tmp", "state", "cache"):
        (top / name).mkdir()
    put_programs(tmp_path / "programs", top / "ran")
    environ = environ_of(top, tmp_path / "programs", stranger_to, index)
    result = quick_program.run(*line(task, ()), environ=environ, folder=top)
    assert result.code == 0, result


def hash_of(name: str) -> int:
    return sum(name.encode())


def areas_of(cell: str) -> tuple[str, ...]:
    return tuple(place for words, places in AREAS.items() if words in cell for place in places)


def check_files(before: Seen, after: Seen, areas: tuple[str, ...], result: Result) -> None:
    """Check that only files of these areas were changed, and that no canary moved."""
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert [path for path in sorted(changed) if not path.startswith(areas) and not NOTES.fullmatch(path)] == [], result
    for path in changed & after.keys():
        content = after[path][1]
        if isinstance(content, bytes):
            assert CANARY.encode() not in content, path
            assert OTHERS.encode() not in content or path.startswith("workspace/services/"), path
