"""Checks of environment variables: which are read, set and explained."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from dagster_module_builder.audit.audited_module import EXAMPLE, AuditedModule
from dagster_module_builder.audit.checks import check
from dagster_module_builder.audit.results import Problem
from dagster_module_builder.audit.syntax import Variable
from dagster_module_builder.shared_files.formats import compose, env_file

#: Variables of the system, Dagster, the workspace and previews, which a module need not explain.
SET_BY_OTHERS = frozenset(
    {
        "CI", "COMPOSE_PROJECT_NAME", "DAGSTER_HOME", "DAGSTER_UPSTREAM_STORAGE_DIR", "HOME", "HOSTNAME", "LANG",
        "MYSQL_IMAGE", "PATH", "POSTGRES_IMAGE", "PWD", "PYTHONPATH", "PYTHON_IMAGE", "TMPDIR", "TZ", "USER",
        "WORKSPACE_GID", "WORKSPACE_NETWORK", "WORKSPACE_UID",
    }
)  # fmt: skip
_USED = re.compile(r"\$\$|\$\{(\w+)(:?-)?[^}]*\}|\$(\w+)")
_ENV = re.compile(r"^\s*ENV\s+(.*)$", re.MULTILINE | re.IGNORECASE)
_SET_TO_SOMETHING = re.compile(r"""(?:^|\s)(\w+)(?:=(?!["']{2}(?:\s|$))\S|\s+[^\s=]+\s*$)""")


@check(
    "variables-documented",
    f"Every variable is explained in {EXAMPLE}",
    "A colleague can start a fresh clone without searching the code.",
    lambda audited: "" if _read(audited) or audited.fragment_env or _explained(audited) else "no variables",
)
def variables_documented(audited: AuditedModule) -> Iterator[Problem]:
    """Compare the variables that the code, compose fragment and Dockerfile read with the explained ones, both ways."""
    if audited.example_text is None:
        if _read(audited):
            yield audited.missing(f"No {EXAMPLE}, but variables are read")
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
        # The code may build a name from parts; then at least its last part occurs in the text.
        if not re.search(rf"\b{re.escape(name)}\b", everywhere):
            yield Problem(f"{name} is explained, but nothing reads it", f"Remove it from {EXAMPLE}", EXAMPLE, "WARN")


def _read(audited: AuditedModule) -> Mapping[str, tuple[str, bool]]:
    """Return every variable that is read, with its position and whether it is required."""
    read: dict[str, tuple[str, bool]] = {}
    for name, where in _read_by_files(audited):
        read.setdefault(name, (where, False))
    required = {variable.name for variable in audited.variables if variable.required}
    for name, variable in {variable.name: variable for variable in audited.variables}.items():
        read[name] = (audited.shown(variable.position.path, variable.position.line), name in required)
    return {name: usage for name, usage in read.items() if name not in SET_BY_OTHERS}


def _read_by_files(audited: AuditedModule) -> Iterator[tuple[str, str]]:
    text = audited.fragment_text(compose.NAME).decode("utf-8", "replace")
    without_comments = re.sub(r"(?m)^\s*#.*$", "", text)
    for match in _USED.finditer(without_comments):
        if name := match[1] or match[3]:
            yield name, audited.shown(audited.fragment(compose.NAME))
    for path in audited.dockerfiles:
        for name in re.findall(r"(?im)^\s*ARG\s+(\w+)", audited.text_of(path)):
            yield name, audited.shown(path)


@check(
    "variables-given",
    "Every variable that the code requires is set",
    "An unset EnvVar fails only when a run starts.",
    lambda audited: "" if _required(audited) else "the code requires no variable",
)
def variables_given(audited: AuditedModule) -> Iterator[Problem]:
    """Find required variables that are not set, or are empty."""
    files = {**audited.workspace_env, **audited.fragment_env}
    set_names = {*(name for name, value in files.items() if value), *audited.set_by_compose, *_set_by_images(audited)}
    for name, variable in sorted(_required(audited).items()):
        if name not in set_names:
            where = audited.shown(variable.position.path, variable.position.line)
            what = "EnvVar" if variable.is_env_var else "The variable"
            how = "empty" if name in files else "not set anywhere"
            yield Problem(f"{what} {name} is {how}", "Set it in workspace/local/.env", where)


def _required(audited: AuditedModule) -> Mapping[str, Variable]:
    """Return the first use of each required variable that the workspace does not set for every module."""
    required: dict[str, Variable] = {}
    for variable in audited.variables:
        if variable.required and variable.name not in SET_BY_OTHERS | {"DAGSTER_STORAGE_DIR"}:
            required.setdefault(variable.name, variable)
    return required


def _set_by_images(audited: AuditedModule) -> set[str]:
    # ARG values are not set in the built image (https://docs.docker.com/reference/dockerfile/#arg).
    texts = [re.sub(r"\\\r?\n", " ", audited.text_of(path)) for path in audited.dockerfiles]
    lines = [line for text in texts for line in _ENV.findall(text)]
    return {name for line in lines for name in _SET_TO_SOMETHING.findall(line)}


def _no_pair(audited: AuditedModule) -> str:
    if audited.example_text is None:
        return f"no {EXAMPLE}"
    return "" if audited.fragment(env_file.NAME).is_file() else "no workspace/local/.env"


@check(
    "variables-example",
    f"{EXAMPLE} and the fragment have the same variables",
    "Colleagues copy the example to make the fragment.",
    _no_pair,
)
def variables_example(audited: AuditedModule) -> Iterator[Problem]:
    """Find variables of ``.env.example`` that the fragment lacks."""
    for name in sorted(set(_explained(audited)) - set(audited.fragment_env)):
        yield Problem(f"{name} is missing in workspace/local/.env", f"Copy it from {EXAMPLE}", status="WARN")
