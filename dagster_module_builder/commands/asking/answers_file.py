"""Answers from a file instead of a person: YAML or JSON, with the names of the flags and the questions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from dagster_module_builder.base.errors import DamagedFileError, RefusedError, UsageError
from dagster_module_builder.base.names import did_you_mean
from dagster_module_builder.base.settings import expanded
from dagster_module_builder.shared_files.formats.yaml_text import loaded

_WAY_OUT = "Write one answer a line: 'database: postgresql'."


def answers_in(file: str | None) -> dict[str, Any]:
    """Return the answers in a file by question; none if there is no file.

    Texts, numbers, and yes or no are answers; a list is one answer with commas. ``base-path`` and ``base_path`` are
    the same question.

    Raises:
        RefusedError: The file cannot be read.
        DamagedFileError: It does not hold answers.
    """
    if file is None:
        return {}
    path = expanded(file)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RefusedError(f"--answers {file}: {error.strerror}.") from None
    # JSON is YAML, too.
    data = loaded(path, content, _WAY_OUT)
    if not isinstance(data, Mapping):
        raise DamagedFileError(path, None, "this holds no answers by name", _WAY_OUT)
    return _answers(path, data)


def _answers(path: Path, data: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name).replace("-", "_"): _answer(path, str(name), value) for name, value in data.items()}


def _answer(path: Path, name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return _answers(path, value)
    if isinstance(value, list) and all(isinstance(part, (str, int)) for part in value):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return ""
    if isinstance(value, (str, int, float)):
        return str(value)
    raise DamagedFileError(path, None, f"{name} is neither a text, a number, yes or no, nor a list of texts", _WAY_OUT)


def refuse_unknown(answers: Collection[str], known: Collection[str]) -> None:
    """Refuse answers that no question asks for.

    Raises:
        UsageError: With the nearest question, or all of them.
    """
    for name in sorted(set(answers) - set(known)):
        meant = did_you_mean(name, known) or f" Choose from {', '.join(known)}."
        raise UsageError(f"Unknown question {name!r}.{meant}")
