"""The commands on the pages, typed in their order in a workspace made for the page: what needs no host and no engine.

Other tests type the rest: ``deploy/test_tutorial.py`` the tutorial, ``test_skill.py`` the skill,
``test_contributing.py`` the recipes, ``deploy/`` what speaks to hosts, and ``e2e/`` what starts containers.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.message_texts import CONTEXTS
from tests.cli.quick_program import QuickProgram, Result
from tests.cli.task_lines import without_tools
from tests.cli.terminal import Terminal, copied, terminal_in
from tests.documents import read

REPOSITORY = Path(__file__).parents[2]
PAGES = ("README.md", "SECURITY.md", "docs/index.md", "docs/how-to", "docs/reference", "docs/explanation")
#: They speak to hosts, to an engine or to Dagster, or need the package index.
ELSEWHERE = {
    "care.prune", "deploy", "demo", "workspace.up", "workspace.down", "workspace.logs", "workspace.dev",
    "workspace.materialize",
}  # fmt: skip
INDEX_FLAGS = {"--load", "--run-tests", "--test-dagster", "--continue", "--abort"}
NEW = ("new", "--no-input", "--workspace=no", "--deployment=no", "--starter=empty", "--governance=quick")
#: What is typed before a page's first command, in an empty workspace.
BEFORE: dict[str, Sequence[Sequence[str]]] = {
    "adopt-a-workspace.md": [(*NEW, "silk")],
    "audit-modules.md": [(*NEW, "sales-report")],
    "deploy-from-a-pipeline.md": [(*NEW, "sales-report")],
    "deploy-to-several-hosts.md": [(*NEW, "sales-report")],
    "deploy-with-docker.md": [(*NEW, "sales-report")],
    "deploy-with-git.md": [(*NEW, "sales-report")],
    "deploy-with-rsync.md": [(*NEW, "sales-report")],
    "merge-a-module.md": [(*NEW, "sales-report"), (*NEW, "shop"), ("workspace.add", "shop", "--no-check")],
    "remove-a-module.md": [(*NEW, "sales-report"), ("workspace.add", "sales-report", "--no-check")],
    "restore-a-backup.md": [(*NEW, "sales-report"), ("workspace.add", "sales-report", "--no-check")],
    "upgrade-modules.md": [(*NEW, "sales-report"), (*NEW, "orders")],
}
#: What ends otherwise than with 0, and what is said then.
ENDS = {
    ("merge-a-module.md", "workspace.add shop"): "is in the workspace already",
    # No asset was run, so that nothing was stored.
    ("remove-a-module.md", "workspace.remove sales-report --delete-data"): "has no data left",
}


@dataclass(frozen=True)
class Typed:
    """A command of a page."""

    page: Path
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page.name}: {' '.join(self.words)}"


def runs_here(words: Sequence[str]) -> bool:
    return not (words[0] in ELSEWHERE or words[0].startswith("deploy.") or INDEX_FLAGS & set(words))


def documents() -> list[Path]:
    tops = [REPOSITORY / name for name in PAGES]
    return [page for top in tops for page in (sorted(top.rglob("*.md")) if top.is_dir() else [top])]


def commands(page: Path) -> list[Typed]:
    return [Typed(page, tuple(words)) for words in read(page).typed() if runs_here(words)]


WITH_COMMANDS = [page for page in documents() if commands(page)]


@dataclass
class Desk:
    """A person who types a page's commands."""

    terminal: Terminal
    environ: dict[str, str]
    program: QuickProgram

    def type(self, words: Sequence[str]) -> Result:
        folder = self.terminal.root if self.terminal.root.is_dir() else self.terminal.cwd
        typed = [word.replace("~/", f"{self.terminal.cwd}/") for word in words]
        return self.program.run(*typed, *self._without_questions(words), environ=self.environ, folder=folder)

    @staticmethod
    def _without_questions(words: Sequence[str]) -> Iterator[str]:
        """Yield what a terminal would answer, or what asks no other program."""
        known = CONTEXTS[words[0]].flags
        for flag in ("--no-input", "--no-check", "--yes"):
            if flag in known and flag not in words:
                yield flag
        if words[0] == "configure-deployment" and "--hosts" not in words:
            yield from ("--deployment=staging", "--strategy=rsync", "--client=Yoda", "--hosts=yoda.example.org")
        if "ci-cd" in words:
            # A clone without a remote cannot say where the jobs get this program.
            yield "--set=tool=dagster-module-builder==0.1.0"


@pytest.fixture
def desk(made: Terminal, tmp_path: Path, quick_program: QuickProgram) -> Desk:
    terminal = copied(made, terminal_in(tmp_path))
    shutil.copytree(REPOSITORY / "cookiecutter-dagster-module", terminal.cwd / "older/cookiecutter-dagster-module")
    return Desk(terminal, without_tools(terminal, tmp_path), quick_program)


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.name)
def test_the_commands_of_a_page_work_in_their_order(desk: Desk, page: Path) -> None:
    prepare(desk, page)
    wrong = []
    for typed in commands(page):
        words = [newest_backup(desk) if word == "ID" else word for word in typed.words]
        done = desk.type(words)
        said = next((text for (name, begin), text in ENDS.items() if str(typed).startswith(f"{name}: {begin}")), None)
        if done.code != 0 if said is None else said not in done.text:
            wrong.append(f"{typed}: {done.code}\n{done.text[-600:]}")
        assert "Traceback" not in done.text
    assert not wrong, "\n".join(wrong)


def prepare(desk: Desk, page: Path) -> None:
    """Make what a page begins with, and the files that it has a reader write."""
    for words in BEFORE.get(page.name, ()):
        assert desk.type(words).code == 0
    for module in (desk.terminal.root / "projects").glob("silk"):
        shutil.move(module, desk.terminal.root / "packages/silk")
    for name, text in re.findall(r"(?ms)^ *cat > (\S+) <<'?END'?\n(.*?)^ *END$", page.read_text("utf-8")):
        (desk.terminal.root / name).write_text(text)


def newest_backup(desk: Desk) -> str:
    return re.findall(r"(?m)^(\d\S+)", desk.type(["workspace.backups"]).out)[0]


def test_most_pages_with_commands_are_typed() -> None:
    assert len(WITH_COMMANDS) > 12
    assert sum(len(commands(page)) for page in WITH_COMMANDS) > 40
