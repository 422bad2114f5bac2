"""What the checks of fragments, Dockerfiles, variables, versions and secrets say, word for word."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from dagster_module_builder.audit.results import Problem
from dagster_module_builder.base.settings import SERVICES
from dagster_module_builder.modules import unfinished
from dagster_module_builder.templating.template_folders import MODULE_TEMPLATE, template_folder
from tests import needs
from tests.audit.findings import problems, skipped
from tests.audit.projects import write

LOCAL = "workspace/local"
COMPOSE, ENV = f"{LOCAL}/docker-compose.yml", f"{LOCAL}/.env"
SNIPPET = f"{LOCAL}/dockerfile.snippet"
ADDED = "Run 'upgrade', which adds it"
EXPLAIN = "Explain it in .env.example"
REMOVE = "Remove it from .env.example"
GIVE = "Set it in workspace/local/.env"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder for projects without a workspace."""
    return tmp_path / "alone"


def found(folder: Path, files: dict[str, str], check: str) -> list[Problem]:
    return problems(folder, write(folder / "projects/orders", files), check)


def warning(message: str, fix: str, where: str = "") -> Problem:
    return Problem(message, fix, where, "WARN")


def service(what: str, fix: str) -> Problem:
    return warning(f"The service a {what}", fix, COMPOSE)


def one(text: str) -> dict[str, str]:
    return {COMPOSE: f"services:\n  a: {{{text}}}\n"}


def image(name: str) -> dict[str, str]:
    return one(f"image: {name}, healthcheck: {{}}")


def no_version(name: str) -> list[Problem]:
    return [service(f"uses {name} without a version", "Specify the image's version")]


def is_open(port: str) -> Problem:
    return service(f"opens the port {port} to the network", "Prefix it with 127.0.0.1:")


UNCHECKED = service("has no health check", "Add a healthcheck, so that other services can wait for it")

COMPOSING: dict[str, tuple[dict[str, str], list[Problem]]] = {
    "no fragment": ({"a.py": ""}, skipped("no service in Compose")),
    "no service": ({COMPOSE: "volumes:\n"}, skipped("no service in Compose")),
    "no YAML": ({COMPOSE: "services:\n  a: }\n"}, [Problem("This is not valid YAML", "Fix that line", f"{COMPOSE}:2")]),
    "no YAML, at no line": ({COMPOSE: "a: \0"}, [Problem("This is not valid YAML", "Fix that line", COMPOSE)]),
    "a version": (image("postgres:16"), []),
    "a digest": (image("postgres@sha256:abc"), []),
    "a variable": (image("$IMAGE"), []),
    "no version": (image("postgres"), no_version("postgres")),
    "the latest version": (image("r.example:5000/a/postgres:latest"), no_version("r.example:5000/a/postgres:latest")),
    "an image of a registry": (image("r.example:5000/postgres:16"), []),
    "no image": (one("healthcheck: {}"), []),
    "an image that is built, too": (one("image: a:1, build: ."), []),
    "only built": (one("build: ."), []),
    "unchecked": (one("image: a:1"), [UNCHECKED]),
    "ports": (
        one("ports: ['127.0.0.1:1:1', '127.9.9.9:1:1', '[::1]:2:2', 'localhost:3:3', '$A:4', 5, '0.0.0.0:6:6',"
            " {target: 7}]"),
        [is_open("$A:4"), is_open("5"), is_open("0.0.0.0:6:6")],
    ),
    "no ports": (one("ports: null"), []),
}  # fmt: skip


@pytest.mark.parametrize("case", COMPOSING)
def test_what_is_found_in_compose(folder: Path, case: str) -> None:
    files, wanted = COMPOSING[case]
    assert found(folder, files, "compose-lint") == wanted


def docker(message: str, fix: str, line: int, path: str = SNIPPET) -> Problem:
    return warning(message, fix, f"{path}:{line}")


def lists(line: int) -> Problem:
    return docker("apt's package lists stay in the image", "Append '&& rm -rf /var/lib/apt/lists/*'", line)


def base(line: int) -> Problem:
    return docker("The base image has no version", "Specify the image's version", line)


def secret(line: int, path: str = SNIPPET) -> Problem:
    return docker("The image would contain a secret", "Set it in workspace/local/.env", line, path)


def fetched(line: int) -> Problem:
    return docker("ADD downloads a file without checking it", "Download it with curl and check its digest", line)


