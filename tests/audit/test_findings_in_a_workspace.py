"""What the checks say of a module in its workspace, and of its deployments; and what an audit makes of it all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dagster_module_builder.audit import run
from dagster_module_builder.audit.checks import CHECKS
from dagster_module_builder.audit.results import Audit, Problem, Result, Status
from dagster_module_builder.audit.run import AuditOptions, audit, audit_all, projects_in
from dagster_module_builder.base.errors import NoModuleError
from dagster_module_builder.modules.module import folder_of
from dagster_module_builder.programs.worker_pool import worker_pool
from dagster_module_builder.workspaces.add import add_module
from tests.audit.findings import problems, skipped
from tests.audit.projects import write

ADDED = "Run 'upgrade', which adds it"
DELETED = "It was deleted. Restore it from git"
LOCAL = "workspace/local"
LOCATION = "load_from:\n  - python_module:\n      module_name: orders\n      location_name: orders\n"
WHOLE = {
    f"{LOCAL}/workspace.yaml": LOCATION,
    f"{LOCAL}/docker-compose.yml": "services:\n  orders_db:\n    ports: ['127.0.0.1:${ORDERS_PORT}:1']\n",
    f"{LOCAL}/.env": "ORDERS_PORT='5999'\n",
    f"{LOCAL}/dockerfile.snippet": "",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder for projects without a workspace."""
    return tmp_path / "alone"


def project(root: Path, files: dict[str, str]) -> Path:
    return write(root / "projects/orders", files)


def found(root: Path, files: dict[str, str], check: str) -> list[Problem]:
    return problems(root, project(root, files), check)


def test_nothing_is_made_by_default() -> None:
    """First: every other test would make environments for minutes."""
    assert AuditOptions() == AuditOptions(load=False, tests=False, python=None)


def test_fragments_that_are_missing_are_named(folder: Path, root: Path, module: Path) -> None:
    names = ("workspace.yaml", ".env", "docker-compose.yml", "dockerfile.snippet")
    assert found(folder, {"a.py": ""}, "fragments") == [
        Problem(f"No {LOCAL}/{name}", ADDED, by_upgrade=True) for name in names
    ]
    assert found(folder, WHOLE, "fragments") == []
    (module / LOCAL / "docker-compose.yml").unlink()
    assert problems(root, module, "fragments") == [Problem(f"No {LOCAL}/docker-compose.yml", DELETED)]


IN_WORKSPACE = ("fragments-fit", "clashes", "variables-set")


def test_what_cannot_be_looked_at_in_a_workspace_is_skipped(folder: Path, root: Path) -> None:
    alone = project(folder, WHOLE)
    for check in IN_WORKSPACE:
        assert problems(folder, alone, check) == skipped(f"no readable workspace at {folder}")
    bare = project(root, {"a.py": ""})
    for check in IN_WORKSPACE:
        assert problems(root, bare, check) == skipped("no workspace/local/")


def test_fragments_that_do_not_fit_are_found_once(root: Path) -> None:
    module = project(root, {f"{LOCAL}/.env": "A='x'\n"})
    message = f"{module / LOCAL / 'workspace.yaml'} is missing. Without it, Dagster does not find the module."
    assert problems(root, module, "fragments-fit") == [Problem(message, "Fix that fragment")]
    for check in ("fragment-settings", "clashes", "variables-set"):
        assert problems(root, module, check) == skipped("its fragments cannot be read")
    assert found(root, WHOLE, "fragments-fit") == []


RIGHTS = "services.a: 'privileged' gives the container rights over this machine"
SHARES = "services.a: 'pid:host' shares a namespace with this machine or with other containers"
POWERFUL = {
    **WHOLE,
    f"{LOCAL}/docker-compose.yml": """\
services:
  a:
    image: a:1
    privileged: true
    pid: host
    networks: [workspace-net]
""",
}


def refused(cure: str, status: Status = "FAIL") -> list[Problem]:
    places = ((RIGHTS, 4), (SHARES, 5))
    return [Problem(text, cure, f"{LOCAL}/docker-compose.yml:{line}", status) for text, line in places]


