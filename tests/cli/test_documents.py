"""Every document, of this repository and of what it makes: what it names exists."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from invoke.exceptions import ParseError
from invoke.parser import Parser

from dagster_module_builder.commands import namespace
from dagster_module_builder.deploy.model.schema import schema
from tests.cli.message_texts import CONTEXTS, FLAGS, MESSAGES, settings_of, texts_of
from tests.cli.quick_program import QuickProgram
from tests.cli.task_lines import without_tools
from tests.cli.terminal import Terminal, copied, terminal_in
from tests.documents import PROGRAMS, Document, read

REPOSITORY = Path(__file__).parents[2]
#: Changelogs speak of what was.
AT_THE_ROOT = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "ARCHITECTURE.md", "tests/README.md")
PAGES = [
    *(REPOSITORY / name for name in AT_THE_ROOT), *sorted((REPOSITORY / "docs").rglob("*.md")),
    *sorted((REPOSITORY / "skills").rglob("*.md")),
]  # fmt: skip
#: Modules that have, together, everything that a document of a module says.
MODULES = {
    "sales-report": ("--database=postgresql", "--governance=enterprise", "--requires=ssh,pdf"),
    "shop-stock": ("--database=mysql", "--governance=enterprise", "--code-server=own", "--starter=empty"),
    "weather": ("--database=duckdb", "--governance=standard"),
}
#: What a pipeline's jobs install, which a clone does not say of itself.
TOOL = "--set=tool=dagster-module-builder==0.1.0"
#: Deployments of every strategy to every kind of host: what is asked for beside the strategy.
DEPLOYMENTS = {
    "git": ("--strategy=git",),
    "git-compose": ("--strategy=git", "--set=repository=https://git.example.org/all.git", "--set=dagster_kind=compose"),
    "rsync": ("--strategy=rsync", "--hosts=a.example.org,b.example.org:2222"),
    "docker": ("--strategy=docker", "--set=registry=registry.example.org"),
    "docker-compose": ("--strategy=docker", "--set=dagster_kind=compose", "--set=registry=none"),
    "github": ("--strategy=ci-cd", "--set=platform=github", "--set=trigger=push", "--set=carries_out=git", TOOL),
    "gitlab": ("--strategy=ci-cd", "--set=platform=gitlab", "--set=trigger=tag", "--set=carries_out=rsync", TOOL),
    "jenkins": ("--strategy=ci-cd", "--set=platform=jenkins", "--set=trigger=manual", "--set=carries_out=docker", TOOL),
}

#: Names of what is made later, and of what other programs know.
ELSEWHERE = {
    "KEY/PARTITION.data": "what a module stores",
    "deploy-<name>-<module>.yml": "a workflow of a repository that has one already",
    "~/.config/systemd/user/dagster-….service": "on a host",
    ".zshrc": "a shell's",
    "fragment_rules.snippet": "a module",
    "saved.sql": "a dump that a person makes",
    "LD_PRELOAD": "the linker's; all that begin with LD_ are refused",
}


@dataclass(frozen=True)
class Library:
    """All documents, and the folders in which what they name may lie."""

    documents: tuple[Document, ...]
    folders: tuple[Path, ...]
    source: str

    def exists(self, path: str) -> bool:
        """Tell whether a path, in which placeholders may stand, is there, or is one that the program makes."""
        pattern = re.sub(r"<[^>]*>|\{[^}]*\}|…|\b[A-Z]{4,}\b(?=[/-])", "*", path.removeprefix("~/")).strip("/")
        if any(next(folder.glob(pattern), None) for folder in self.folders):
            return True
        name = re.sub(r"<[^>]*>|\*", "", pattern.rpartition("/")[2])
        return bool(re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", self.source)) if name.strip(".") else True

    def reads(self, variable: str) -> bool:
        """Tell whether something that is no document names a variable."""
        name = re.escape(re.sub("<[A-Z]+>", "", variable))
        return bool(re.search(rf"(?<![A-Z]){name}(?![A-Z])", self.source))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, made: Terminal, quick_program: QuickProgram) -> Library:
    """Make a workspace with modules and deployments of every kind."""
    terminal = copied(made, terminal_in(folder := tmp_path_factory.mktemp("documents")))
    environ = without_tools(terminal, folder)

    def make(*arguments: str) -> None:
        done = quick_program.run(*arguments, environ=environ, folder=terminal.cwd)
        assert done.code == 0, f"{arguments}\n{done.text}"

    for name, answers in MODULES.items():
        make("new", name, "--no-input", "--workspace=no", "--deployment=no", *answers)
    make("workspace.sync", "--no-check")
    module = terminal.root / "projects/sales-report"
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run([*git, *command], cwd=module, check=True)
    for name, answers in DEPLOYMENTS.items():
        hosts = [] if any(one.startswith("--hosts") for one in answers) else ["--hosts=a.example.org"]
        where = ["--client=The client", "--user=deploy", "--base-path=/srv/dagster", *hosts]
        make("configure-deployment", "sales-report", "--no-input", f"--deployment={name}", *where, *answers)
    return Library((*map(read, PAGES), *_made(terminal)), tuple(_folders(terminal)), _source(terminal))


def _made(terminal: Terminal) -> Iterator[Document]:
    for path in sorted(terminal.root.rglob("*.md")):
        yield Document(str(path.relative_to(terminal.root)), path.read_text("utf-8"))


def _folders(terminal: Terminal) -> Iterator[Path]:
    yield from (REPOSITORY, REPOSITORY / "dagster_module_builder", REPOSITORY / "tests/deploy", REPOSITORY / "tests")
    yield from (terminal.root, terminal.root / "services/dagster", terminal.root / "projects")
    for module in (terminal.root / "projects").iterdir():
        yield from (module, module / "workspace/local", *module.glob("src/*"), *module.glob("deploy/*"))
    yield from (REPOSITORY / "cookiecutter-dagster-module", REPOSITORY / "cookiecutter-dagster-module/hooks")
    yield from (folder for folder in (REPOSITORY / "deploy_strategies").iterdir() if folder.is_dir())


def _source(terminal: Terminal) -> str:
    """Return everything that is no document: of the program, and of what it makes."""
    tops = [REPOSITORY / name for name in ("dagster_module_builder", "deploy_strategies", "benchmarks")]
    tops += [REPOSITORY / "cookiecutter-dagster-module", REPOSITORY / "cookiecutter-dagster-workspace", terminal.root]
    files = (path for top in tops for path in sorted(top.rglob("*")) if path.is_file() and path.suffix != ".md")
    return "\n".join(path.read_text("utf-8", "replace") for path in files if path.stat().st_size < 200_000)


def task_named(code: str) -> tuple[str, list[str]] | None:
    """Return the task that a piece of code begins with, also by its last part as in ``.remove NAME``, and the rest."""
    words = code.split()
    if words and words[0] in PROGRAMS:
        words = words[1:]
    first = words[0] if words else ""
    if first in CONTEXTS:
        return first, words[1:]
    short = [name for name in CONTEXTS if name and first.startswith(".") and name.endswith(first)]
    return (short[0], words[1:]) if short else None


def names_a_task(code: str) -> bool:
    """Tell whether a piece of code means to name a task of this program."""
    words = code.split()
    collections = "|".join(sorted({name.partition(".")[0] for name in CONTEXTS if name and "." in name}))
    if words[0] in PROGRAMS[:2]:
        # The program itself has flags, too.
        return len(words) > 1 and not words[1].startswith("-")
    return bool(re.match(rf"({collections})\.[a-z-]+( |$)", code)) and not code.endswith(SUFFIXES)


def none_wrong(found: Iterable[tuple[Document, str]]) -> None:
    """Fail with each place that is wrong."""
    lines = [f"{document.name}: {text}" for document, text in found]
    assert not lines, "\n".join(lines)


def test_every_command_that_is_to_be_typed_is_one_that_the_program_takes(library: Library) -> None:
    """FAULTS P14."""
    typed = [(document, line) for document in library.documents for line in document.typed()]
    assert len(typed) > 100
    refused = []
    for document, line in typed:
        named = [line[0], "--name", "x", *line[1:]] if "--all" in line else line
        if named[0] == "deploy.preview" and named[1:] and not named[1].startswith("-"):
            named = [named[0], "--branch", *named[1:]]
        try:
            (parsed,) = Parser(namespace.to_contexts()).parse_argv(named)
            assert named[0] in {parsed.name, *parsed.aliases}
        except (ParseError, ValueError) as error:
            refused.append((document, f"{line}: {error}"))
    none_wrong(refused)


def test_every_session_and_file_of_tests_that_is_to_be_run_exists(library: Library) -> None:
    lines = [
        (document, line) for document in library.documents for block in document.shell() for line in block.commands()
    ]
    lines += [(document, code) for document in library.documents for code in document.inline()]
    sessions = [
        (document, name) for document, line in lines for name in re.findall(r"\bnox (?:-s|--session) (\w+)", line)
    ]
    files = [(document, name) for document, line in lines if "pytest" in line
             for name in re.findall(r"(?<!\S)tests/\S+\.py", line)]  # fmt: skip
    assert len(sessions) > 8
    known = re.findall(r"(?m)^@nox\.session\ndef (\w+)", (REPOSITORY / "noxfile.py").read_text())
    none_wrong((document, name) for document, name in sessions if name not in known)
    none_wrong((document, name) for document, name in files if not (REPOSITORY / name).is_file())


def test_every_task_and_flag_in_a_sentence_exists(library: Library) -> None:
    """FAULTS P14."""
    said = [(document, code) for document in library.documents for code in document.inline() if code]
    missing = [(document, code) for document, code in said if names_a_task(code) and not task_named(code)]
    benchmarks = set(
        re.findall(r'"(--[a-z-]+)"', "".join(map(Path.read_text, (REPOSITORY / "benchmarks").glob("*.py"))))
    )
    for document, code in said:
        task = task_named(code)
        known = CONTEXTS[task[0]].flags if task else FLAGS | benchmarks
        flags = re.findall(r"(?<!\S)--[a-z][a-z-]*", " ".join(task[1]) if task else code)
        if task or code.startswith("--"):
            missing += [(document, code) for flag in flags if flag not in known]
    assert len(said) > 500
    none_wrong(missing)


PATH = re.compile(r"[\w.~*<{…][\w.~*<>{},…/-]*")
SUFFIXES = (".md", ".py", ".yaml", ".yml", ".toml", ".json", ".jsonl", ".sql", ".env", ".txt", ".snippet", ".zip")


def is_path(code: str) -> bool:
    """Tell whether a piece of code names a file or folder of ours; in a home folder they are other programs'."""
    if not PATH.fullmatch(code) or code.startswith("~/") or task_named(code):
        return False
    return "/" in code or code.endswith(SUFFIXES) or bool(re.fullmatch(r"\.[a-z][a-z.-]+", code))


