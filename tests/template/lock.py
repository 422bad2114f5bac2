"""The lock of what modules and workspaces install: ``constraints.txt`` for pip and people, ``constraints.lock`` for uv.

``python -m tests.template.lock`` makes both from ``constraints.in``; ``--upgrade`` takes newer releases.
"""

from __future__ import annotations

import subprocess
import sys

from dagster_module_builder.modules.hashes import HASHES, pins
from dagster_module_builder.programs import uv_program
from tests.template.copies import REPOSITORY
from tests.template.copies import main as copy

TEMPLATE = REPOSITORY / "cookiecutter-dagster-workspace"
CONSTRAINTS = TEMPLATE / "{{cookiecutter.name}}/services/dagster/constraints.txt"
LOCK = CONSTRAINTS.with_name(HASHES)


def main(arguments: list[str]) -> None:
    """Resolve, then write both files and their copies in the module's template."""
    command = ["pip", "compile", "--quiet", "--universal", "--python-version", "3.10", "--generate-hashes"]
    command += ["--no-header", "--no-annotate", *arguments, str(TEMPLATE / "constraints.in"), "-o", str(LOCK)]
    subprocess.run([uv_program.program(), *command], check=True)
    CONSTRAINTS.write_text("".join(f"{pin}\n" for pin in pins(LOCK.read_text("utf-8"))), "utf-8")
    copy()


if __name__ == "__main__":
    main(sys.argv[1:])
