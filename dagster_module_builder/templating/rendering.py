"""The one door to Cookiecutter: templates are rendered privately, by answers that are taken literally."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dagster_module_builder.base.errors import BuilderError, RefusedError, ToolError, UsageError
from dagster_module_builder.templating import cookiecutter_run, process_copies
from dagster_module_builder.templating.child_processes import child_environment, pass_on, reason, run_python
from dagster_module_builder.templating.questionnaire import Answer, refuse_unless_offered
from dagster_module_builder.templating.template_folders import private_folder, template_folder


def render(
    template: str | os.PathLike[str],
    answers: Mapping[str, Answer],
    into: Path,
    environment: Mapping[str, str] | None = None,
) -> Path:
    """Render a template below ``into`` and return the folder that it made there.

    Nothing is asked, no personal Cookiecutter configuration is read, and no temporary or replay file is left.
    Output of the hooks goes to stderr.

    Args:
        template: As for ``template_folder``.
        answers: By question; taken as they stand, never as Jinja. Questions without one get their default.
        into: An existing folder; a ``staging`` one, from which the caller renames what it wants.
        environment: Variables for the hooks, beside the process's own. Secrets belong here, never in ``answers``.

    Raises:
        UsageError: An answer's question does not exist, or the answer is not one of its choices.
        RefusedError: A hook refused, with the hook's words.
        ToolError: Cookiecutter failed.
    """
    folder = template_folder(template)
    if _looks_like_jinja(str(into)):
        raise RefusedError(f"Cookiecutter cannot render below {into}: it reads the braces in that path as a template.")
    with private_folder() as private:
        arguments = _arguments(folder, _checked(folder, answers), into, private)
        before = set(into.iterdir())
        variables = child_environment(private, environment)
        code, stdout, stderr = run_python(
            Path(cookiecutter_run.__file__), json.dumps(arguments), private, variables, _cookiecutter
        )
    pass_on(stdout)
    if code:
        raise _failure(code, stderr, into)
    pass_on(stderr)
    (made,) = set(into.iterdir()) - before
    return made


def _checked(folder: Path, answers: Mapping[str, Answer]) -> dict[str, Answer]:
    context = json.loads((folder / "cookiecutter.json").read_text("utf-8"))
    # A hook before the prompts may add questions, which stand in its own copy of the template only.
    fixed = not any(folder.glob("hooks/pre_prompt.*"))
    for name, answer in answers.items():
        if name.startswith("_") or (fixed and name not in context):
            raise UsageError(f"{folder.name} has no question {name!r}.")
        if isinstance(context.get(name), list):
            refuse_unless_offered(name, answer, context[name])
    return {name: _as_literal(answer, context.get(name)) for name, answer in answers.items()}


def _as_literal(answer: Answer, default: Any) -> Answer:
    """Write an answer so that Jinja gives it back as it is; choices and booleans are not rendered."""
    if isinstance(answer, bool) or isinstance(default, (list, bool)):
        return answer
    # Jinja reads the escapes of a string literal as Python does, but not surrogate pairs, which JSON would have.
    text = (
        answer.encode("unicode_escape")
        .decode("ascii")
        .replace('"', r"\x22")
        .replace("{", r"\x7b")
        .replace("}", r"\x7d")
    )
    return f'{{{{ "{text}" }}}}' if text else ""


def _arguments(folder: Path, answers: Mapping[str, Answer], into: Path, private: Path) -> dict[str, Any]:
    folders = {"replay_dir": str(private / "replay"), "cookiecutters_dir": str(private / "cookiecutters")}
    return {
        "template": str(folder),
        "no_input": True,
        "extra_context": answers,
        "output_dir": str(into),
        "default_config": folders,
    }


def _failure(code: int, stderr: str, into: Path) -> BuilderError:
    if code == cookiecutter_run.FOLDER_EXISTS:
        return RefusedError(f"The folder exists in {into} already.")
    if code == cookiecutter_run.HOOK_REFUSED:
        # Cookiecutter's own last line adds nothing to what the hook stderr.
        return RefusedError(reason(stderr.rstrip().rpartition("\n")[0]) or stderr.strip())
    return ToolError(reason(stderr) or "Cookiecutter failed and did not say why.")


def _cookiecutter() -> int:
    return cookiecutter_run.main(process_copies.run_script)


def _looks_like_jinja(text: str) -> bool:
    return any(mark in text for mark in ("{{", "{%", "{#"))