def test_settings_that_a_person_has_to_allow_are_named(folder: Path, root: Path) -> None:
    check = "fragment-settings"
    assert found(folder, POWERFUL, check) == refused("Remove it")
    flags = "--allow orders=privileged --allow orders=pid:host"
    assert found(root, POWERFUL, check) == refused(f"Remove it, or allow it: workspace.add orders {flags}")
    assert found(root, POWERFUL, "fragments-fit") == []
    add_module(root, "orders", allowances={"orders": ["privileged", "pid:host"]})
    assert found(root, POWERFUL, check) == [
        Problem(f"{name!r} was allowed", "Remove it if it is not needed", "", "WARN")
        for name in ("privileged", "pid:host")
    ]
    registry = root / "services/dagster/modules/.registry"
    data = json.loads(registry.read_text())
    del data["integrated_modules"][0]["allowed"]
    registry.write_text(json.dumps(data))
    tolerated = [
        replace(one, fix=f"Remove it, or allow it: workspace.sync --allow orders={name}")
        for one, name in zip(refused("", "WARN"), ("privileged", "pid:host"), strict=True)
    ]
    assert found(root, POWERFUL, check) == tolerated


def test_settings_of_fragments_that_cannot_be_read_are_not_judged(folder: Path, root: Path) -> None:
    check, unread = "fragment-settings", skipped("its fragments cannot be read")
    for place in (folder, root):
        assert found(place, {"a.py": ""}, check) == skipped("no workspace/local/")
        assert found(place, WHOLE, check) == []
        assert found(place, {f"{LOCAL}/docker-compose.yml": "services:\n  a: }\n"}, check) == unread


RENAME = "Rename it in one of their workspace/local/ folders, and run 'workspace.sync'"
OTHER_PORT = "Change the *PORT in one of their workspace/local/.env files, and run 'workspace.sync'"


def test_claims_of_others_are_named(root: Path) -> None:
    compose = "services:\n  dagster_webserver:\n    image: a:1\n    ports: ['127.0.0.1:${ORDERS_PORT}:1']\n"
    module = project(root, {**WHOLE, f"{LOCAL}/docker-compose.yml": compose})
    write(module, {f"{LOCAL}/.env": "ORDERS_PORT='5440'\nORDERS_SIZE='5440'\nMORE_PORT='5441'\n"})
    write(root, {"projects/later/workspace/local/.env": "LATER_PORT='5441'\nLATER_SIZE='5440'\n"})
    service = Problem("service dagster_webserver is claimed by the workspace and orders", RENAME)

    def also(name: str, port: str) -> Problem:
        return Problem(f"{name}, which is not integrated, also uses the port {port}", "Change one of them", "", "WARN")

    wanted = [service, also("later", "5441"), also("sales-report", "5440")]
    assert problems(root, module, "clashes") == wanted
    add_module(root, "sales-report")
    port = Problem("host port 5440 is claimed by sales-report and orders", OTHER_PORT)
    assert problems(root, module, "clashes") == [service, port, also("later", "5441")]
    assert problems(root, root / "projects/sales-report", "clashes") == [also("orders", "5440")]


def test_variables_that_compose_uses_have_a_value(root: Path) -> None:
    uses = "services:\n  a:\n    environment: {A: '$ORDERS_A', B: '$ORDERS_B', C: '$ORDERS_C', D: '${ORDERS_D:-x}'}\n"
    files = {**WHOLE, f"{LOCAL}/docker-compose.yml": uses, f"{LOCAL}/.env": "ORDERS_B=''\nORDERS_C='x'\nORDERS_D=''\n"}
    assert found(root, files, "variables-set") == [
        Problem(
            "orders uses the variable ORDERS_A, which is not set",
            "Set it in its workspace/local/.env, and run 'workspace.sync'",
        ),
        Problem("orders uses the variable ORDERS_B, which is empty", "Set it in workspace/local/.env"),
    ]
    with (root / "services/dagster/.env").open("a") as env:
        env.write("ORDERS_A=''\n")
    assert [one.message for one in found(root, files, "variables-set")] == [
        f"orders uses the variable ORDERS_{name}, which is empty" for name in "AB"
    ]
    plain = {**WHOLE, f"{LOCAL}/docker-compose.yml": "services:\n  a:\n    image: a:1\n"}
    assert found(root, plain, "variables-set") == skipped("Compose uses no variable")


