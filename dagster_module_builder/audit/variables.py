"""Checks of the environment variables: what is read, what is set, what is explained."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from dagster_module_builder.audit.results import Problem
from dagster_module_builder.audit.subject import EXAMPLE, Subject
from dagster_module_builder.audit.syntax import Variable
from dagster_module_builder.audit.table import check
from dagster_module_builder.shared_files.formats import compose, env_file

#: Variables of the system, of Dagster and of the workspace, which no module explains.
_COMMON = frozenset(
    {
        "CI", "COMPOSE_PROJECT_NAME", "DAGSTER_HOME", "HOME", "HOSTNAME", "LANG", "MYSQL_IMAGE", "PATH",
        "POSTGRES_IMAGE", "PWD", "PYTHONPATH", "PYTHON_IMAGE", "TMPDIR", "TZ", "USER", "WORKSPACE_GID",
        "WORKSPACE_NETWORK", "WORKSPACE_UID",
    }
)  # fmt: skip
_USED = re.compile(r"\$\$|\$\{(\w+)(:?-)?[^}]*\}|\$(\w+)")
_ENV = re.compile(r"^\s*ENV\s+(.*)$", re.MULTILINE | re.IGNORECASE)
_SET_TO_SOMETHING = re.compile(r"""(?:^|\s)(\w+)(?:=(?!["']{2}(?:\s|$))\S|\s+[^\s=]+\s*$)""")


@check(
    "variables-documented",
    f"Every variable is explained in {EXAMPLE}",
    "A colleague's fresh clone starts without a search.",
    lambda subject: "" if _read(subject) or subject.fragment_env or _explained(subject) else "no variables",
)
def variables_documented(subject: Subject) -> Iterator[Problem]:
    """Compare what code, compose and Dockerfile read with what is explained, both ways."""
    if subject.example_text is None:
        if _read(subject):
            yield subject.missing(f"No {EXAMPLE}, though variables are read")
        return
    explained = set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", subject.example_text))
    for name, (where, required) in sorted(_read(subject).items()):
        if name not in explained:
            yield Problem(f"{name} is not explained", f"Explain it in {EXAMPLE}", where, "FAIL" if required else "WARN")
    for name in sorted(set(subject.fragment_env) - explained):
        yield Problem(f"{name} is set but not explained", f"Explain it in {EXAMPLE}", "workspace/local/.env", "WARN")
    yield from _unused(subject, set(_explained(subject)))


def _explained(subject: Subject) -> list[str]:
    return env_file.keys((subject.example_text or "").encode())


def _unused(subject: Subject, named: set[str]) -> Iterator[Problem]:
    everywhere = b"".join(subject.bytes_of(file.path) for file in subject.sources.files).decode("utf-8", "replace")
    everywhere += subject.fragment_text(compose.NAME).decode("utf-8", "replace")
    everywhere += "".join(subject.text_of(path) for path in subject.dockerfiles)
    read = set(_read(subject))
    for name in sorted(named - read):
        # A name that is put together where this cannot see it ends in a part that stands somewhere.
        if not re.search(rf"\b{re.escape(name)}\b", everywhere):
            yield Problem(f"{name} is explained, but nothing reads it", f"Take it out of {EXAMPLE}", EXAMPLE, "WARN")


def _read(subject: Subject) -> Mapping[str, tuple[str, bool]]:
    """Return every variable that is read, with a place and whether it has to be set."""
    found: dict[str, tuple[str, bool]] = {}
    for name, where in _read_by_files(subject):
        found.setdefault(name, (where, False))
    for variable in subject.variables:
        required = variable.required or found.get(variable.name, ("", False))[1]
        found[variable.name] = (subject.shown(variable.place.path, variable.place.line), required)
    return {name: what for name, what in found.items() if name not in _COMMON}


def _read_by_files(subject: Subject) -> Iterator[tuple[str, str]]:
    text = subject.fragment_text(compose.NAME).decode("utf-8", "replace")
    without_comments = re.sub(r"(?m)^\s*#.*$", "", text)
    for found in _USED.finditer(without_comments):
        if name := found[1] or found[3]:
            yield name, subject.shown(subject.fragment(compose.NAME))
    for path in subject.dockerfiles:
        for name in re.findall(r"(?im)^\s*ARG\s+(\w+)", subject.text_of(path)):
            yield name, subject.shown(path)


@check(
    "variables-given",
    "Every variable that the code needs is set",
    "EnvVar fails the run, and only then, when it is unset.",
    lambda subject: "" if _required(subject) else "the code needs no variable",
)
def variables_given(subject: Subject) -> Iterator[Problem]:
    """Look for required variables that nobody sets, or that are set to nothing."""
    files = {**subject.workspace_env, **subject.fragment_env}
    given = {*(name for name, value in files.items() if value), *subject.set_by_compose, *_set_by_images(subject)}
    for name, variable in sorted(_required(subject).items()):
        if name not in given:
            where = subject.shown(variable.place.path, variable.place.line)
            what = "EnvVar" if variable.is_env_var else "The variable"
            how = "set to nothing" if name in files else "not set anywhere"
            yield Problem(f"{what} {name} is {how}", "Give it a value in workspace/local/.env", where)


def _required(subject: Subject) -> Mapping[str, Variable]:
    """Return the first place of each variable that the code needs and that the workspace does not give by itself."""
    found: dict[str, Variable] = {}
    for variable in subject.variables:
        if variable.required and variable.name not in _COMMON | {"DAGSTER_STORAGE_DIR"}:
            found.setdefault(variable.name, variable)
    return found


def _set_by_images(subject: Subject) -> set[str]:
    # What ARG says is gone when the image is built (https://docs.docker.com/reference/dockerfile/#arg).
    texts = [re.sub(r"\\\r?\n", " ", subject.text_of(path)) for path in subject.dockerfiles]
    lines = [line for text in texts for line in _ENV.findall(text)]
    return {name for line in lines for name in _SET_TO_SOMETHING.findall(line)}


def _no_pair(subject: Subject) -> str:
    if subject.example_text is None:
        return f"no {EXAMPLE}"
    return "" if subject.fragment(env_file.NAME).is_file() else "no workspace/local/.env"


@check(
    "variables-example",
    f"{EXAMPLE} and the fragment name the same",
    "One of them is what a colleague copies.",
    _no_pair,
)
def variables_example(subject: Subject) -> Iterator[Problem]:
    """Look for variables of ``.env.example`` that the fragment lacks."""
    for name in sorted(set(_explained(subject)) - set(subject.fragment_env)):
        yield Problem(f"{name} has no line in workspace/local/.env", f"Copy it from {EXAMPLE}", status="WARN")