def test_every_file_that_is_named_exists(library: Library) -> None:
    """FAULTS P14."""
    named = [(document, code) for document in library.documents for code in document.inline()
             if is_path(code) and code not in ELSEWHERE]  # fmt: skip
    assert len(named) > 200
    none_wrong((document, code) for document, code in named if not library.exists(code))


#: What the first column of a table of messages is called, and what it has of a message.
TOLD = {"message": r".+", "it says": r"`([^`]+)`", "symptom": r"^`([^`]+)`"}


def messages_told(document: Document) -> Iterator[str]:
    """Yield each message that a document explains, in pieces where it is shortened."""
    for table in re.findall(r"(?m)(?:^ *\|.*\n)+", f"{document.text}\n"):
        title, *rows = [line.strip(" |").split(" | ")[0] for line in table.strip().splitlines()]
        quoted = [text for row in rows for text in re.findall(TOLD.get(title, "(?!)"), row)]
        yield from (piece for text in quoted for piece in re.split(r" *… *", re.sub(r"^\w+: ?", "", text)) if piece)


def test_every_message_that_is_explained_is_one_that_is_said(library: Library) -> None:
    """FAULTS P14: of the program, or of a module's own code."""
    modules = [ast.parse(path.read_text()) for folder in library.folders for path in folder.glob("src/**/*.py")]
    said = [text for _, text in MESSAGES] + [text for tree in modules for text in texts_of(tree)]
    plain = "\n".join(said).replace("'", "")
    told = [(document, text) for document in library.documents for text in messages_told(document)]
    assert len(told) > 30
    none_wrong((page, text) for page, text in told if text.replace("'", "") not in plain)