def deployment(name: str, strategy: str = "rsync", **more: Any) -> dict[str, str]:
    data = {
        "version": 1, "deployment": name, "client": "A", "module": "orders", "strategy": strategy,
        "hosts": ["a.example"], "base_path": "/srv/a", "dagster": {"url": "http://127.0.0.1:3000"}, **more,
    }  # fmt: skip
    return {f"deploy/{name}/deployment.yaml": str(data)}


def by_pipeline(name: str) -> dict[str, str]:
    section = {"carries_out": "git", "platform": "gitlab", "trigger": "push", "tool": "dagster-module-builder==0.1.0"}
    return deployment(name, "ci-cd", **{"ci-cd": section})


def test_deployments_are_counted(folder: Path, root: Path, module: Path) -> None:
    shutil.rmtree(module / "deploy")
    configure = "configure-deployment sales-report"
    assert problems(root, module, "deployments") == [Problem("No deploy/", f"Run '{configure}'", command=configure)]
    configure = "configure-deployment orders"
    fix = f"Run 'upgrade', then '{configure}'"
    wanted = [Problem("No deploy/", fix, by_upgrade=True, command=configure)]
    assert found(folder, {"a.py": ""}, "deployments") == wanted
    none = [Problem("No deployment configured yet", f"Run '{configure}'", "", "WARN", command=configure)]
    assert found(folder, {"deploy/README.md": ""}, "deployments") == none
    staging = "Add deployment config for staging environment"
    message, command = "Only 1 deployment configured (consider staging)", f"{configure} --deployment staging"
    only = [Problem(message, staging, "", "WARN", command=command)]
    assert found(folder, deployment("a"), "deployments") == only
    assert found(folder, deployment("b"), "deployments") == []
    assert found(folder, deployment("c"), "deployments") == []


def test_deployments_that_cannot_be_carried_out_are_named(folder: Path) -> None:
    assert found(folder, {"a.py": ""}, "deployments-read") == skipped("no deployment")
    files = {**deployment("b", "docker"), **deployment("c"), "deploy/c/Dockerfile": "", "deploy/b/Dockerfile": ""}
    module = project(folder, {**files, "deploy/a/deployment.yaml": "}\n"})

    def missing(name: str) -> Problem:
        return Problem(f"{name} is missing", "Run 'configure-deployment', which creates it", "deploy/b")

    unread = f"{module / 'deploy/a/deployment.yaml'}:1: did not find expected node content. Fix that line."
    assert problems(folder, module, "deployments-read") == [
        Problem(unread, "Fix that file", "deploy/a"),
        missing(".dockerignore"),
        missing("docker-compose.deploy.yml"),
    ]


def test_deployments_lack_variables(folder: Path) -> None:
    check = "deployments-env"
    assert found(folder, {".env.example": "A=''\n"}, check) == skipped("no deployment")
    assert found(folder, {**deployment("b"), ".env.example": ""}, check) == skipped("no variables")
    (folder / "projects/orders/.env.example").unlink()
    root_password = "ORDERS_DB_ROOT_PASSWORD=''\n"
    assert found(folder, {f"{LOCAL}/.env": root_password}, check) == skipped("no variables")
    files = {
        **deployment("a"), "deploy/a/.env.deploy": "A='x'\n", "deploy/a/.env.deploy.example": "B=''\n",
        f"{LOCAL}/.env": f"C='x'\nA='x'\n{root_password}", ".env.example": "B=''\nD=''\n",
    }  # fmt: skip
    assert found(folder, files, check) == [
        Problem(f"{name} is missing", "Add it as explained in .env.example", f"deploy/{where}/.env.deploy", "WARN")
        for where, names in (("a", "CD"), ("b", "ABCD"))
        for name in names
    ]
    (folder / "projects/orders" / LOCAL / ".env").unlink()
    (folder / "projects/orders/.env.example").unlink()
    assert found(folder, {f"{LOCAL}/.env": "A='x'\n"}, check) == [
        Problem("A is missing", "Add it as explained in .env.example", "deploy/b/.env.deploy", "WARN")
    ]


