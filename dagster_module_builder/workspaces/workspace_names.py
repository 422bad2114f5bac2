"""The names that a workspace has on its machine: an earlier version gave every workspace the same ones.

Only lines that are as the template wrote them are changed; edited ones are reported. Volumes and containers carry the
project's name, which stays as long as there are any.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from dagster_module_builder.base import ports
from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.programs import engine
from dagster_module_builder.shared_files.blocks import join
from dagster_module_builder.shared_files.formats import dagster_yaml, env_file
from dagster_module_builder.workspaces import neighbours
from dagster_module_builder.workspaces.workspace import Workspace

PROJECT, NETWORK, PORT = "COMPOSE_PROJECT_NAME", "WORKSPACE_NETWORK", "DAGSTER_PORT"
#: What a workspace of an earlier version got by default.
_DEFAULT_NETWORK, _DEFAULT_PORT = "workspace-net", "3000"
_WHAT = {PROJECT: "Compose project", NETWORK: "network", PORT: "port"}


@dataclass(frozen=True)
class _Renaming:
    """A variable of ``.env`` that gets a new value.

    Attributes:
        keeps: Why it keeps its old value after all; None if it does not.
    """

    variable: str
    old: str
    new: str
    keeps: str | None = None

    @property
    def lines(self) -> Iterator[tuple[str, str, str]]:
        """The lines that the template wrote: file, line before, line afterwards."""
        forms = {
            PROJECT: ("    image: {}-dagster", "        {}_dagster_home:", "        {}_dagster_storage:"),
            NETWORK: ('    network: "{}"',),
        }
        yield env_file.NAME, f"{self.variable}='{self.old}'", f"{self.variable}='{self.new}'"
        for form in forms.get(self.variable, ()):
            yield dagster_yaml.NAME, form.format(self.old), form.format(self.new)

    @property
    def marks(self) -> tuple[str, ...]:
        """What shows that ``dagster.yaml`` still has the old name."""
        marks = {PROJECT: (f"{self.old}-dagster", f"{self.old}_dagster_"), NETWORK: (self.old,)}
        return marks.get(self.variable, ())


def with_own_names(workspace: Workspace) -> tuple[Workspace, list[str]]:
    """Return the workspace with a project, a network and a port that no other known one has, and notes about it."""
    notes = []
    renamings = list(_wanted(workspace))
    for renaming in renamings:
        files = None if renaming.keeps else _renamed(workspace, renaming)
        what = _WHAT[renaming.variable]
        if files is not None:
            workspace = replace(workspace, files={**workspace.files, **files})
            notes.append(
                f"The {what} becomes {renaming.new!r}: other workspaces have {renaming.old!r} too. 'workspace.up' "
                "applies it to containers; 'workspace.restore' takes it back."
            )
        else:
            why = renaming.keeps or "The lines were edited"
            notes.append(
                f"Warning: The {what} {renaming.old!r} may also be another workspace's. {why}, so it stays. Set "
                f"{renaming.variable}='{renaming.new}' in {workspace.path(env_file.NAME)}, and the same wherever "
                f"{dagster_yaml.NAME} names it."
            )
    return workspace, notes


def _wanted(workspace: Workspace) -> Iterator[_Renaming]:
    env, root = workspace.own_env, workspace.root
    project = env.get(PROJECT, "")
    defaults = {_DEFAULT_NETWORK, f"{project}-net"}
    compose = workspace.compose_data if isinstance(workspace.compose_data, dict) else {}
    declared = (compose.get("networks") or {}).get("workspace-net") or {}
    if declared.get("name") != f"${{{NETWORK}}}":
        # The template did not make it: its names are its owner's.
        return
    projects = neighbours.taken(PROJECT, root)
    if project in projects and compose.get("name") == f"${{{PROJECT}}}":
        renaming = _Renaming(PROJECT, project, neighbours.free_name(project, projects), _what_has_it(project))
        yield renaming
        project = project if renaming.keeps else renaming.new
    network, networks = env.get(NETWORK, ""), neighbours.taken(NETWORK, root)
    new = neighbours.free_name(f"{project}-net", networks)
    is_shared = network in defaults and (network == _DEFAULT_NETWORK or network in networks)
    if project and is_shared and network != new:
        yield _Renaming(NETWORK, network, new)
    taken = neighbours.taken(PORT, root)
    if env.get(PORT) == _DEFAULT_PORT and _DEFAULT_PORT in taken:
        others = {int(port) for port in taken if port.isdigit()}
        yield _Renaming(PORT, _DEFAULT_PORT, str(ports.next_free_port(others, int(_DEFAULT_PORT) + 1)))


def _what_has_it(project: str) -> str | None:
    """Return what carries a project's name; None if certainly nothing does."""
    try:
        named = engine.volume_keys(project) or engine.folders_of_containers(project)
    except ToolError:
        return "Docker does not say whether volumes have its name"
    return "Volumes or containers have its name" if named else None


def _renamed(workspace: Workspace, renaming: _Renaming) -> dict[str, bytes] | None:
    """Return the files with the new name; None if the lines are not as the template wrote them."""
    layouts = {file: workspace.layouts[file].copy() for file in (env_file.NAME, dagster_yaml.NAME)}
    for file, before, after in renaming.lines:
        own = [line.rstrip(b"\r\n") for line in layouts[file].own]
        at = [number for number, line in enumerate(own) if line == before.encode()]
        if len(at) == 1:
            ending = layouts[file].own[at[0]][len(own[at[0]]) :]
            layouts[file].replace_own(at[0], 1, [after.encode() + ending])
        elif file == env_file.NAME:
            return None
    launcher = b"".join(layouts[dagster_yaml.NAME].own)
    if any(mark.encode() in launcher.replace(renaming.new.encode(), b"") for mark in renaming.marks):
        return None
    return {file: join(layout) for file, layout in layouts.items() if workspace.files[file] is not None}
