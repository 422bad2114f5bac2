"""Running Compose on a workspace's project."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dagster_module_builder.compose.compose_project import project_of
from dagster_module_builder.disclosure import terminal
from dagster_module_builder.programs import engine, outside_programs
from dagster_module_builder.programs.compose_command import program


def need_daemon(root: Path) -> None:
    """Check that a Docker Engine answers.

    Raises:
        RefusedError: The workspace has no containers.
        ToolError: It does not; the error names the cure.
    """
    project_of(root)
    command = [*program(), "ls", "--quiet"]
    asked = outside_programs.ask(
        command, named="docker compose", answers=outside_programs.ANY, folder=root, environ=engine.environment()
    )
    if asked.status:
        raise engine.failure("docker compose ls", asked)


def captured(root: Path, *arguments: str) -> str:
    """Return the output of Compose.

    Raises:
        ToolError: Docker is not there, or Compose failed.
    """
    project, name = project_of(root), f"{' '.join(program())} {arguments[0]}"
    asked = outside_programs.ask(
        [*program(), *project.arguments(), *arguments],
        named=name,
        answers=outside_programs.ANY,
        folder=project.folder,
        environ=project.environment,
    )
    if asked.status:
        raise engine.failure(name, asked)
    return asked.out.decode("utf-8", "replace")


def _tell(line: str) -> bool:
    terminal.inform(line)
    # A reader who stops reading does not stop the work.
    return True


def pass_through(root: Path, *arguments: str, out: Callable[[str], bool] = _tell) -> None:
    """Run Compose and show its output while it runs: on stderr, unless it is the result.

    The output includes that of builds and containers, and is escaped like all text from elsewhere.
    """
    project = project_of(root)
    outside_programs.relay(
        [*program(), *project.arguments(), *arguments],
        out,
        _tell,
        named=f"{' '.join(program())} {arguments[0]}",
        folder=project.folder,
        environ=project.environment,
    )
