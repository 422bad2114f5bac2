"""The doors of this program: who may read a file by its path alone."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "dagster_module_builder"
#: Methods of ``Path`` that open whatever lies there, through links, and wait for a FIFO.
READING = {"read_bytes", "read_text", "open"}

#: Runs on hosts, on their files.
ON_HOSTS = "deploy/host_side/"

#: Who reads by path, and what. Nothing here belongs to a module that may come from a stranger: that is read through
#: ``module_files``.
ALLOWED = {
    "workspace's own files, and what this program installs": {
        "audit/audited_module.py", "audit/versions.py", "workspaces/external_checks.py", "commands/console.py",
        "commands/typed_words/completion.py", "commands/skill.py", "doctor/container_checks.py",
        "compose/compose_project.py", "modules/dagster_check.py", "native/native_environment.py",
        "native/native_storage.py", "native/location_entries.py", "native/owner_code.py", "native/dev_log.py",
        "native/dev_server.py", "native/native_folder.py", "native/code_servers.py",
        "transactions/reading.py", "workspaces/restore.py", "transactions/journal.py",
        "transactions/lock.py", "transactions/replacement.py", "transactions/synced_files.py",
        "transactions/targets.py",
        "modules/unfinished.py", "workspaces/workspace.py", "workspaces/hashes.py",
    },
    "this program's templates, schemas, caches and what it has just rendered": {
        "deploy/configure.py", "deploy/questions.py", "deploy/model/schema.py", "deploy/setup.py",
        "modules/module_environment.py",
        "templating/questionnaire.py", "templating/rendering.py",
        "modules/record.py", "upgrade/rendering.py", "templating/process_copies.py",
        "deploy/connection/host_start.py", "care/prune.py", "deploy/pipelines/platform.py", "deploy/pipelines/tool.py",
    },
    "a connection, a device, a process's descriptors": {
        "deploy/branch_previews.py", "deploy/hosts/host_session.py", "programs/graphql.py", "workspaces/neighbours.py",
        "disclosure/terminal.py",
    },
    "files that were found to be plain ones in the same step": {
        "audit/secret_scan.py", "deploy/model/release.py", "programs/git_program.py", "transactions/module_files.py",
        "modules/trusted_code.py", "programs/version_control.py",
    },
    "a person's files of secrets and of answers, wherever they say these are": {
        "deploy/model/host_settings.py", "commands/asking/answers_file.py",
    },
    "a connection that is opened, an archive that is written or that Docker gives": {
        "deploy/connection/conversation.py", "deploy/connection/remote.py", "deploy/strategies/images.py",
        "deploy/strategies/image_archive.py",
    },
    "keys that ssh has just written, and an SSH configuration after ``module_files`` has read it": {
        "deploy/connection/host_keys.py", "deploy/connection/ssh_config.py",
    },
    "a workspace's list of code locations, where Dagster reads it": {
        "module_servers/keeper.py", "module_servers/apart.py", "compose/served.py",
    },
    "a mounted workspace that no module can change, through no link": {"module_servers/copying.py"},
    "the browser": {"commands/workspace_dev.py"},
    "files of a pipeline's job, where its platform says": {"deploy/job_summary.py", "deploy/pull_request.py"},
    "runs alone in the template's hooks: ports, the template's table, and an archive found to be a plain file": {
        "base/baseline.py", "base/layout.py", "base/ports.py", "base/requirements.py",
    },
}  # fmt: skip


def test_files_of_modules_are_read_through_one_door() -> None:
    """FAULTS S9: a new place that reads by path has to say here what it reads."""
    found = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if _reads(path)}
    found = {name for name in found if not name.startswith(ON_HOSTS)}
    assert found == set.union(*ALLOWED.values())


def _reads(path: Path) -> bool:
    calls = (node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return any(
        (isinstance(call, ast.Attribute) and call.attr in READING) or (isinstance(call, ast.Name) and call.id == "open")
        for call in calls
    )