def test_pipelines_that_are_missing_or_left_over_are_named(folder: Path) -> None:
    check, nothing = "pipelines", skipped("no deployment by a pipeline")
    assert found(folder, {**deployment("a"), "deploy/z/deployment.yaml": "}"}, check) == nothing
    module = project(folder, {**by_pipeline("b"), "deploy/b/.env.deploy": "", "deploy/b/known_hosts": ""})
    message = f"{module / '.gitlab-ci.yml'} is missing: run 'deploy.pipeline b'."
    assert problems(folder, module, check) == [
        Problem(message, "Run 'deploy.pipeline b'", "deploy/b", command="deploy.pipeline b")
    ]
    left = (
        "# From deploy/gone/deployment.yaml of orders, by 'dagster-module-builder deploy.pipeline gone'\n"
        "# has no value: see deploy/gone/DEPLOYMENT.md\n"
    )
    write(module, {".github/workflows/deploy-gone.yml": left})
    leftover = Problem(
        f"{module / '.github/workflows/deploy-gone.yml'} still deploys orders to 'gone', "
        "but deploy/gone/deployment.yaml is gone.",
        "Run 'deploy.pipeline gone --module orders --remove'",
        ".github/workflows/deploy-gone.yml",
    )
    assert problems(folder, module, check) == [
        leftover,
        Problem(message, "Run 'deploy.pipeline b'", "deploy/b", command="deploy.pipeline b"),
    ]
    shutil.rmtree(module / "deploy/b")
    assert problems(folder, module, check) == [leftover]


OFF = "[tool.dagster-module-builder.audit.off]\n"


def test_what_is_switched_off_without_a_reason_is_named(folder: Path) -> None:
    check = "switched-off"
    assert found(folder, {"a.py": ""}, check) == skipped("nothing is switched off")
    theirs = str(folder / "pyproject.toml")
    files = {"pyproject.toml": f'{OFF}tests = "x"\nnothing = "x"\nsyntax = 1\ndeployments = " "\nsecrets = "x"\n'}
    may = f"Remove it; the workspace can switch it off in {theirs}"
    own = [
        Problem("There is no check nothing", "Remove it", "pyproject.toml", "WARN"),
        Problem("syntax is switched off without a reason", "Set the reason as its value", "pyproject.toml"),
        Problem("deployments is switched off without a reason", "Set the reason as its value", "pyproject.toml"),
        Problem("secrets protects the workspace, so the module cannot switch it off", may, "pyproject.toml"),
    ]
    assert found(folder, files, check) == own
    write(folder, {"pyproject.toml": f'{OFF}secrets = "x"\nsyntax = ""\n'})
    without = [Problem("syntax is switched off without a reason", "Set the reason as its value", theirs)]
    assert found(folder, files, check) == [*own, *without]
    (folder / "projects/orders/pyproject.toml").unlink()
    assert found(folder, {"a.py": ""}, check) == without


def test_a_reason_switches_a_check_off(folder: Path) -> None:
    files = {"pyproject.toml": f'{OFF}tests = "theirs"\nsyntax = ""\nsecrets = "theirs"\nswitched-off = "theirs"\n'}
    module = project(folder, {**files, "a.py": ""})
    write(
        folder, {"pyproject.toml": f'{OFF}tests = "ours"\n{OFF.replace("off", "modules.orders.off")}fragments = "x"\n'}
    )
    only = ("tests", "fragments", "syntax", "secret-modes", "switched-off")
    off = {one.check: (one.off, one.problems) for one in audit(folder, module, None, only).results if one.off}
    assert off == {"tests": ("ours", ()), "fragments": ("x", ())}


