"""The template's Jinja filters: check each answer when it is entered, and quote text for the file it goes into."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from cookiecutter import prompt
from cookiecutter.exceptions import FailedHookException
from jinja2 import FileSystemBytecodeCache
from jinja2.ext import Extension

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from jinja2 import Environment
    from jinja2.bccache import Bucket

TEMPLATE = Path(__file__).resolve().parent


def _beside(name: str) -> ModuleType:
    """Load a file from hooks/ under a module name that no installed package uses."""
    unique = f"_{__name__}_{name}"
    spec = importlib.util.spec_from_file_location(unique, TEMPLATE / "hooks" / f"{name}.py")
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[unique] = module
    spec.loader.exec_module(module)
    return module


# When a hook refuses an answer, Cookiecutter logs a traceback that does not name the answer; the hook's message does.
logging.getLogger("cookiecutter.hooks").addFilter(lambda record: not record.exc_info)

answers = _beside("answers")
by_hand = _beside("by_hand")
names = _beside("names")
requirements = _beside("requirements")
settings = _beside("settings")

VERSION = (TEMPLATE / "VERSION").read_text(encoding="utf-8").strip()
REQUIREMENTS = requirements.read_table(TEMPLATE / requirements.FILE)


def _refuse(problem: str | None) -> None:
    if problem:
        print(problem, file=sys.stderr)
        raise FailedHookException("No files were written.")


def snake(name: str) -> str:
    """Return a module's snake-case name (`sales-report` -> `sales_report`); stop generating if the name is invalid."""
    _refuse(names.problem_with_name(name))
    return str(names.ModuleNames(name).snake)


def checked(answer: object, question: str, database: str = "none") -> object:
    """Return the answer unchanged; stop generating if it is invalid."""
    _refuse(answers.problem(question, answer, database))
    return answer


def known_requirements(answer: str) -> str:
    """Return the answer about system requirements unchanged; stop generating if it names others."""
    _refuse(_problem_with_requirements(answer))
    return answer


def _problem_with_requirements(answer: str) -> str | None:
    problem = requirements.problem_with_names(requirements.names_in(answer), REQUIREMENTS, names.did_you_mean)
    return None if problem is None else str(problem)


def _problem_at_prompt(answer: str) -> str | None:
    """Return why the requirements are refused: others are named, or a person does not want them after the warning."""
    if problem := _problem_with_requirements(answer):
        return problem
    warning = requirements.size_warning(requirements.chosen(REQUIREMENTS, {requirements.QUESTION: answer}))
    if warning is None:
        return None
    print(warning, file=sys.stderr)
    return None if prompt.read_user_yes_no("go_on", False, {"go_on": "Go on?"}) else "Choose again."


def quoted(text: object) -> str:
    """Return text as a JSON string, which is also a valid YAML and TOML string."""
    return json.dumps(str(text), ensure_ascii=False)


def python_string(text: str) -> str:
    """Return text as a Python string literal in the quotes that `ruff format` prefers."""
    escaped = text.replace("\\", "\\\\")
    if '"' in text and text.count('"') > text.count("'"):
        return "'" + escaped.replace("'", "\\'") + "'"
    return '"' + escaped.replace('"', '\\"') + '"'


def in_quotes(text: str) -> str:
    """Escape text for use between the double quotes of a Python string, in ASCII."""
    return json.dumps(text)[1:-1]


def markdown(text: str) -> str:
    r"""Escape the characters that Markdown would interpret (`a*b` -> `a\\*b`)."""
    return re.sub(r"([\\`*_\[\]<>#|~&])", r"\\\1", text)


def visible(context: Mapping[str, Any]) -> str:
    """Return the answers as JSON: a yes or no for each requirement, and no private variables derived from them."""
    chosen = {row.variable for row in requirements.chosen(REQUIREMENTS, context)}
    shown = {key: value for key, value in context.items() if not key.startswith("_") and key != requirements.QUESTION}
    return json.dumps({key: True if key in chosen else value for key, value in shown.items()}, indent=2)


def apt_packages(context: Mapping[str, Any]) -> list[str]:
    """Return the Debian packages that the chosen requirements add."""
    return sorted({package for row in requirements.chosen(REQUIREMENTS, context) for package in row.apt})


def python_packages(context: Mapping[str, Any]) -> list[str]:
    """Return the Python packages that the chosen requirements add."""
    return sorted({package for row in requirements.chosen(REQUIREMENTS, context) for package in row.python})


def chosen_requirements(context: Mapping[str, Any]) -> list[Any]:
    """Return the requirements that were answered with yes."""
    return list(requirements.chosen(REQUIREMENTS, context))


def _folder_of_compiled() -> Path | None:
    """Return where this program keeps compiled files; None by hand, and if others might put code there."""
    if settings.CALLER_VARIABLE not in os.environ:
        return None
    folder = settings.cache_folder() / "templates"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError:
        return None
    return folder if found.st_uid == os.geteuid() and not found.st_mode & 0o022 else None


class _Compiled(FileSystemBytecodeCache):
    """Jinja's compiled files, kept from one rendering to the next: compiling takes half of its time."""

    def get_cache_key(self, name: str, filename: str | None = None) -> str:  # noqa: ARG002 - what Jinja passes
        """Return the same key wherever the template is: Cookiecutter renders a copy of it. Jinja compares the text."""
        return super().get_cache_key(f"{jinja2.__version__} {name}")

    def load_bytecode(self, bucket: Bucket) -> None:
        """Take what is kept; what was cut off or is no code, in whichever way, is compiled again."""
        try:
            super().load_bytecode(bucket)
        except Exception:  # noqa: BLE001 - as many kinds as the formats of pickle and marshal have
            bucket.reset()

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep what was compiled, unless the disk is full or read-only."""
        with contextlib.suppress(OSError):
            super().dump_bytecode(bucket)


class ModuleTemplate(Extension):
    """Registers the filters and the template's version with Cookiecutter."""

    def __init__(self, environment: Environment) -> None:
        """Register the filters and the version."""
        super().__init__(environment)
        filters = (
            snake, checked, known_requirements, quoted, python_string, in_quotes, markdown, visible,
            apt_packages, python_packages, chosen_requirements,
        )  # fmt: skip
        environment.filters.update({function.__name__: function for function in filters})
        # By hand, a few questions are asked; this program calls Cookiecutter without any.
        by_hand.ask_few(prompt, {"name": names.problem_with_name, requirements.QUESTION: _problem_at_prompt})
        environment.globals["template_version"] = VERSION
        if folder := _folder_of_compiled():
            environment.bytecode_cache = _Compiled(str(folder))
