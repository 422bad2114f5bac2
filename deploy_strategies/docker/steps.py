"""docker: an image, built once here, and its own code server on each host, started beside the old one."""

from __future__ import annotations

import base64
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from dagster_module_builder.base.errors import RefusedError, ToolError
from dagster_module_builder.compose.dockerignore import NAME as IGNORE
from dagster_module_builder.compose.dockerignore import is_ignored
from dagster_module_builder.deploy.model.deployment import Deployment
from dagster_module_builder.deploy.model.release import Staged, files_below, manifest_line, stage_files
from dagster_module_builder.deploy.model.source import is_of_another, source_of
from dagster_module_builder.deploy.strategies.base import Strategy
from dagster_module_builder.deploy.strategies.image_archive import ImageArchive
from dagster_module_builder.deploy.strategies.images import Recipe, build, context_of, credentials, name_of, push
from dagster_module_builder.deploy.strategies.release_folder import ReleaseFolder
from dagster_module_builder.programs import outside_programs
from dagster_module_builder.programs.version_control import top
from dagster_module_builder.transactions import module_files

COMPOSE = "docker-compose.deploy.yml"
DOCKERFILE = "Dockerfile"
#: Never part of an image, whatever .dockerignore says: version control, environments, caches, settings with secrets.
NEVER = (
    ".git", ".hg", ".svn", ".venv", "venv", ".env", ".env.*", "__pycache__", "*.pyc", ".*_cache", ".nox", ".tox",
    "node_modules", ".DS_Store",
)  # fmt: skip
_FOLDER = {"registry": "none", "context": ".", "platform": "linux/amd64", "python_image": "python:3.12-slim"}


class Docker(Strategy):
    """Builds an image; each host pulls it by its digest, or gets the layers that it lacks."""

    tools_here = ("docker",)
    tools_there = ("docker", "docker compose")
    serves = True
    files = (DOCKERFILE, IGNORE, COMPOSE)

    def __init__(self) -> None:
        self.archive: ImageArchive | None = None

    def stage(self, module: Path, own: Mapping[str, Any], *, allow_dirty: bool) -> Staged:
        """Read the build context, without what ``.dockerignore`` excludes, and the compose file for the hosts."""
        folder = self.deployment.folder
        lacking = [name for name in self.files if module_files.read(self.deployment.module, folder / name) is None]
        if lacking:
            raise RefusedError(
                f"{folder} has no {', '.join(lacking)}: restore it, or make a new deployment with "
                f"'configure-deployment' and copy it from there."
            )
        context = context_folder(module, _with_defaults(own)["context"])
        source = source_of(self.deployment, context, allow_dirty=allow_dirty)
        staged = stage_files(context, sorted(context_files(context, self.deployment)), source)
        compose = module_files.read(self.deployment.module, folder / COMPOSE) or b""
        sent = manifest_line(COMPOSE, "f", compose)
        inner = module.relative_to(context).as_posix()
        manifest = "".join(sorted([*staged.manifest.splitlines(keepends=True), sent]))
        read = staged.read
        return replace(staged, manifest=manifest, sent=sent, read=lambda name: read(f"{inner}/{name}"))

    def sources(self, own: Mapping[str, Any], inside: str) -> tuple[str, ...]:
        """Return the folder of the build context."""
        context = _with_defaults(own)["context"]
        # A folder above the top is refused by ``context_folder``.
        above = [path.as_posix() for path in PurePosixPath(inside).parents][: context.count("..")]
        return (above[-1] if above else inside,)

    def build(self, staged: Staged, report: Callable[[str], None]) -> Mapping[str, Any]:
        """Build the image, and push it or keep its layers for the hosts."""
        own, module = _with_defaults(self.deployment.own), self.deployment.module
        context = context_folder(module, own["context"])
        recipe = self._recipe(context, staged)
        report("build")
        identity = self._build(context, recipe)
        if own["registry"] == "none":
            report("save")
            self.archive = ImageArchive(identity)
            made = {"image": identity}
        else:
            report("push")
            made = {"image": f"{name_of(own['registry'], own['image'])}@{push(recipe.tag)}"}
        report("done")
        return {**made, "tag": recipe.tag, "platform": own["platform"]}

    def commands(
        self,
        own: Mapping[str, Any],
        staged: Staged,
        release_folder: ReleaseFolder,
        lacking: Sequence[str],  # noqa: ARG002 - an image is always built, from the builder's cache
    ) -> list[str]:
        """Return the commands that build the image and bring it to the host."""
        recipe = self._recipe(context_folder(self.deployment.module, _with_defaults(own)["context"]), staged)
        build = shlex.join(["docker", *recipe.command()])
        if _with_defaults(own)["registry"] == "none":
            return [build, f"docker save {recipe.tag} | {release_folder.typed('docker load')}"]
        return [build, f"docker push {recipe.tag}", release_folder.typed(f"docker pull {recipe.tag}")]

    def _recipe(self, context: Path, staged: Staged) -> Recipe:
        own, folder = _with_defaults(self.deployment.own), self.deployment.folder
        tag = f"{name_of(own['registry'], own['image'])}:{version_of(staged)}"
        arguments = {
            "MODULE": self.deployment.module.relative_to(context).as_posix(),
            "PYTHON_IMAGE": own["python_image"],
            "PACKAGES": " ".join(own.get("packages", ())),
        }
        labels = {
            "org.opencontainers.image.revision": staged.source.commit or "",
            "org.opencontainers.image.title": tag,
        }
        return Recipe((folder / DOCKERFILE).relative_to(context).as_posix(), tag, own["platform"], arguments, labels)

    def _build(self, context: Path, recipe: Recipe) -> str:
        with tempfile.TemporaryFile() as packed:
            files = {path: context / path for path in context_files(context, self.deployment)}
            context_of(files, cast("IO[bytes]", packed))
            packed.seek(0)
            return build(cast("IO[bytes]", packed), recipe)

    def transfer(self, module: Path, own: Mapping[str, Any], staged: Staged, release_folder: ReleaseFolder) -> None:  # noqa: ARG002
        """Bring the compose file and the image to the host."""
        compose = module_files.read(self.deployment.module, self.deployment.folder / COMPOSE) or b""
        text = base64.b64encode(compose).decode()
        release_folder.conversation.ask("write", path=f"{release_folder.path}/{COMPOSE}", text=text, mode=0o644)
        image = str(release_folder.made["image"])
        if self.archive is not None:
            send(self.archive, release_folder)
        release_folder.conversation.ask("fetch", image=image, **credentials(image))


