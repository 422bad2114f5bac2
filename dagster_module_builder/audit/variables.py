"""Checks of the environment variables: what is read, what is set, what is explained."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from dagster_module_builder.audit.audited_module import EXAMPLE, AuditedModule
from dagster_module_builder.audit.checks import check
from dagster_module_builder.audit.results import Problem
from dagster_module_builder.audit.syntax import Variable
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
    lambda audited: "" if _read(audited) or audited.fragment_env or _explained(audited) else "no variables",
)
def variables_documented(audited: AuditedModule) -> Iterator[Problem]:
    """Compare what code, compose and Dockerfile read with what is explained, both ways."""
    if audited.example_text is None:
        if _read(audited):
            yield audited.missing(f"No {EXAMPLE}, though variables are read")
        return
    explained = set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", audited.example_text))
    for name, (where, required) in sorted(_read(audited).items()):
        if name not in explained:
            yield Problem(f"{name} is not explained", f"Explain it in {EXAMPLE}", where, "FAIL" if required else "WARN")
    for name in sorted(set(audited.fragment_env) - explained):
        yield Problem(f"{name} is set but not explained", f"Explain it in {EXAMPLE}", "workspace/local/.env", "WARN")
    yield from _unused(audited, set(_explained(audited)))


def _explained(audited: AuditedModule) -> list[str]:
    return env_file.keys((audited.example_text or "").encode())


def _unused(audited: AuditedModule, named: set[str]) -> Iterator[Problem]:
    everywhere = b"".join(audited.bytes_of(file.path) for file in audited.sources.files).decode("utf-8", "replace")
    everywhere += audited.fragment_text(compose.NAME).decode("utf-8", "replace")
    everywhere += "".join(audited.text_of(path) for path in audited.dockerfiles)
    read = set(_read(audited))
    for name in sorted(named - read):
        # A name that is put together where this cannot see it ends in a part that stands somewhere.
        if not re.search(rf"\b{re.escape(name)}\b", everywhere):
            yield Problem(f"{name} is explained, but nothing reads it", f"Take it out of {EXAMPLE}", EXAMPLE, "WARN")


def _read(audited: AuditedModule) -> Mapping[str, tuple[str, bool]]:
    """Return every variable that is read, with a place and whether it has to be set."""
    found: dict[str, tuple[str, bool]] = {}
    for name, where in _read_by_files(audited):
        found.setdefault(name, (where, False))
    for variable in audited.variables:
        required = variable.required or found.get(variable.name, ("", False))[1]
        found[variable.name] = (audited.shown(variable.place.path, variable.place.line), required)
    return {name: what for name, what in found.items() if name not in _COMMON}


def _read_by_files(audited: AuditedModule) -> Iterator[tuple[str, str]]:
    text = audited.fragment_text(compose.NAME).decode("utf-8", "replace")
    without_comments = re.sub(r"(?m)^\s*#.*$", "", text)
    for found in _USED.finditer(without_comments):
        if name := found[1] or found[3]:
            yield name, audited.shown(audited.fragment(compose.NAME))
    for path in audited.dockerfiles:
        for name in re.findall(r"(?im)^\s*ARG\s+(\w+)", audited.text_of(path)):
            yield name, audited.shown(path)


@check(
    "variables-given",
    "Every variable that the code needs is set",
    "EnvVar fails the run, and only then, when it is unset.",
    lambda audited: "" if _required(audited) else "the code needs no variable",
)
def variables_given(audited: AuditedModule) -> Iterator[Problem]:
    """Look for required variables that nobody sets, or that are set to nothing."""
    files = {**audited.workspace_env, **audited.fragment_env}
    given = {*(name for name, value in files.items() if value), *audited.set_by_compose, *_set_by_images(audited)}
    for name, variable in sorted(_required(audited).items()):
        if name not in given:
            where = audited.shown(variable.place.path, variable.place.line)
            what = "EnvVar" if variable.is_env_var else "The variable"
            how = "set to nothing" if name in files else "not set anywhere"
            yield Problem(f"{what} {name} is {how}", "Give it a value in workspace/local/.env", where)


def _required(audited: AuditedModule) -> Mapping[str, Variable]:
    """Return the first place of each variable that the code needs and that the workspace does not give by itself."""
    found: dict[str, Variable] = {}
    for variable in audited.variables:
        if variable.required and variable.name not in _COMMON | {"DAGSTER_STORAGE_DIR"}:
            found.setdefault(variable.name, variable)
    return found


def _set_by_images(audited: AuditedModule) -> set[str]:
    # What ARG says is gone when the image is built (https://docs.docker.com/reference/dockerfile/#arg).
    texts = [re.sub(r"\\\r?\n", " ", audited.text_of(path)) for path in audited.dockerfiles]
    lines = [line for text in texts for line in _ENV.findall(text)]
    return {name for line in lines for name in _SET_TO_SOMETHING.findall(line)}


def _no_pair(audited: AuditedModule) -> str:
    if audited.example_text is None:
        return f"no {EXAMPLE}"
    return "" if audited.fragment(env_file.NAME).is_file() else "no workspace/local/.env"


@check(
    "variables-example",
    f"{EXAMPLE} and the fragment name the same",
    "One of them is what a colleague copies.",
    _no_pair,
)
def variables_example(audited: AuditedModule) -> Iterator[Problem]:
    """Look for variables of ``.env.example`` that the fragment lacks."""
    for name in sorted(set(_explained(audited)) - set(audited.fragment_env)):
        yield Problem(f"{name} has no line in workspace/local/.env", f"Copy it from {EXAMPLE}", status="WARN")
