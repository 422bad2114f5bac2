"""Checks of the environment variables: what is read, what is set, what is explained."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from dagster_module_builder.audit.results import Problem
from dagster_module_builder.audit.subject import EXAMPLE, Subject
from dagster_module_builder.audit.syntax import Variable
from dagster_module_builder.audit.table import check
from dagster_module_builder.formats import compose, env_file

#: Variables of the system, of Dagster and of the workspace, which no module explains.
_COMMON = frozenset(
    {
        "CI", "COMPOSE_PROJECT_NAME", "DAGSTER_HOME", "HOME", "HOSTNAME", "LANG", "MYSQL_IMAGE", "PATH",
        "POSTGRES_IMAGE", "PWD", "PYTHONPATH", "PYTHON_IMAGE", "TMPDIR", "TZ", "USER", "WORKSPACE_GID",
        "WORKSPACE_NETWORK", "WORKSPACE_UID",
    }
)  # fmt: skip
_USED = re.compile(r"\$\$|\$\{(\w+)(:?-)?[^}]*\}|\$(\w+)")
_IN_DOCKERFILE = re.compile(r"^\s*(?:ENV|ARG)\s+(\w+)", re.MULTILINE | re.IGNORECASE)


@check(
    "variables-documented",
    f"Every variable is explained in {EXAMPLE}",
    "A colleague's fresh clone starts without a search.",
)
def variables_documented(subject: Subject) -> Iterator[Problem]:
    """Compare what code, compose and Dockerfile read with what is explained, both ways."""
    if subject.example_text is None:
        if _read(subject):
            yield Problem(f"No {EXAMPLE}, though variables are read", "Run 'upgrade', which adds it", status="FAIL")
        return
    explained = set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", subject.example_text))
    for name, (where, required) in sorted(_read(subject).items()):
        if name not in explained:
            yield Problem(f"{name} is not explained", f"Explain it in {EXAMPLE}", where, "FAIL" if required else "WARN")
    for name in sorted(set(subject.fragment_env) - explained):
        yield Problem(f"{name} is set but not explained", f"Explain it in {EXAMPLE}", "workspace/local/.env", "WARN")
    yield from _unused(subject, set(env_file.keys(subject.example_text.encode())))


def _unused(subject: Subject, named: set[str]) -> Iterator[Problem]:
    everywhere = b"".join(file.path.read_bytes() for file in subject.sources.files).decode("utf-8", "replace")
    everywhere += subject.fragment_text(compose.NAME).decode("utf-8", "replace")
    everywhere += "".join(path.read_text("utf-8", "replace") for path in subject.dockerfiles)
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
        for name in re.findall(r"(?im)^\s*ARG\s+(\w+)", path.read_text("utf-8", "replace")):
            yield name, subject.shown(path)


@check(
    "variables-given",
    "Every variable that the code needs is set",
    "EnvVar fails the run, and only then, when it is unset.",
)
def variables_given(subject: Subject) -> Iterator[Problem]:
    """Look for required variables that nobody sets."""
    given = {*subject.fragment_env, *subject.workspace_env, *subject.set_by_compose, *_set_by_images(subject)}
    missing: dict[str, Variable] = {}
    for variable in subject.variables:
        if variable.required and variable.name not in given | _COMMON | {"DAGSTER_STORAGE_DIR"}:
            missing.setdefault(variable.name, variable)
    for name, variable in sorted(missing.items()):
        where = subject.shown(variable.place.path, variable.place.line)
        what = "EnvVar" if variable.is_env_var else "The variable"
        yield Problem(f"{what} {name} is not set anywhere", "Set it in workspace/local/.env", where)


def _set_by_images(subject: Subject) -> set[str]:
    return {name for path in subject.dockerfiles for name in _IN_DOCKERFILE.findall(path.read_text("utf-8", "replace"))}


@check("variables-example", f"{EXAMPLE} and the fragment name the same", "One of them is what a colleague copies.")
def variables_example(subject: Subject) -> Iterator[Problem]:
    """Look for variables of ``.env.example`` that the fragment lacks."""
    fragment = subject.fragment(env_file.NAME)
    if subject.example_text is None or not fragment.is_file():
        return
    for name in sorted(set(env_file.keys(subject.example_text.encode())) - set(subject.fragment_env)):
        yield Problem(f"{name} has no line in workspace/local/.env", f"Copy it from {EXAMPLE}", status="WARN")