GUARDS = {
    "fragment-settings",
    "compose-lint",
    "dockerfile-lint",
    "secrets",
    "secret-modes",
    "secrets-ignored",
    "switched-off",
}


def test_checks_that_guard_the_workspace_are_known_as_such() -> None:
    assert {name for name, one in CHECKS.items() if one.security} == GUARDS


def test_modules_are_found_by_name_or_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = project(folder, {"a.py": ""})
    assert folder_of(folder, "orders") == module
    assert folder_of(folder, f"{folder}/projects/../projects/orders/") == module
    monkeypatch.setenv("HOME", str(folder))
    assert folder_of(folder / "other", "~/projects/orders") == module
    monkeypatch.chdir(module)
    assert folder_of(folder / "other", ".") == module
    assert folder_of(folder / "other", "..") == module.parent
    assert folder_of(folder / "other", "../orders") == module
    for name in ("none", "../none", "orders/a.py"):
        with pytest.raises(NoModuleError, match=r"No module '(none|a\.py)' in "):
            folder_of(folder, name)


def test_projects_are_folders_with_something_to_load(folder: Path) -> None:
    assert projects_in(folder) == []
    files = ("b/pyproject.toml", "a/setup.py", "c/x.py", "d/README.md", ".e/x.py", "f.py")
    write(folder / "projects", dict.fromkeys(files, ""))
    assert [path.name for path in projects_in(folder)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("modules", "processors", "started"), [(0, 4, []), (1, 4, []), (3, 1, []), (2, 4, [2]), (3, 2, [2]), (2, None, [])]
)
def test_modules_are_audited_by_as_many_processes_as_there_is_work_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, modules: int, processors: int | None, started: list[int]
) -> None:
    asked: list[int] = []

    def pool(workers: int) -> Executor:
        asked.append(workers)
        return worker_pool(workers)

    monkeypatch.setattr(run, "worker_pool", pool)
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    names = [f"m{number}" for number in range(modules)]
    write(folder / "projects", {f"{name}/a.py": "" for name in names})
    assert [one.name for one in audit_all(folder)] == names
    assert asked == started


PYTHON = Path("/python")


def needing(wanted: AuditOptions | None, root: Path, module: Path) -> dict[str, Sequence[Problem]]:
    only = [name for name, one in CHECKS.items() if one.needs != "nothing"] + ["syntax"]
    return {one.check: one.problems for one in audit(root, module, wanted, only).results}


def test_what_needs_an_environment_is_made_only_where_one_is_asked_for(folder: Path) -> None:
    module = project(folder, {"a.py": "defs = Definitions()\n"})
    load, tests = skipped("Only with --load"), skipped("Only with --run-tests")
    loading = {"loads", "keys-loaded", "io-manager-loaded", "requirements"}
    for wanted in (None, AuditOptions()):
        said = needing(wanted, folder, module)
        assert {name for name, found_ in said.items() if list(found_) == load} == loading
        assert {name for name, found_ in said.items() if list(found_) == tests} == {"tests-pass"}
    only_load, only_tests = (
        needing(AuditOptions(*flags, python=PYTHON), folder, module) for flags in ((True,), (False, True))
    )
    missing = Problem("Dagster does not load it: The program '/python' was not found.", "Fix the module's code")
    assert only_load["loads"] == only_tests["loads"] == (missing,)
    assert list(only_load["tests-pass"]) == tests
    assert list(only_tests["tests-pass"]) == skipped("no tests")
    assert only_load["syntax"] == only_tests["syntax"] == ()


