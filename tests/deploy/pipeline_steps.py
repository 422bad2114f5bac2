"""What the platforms do with a pipeline, as far as shell lines go: its own steps, run in clean folders.

No platform runs here without its server. These take each job's lines from the generated file, as YAML and Groovy have
them, and run them with the variables that the platform sets and the secrets that the guide tells a person to make; what
a job ``uses`` is done in their place (a checkout is ``git clone``).
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests import needs
from tests.deploy import jenkinsfiles, pipeline_conditions
from tests.deploy.jenkins_build import Build
from tests.deploy.jenkinsfiles import Word
from tests.node_programs import installed

ENVIRONMENT = "sales-report-yoda"
BRANCH = "main"


@dataclass
class Done:
    """One job that ran, and what it put on its page."""

    job: str
    code: int
    said: str
    page: str = ""


@dataclass
class Runner(ABC):
    """A machine that runs jobs, each in a separate folder.

    Attributes:
        folder: Where its folders are.
        repository: What it clones.
        key: The pipeline's private key.
        settings: The content of ``.env.deploy``.
        machine: Variables that the machine itself sets for all jobs.
        registry: Who may push to the registry, with the password.
    """

    folder: Path
    repository: Path
    key: str
    settings: str
    machine: Mapping[str, str] = field(default_factory=dict)
    registry: tuple[str, str] = ("", "")
    count: int = field(default=0)

    @abstractmethod
    def deploy(self) -> list[Done]:
        """Run the pipeline on the branch, and approve."""

    @abstractmethod
    def roll_back(self, release: str = "") -> Done:
        """Run the manual job that rolls back."""

    def environ(self, workspace: Path) -> dict[str, str]:
        """Return what every job has: nothing of this machine but programs."""
        home = workspace.with_name(f"{workspace.name}-home")
        home.mkdir(exist_ok=True)
        path = [str(Path(sys.base_prefix) / "bin"), "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        return {"PATH": ":".join(path), "HOME": str(home), "CI": "true", "LANG": "C.UTF-8", **self.machine}

    def checkout(self, ref: str, *, depth: int = 0) -> Path:
        """Clone the repository as platforms do: one commit, on no branch."""
        self.count += 1
        workspace = self.folder / f"job{self.count}"
        shallow = ["--depth", str(depth), "--no-single-branch"] if depth else []
        subprocess.run(["git", "clone", "-q", *shallow, f"file://{self.repository}", workspace], check=True)
        if ref.startswith("refs/pull/"):
            subprocess.run(["git", "fetch", "-q", "origin", f"{ref}:{ref}"], cwd=workspace, check=True)
        subprocess.run(["git", "checkout", "-q", "--detach", ref], cwd=workspace, check=True)
        return workspace

    def shell(self, command: list[str], script: str, workspace: Path, environ: Mapping[str, str]) -> tuple[int, str]:
        """Run shell lines."""
        path = workspace.with_name(f"{workspace.name}.sh")
        path.write_text(script)
        done = subprocess.run(
            [*command, path], cwd=workspace, env=dict(environ), stdin=subprocess.DEVNULL, timeout=300,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout

    def told(self, done: Iterable[Done]) -> list[str]:
        """Return the secrets that stand in what jobs said."""
        said = "".join(one.said for one in done)
        secrets = [*re.findall(r"(?m)^\w+_TOKEN='(.+)'$", self.settings), self.key.splitlines()[1]]
        assert len(secrets) > 1
        return [secret for secret in secrets if secret in said]

    def leftovers(self) -> list[str]:
        """Return what jobs left behind of secrets: files with settings or the key, and agents that hold it."""
        found = [str(path) for path in self.folder.glob("**/deploy/yoda/.env.deploy")]
        for process in Path("/proc").glob("[0-9]*"):
            try:
                ours = f"HOME={self.folder}/".encode() in (process / "environ").read_bytes()
                name = (process / "comm").read_text().strip()
            except OSError:
                continue
            found += [name] if ours and name == "ssh-agent" else []
        return found


@dataclass
class Github(Runner):
    """GitHub Actions (https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax).

    Attributes:
        pull_request: What its jobs are told of the pull request that they run for.
        api: The address of GitHub's REST API.
        event: What the event says of it beside that.
    """

    pull_request: Mapping[str, Any] = field(default_factory=lambda: {"head": {"repo": {"full_name": None}}})
    api: str = "https://api.example"
    event: Mapping[str, Any] = field(default_factory=lambda: {"github.event.action": None})

    def of_branch(self, branch: str, action: str) -> list[Done]:
        """Open or close a pull request of a branch of this repository."""
        self.pull_request = {"number": 7, "head": {"repo": {"full_name": "yoda/sales"}}}
        self.event = {"github.event.action": action, "github.head_ref": branch}
        return self.run(f"origin/{branch}", "pull_request")

    def deploy(self) -> list[Done]:
        """Push."""
        return self.run(f"refs/heads/{BRANCH}")

    def roll_back(self, release: str = "") -> Done:
        """Start the workflow by hand."""
        (done,) = self.run(f"refs/heads/{BRANCH}", "workflow_dispatch", action="rollback", release=release)
        return done

    def pull(self, number: int, api: str, *, from_fork: bool = False) -> list[Done]:
        """Run what a pull request of a branch starts: its merge into the target has a separate ref."""
        head = "elsewhere/sales" if from_fork else "yoda/sales"
        self.pull_request = {"number": number, "head": {"repo": {"full_name": head}}}
        self.api = api
        return self.run(f"refs/pull/{number}/merge", "pull_request")

    def run(self, ref: str, event: str = "push", **inputs: str) -> list[Done]:
        """Run the jobs of the workflow whose conditions hold, each after those that it needs."""
        (path,) = self.checkout(ref).glob(".github/workflows/deploy-*.yml")
        workflow = yaml.safe_load(path.read_text())
        on = workflow[True]  # YAML 1.1 reads "on" as true.
        assert event in on
        given = {name: one["default"] for name, one in on["workflow_dispatch"]["inputs"].items()}
        values: dict[str, Any] = {
            **{
                f"inputs.{name}": (inputs.get(name, default) if event == "workflow_dispatch" else None)
                for name, default in given.items()
            },
            "github.ref": ref,
            "github.event_name": event,
            "github.repository": "yoda/sales",
            "github.token": "t0ken-of-the-job",
            "github.event.pull_request.head.repo.full_name": self.pull_request["head"]["repo"]["full_name"],
            **self.event,
        }
        ran: dict[str, Done] = {}
        for name, job in workflow["jobs"].items():
            needed = [job["needs"]] if "needs" in job else []
            if pipeline_conditions.holds(job["if"], values) and all(
                one in ran and ran[one].code == 0 for one in needed
            ):
                ran[name] = self._job(name, job, ref, values)
        return list(ran.values())

    def _job(self, name: str, job: Mapping[str, Any], ref: str, values: Mapping[str, Any]) -> Done:
        secrets = {"DEPLOY_SSH_KEY": self.key, "DEPLOY_ENV": self.settings}
        for kind in ("", "PULL_"):
            secrets |= {f"DEPLOY_REGISTRY_{kind}USER": self.registry[0]}
            secrets |= {f"DEPLOY_REGISTRY_{kind}PASSWORD": self.registry[1]}
        known = {**values, **({f"secrets.{key}": value for key, value in secrets.items()}
                              if job.get("environment", {}).get("name") in {ENVIRONMENT, f"{ENVIRONMENT}-preview"}
                              else {})}  # fmt: skip
        checkout, python, *steps = job["steps"]
        assert checkout["uses"].startswith("actions/checkout@")
        assert python["uses"].startswith("actions/setup-python@")
        assert checkout["with"]["persist-credentials"] is False
        workspace = self.checkout(ref, depth=checkout["with"].get("fetch-depth", 1))
        temporary = workspace.with_name(f"{workspace.name}-temp")
        temporary.mkdir()
        (page := temporary / "summary.md").touch()
        event = temporary / "event.json"
        event.write_text(json.dumps({"pull_request": self.pull_request} if "number" in self.pull_request else {}))
        said = ""
        for step in steps:
            own = {key: _filled(value, known) for key, value in step.get("env", {}).items()}
            environ = {**self.environ(workspace), "GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(workspace),
                       "RUNNER_TEMP": str(temporary), "GITHUB_ACTOR": "leia", "GITHUB_SERVER_URL": "https://run.example",
                       "GITHUB_REPOSITORY": "yoda/sales", "GITHUB_RUN_ID": "7",
                       "GITHUB_STEP_SUMMARY": str(page), "GITHUB_EVENT_PATH": str(event), "GITHUB_API_URL": self.api,
                       **own}  # fmt: skip
            assert "${{" not in step["run"]
            script = f"cd {step.get('working-directory', '.')}\n{step['run']}"
            code, more = self.shell(["bash", "-e"], script, workspace, environ)
            said += more
            if code:
                return Done(name, code, said, page.read_text())
        return Done(name, 0, said, page.read_text())


def _filled(value: str, known: Mapping[str, Any]) -> str:
    """Put the values of expressions into a text; a secret of an environment that a job is not in is empty."""
    return re.sub(r"\$\{\{ ([\w.]+) \}\}", lambda found: str(known.get(found[1], "")), value)


class Gitlab(Runner):
    """GitLab CI/CD as gitlab-ci-local knows it: rules, scopes of variables, GitLab's schema, and jobs in a shell.

    https://github.com/firecow/gitlab-ci-local
    """

    def deploy(self) -> list[Done]:
        """Run what starts by itself, then the job that a person who may deploy starts."""
        workspace = self.prepare(BRANCH)
        tested = Done("test", *self.ask(workspace))
        assert f"PASS  {ENVIRONMENT} test" in tested.said, tested
        return [tested, self.run(workspace, "deploy")]

    def roll_back(self, release: str = "") -> Done:
        """Start the job by hand, in a separate pipeline."""
        return self.run(self.prepare(BRANCH), "rollback", **({"RELEASE": release} if release else {}))

    def prepare(self, ref: str) -> Path:
        """Clone the repository, with the secrets scoped to their environments."""
        workspace = self.checkout(f"origin/{ref}")
        subprocess.run(["git", "checkout", "-q", "-B", ref], cwd=workspace, check=True)
        user, password = self.registry
        secrets = {
            "DEPLOY_SSH_KEY": base64.b64encode(self.key.encode()).decode(),
            "DEPLOY_ENV": base64.b64encode(self.settings.encode()).decode(),
            "DEPLOY_REGISTRY_USER": user,
            "DEPLOY_REGISTRY_PASSWORD": password,
            "DEPLOY_REGISTRY_PULL_USER": user,
            "DEPLOY_REGISTRY_PULL_PASSWORD": password,
        }
        of_merge_requests = (f"{ENVIRONMENT}-comment", f"{ENVIRONMENT}-preview/*")
        scopes = {
            **dict.fromkeys(secrets, (ENVIRONMENT, *of_merge_requests)),
            "DEPLOY_COMMENT_TOKEN": of_merge_requests,
        }
        secrets["DEPLOY_COMMENT_TOKEN"] = "t0ken-of-the-project"
        scoped = {
            name: {"type": "variable", "values": dict.fromkeys(scopes[name], value)}
            for name, value in secrets.items()
            if value
        }
        (workspace / ".gitlab-ci-local-variables.yml").write_text(yaml.safe_dump(scoped))
        (workspace / ".git/info/exclude").write_text(".gitlab-ci-local*\n")
        return workspace

    def ask(self, workspace: Path, *arguments: str, **variables: str) -> tuple[int, str]:
        """Run the program."""
        program = installed("gitlab-ci-local", "gitlab-ci-local/src/index.js")
        told = {"GITLAB_CI": "true", "CI_JOB_URL": "https://run.example/7", **variables}
        flags = [part for name, value in told.items() for part in ("--variable", f"{name}={value}")]
        # It takes a push for all that the main branch has not; GitLab, for what the push before it had not.
        settings = ["--force-shell-executor", "--no-evaluate-rule-changes"]
        done = subprocess.run(
            [needs.program("node"), program, *settings, *flags, *arguments], cwd=workspace, env=self.environ(workspace),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def run(self, workspace: Path, job: str, **variables: str) -> Done:
        """Run one job."""
        return Done(job, *self.ask(workspace, f"{ENVIRONMENT} {job}", **variables))

    def of_branch(self, branch: str, number: int, api: str) -> dict[str, str]:
        """Return the variables of a merge request of a branch of this repository, whose project has the number 1217.

        https://docs.gitlab.com/ci/variables/predefined_variables/#predefined-variables-for-merge-request-pipelines
        """
        return {
            "CI_PIPELINE_SOURCE": "merge_request_event",
            "CI_MERGE_REQUEST_IID": str(number),
            "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": branch,
            "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": BRANCH,
            "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "1217",
            "CI_API_V4_URL": api,
        }

    def jobs(self, workspace: Path, **variables: str) -> dict[str, str]:
        """Return when the jobs of a pipeline run that the rules let in."""
        code, said = self.ask(workspace, "--list-csv", **variables)
        assert code == 0, said
        rows = [line.split(";") for line in said.splitlines() if line.startswith(ENVIRONMENT)]
        return {row[0].removeprefix(f"{ENVIRONMENT} "): row[3] for row in rows}


class Jenkins(Runner):
    """Jenkins: the ``sh`` steps of a declarative pipeline (https://www.jenkins.io/doc/book/pipeline/syntax/)."""

    def deploy(self) -> list[Done]:
        """Build with parameters, and answer the question."""
        return self.run(BRANCH, ACTION="deploy", RELEASE="")

    def roll_back(self, release: str = "") -> Done:
        """Build with other parameters."""
        (done,) = self.run(BRANCH, ACTION="rollback", RELEASE=release)
        return done

    def run(self, branch: str, **parameters: str) -> list[Done]:
        """Run the stages whose conditions hold, until one fails, as a person's build with parameters does."""
        (words,) = jenkinsfiles.read((self.checkout(branch) / "Jenkinsfile").read_text())
        build = _Build(("branch", branch), True, parameters, machine=self)
        build.run(words[0])
        return build.done

    def of_change(self, branch: str, address: str, fork: str | None = None) -> list[Done]:
        """Run what a pull request of a branch into the deployed one starts, and answer its question.

        https://plugins.jenkins.io/branch-api/

        Args:
            branch: The branch that is checked out.
            address: The page of the pull request.
            fork: The fork that it comes from.
        """
        (words,) = jenkinsfiles.read((self.checkout(branch) / "Jenkinsfile").read_text())
        variables = {"CHANGE_URL": address, **({"CHANGE_FORK": fork} if fork else {})}
        build = _Build(
            ("change", BRANCH), False, {"ACTION": "deploy", "RELEASE": ""}, variables, machine=self, ref=branch
        )
        build.run(words[0])
        return build.done

    def stage(self, stage: Word, workspace: Path, parameters: Mapping[str, str]) -> Done:
        """Run the shell lines of a stage in a folder that has been checked out; each has the secrets bound to it.

        Args:
            stage: The stage.
            workspace: The folder.
            parameters: The variables that the build has.
        """
        temporary = workspace.with_name(f"{workspace.name}@tmp")
        temporary.mkdir()
        environ = {**self.environ(workspace), "JENKINS_URL": "https://run.example/", "WORKSPACE": str(workspace),
                   "BUILD_URL": "https://run.example/job/7/", "WORKSPACE_TMP": str(temporary),
                   **parameters}  # fmt: skip
        environ |= {one["set"]: one["value"] for one in jenkinsfiles.within(stage, "environment")}
        name, said = stage["given"][0], ""
        for step in jenkinsfiles.within(stage, "steps")[2:]:
            code, more = self._step(step, workspace, environ)
            said += more
            if code:
                return Done(name, code, said)
        return Done(name, 0, said)

    def _step(self, step: Word, workspace: Path, environ: Mapping[str, str]) -> tuple[int, str]:
        if step["name"] == "sh":
            return self.shell(["/bin/sh", "-xe"], *step["given"], workspace, environ)
        assert step["name"] == "withCredentials"
        secrets = workspace.with_name(f"{workspace.name}-secrets")
        secrets.mkdir()
        bound = [self._bound(one["name"], one["given"][0], secrets) for one in step["given"][0]]
        (inner,) = step["inside"]
        code, said = self._step(
            inner, workspace, {**environ, **{key: value for one in bound for key, value in one.items()}}
        )
        shutil.rmtree(secrets)
        return code, said

    def _bound(self, kind: str, asked: Mapping[str, str], secrets: Path) -> dict[str, str]:
        """Return the variables that credentials come in: a user's and its password's, or the path of a file."""
        if kind == "usernamePassword":
            assert asked["credentialsId"] in {f"{ENVIRONMENT}-registry", f"{ENVIRONMENT}-registry-pull"}
            return dict(zip((asked["usernameVariable"], asked["passwordVariable"]), self.registry, strict=True))
        if kind == "string":
            assert asked["credentialsId"] == f"{ENVIRONMENT}-comment"
            return {asked["variable"]: "t0ken-of-the-project"}
        assert kind == "file"
        path = secrets / asked["variable"]
        path.write_text(
            {f"{ENVIRONMENT}-ssh-key": self.key, f"{ENVIRONMENT}-env": self.settings}[asked["credentialsId"]]
        )
        return {asked["variable"]: str(path)}


@dataclass
class _Build(Build):
    """A build whose stages run their shell lines; the branch has no build before it."""

    machine: Jenkins = field(kw_only=True)
    ref: str | None = field(kw_only=True, default=None)
    workspace: Path = field(init=False)
    done: list[Done] = field(default_factory=list)

    def checkout(self) -> Mapping[str, str]:
        self.workspace = self.machine.checkout(self.ref or self.job[1])
        return {}

    def status(self, script: str) -> int:
        environ = {**self.machine.environ(self.workspace), **self.variables}
        return self.machine.shell(["/bin/sh", "-xe"], script, self.workspace, environ)[0]

    def work(self, stage: Word, steps: Sequence[Word]) -> bool:
        self.done.append(self.machine.stage(stage, self.workspace, {**self.variables, **self.parameters}))
        return self.done[-1].code == 0