def _with_defaults(own: Mapping[str, Any]) -> dict[str, Any]:
    return {**_FOLDER, **own}


def context_folder(module: Path, context: str) -> Path:
    """Return the folder of the build context.

    Raises:
        RefusedError: It would contain files outside the repository and the workspace.
    """
    folder = module if context == "." else module.parents[context.count("..") - 1]
    outermost = top(module) or module.parent.parent
    if not folder.is_relative_to(outermost) and not outermost.samefile(folder):
        raise RefusedError(
            f"The build context {folder} is above {outermost}: correct 'docker: context' in deployment.yaml."
        )
    return folder


def context_files(context: Path, deployment: Deployment) -> list[str]:
    """Return the files of a build context: those that ``.dockerignore`` does not exclude, and the Dockerfile.

    Args:
        context: The context's folder.
        deployment: The deployment with ``Dockerfile`` and ``.dockerignore``; files of other deployments are left out.
    """
    folder = deployment.folder
    patterns = module_files.text(deployment.module, folder / IGNORE) or ""
    left = (path for path in files_below(context, NEVER) if not is_ignored(patterns, path))
    paths = [path for path in left if not is_of_another(deployment, context / path)]
    return list(dict.fromkeys([*paths, (folder / DOCKERFILE).relative_to(context).as_posix()]))


def version_of(staged: Staged) -> str:
    """Return the tag of an image: its commit, and a hash of its content if that is not committed."""
    commit, content = staged.source.commit, staged.digest[:12]
    if commit is None:
        return content
    return f"{commit[:12]}-dirty-{content}" if staged.source.dirty else commit


def send(archive: ImageArchive, release_folder: ReleaseFolder) -> None:
    """Send the layers that a host lacks over the SSH connection.

    Raises:
        ToolError: They could not be sent.
    """
    present = release_folder.conversation.ask("layers")["layers"]
    failure = _sent(archive, release_folder, present)
    if failure and present:
        # An image whose layers were counted on may have been removed since.
        failure = _sent(archive, release_folder, [])
    if failure:
        raise ToolError(f"{release_folder.remote.address}: the image could not be sent: {failure}")


def _sent(archive: ImageArchive, release_folder: ReleaseFolder, present: list[list[str]]) -> str | None:
    command = [*release_folder.remote.bulk(), "--", release_folder.remote.address.host, "exec docker load --quiet"]
    with outside_programs.start(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        pipe, answer = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
        try:
            archive.write(pipe, present)
            pipe.close()
        except OSError as error:
            process.kill()
            return answer.read().decode("utf-8", "replace").strip() or str(error)
        said = answer.read().decode("utf-8", "replace").strip()
    return (said.splitlines() or [outside_programs.ended(process.returncode)])[-1] if process.returncode else None
