"""ci-cd: a pipeline of GitHub, GitLab or Jenkins that tests the module and carries out another strategy."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster_module_builder import git_program
from dagster_module_builder.errors import RefusedError, ToolError
from dagster_module_builder.formats.line_file import LineFile
from dagster_module_builder.formats.outline import OutlineError, outline_of
from dagster_module_builder.settings import PROJECTS
from dagster_module_builder.version_control import Repository, find
from deploy_strategies.base import PipelineFile, PipelineStrategy, load_strategy

if TYPE_CHECKING:
    import jinja2
    import yaml

    from dagster_module_builder.deployments.deployment import Deployment

TEMPLATES = Path(__file__).parent / "pipelines"
PACKAGE = "dagster-module-builder"

#: By its commit, as the modules' own workflows have it: a tag can be moved.
CHECKOUT = "actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2"
WORKFLOWS = ".github/workflows"
GITHUB_RUNNER = "ubuntu-24.04"
GITLAB_IMAGE = "python:3.12-bookworm"
#: Where GitLab's image has not got a program already.
DEBIAN_PACKAGES = {"ssh": "openssh-client", "docker": "docker.io"}

#: Seconds for a remote to say which branch is its default.
REMOTE_LIMIT = 15.0

_PLAIN_PATH = re.compile(r"(?!-)[A-Za-z0-9._+@/-]+")
_WORKFLOW = re.compile(r"(\bgh workflow run )deploy-[\w-]+\.yml\b")
_SCRIPT_PATH = re.compile(r"(\bScript Path: `)Jenkinsfile[\w.-]*(?=`)")


@dataclass(frozen=True)
class Platform:
    """What differs from platform to platform.

    Attributes:
        title: Its name, as people write it.
        template: Its file in ``pipelines/``.
        secret: The shell command that writes a secret out; ``{}`` stands for its variable.
        mention: How a guide names the file, as ``PipelineFile`` has it.
    """

    title: str
    template: str
    secret: str
    mention: re.Pattern[str] | None = None


PLATFORMS = {
    "github": Platform("GitHub Actions", "github.yml", "printf '%s\\n' \"${}\" | tr -d '\\r'", _WORKFLOW),
    # GitLab masks values of one line only.
    "gitlab": Platform("GitLab CI/CD", "gitlab.yml", "printf '%s' \"${}\" | base64 --decode"),
    # A secret file, whose path the variable has.
    "jenkins": Platform("Jenkins", "jenkins.groovy", "tr -d '\\r' <\"${}\"", _SCRIPT_PATH),
}


def _public(template: str) -> frozenset[str]:
    """Return the lines of a template into which nothing of a deployment is put."""
    texts = [(TEMPLATES / name).read_text("utf-8") for name in (template, "shell.jinja")]
    lines = (line.strip() for text in texts for line in text.splitlines())
    return frozenset(line for line in lines if line and not re.search(r"\[\[|\[%|\[#|[%#\]]\]", line))


class CiCd(PipelineStrategy):
    """Writes the pipeline."""

    def __init__(self) -> None:
        workflow = LineFile("workflow", _text_lines, lambda _: 0)
        gitlab = LineFile(".gitlab-ci.yml", _text_lines, _end)
        self.places = {".gitlab-ci.yml": gitlab, f"{WORKFLOWS}/*.yml": workflow, "Jenkinsfile*": None}

    def questions_from(self, module: Path) -> Mapping[str, str]:
        """Return how this program was installed, and the branch that the repository begins with."""
        branch = main_branch(module)
        return {"tool": installed_as(), **({"trigger_branch": branch} if branch else {})}

    def summary(self, deployment: Deployment) -> str:
        """Say who deploys, and when."""
        own = _settings(deployment)
        when = {
            "push": f"on a push to {own['branch']}",
            "tag": f"on a tag {own['tag']}",
            "manual": f"by hand, from {own['branch']}",
        }
        return f"{PLATFORMS[own['platform']].title} {when[own['trigger']]}"

    def file(self, deployment: Deployment, inside: str) -> PipelineFile:
        """Return the file that the platform reads."""
        if not _PLAIN_PATH.fullmatch(inside):
            raise RefusedError(
                f"{inside!r}: a pipeline takes folders of letters, digits and . _ + @ / - only, no - first."
            )
        platform = str(_settings(deployment)["platform"])
        module, name = deployment.names.name, deployment.name
        made = functools.partial(
            PipelineFile,
            folder=_folder(deployment, inside),
            mention=PLATFORMS[platform].mention,
            public=_public(PLATFORMS[platform].template),
        )
        if platform == "gitlab":
            kind = self.places[".gitlab-ci.yml"]
            return made((".gitlab-ci.yml",), True, kind, text=lambda own: _gitlab(deployment, inside, own))
        if platform == "github":
            # A workflow is a file of its own: nothing is put among the triggers and rights of somebody else's.
            kind = self.places[f"{WORKFLOWS}/*.yml"]
            workflows = (f"{WORKFLOWS}/deploy-{name}.yml", f"{WORKFLOWS}/deploy-{name}-{module}.yml")
            return made(workflows, False, kind, text=lambda _: _github(deployment, inside))
        # A Jenkinsfile has exactly one pipeline, so two cannot share it; Jenkins is told the path of another.
        places = ("Jenkinsfile", f"Jenkinsfile.{name}", f"Jenkinsfile.{name}-{module}")
        return made(places, False, None, text=lambda _: _jenkins(deployment, inside))


def installed_as() -> str:
    """Return this program as pip installs it elsewhere: the same commit where it comes from Git, else the version.

    Where it was installed from is what PEP 610 has pip and uv write down.
    """
    distribution = importlib.metadata.distribution(PACKAGE)
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    pinned = f"{PACKAGE}=={distribution.version}"
    if vcs := origin.get("vcs_info"):
        return f"{PACKAGE} @ {vcs['vcs']}+{origin['url']}@{vcs['commit_id']}"
    clone = Path(str(origin.get("url", "")).removeprefix("file://"))
    repository = find(clone) if origin.get("dir_info") and clone.is_dir() else None
    if repository is None:
        return pinned
    # git-remote(1): 2 where there is no such remote.
    url = repository.git("remote", "get-url", "origin", fine=(0, 2))
    commit = repository.commit()
    return f"{PACKAGE} @ git+{_as_url(url)}@{commit}" if url and commit else pinned


def _as_url(remote: str) -> str:
    """Write ``user@host:path``, which only Git understands, as a URL."""
    short = re.fullmatch(r"(?:([\w.-]+)@)?([\w.-]+):(?!//)(.+)", remote)
    return f"ssh://{short[1] or 'git'}@{short[2]}/{short[3].lstrip('/')}" if short else remote


def main_branch(module: Path) -> str | None:
    """Return the branch that a module's repository has for its default; None where neither it nor its remote says.

    The branch that is checked out says nothing: pipelines are written on branches for features.
    """
    repository = find(module)
    if repository is None:
        return None
    remote = repository.git("symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD", fine=(0, 1))
    return remote.partition("/")[2] or _asked_of_remote(repository) or _branch_without_remote(repository)


def _asked_of_remote(repository: Repository) -> str | None:
    """Return what ``origin`` has for its default branch; None where there is no such remote, or it does not answer."""
    # git-remote(1): 2 where there is no such remote.
    if not repository.git("remote", "get-url", "origin", fine=(0, 2)):
        return None
    environ = {
        "GIT_DIR": str(repository.view),
        "GIT_ALLOW_PROTOCOL": "ssh:https:file",
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
    }
    ask = ("ls-remote", "--symref", "--", "origin", "HEAD")
    try:
        said = git_program.run(repository.folder, *ask, environ=environ, limit=REMOTE_LIMIT).out
    except ToolError:
        return None
    # git-ls-remote(1): "ref: refs/heads/main<TAB>HEAD".
    head = re.search(r"^ref: refs/heads/(\S+)\tHEAD$", said.decode("utf-8", "replace"), re.MULTILINE)
    return head[1] if head else None


def _branch_without_remote(repository: Repository) -> str | None:
    """Return the branch of a usual name that there is, or the only one of a repository that has no remote."""
    named = repository.git("for-each-ref", "--format=%(refname)", "refs/heads", "refs/remotes/origin").splitlines()
    short = [re.sub(r"^refs/(heads|remotes/origin)/", "", name) for name in named]
    usual = next((name for name in ("main", "master", "trunk") if name in short), None)
    only = repository.branch if not repository.has_remotes and len(short) < 2 else None
    return usual or only


def _settings(deployment: Deployment) -> Mapping[str, Any]:
    """Return the section of the pipeline, with what it is where nothing is said."""
    given = {key: value for key, value in (deployment.pipeline or {}).items() if value is not None}
    return {"branch": "main", "tag": "v*", "runner": None, "image": GITLAB_IMAGE, "approvers": None, **given}


def _folder(deployment: Deployment, inside: str) -> str:
    return f"{inside}/deploy/{deployment.name}".removeprefix("./")


def _common(deployment: Deployment, inside: str) -> dict[str, Any]:
    """Return what every template is given."""
    own = _settings(deployment)
    module, below = deployment.names.name, "" if inside == "." else f"/{inside}"
    folder = _folder(deployment, inside)
    name = f"{module}-{deployment.name}"
    registry = deployment.own.get("registry")
    # A workspace's repository is used as it is: what is built may take in folders above the module.
    standing = f"/{PROJECTS}/{module}"
    linked = not below.endswith(standing)
    return {
        **own,
        "module": module,
        "deployment": deployment.name,
        "name": name,
        "inside": inside,
        "below": below,
        "folder": folder,
        "guide": f"{folder}/DEPLOYMENT.md",
        "environment": own.get("environment") or name,
        "tests": own.get("tests") or _test_lines(deployment.module),
        "linked": linked,
        "root": "$work/workspace" if linked else f"$PWD{below.removesuffix(standing)}",
        # GitHub empties its folder itself.
        "removes_work": own["platform"] != "github",
        "registry": registry not in {None, "none"},
    }


def _test_lines(module: Path) -> list[str]:
    constraints = "--constraint constraints.txt " if (module / "constraints.txt").is_file() else ""
    return [f"pip install --quiet {constraints}--editable '.[dev]' pytest", "pytest"]


def _rendered(values: Mapping[str, Any]) -> str:
    platform = PLATFORMS[str(values["platform"])]
    read = {"read": lambda name: platform.secret.replace("{}", name)}
    return _environment().get_template(platform.template).render({**values, **read})


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2  # only who writes a pipeline waits for it

    made = jinja2.Environment(  # noqa: S701 - shell, YAML and Groovy are not HTML
        loader=jinja2.FileSystemLoader(TEMPLATES),
        # Braces belong to the platforms' own expressions.
        block_start_string="[%",
        block_end_string="%]",
        variable_start_string="[[",
        variable_end_string="]]",
        comment_start_string="[#",
        comment_end_string="#]",
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["quoted"] = json.dumps
    made.filters["groovy"] = lambda text: text.replace("\\", "\\\\")
    return made


def _github(deployment: Deployment, inside: str) -> str:
    values = _common(deployment, inside)
    branch = f"github.ref == 'refs/heads/{values['branch']}'"
    condition = "startsWith(github.ref, 'refs/tags/')" if values["trigger"] == "tag" else branch
    runner = values["runner"] or GITHUB_RUNNER
    return _rendered({**values, "condition": condition, "runner": runner, "checkout": CHECKOUT})


def _gitlab(deployment: Deployment, inside: str, others: Sequence[bytes]) -> str:
    values = _common(deployment, inside)
    tools = load_strategy(deployment.strategy).tools_here
    programs = ["git", "ssh-agent", *(tool for tool in tools if tool not in {"git", "ssh"})]
    packages = sorted({"git", "openssh-client", *(DEBIAN_PACKAGES.get(tool, tool) for tool in tools)})
    more = {
        "conditions": _gitlab_conditions(values),
        "rollback_condition": _gitlab_place(values),
        "stages": _gitlab_stages(others),
        "programs": programs,
        "packages": packages,
        "tags": values["runner"],
    }
    return _rendered({**values, **more})


def _gitlab_conditions(values: Mapping[str, Any]) -> list[str]:
    place = _gitlab_place(values)
    if values["trigger"] == "tag":
        return [place]
    return [
        f'{place} && $CI_PIPELINE_SOURCE == "{source}"'
        for source in (["push"] if values["trigger"] == "push" else []) + ["web"]
    ]


def _gitlab_place(values: Mapping[str, Any]) -> str:
    """Return the condition that a pipeline is of the branch or the tags that are deployed."""
    if values["trigger"] == "tag":
        return f"$CI_COMMIT_TAG =~ /^{_expression(str(values['tag']))}$/"
    return f'$CI_COMMIT_BRANCH == "{values["branch"]}"'


def _expression(pattern: str) -> str:
    """Write a pattern with ``*`` as a regular expression."""
    return "[^\\/]*".join(re.escape(part).replace("/", "\\/") for part in pattern.split("*"))


def _gitlab_stages(others: Sequence[bytes]) -> dict[str, str]:
    """Return the stages of our jobs: those that the file has, else those that every file has."""
    key = outline_of(others).find(("stages",)) if others else None
    named = [str(one.value) for one in _items(key.value)] if key else []
    if not named:
        return {"test": "test", "deploy": "deploy"}
    test = "test" if "test" in named else named[0]
    later = named[named.index(test) :]
    return {"test": json.dumps(test), "deploy": json.dumps("deploy" if "deploy" in later else later[-1])}


def _items(node: yaml.Node) -> list[yaml.Node]:
    return list(node.value) if isinstance(node.value, list) else []


def _text_lines(own: Sequence[bytes]) -> set[int]:
    return outline_of(own).scalar_lines()


def _end(own: Sequence[bytes]) -> int:
    """Return where further jobs go: at the end of the top-level mapping."""
    outline = outline_of(own)
    keys = [key for key in outline.keys if len(key.path) == 1]
    if outline.root is not None and not keys:
        raise OutlineError(0, "this is no pipeline: a mapping in block style is needed")
    if keys and keys[0].column:
        raise OutlineError(keys[0].line, "the jobs are indented: begin them at the start of the line")
    return outline.end_of_document()


def _jenkins(deployment: Deployment, inside: str) -> str:
    values = _common(deployment, inside)
    label = f"{{ label '{values['runner']}' }}" if values["runner"] else "any"
    return _rendered({**values, "agent": label, "conditions": _jenkins_conditions(values)})


def _jenkins_conditions(values: Mapping[str, Any]) -> list[str]:
    """Return the conditions, all of which have to hold."""
    if values["trigger"] == "tag":
        return [f"tag pattern: '{values['tag']}', comparator: 'GLOB'"]
    branch, person = f"branch '{values['branch']}'", "triggeredBy 'UserIdCause'"
    if values["trigger"] == "manual":
        return [branch, person]
    return [branch, f"anyOf {{ changeset '{values['inside']}/**'; {person} }}"] if values["below"] else [branch]
