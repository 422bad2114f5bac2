"""What Dagster's webserver and daemon do with code servers: run by its path, with a Python that has Dagster.

It answers each line of stdin, a JSON list of a command and its arguments, with a line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from dagster import DagsterInstance
from dagster._cli.job import execute_launch_command
from dagster._cli.workspace.cli_target import RepositoryOpts, WorkspaceOpts
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget


class Client:
    def __init__(self, instance: DagsterInstance, process: WorkspaceProcessContext) -> None:
        self.instance, self.process = instance, process

    def states(self) -> dict[str, Any]:
        """The jobs of each location, or the first line of its error."""
        self.process.refresh_workspace()
        return self._states()

    def _states(self) -> dict[str, Any]:
        with self.process.create_request_context() as context:
            return {name: self._state(entry) for name, entry in context.get_code_location_entries().items()}

    def _state(self, entry: Any) -> Any:
        if entry.load_error:
            error = entry.load_error
            return (error.cause or error).message.strip().splitlines()[0]
        (repository,) = entry.code_location.get_repositories().values()
        return sorted(job.name for job in repository.get_all_jobs())

    def servers(self) -> dict[str, str]:
        """The id of the server behind each location that has one."""
        self.process.refresh_workspace()
        with self.process.create_request_context() as context:
            entries = context.get_code_location_entries().items()
            return {name: entry.code_location.server_id for name, entry in entries if entry.code_location}

    def reload(self, name: str) -> Any:
        self.process.reload_code_location(name)
        return self._states()[name]

    def launch(self, name: str, job: str) -> str:
        workspace, repository = WorkspaceOpts(workspace=[os.environ["SERVED"]]), RepositoryOpts(location=name)
        run = execute_launch_command(
            instance=self.instance, workspace_opts=workspace, repository_opts=repository, job_name=job
        )
        return run.run_id

    def status(self, run: str) -> str:
        found = self.instance.get_run_by_id(run)
        assert found
        return found.status.value

    def cancel(self, run: str) -> bool:
        return self.instance.run_launcher.terminate(run)


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    target = WorkspaceFileTarget([os.environ["SERVED"]])
    with DagsterInstance.get() as instance, WorkspaceProcessContext(instance, target) as process:
        client = Client(instance, process)
        for line in sys.stdin:
            command, *arguments = json.loads(line)
            answers.write(json.dumps(getattr(client, command)(*arguments)) + "\n")
            answers.flush()
