"""The lines of a block by which an image keeps the packages that it has.

Before the first module, the versions of all packages are written down, as constraints for whatever modules install: the
build fails rather than change one. It is the environment of Dagster's own program that counts, virtual or not, and all
of its packages: what a module upgrades beside Dagster can stop Dagster, or the owner's code, just as well.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from dagster_module_builder.compose.service import Service

#: Where every user may write, and 'rm -rf /tmp/*' deletes nothing: a base image may have another user than root.
_FOLDER = "/tmp/.dagster-image"  # noqa: S108 - in an image that is built
#: The versions of the image's packages.
INSTALLED = f"{_FOLDER}/installed.txt"
#: The file that has the path of the Python that starts Dagster.
PYTHON = f"{_FOLDER}/python"
#: Prints the packages that a Python finds, with the version of each that it would import: uv sees one folder only. What
#: is no version by PEP 440 is left out, since uv would take none of the constraints.
LISTING = (
    "import re; from importlib import metadata; found = {}; "
    '[found.setdefault(re.sub("[-_.]+", "-", (each.metadata or {}).get("Name") or "").lower(), each) '
    "for each in metadata.distributions()]; "
    'print(*(name + "==" + each.version for name, each in sorted(found.items()) if name and '
    're.fullmatch("([0-9]+!)?[0-9]+([.][0-9]+)*((a|b|rc)[0-9]+)?([.]post[0-9]+)?([.]dev[0-9]+)?([+][a-z0-9.]+)?", '
    'each.metadata.get("Version") or "")), sep="\\n")'
)
_INSTALL_UV = (
    "RUN command -v uv || PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --no-cache-dir uv \\",
    # A virtual environment that uv made has no pip, but Python includes one.
    "    || (python3 -m ensurepip && python3 -m pip install --no-cache-dir uv)",
)
#: Dagster's program as the shell may find it, at last in an environment that a script activates; then any Python.
_PROGRAMS = (
    "dagster",
    '"${VIRTUAL_ENV:-.venv}/bin/dagster"',
    '"${UV_PROJECT_ENVIRONMENT:-.venv}/bin/dagster"',
    "python3",
)
_SYSTEM = re.compile(r"\buv pip install --system\b")
_INTO_DAGSTERS = f'UV_BREAK_SYSTEM_PACKAGES=1 uv pip install --python "$(cat {PYTHON})"'
_PIP_INSTALL = re.compile(r"\bpip[\d.]* install\b")
_PIP_IN_JSON = re.compile(r'"(?:[^"]*/)?pip[\d.]*",\s*"install"')


def finding_program(services: Sequence[Service]) -> str:
    """Return the shell's command that prints the path of the Dagster that these services start."""
    programs = dict.fromkeys(program for service in services if (program := service.dagster_program))
    return " || ".join(f"command -v {name}" for name in [*map(shlex.quote, programs), *_PROGRAMS])


def first_lines(services: Sequence[Service]) -> tuple[str, ...]:
    """Return the lines that write the image's packages down, unless an earlier block has."""
    return (
        *_INSTALL_UV,
        "# The image's packages keep their versions: the build fails if a module needs other ones. Such a module needs",
        "# its own image (code_server: own), or other versions above.",
        f"RUN test -e {INSTALLED} || {{ mkdir -p {_FOLDER}; \\",
        f"    sed -n '1s|^#! *\\(/.*python[0-9.]*\\)$|\\1|p' \"$({finding_program(services)})\" > {PYTHON}; \\",
        f"    test -s {PYTHON} || command -v python3 > {PYTHON}; \\",
        # Python 3.7 has no importlib.metadata.
        f"    {{ \"$(cat {PYTHON})\" -c '{LISTING}' \\",
        f'    || uv pip list --python "$(cat {PYTHON})" --format freeze; }} > {INSTALLED}; }}',
    )


def installs(line: str) -> bool:
    """Return whether a line installs packages of Python."""
    return bool(_PIP_INSTALL.search(line) or _PIP_IN_JSON.search(line))


def kept(line: str) -> str:
    """Return a line that installs into Dagster's environment, and changes none of the packages there."""
    line = _SYSTEM.sub(lambda _: _INTO_DAGSTERS, line)
    line = _PIP_INSTALL.sub(lambda match: f"{match[0]} --constraint {INSTALLED}", line)
    return _PIP_IN_JSON.sub(lambda match: f'{match[0]}, "--constraint", "{INSTALLED}"', line)