DOCKERFILES: dict[str, tuple[str, list[Problem]]] = {
    "packages": ("RUN ls\nRUN apt-get update && \\\n  apt-get install x\nRUN apt-get install y", [lists(2), lists(4)]),
    "packages without lists": ("RUN apt-get install x && rm -rf /var/lib/apt/lists/*\nRUN ls /var/lib/apt/lists", []),
    "comments": ("  # RUN apt-get install x\nRUN ls", []),
    "Windows' lines": ("RUN apt-get update \\\r\n && ls\r\nRUN apt-get install x\r\n", [lists(3)]),
    "base images": (
        "FROM a\nfrom b:latest\nFROM c:1\nFROM d@sha256:e\nFROM $F\nFROM g:latest-1\nRUN echo FROM h",
        [base(1), base(2)],
    ),
    "stages": ("FROM a:1 AS Built\nFROM built\nFROM other AS b\nFROM builtin", [base(3), base(4)]),
    "secrets": (
        "ENV A_PASSWORD=x\nARG MY_TOKEN y\nenv API_KEY = z\nARG PASSWORD\nENV PASSWORD=\nENV A=PASSWORD\nRUN A_TOKEN=x",
        [secret(1), secret(2), secret(3)],
    ),
    "fetched": (
        "ADD https://a.example/x /\nadd http://a.example/x /\nADD x /https:\nRUN ADD",
        [fetched(1), fetched(2)],
    ),
    "only comments": ("# RUN apt-get install x\n\n  # more\n", skipped("no Dockerfile")),
}


@pytest.mark.parametrize("case", DOCKERFILES)
def test_what_is_found_in_dockerfiles(folder: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.fspath(folder))
    text, wanted = DOCKERFILES[case]
    assert found(folder, {SNIPPET: text}, "dockerfile-lint") == wanted


def test_every_dockerfile_is_looked_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.fspath(folder))
    paths = (SNIPPET, "Dockerfile", "deploy/a/Dockerfile")
    files = {"deploy/a/deployment.yaml": "", **dict.fromkeys(paths, "ENV TOKEN=x\n")}
    assert found(folder, files, "dockerfile-lint") == [secret(1, path) for path in paths]


def hadolint(rule: str, line: int, path: str) -> Problem:
    return docker(rule, "See Hadolint's page for that rule", line, path)


def with_hadolint(monkeypatch: pytest.MonkeyPatch) -> None:
    program = needs.program("hadolint")
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


def test_hadolint_is_asked_where_it_is_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_hadolint(monkeypatch)
    text = "RUN cd /x && ls\n"
    rule = "DL3003 warning: Use WORKDIR to switch to a directory"
    assert found(folder, {SNIPPET: text, "Dockerfile": f"FROM a:1\n{text}"}, "dockerfile-lint") == [
        hadolint(rule, 1, SNIPPET),
        hadolint(rule, 2, "Dockerfile"),
    ]