@pytest.mark.parametrize("wanted", [AuditOptions(load=True), AuditOptions(tests=True)])
def test_an_environment_that_cannot_be_made_is_one_failure(folder: Path, wanted: AuditOptions) -> None:
    """The settings of uv in the module are none: nothing is fetched."""
    requirements = "[project]\nname = 'orders'\ndependencies = ['x']\n"
    files = {"uv.toml": "no settings", "pyproject.toml": requirements, "tests/test_a.py": ""}
    module = project(folder, {**files, "a.py": "defs = Definitions()\n"})
    said = needing(wanted, folder, module)
    (problem,) = said["loads"]
    assert problem.message.startswith("The environment could not be created: ")
    assert (problem.fix, problem.where, problem.status) == ("Fix its requirements", "", "FAIL")
    assert [one.status for one in said["keys-loaded"]] == ["SKIP"]
    assert [one.message for one in said["keys-loaded"]] == [problem.message]
    assert said["syntax"] == ()
    last = said["tests-pass"] if wanted.tests else said["requirements"]
    assert [one.status for one in last] == ["SKIP"]


def test_what_cannot_be_read_is_a_failure_of_its_check_alone(folder: Path) -> None:
    module = project(folder, {"a.py": "", "tests/test_a.py": ""})
    (module / ".env.example").mkdir()
    message = f"{module / '.env.example'} is not a regular file. Replace it with a regular file."
    wanted = [Problem(message, "Replace it with a regular file")]
    assert problems(folder, module, "variables-documented") == wanted
    assert problems(folder, module, "tests") == []
    (module / ".env.example").rmdir()
    link = module / ".env.example"
    link.symlink_to("x" * 300)
    assert problems(folder, module, "variables-documented") == [
        Problem(f"{link} cannot be read: File name too long.", "Make that file readable")
    ]
    write(module, {".env": "A='x'\n"})
    (module / ".git").write_text("gitdir: nowhere\n")
    (problem,) = problems(folder, module, "secrets-ignored")
    assert (problem.fix, problem.status) == ("Make that program work, then run the audit again", "FAIL")
    assert "git" in problem.message
    missing = problems(folder, folder / "projects/none", "syntax")
    assert missing == [Problem(f"{folder / 'projects/none'}: No such file or directory", "Make it readable")]


def of(*statuses: Status, off: str | None = None, by_upgrade: bool = False) -> Result:
    said = tuple(Problem("x", status=status, by_upgrade=by_upgrade) for status in statuses)
    return Result("a", "A", "docs", said, off)


@pytest.mark.parametrize(
    ("result", "status"),
    [
        (of(), "PASS"),
        (of("SKIP"), "SKIP"),
        (of("SKIP", "WARN"), "WARN"),
        (of("WARN", "FAIL", "SKIP"), "FAIL"),
        (of("FAIL", off="x"), "SKIP"),
        (of(off=""), "SKIP"),
    ],
)
def test_the_worst_problem_is_a_checks_status(result: Result, status: str) -> None:
    assert result.status == status


PASSED, WARNED, FAILED, SKIPPED = of(), of("WARN"), of("FAIL"), of("SKIP")


@pytest.mark.parametrize(
    ("results", "overall", "passed", "counted", "failed"),
    [
        ((PASSED, PASSED, SKIPPED), "EXCELLENT", 2, 2, False),
        ((PASSED, WARNED, SKIPPED), "GOOD", 1, 2, False),
        ((PASSED, WARNED, FAILED), "NEEDS WORK", 1, 3, True),
        ((SKIPPED,), "NOTHING CHECKED", 0, 0, True),
        ((), "NOTHING CHECKED", 0, 0, True),
    ],
)
def test_results_amount_to_one_word(
    results: tuple[Result, ...],
    overall: str,
    passed: int,
    counted: int,
    failed: bool,
) -> None:
    whole = Audit(Path("a"), results)
    assert (whole.overall, whole.passed, len(whole.counted), whole.failed) == (overall, passed, counted, failed)


def test_upgrade_helps_where_a_problem_that_counts_says_so() -> None:
    assert not Audit(Path("a"), (of("FAIL"), of("FAIL", off="x", by_upgrade=True))).helped_by_upgrade
    assert Audit(Path("a"), (of("FAIL"), of("FAIL", by_upgrade=True))).helped_by_upgrade
