"""What strategy docker is given before it builds: answers, files, and whatever else a person has in the folder."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.audit.run import audit
from dagster_module_builder.base.errors import BuilderError, RefusedError, ToolError, UsageError
from dagster_module_builder.deploy.check import check
from dagster_module_builder.deploy.configure import configure
from dagster_module_builder.deploy.connection.conversation import Conversation
from dagster_module_builder.deploy.connection.remote import Remote
from dagster_module_builder.deploy.deploy import Options, deploy
from dagster_module_builder.deploy.model.deployment import Deployment, read_deployment
from dagster_module_builder.deploy.model.release import Staged
from dagster_module_builder.deploy.strategies import images
from dagster_module_builder.deploy.strategies.base import load_strategy
from dagster_module_builder.deploy.strategies.images import credentials
from dagster_module_builder.deploy.strategies.release_folder import ReleaseFolder
from tests.deploy.modules import make_module
from tests.deploy.pipeline_input import BREAKS_OUT, declared
from tests.deploy.repositories import git

ANSWERS = {"deployment": "yoda", "client": "Yoda", "hosts": "127.0.0.1:9"}
GENERATED = ["Dockerfile", ".dockerignore", "docker-compose.deploy.yml", "health.py"]


@pytest.fixture
def module(tmp_path: Path) -> Path:
    return make_module(tmp_path)


def staged(module: Path) -> Staged:
    deployment = read_deployment(module / "deploy/yoda")
    strategy = load_strategy("docker")
    strategy.deployment = deployment
    return strategy.stage(module, deployment.own, allow_dirty=True)


def as_deployed(module: Path) -> Deployment:
    return read_deployment(module / "deploy/yoda")


def test_generated_files(tmp_path: Path, module: Path) -> None:
    made = configure(tmp_path, module, "docker", {**ANSWERS, "registry": "registry.example:5000"})
    assert {"deployment.yaml", "DEPLOYMENT.md", *GENERATED} <= {path.name for path in made.folder.iterdir()}
    compose = yaml.safe_load((made.folder / "docker-compose.deploy.yml").read_text())
    assert list(compose["services"]) == ["code-server"]
    assert "docker push registry.example:5000/sales-report:COMMIT" in (made.folder / "DEPLOYMENT.md").read_text()


@pytest.mark.parametrize(
    "answers",
    [
        {"registry": "https://registry.example"},
        {"registry": "user:password@registry.example"},
        {"registry": "-x"},
        {"registry": "nowhere"},
        {"registry": "$(x)"},
        {"registry": "registry.example:5000\n"},
        {"registry": "registry.example'"},
        {"image": "UPPER"},
        {"image": "../other"},
        {"image": "with:tag"},
        {"image": "$(x)"},
        {"image": "-x"},
        {"image": "sales'"},
        {"image": "sales\n"},
        {"context": "/"},
        {"context": "../../../../.."},
        {"context": "elsewhere"},
        {"context": "-x"},
        {"context": "$(x)"},
        {"context": ".\n"},
        {"platform": "windows/amd64"},
        {"platform": "amd64"},
        {"platform": "--push"},
        {"platform": "linux/amd64\n"},
        {"python_image": "x --privileged"},
        {"packages": "curl; rm -rf /"},
        {"packages": "--allow-downgrades"},
        {"storage": "relative"},
        {"storage": "/a:/etc"},
        {"dagster_home": "relative"},
    ],
    ids=lambda one: ascii("=".join(*one.items())),
)
def test_bad_answer_leaves_nothing(tmp_path: Path, module: Path, answers: dict[str, str]) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises((UsageError, RefusedError)):
        configure(tmp_path, module, "docker", {**ANSWERS, **answers})
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("key", ["registry", "image", "context", "platform", "python_image", "packages"])
def test_hostile_values_in_deployment_yaml_are_refused(module: Path, key: str) -> None:
    deployment = declared(module, "github", carries_out="docker")
    path = deployment.folder / "deployment.yaml"
    data = yaml.safe_load(path.read_text())
    good = {"registry": "registry.example:5000", "image": "sales"}
    path.write_text(yaml.safe_dump({**data, "docker": good}))
    assert as_deployed(module).own == good
    for value in [*BREAKS_OUT, *(f"{one}\n" for one in [*good.values(), "linux/amd64", "."])]:
        path.write_text(yaml.safe_dump({**data, "docker": {**good, key: [value] if key == "packages" else value}}))
        with pytest.raises(RefusedError, match=f"docker.{key}"):
            as_deployed(module)


def test_nothing_but_code_is_sent_to_the_builder(tmp_path: Path, module: Path) -> None:
    git(module, "init", "-q")
    made = configure(tmp_path, module, "docker", ANSWERS)
    for name in (".env", "src/.env.production", "src/sales_report_dagster/.env", "secret.txt", ".git/hidden"):
        path = module / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("PASSWORD='s3cret'\n")
    # Not even where a rule lets everything in.
    (made.folder / ".dockerignore").write_text("secret.txt\ntests\nworkspace\n")
    found = staged(module)
    sources = [f"src/sales_report_dagster/{name}.py" for name in ("__init__", "definitions", "value")]
    own = [path for path in found.paths if not path.startswith("deploy/")]
    assert sorted(own) == sorted(["docker-compose.deploy.yml", "pyproject.toml", *sources])
    assert not [path for path in found.paths if ".env" in path]


def test_other_clients_are_not_in_the_image(tmp_path: Path) -> None:
    """FAULTS A3: nor those of other modules in the same context, even where .dockerignore lets everything in."""
    root = tmp_path / "workspace"
    module = make_module(root)
    other = make_module(root, "orders")
    made = configure(root, module, "docker", {**ANSWERS, "context": "../.."})
    for folder in (module / "deploy/luke", other / "deploy/luke"):
        folder.mkdir(parents=True)
        for name in ("deployment.yaml", "known_hosts"):
            (folder / name).write_text("client: Luke\n")
    (made.folder / ".dockerignore").write_text("")
    paths = staged(module).paths
    assert "projects/orders/pyproject.toml" in paths
    assert not [path for path in paths if "luke" in path]


def test_the_guide_builds_as_the_program_does(tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    module = make_module(root)
    git(root, "init", "-q")
    more = {"context": "../..", "packages": "curl,git", "registry": "registry.example"}
    guide = (configure(root, module, "docker", {**ANSWERS, **more}).folder / "DEPLOYMENT.md").read_text()
    (command,) = re.findall(r"docker build (?:.*\\\n)*.*", guide)
    words = shlex.split(command.replace("\\\n", " "))
    arguments = [words[at + 1] for at, word in enumerate(words) if word == "--build-arg"]
    assert arguments == ["PYTHON_IMAGE=python:3.12-slim", "MODULE=PATH", "PACKAGES=curl git"]
    assert words[-5:] == ["--file", "PATH/deploy/yoda/Dockerfile", "--tag", "registry.example/sales-report:COMMIT", "."]


@pytest.mark.parametrize("registry", ["registry.example", "none"])
def test_the_preview_names_what_builds_and_brings_the_image(
    tmp_path: Path, module: Path, monkeypatch: pytest.MonkeyPatch, registry: str
) -> None:
    configure(tmp_path, module, "docker", {**ANSWERS, "registry": registry, "packages": "curl,git"})
    ran: list[list[str]] = []
    monkeypatch.setattr(images, "docker", lambda command, **_: ran.append(command) or "digest: sha256:" + "0" * 64)
    monkeypatch.setattr(images, "builder", dict)
    deployment = as_deployed(module)
    remote = Remote(deployment.hosts[0].address)
    strategy, found = load_strategy("docker"), staged(module)
    strategy.deployment = deployment
    place = ReleaseFolder(remote, Conversation(remote), "new", None, "repo.git", "x")
    build, *bring = strategy.commands(deployment.own, found, place, found.lines)
    tag = f"{'' if registry == 'none' else 'registry.example/'}sales-report:{found.digest[:12]}"
    there = "ssh -p 9 127.0.0.1"
    assert bring == (
        [f"docker save {tag} | {there} 'docker load'"]
        if registry == "none"
        else [f"docker push {tag}", f"{there} 'docker pull {tag}'"]
    )
    assert "PACKAGES=curl git" in shlex.split(build)
    if registry != "none":
        strategy.build(found, lambda _: None)
        assert ["docker", *ran[0]] == shlex.split(build)
        assert ran[-1] == ["push", tag]


@pytest.mark.parametrize("name", GENERATED[:3])
def test_a_file_that_is_gone_is_named(tmp_path: Path, module: Path, name: str) -> None:
    made = configure(tmp_path, module, "docker", ANSWERS)
    (made.folder / name).unlink()
    with pytest.raises(RefusedError, match=f"has no {name}"):
        staged(module)
    # The host is not there either, and what is wrong here is told all the same.
    (found,) = check([as_deployed(module)])
    assert f"has no {name}" in "".join(found["problems"])


def test_pointers_of_lfs_and_links_outside_are_refused(tmp_path: Path, module: Path) -> None:
    configure(tmp_path, module, "docker", ANSWERS)
    big = module / "src/big.bin"
    big.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(RefusedError, match=r"big\.bin is a Git LFS pointer"):
        staged(module)
    big.unlink()
    big.symlink_to("/etc/passwd")
    with pytest.raises(RefusedError, match="outside the module"):
        staged(module)


def test_the_context_may_be_above_the_module_but_not_above_the_workspace(tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    module = make_module(root)
    git(root, "init", "-q")
    configure(root, module, "docker", {**ANSWERS, "context": "../.."})
    (root / "secret.txt").write_text("x")
    (root / "projects/other").mkdir()
    (root / "projects/other/pyproject.toml").write_text("")
    paths = staged(module).paths
    assert "projects/sales-report/src/sales_report_dagster/value.py" in paths
    assert "secret.txt" not in paths
    assert "projects/other/pyproject.toml" not in paths
    path = module / "deploy/yoda/deployment.yaml"
    path.write_text(path.read_text().replace('"../.."', '"../../.."'))
    with pytest.raises(RefusedError, match="is above"):
        staged(module)


def test_docker_is_missing_here(tmp_path: Path, module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(tmp_path, module, "docker", ANSWERS)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="docker is not installed on this machine"):
        deploy([as_deployed(module)], Options(allow_dirty=True))


def test_a_password_without_a_user(tmp_path: Path, module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOY_REGISTRY_PASSWORD", "s3cret")
    monkeypatch.delenv("DEPLOY_REGISTRY_USER", raising=False)
    with pytest.raises(BuilderError, match="or neither") as error:
        credentials("registry.example/x@sha256:0")
    assert "s3cret" not in str(error.value)


def test_audit_knows_its_files(tmp_path: Path, module: Path) -> None:
    made = configure(tmp_path, module, "docker", ANSWERS)
    assert audited(tmp_path, module, "deployments-read") == ""
    assert audited(tmp_path, module, "dockerfile-lint") == ""
    (made.folder / "docker-compose.deploy.yml").unlink()
    dockerfile = made.folder / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("FROM base\n", "FROM other\n"))
    assert "docker-compose.deploy.yml is missing" in audited(tmp_path, module, "deployments-read")
    assert "has no version" in audited(tmp_path, module, "dockerfile-lint")


def audited(root: Path, module: Path, check: str) -> str:
    """Return what one check of the audit finds."""
    (result,) = audit(root, module, only=[check]).results
    return "\n".join(problem.message for problem in result.problems)