def test_what_a_fragment_leaves_to_the_shared_dockerfile_is_no_finding(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_hadolint(monkeypatch)
    text = "RUN apt-get update && apt-get install --yes --no-install-recommends x && rm -rf /var/lib/apt/lists/*\n"
    assert found(folder, {SNIPPET: f"{text}RUN ls $(cat /x) | wc -l\n"}, "dockerfile-lint") == []


def test_a_line_that_hadolint_cannot_read_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_hadolint(monkeypatch)
    (problem,) = found(folder, {SNIPPET: "RUN ls\nEXPOSE\n"}, "dockerfile-lint")
    assert (problem.where, problem.status) == (f"{SNIPPET}:2", "WARN")


def test_a_hadolint_that_says_nothing_of_its_failure_is_no_finding(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that ends with 1 without a word, as a broken installation does, which no real one can be made to."""
    program = write(folder / "bin", {"hadolint": "#!/bin/sh\necho no library >&2\nexit 1\n"}) / "hadolint"
    program.chmod(0o755)
    monkeypatch.setenv("PATH", os.fspath(program.parent))
    message = "hadolint failed (exit status 1):\nno library"
    wanted = [Problem(message, "Make that program work, then run the audit again")]
    assert found(folder, {SNIPPET: "RUN ls\n"}, "dockerfile-lint") == wanted


READING = {
    "explained": (
        {
            "a.py": 'os.environ["A_REQUIRED"]\nos.getenv("A_MORE")\nos.environ["KNOWN"]\nos.environ["HOME"]\n'
            'os.getenv("A_OPTIONAL")\n',
            COMPOSE: "# $A_COMMENT\nx: ${A_BRACED} $A_PLAIN ${A_DEFAULT:-x} $$A_ESCAPED ${A_MORE}\n  # $A_COMMENT\n",
            SNIPPET: "ARG A_BUILD=x\n arg A_SMALL\nENV A_SET=x\n",
            ENV: "A_FRAGMENT='x'\nKNOWN='x'\n",
            ".env.example": "# KNOWN\nA_UNUSED=''\nA_PART_LATER=''\nA_BRACED=''\n",
        },
        [
            warning("A_BUILD is not explained", EXPLAIN, SNIPPET),
            warning("A_DEFAULT is not explained", EXPLAIN, COMPOSE),
            warning("A_MORE is not explained", EXPLAIN, "a.py:2"),
            warning("A_OPTIONAL is not explained", EXPLAIN, "a.py:5"),
            warning("A_PLAIN is not explained", EXPLAIN, COMPOSE),
            Problem("A_REQUIRED is not explained", EXPLAIN, "a.py:1"),
            warning("A_SMALL is not explained", EXPLAIN, SNIPPET),
            warning("A_FRAGMENT is set but not explained", EXPLAIN, ENV),
            warning("A_PART_LATER is explained, but nothing reads it", REMOVE, ".env.example"),
            warning("A_UNUSED is explained, but nothing reads it", REMOVE, ".env.example"),
        ],
    ),
    "required once": (
        {"a.py": 'os.environ["A_B"]\nos.getenv("A_B")\n', "b.py": 'os.getenv("A_B")\n', ".env.example": ""},
        [Problem("A_B is not explained", EXPLAIN, "b.py:1")],
    ),
    "named without being read": (
        {
            "a.py": 'NAMES = ["IN_CODE"]\n', COMPOSE: "environment: [IN_COMPOSE]\n", SNIPPET: "RUN echo $IN_DOCKER\n",
            "README.md": "NOWHERE", ".env.example": "IN_CODE=''\nIN_COMPOSE=''\nIN_DOCKER=''\nNOWHERE=''\nIN_CO=''\n",
        },
        [
            warning("IN_CO is explained, but nothing reads it", REMOVE, ".env.example"),
            warning("NOWHERE is explained, but nothing reads it", REMOVE, ".env.example"),
        ],
    ),
    "not explained at all": (
        {"a.py": 'os.environ["A_B"]\n'},
        [Problem("No .env.example, but variables are read", ADDED, by_upgrade=True)],
    ),
    "only set": ({"a.py": "", ENV: "A_B='x'\n"}, []),
    "only explained": (
        {"a.py": "", ".env.example": "A_B=''\n"},
        [warning("A_B is explained, but nothing reads it", REMOVE, ".env.example")],
    ),
    "only mentioned": ({"a.py": "", ".env.example": "# A_B\n"}, skipped("no variables")),
    "nothing": ({"a.py": ""}, skipped("no variables")),
}  # fmt: skip


@pytest.mark.parametrize("case", READING)
def test_whether_variables_are_explained(folder: Path, case: str) -> None:
    files, wanted = READING[case]
    assert found(folder, files, "variables-documented") == wanted


NEEDING = {
    "the code needs": (
        {
            "a.py": 'os.environ["A"]\ndg.EnvVar("B")\nos.environ["C"]\nos.getenv("D")\nos.environ["E"]\n'
            'os.environ["DAGSTER_STORAGE_DIR"]\nos.environ["HOME"]\nos.environ["A"]\n',
            ENV: "C=''\nE='x'\n",
        },
        [
            Problem("The variable A is not set anywhere", GIVE, "a.py:1"),
            Problem("EnvVar B is not set anywhere", GIVE, "a.py:2"),
            Problem("The variable C is empty", GIVE, "a.py:3"),
        ],
    ),
    "Compose and images give": (
        {
            "a.py": "".join(f'os.environ["{name}"]\n' for name in "ABCDEFGHIJ"),
            COMPOSE: "services:\n  a:\n    environment: {A: x, B: '', C: }\n  b:\n    environment: [D=x, E, F=]\n"
            "x-dagster-code:\n  environment:\n    G: x\n",
            SNIPPET: 'ENV H=x \\\n  I="y"\nENV J=""\n',
        },
        [Problem(f"The variable {name} is not set anywhere", GIVE, f"a.py:{'ABCDEFGHIJ'.index(name) + 1}")
         for name in "BCEFJ"],
    ),
    "an old way of ENV": ({"a.py": 'os.environ["A"]\n', SNIPPET: "ENV A x\n"}, []),
    "nothing is needed": ({"a.py": 'os.getenv("A")\n'}, skipped("the code requires no variable")),
    "only what the workspace gives": ({"a.py": 'os.environ["HOME"]\n'}, skipped("the code requires no variable")),
}  # fmt: skip


@pytest.mark.parametrize("case", NEEDING)
def test_whether_variables_are_given(folder: Path, case: str) -> None:
    files, wanted = NEEDING[case]
    assert found(folder, files, "variables-given") == wanted


def test_the_workspace_gives_variables_too(folder: Path) -> None:
    write(folder, {f"{SERVICES}/.env": "A='x'\nB=''\n"})
    wanted = [Problem("The variable B is empty", GIVE, "a.py:2")]
    assert found(folder, {"a.py": 'os.environ["A"]\nos.environ["B"]\n'}, "variables-given") == wanted


def test_the_example_names_what_the_fragment_names(folder: Path) -> None:
    check, example = "variables-example", {".env.example": "A=''\n# B=''\nC=''\nD=''\n"}
    assert found(folder, {ENV: "A='x'\n"}, check) == skipped("no .env.example")
    assert found(folder, {**example, ENV: "D='x'\nE='x'\n"}, check) == [
        warning(f"{name} is missing in workspace/local/.env", "Copy it from .env.example") for name in "AC"
    ]
    (folder / "projects/orders" / ENV).unlink()
    assert found(folder, example, check) == skipped("no workspace/local/.env")


def stating(*requirements: str) -> dict[str, str]:
    return {"pyproject.toml": f"[project]\nname = 'orders'\ndependencies = {list(requirements)}\n"}


SETUP = "from setuptools import setup\nsetup({})\n"
NOT_STATED = [
    warning("pyproject.toml does not require dagster", "Add it to the dependencies in [project]"),
]
STATING = {
    "with others": (stating("x>1", "Dagster>=1"), []),
    "not at all": ({}, NOT_STATED),
    "a library's": (stating("dagster-postgres", "///"), NOT_STATED),
    "in setup.py": ({"setup.py": SETUP.format("install_requires=['dagster']")}, []),
    "in setup.py, for tests": (
        {"setup.py": SETUP.format("extras_require={'a': ['dagster']}, install_requires=['x']")},
        NOT_STATED,
    ),
    "in setup.py, worked out": ({"setup.py": SETUP.format("install_requires=['x', 'dagster>=1'] + more")}, []),
    "in both": ({**stating("x"), "setup.py": SETUP.format("install_requires=['dagster']")}, NOT_STATED),
}


@pytest.mark.parametrize("case", STATING)
def test_whether_dagster_is_required(folder: Path, case: str) -> None:
    files, wanted = STATING[case]
    assert found(folder, {"a.py": "", **files}, "requirements-stated") == wanted


def asks(wanted: str, version: str) -> Problem:
    return Problem(f"Requires {wanted}, but the workspace has {version}", "Change one of them")


def test_versions_of_dagster_are_compared_with_the_locks(folder: Path) -> None:
    nothing = skipped("it requires no version of Dagster, or the workspace locks none")
    files = stating("dagster>=1.5,<1.6", "Dagster-Postgres<0.20", "dagster-duckdb", "x==1", "dagster-aws==1")
    assert found(folder, files, "dagster-version") == nothing
    lock = "dagster==1.13.0rc1 ; x\ndagster-postgres==0.29.1\ndagster-duckdb==1\nx==2\n # dagster-aws==2\n"
    write(folder, {f"{SERVICES}/constraints.txt": lock})
    assert found(folder, files, "dagster-version") == [
        asks("dagster<1.6,>=1.5", "1.13.0rc1"),
        asks("Dagster-Postgres<0.20", "0.29.1"),
    ]
    assert found(folder, stating("dagster>=1.12"), "dagster-version") == []
    assert found(folder, stating("x"), "dagster-version") == nothing


def test_the_templates_version_is_compared_with_todays(folder: Path) -> None:
    def of(version: str) -> list[Problem]:
        text = f'{{"template_version": "{version}", "answers": {{}}}}'
        return found(folder, {".dagster-module.json": text}, "template-version")

    today = (template_folder(MODULE_TEMPLATE) / "VERSION").read_text().strip()
    assert found(folder, {"a.py": ""}, "template-version") == skipped("not made from the template")
    assert of(today) == []
    assert of("0.0.1") == [
        Problem(f"Made from template 0.0.1; the current one is {today}", "Run 'upgrade'", "", "WARN", by_upgrade=True)
    ]
    assert of("99.0") == [
        warning(f"Made from template 99.0, but this program has {today}", "Update this program"),
    ]
    assert of("x") == [
        Problem(
            "The record of the template: this record is damaged",
            "Restore it from git: 'git checkout -- .dagster-module.json'.",
            ".dagster-module.json",
        )
    ]


def test_an_upgrade_that_is_not_finished_is_found(folder: Path) -> None:
    assert found(folder, {"a.py": ""}, "upgrade-unfinished") == []
    place = unfinished.path_of(folder, "orders")
    write(place.parent, {place.name: ""})
    assert found(folder, {"a.py": ""}, "upgrade-unfinished") == [
        Problem("An upgrade is not finished", "Run 'upgrade orders --continue' or 'upgrade orders --abort'")
    ]


KEY = "AKIAIOSFODNN7EXAMPLQ"
MOVE = "Move it to workspace/local/.env, and replace it where it is used"
SECRET = 'PASSWORD = "hunter2hunter2"\n'


def looks_like(kind: str, where: str) -> Problem:
    return Problem(f"Looks like a secret: {kind}", MOVE, where)


def test_secrets_are_found_by_file_and_line(folder: Path) -> None:
    files = {
        "b.py": f'import os\n\nOTHER = "{KEY}"\n{SECRET}',
        "a.txt": f"key: {KEY}\n",
        "settings.ini": "[a]\npassword = hunter2hunter2\n",
        "more.yaml": f'x: "{KEY[:9]}\\\n  {KEY[9:]}"\ny: >\n  -----BEGIN RSA\n  PRIVATE KEY-----\n',
        "c.py": 'PASSWORD = "${HERE}"\nTOKEN = "<your-token>"\nSECRET = ""\n',
        "d.py": "password = read_it()\n",
        "tests/test_a.py": SECRET,
        "data/a.csv": SECRET,
        "data/a.PNG": SECRET,
        "e.py": f"{SECRET}{'#' * 99}\n" * 4000,
        "f.py": SECRET + "#" * (500_000 - len(SECRET)),
        ENV: "PASSWORD='hunter2hunter2'\n",
    }
    assert found(folder, files, "secrets") == [
        looks_like("AWS Access Key", "a.txt:1"),
        looks_like("AWS Access Key", "b.py:3"),
        looks_like("Secret Keyword", "b.py:4"),
        looks_like("Secret Keyword", "f.py:1"),
        looks_like("AWS Access Key", "more.yaml:1"),
        looks_like("Private Key", "more.yaml:3"),
        looks_like("Secret Keyword", "settings.ini:2"),
    ]


def test_values_in_committed_settings_are_found(folder: Path) -> None:
    text = "# A\nA='hunter2hunter2'\nB='change-me'\n\nC=''\nD=5\nE='a value'\n"
    files = {f"deploy/{name}/.env.deploy.example": text for name in "ba"}
    cure = "Replace it with 'change-me'; if it was a secret, also change it where it is used"
    assert [one for one in found(folder, files, "secrets") if one.fix == cure] == [
        Problem(f"{name} has a value", cure, f"deploy/{folder_name}/.env.deploy.example:{line}")
        for folder_name in "ab"
        for name, line in (("A", 2), ("E", 7))
    ]


def test_files_with_secrets_are_private_and_ignored(folder: Path) -> None:
    names = (".env", "deploy/a/.env.deploy", ENV)
    files = dict.fromkeys(names, "A='x'\n")
    module = write(folder / "projects/orders", {"a.py": ""})
    assert problems(folder, module, "secret-modes") == skipped("no file with secrets")
    assert problems(folder, module, "secrets-ignored") == skipped("no file with secrets")
    write(module, files)
    assert problems(folder, module, "secrets-ignored") == skipped("not in a git repository")
    for name, mode in zip(names, (0o644, 0o600, 0o602), strict=True):
        (module / name).chmod(mode)
    assert problems(folder, module, "secret-modes") == [
        Problem("Other users can read its secrets", f"Run 'chmod 600 {module / name}'", name) for name in (".env", ENV)
    ]
    subprocess.run(["git", "init", "-q"], cwd=module, check=True)
    write(module, {".gitignore": "/.env\n"})
    assert problems(folder, module, "secrets-ignored") == [
        Problem(
            "Git tracks it, or does not ignore it", f"Add {name} to .gitignore, and run 'git rm --cached {name}'", path
        )
        for name, path in ((".env.deploy", "deploy/a/.env.deploy"), (".env", ENV))
    ]
