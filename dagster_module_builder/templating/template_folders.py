"""Where the shipped templates are, and the private folders that they are rendered in."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from dagster_module_builder.base.errors import RefusedError, ToolError
from dagster_module_builder.templating.child_processes import child_environment, pass_on, reason, run, run_python

MODULE_TEMPLATE = "cookiecutter-dagster-module"
WORKSPACE_TEMPLATE = "cookiecutter-dagster-workspace"
STRATEGIES = "deploy_strategies"

_PACKAGE = Path(__file__).parents[1]
STAGING_PREFIX = ".dagster-module-builder-"


def template_folder(template: str | os.PathLike[str]) -> Path:
    """Return the folder of a shipped template (``cookiecutter-dagster-module``), or of one given by its absolute path.

    Raises:
        ToolError: It is neither in the installed package nor beside it in a checkout.
    """
    folders = candidates(template)
    for folder in folders:
        if (folder / "cookiecutter.json").is_file():
            return folder
    parents = " or ".join(str(folder.parent) for folder in folders)
    raise ToolError(f"Templates not found: {template} is not in {parents}. Install the program again.")


def candidates(template: str | os.PathLike[str]) -> list[Path]:
    """Return where a template may be: in an installed package, or beside it in a checkout."""
    return [_PACKAGE / "_shipped" / template, _PACKAGE.parent / template]


@contextlib.contextmanager
def prepared(template: str | os.PathLike[str], environment: Mapping[str, str] | None = None) -> Iterator[Path]:
    """Give a template whose ``pre_prompt`` hook (if any) has run, once for all that is rendered from it.

    Args:
        template: As for ``template_folder``.
        environment: Variables for the hook, beside the process's own.
    """
    folder = template_folder(template)
    with private_folder() as private:
        made = _prepared(folder, private, environment)
        if made != folder:
            for hook in made.glob("hooks/pre_prompt.*"):
                hook.unlink()
        yield made


def _prepared(folder: Path, private: Path, environment: Mapping[str, str] | None) -> Path:
    hooks = sorted(folder.glob("hooks/pre_prompt.*"))
    if not hooks:
        return folder
    copy = shutil.copytree(folder, private / folder.name)
    for hook in hooks:
        script = copy / "hooks" / hook.name
        variables = child_environment(private, environment)
        run_hook = partial(run_python, script) if hook.suffix == ".py" else partial(run, [str(script)])
        code, stdout, stderr = run_hook("", copy, variables)
        pass_on(stdout)
        if code:
            raise RefusedError(reason(stderr) or f"The hook {hook.name} failed.")
    return copy


@contextlib.contextmanager
def staging(beside: Path) -> Iterator[Path]:
    """Give a private folder (0700) in ``beside``, on whose file system a rename is one step; it is gone afterwards."""
    beside.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=beside, prefix=STAGING_PREFIX) as folder:
        yield Path(folder)


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """Give a temporary folder (0700); it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=STAGING_PREFIX.lstrip(".")) as folder:
        yield Path(folder)
