"""The template's own Jinja filters: they check each answer as it is given, and put text safely where it belongs."""

from __future__ import annotations

import importlib.util
import json
import logging
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cookiecutter.exceptions import FailedHookException
from jinja2 import FileSystemBytecodeCache
from jinja2.ext import Extension

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from jinja2 import Environment

TEMPLATE = Path(__file__).resolve().parent


def _beside(name: str) -> ModuleType:
    """Load a file of the hooks under a name that no installed package has."""
    unique = f"_{__name__}_{name}"
    spec = importlib.util.spec_from_file_location(unique, TEMPLATE / "hooks" / f"{name}.py")
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[unique] = module
    spec.loader.exec_module(module)
    return module


# Cookiecutter logs a hook that refuses with a traceback of its own, which says nothing of the answer; the hook says it.
logging.getLogger("cookiecutter.hooks").addFilter(lambda record: not record.exc_info)

answers = _beside("answers")
names = _beside("names")
requirements = _beside("requirements")

VERSION = (TEMPLATE / "VERSION").read_text(encoding="utf-8").strip()
#: In a private copy that many modules are rendered from: what Jinja has compiled, which takes most of a rendering.
COMPILED = TEMPLATE / ".compiled"
REQUIREMENTS = requirements.read_table(TEMPLATE / "requirements.json")


def _refuse(problem: str | None) -> None:
    if problem:
        print(problem, file=sys.stderr)
        raise FailedHookException("Nothing was written.")


def snake(name: str) -> str:
    """Return the snake name of a module; a name that cannot be one ends the generation."""
    _refuse(names.problem_with_name(name))
    return str(names.ModuleNames(name).snake)


def checked(answer: object, question: str, database: str = "none") -> object:
    """Return the answer; one that cannot be ends the generation."""
    _refuse(answers.problem(question, answer, database))
    return answer


def quoted(text: object) -> str:
    """Write a text as a JSON string, which is a YAML and a TOML string as well."""
    return json.dumps(str(text), ensure_ascii=False)


def python_string(text: str) -> str:
    """Write a text as the Python string that the formatter would leave alone."""
    escaped = text.replace("\\", "\\\\")
    if '"' in text and text.count('"') > text.count("'"):
        return "'" + escaped.replace("'", "\\'") + "'"
    return '"' + escaped.replace('"', '\\"') + '"'


def in_quotes(text: str) -> str:
    """Write a text so that it can stand between the double quotes of a Python string, in ASCII."""
    return json.dumps(text)[1:-1]


def markdown(text: str) -> str:
    """Write a text so that Markdown shows it as it is."""
    return re.sub(r"([\\`*_\[\]<>#|~&])", r"\\\1", text)


def visible(context: Mapping[str, Any]) -> str:
    """Return the answers, without what is derived from them, as JSON."""
    return json.dumps({key: value for key, value in context.items() if not key.startswith("_")}, indent=2)


def apt_packages(context: Mapping[str, Any]) -> list[str]:
    """Return the Debian packages that the chosen requirements add."""
    return sorted({package for row in requirements.chosen(REQUIREMENTS, context) for package in row.apt})


def python_packages(context: Mapping[str, Any]) -> list[str]:
    """Return the Python packages that the chosen requirements add."""
    return sorted({package for row in requirements.chosen(REQUIREMENTS, context) for package in row.python})


def chosen_requirements(context: Mapping[str, Any]) -> list[Any]:
    """Return the chosen rows of the table."""
    return list(requirements.chosen(REQUIREMENTS, context))


class ModuleTemplate(Extension):
    """Makes the filters and the template's version known to Cookiecutter."""

    def __init__(self, environment: Environment) -> None:
        """Register them."""
        super().__init__(environment)
        filters = (
            snake, checked, quoted, python_string, in_quotes, markdown, visible,
            apt_packages, python_packages, chosen_requirements,
        )  # fmt: skip
        environment.filters.update({function.__name__: function for function in filters})
        environment.globals["template_version"] = VERSION
        if COMPILED.is_dir():
            environment.bytecode_cache = FileSystemBytecodeCache(str(COMPILED))