def test_every_test_that_a_document_names_exists(library: Library) -> None:
    """FAULTS P14."""
    tests = "\n".join(path.read_text() for path in (REPOSITORY / "tests").rglob("test_*.py"))
    named = {(document, code.rpartition("::")[2]) for document in library.documents for code in document.inline()
             if re.fullmatch(r"(?:[\w/]+\.py::)?test_\w+\*?", code)}  # fmt: skip
    assert len(named) > 20
    none_wrong((document, name) for document, name in named if f"def {name.rstrip('*')}" not in tests)


#: Keys of Compose files, which documents name in the same way.
OF_COMPOSE = {"network_mode", "env_file", "environment", "image"}


def test_every_setting_of_a_deployment_that_is_named_exists(library: Library) -> None:
    """FAULTS P14."""
    told = [document for document in library.documents if "deployment.yaml" in document.text]
    named = [(document, match[1]) for document in told for code in document.inline()
             if (match := re.fullmatch(r"((?:[a-z_]+: ?)+)(?!//)[a-z0-9_./-]*", code))]  # fmt: skip
    keys = [(document, key) for document, text in named for key in re.findall("[a-z_]+", text)]
    assert len(keys) > 10
    known = settings_of(schema()) | OF_COMPOSE
    none_wrong((document, key) for document, key in keys if key not in known)


def test_every_variable_that_is_named_is_read_by_something(library: Library) -> None:
    """FAULTS P14."""
    named = [(document, code) for document in library.documents for code in document.inline()
             if re.fullmatch(r"(?:[A-Z][A-Z0-9]*|<[A-Z]+>)(?:_[A-Z0-9]+)+", code)]  # fmt: skip
    assert len(named) > 50
    none_wrong((document, name) for document, name in named if name not in ELSEWHERE and not library.reads(name))
