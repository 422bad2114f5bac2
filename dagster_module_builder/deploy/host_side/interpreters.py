"""The Python interpreters of this host."""

from __future__ import annotations

import os
import re
import sys

from .files import read
from .outside import installed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .host import Host

#: Prints an interpreter's path and version; a command may be a script that chooses an interpreter.
ASK = "import os, sys; print('python:', os.path.realpath(sys.executable), '%d.%d' % sys.version_info[:2])"
VERSION = re.compile(rb"^version(?:_info)? *= *(\d+\.\d+)", re.MULTILINE)


def identity_of(host: Host, name: str) -> str | None:
    """Return the interpreter behind a name: ``python3 -> "/usr/bin/python3.11 3.11"``; None if there is none."""
    path = installed(os.path.expanduser(name))
    if path is None:
        return None
    if os.path.realpath(path) == os.path.realpath(sys.executable):
        return f"{os.path.realpath(path)} {sys.version_info[0]}.{sys.version_info[1]}"
    status, said, _ = host.client.outcome([path, "-c", ASK], None, 60)
    answers = [line[len("python: ") :] for line in said.splitlines() if line.startswith("python: ")]
    return None if status or not answers else answers[-1]


def interpreter_of(folder: str) -> str | None:
    """Return the interpreter of a virtual environment, as ``identity_of`` does; None if it is gone."""
    program = os.path.join(folder, "bin", "python")
    if not os.path.exists(program):
        return None
    version = VERSION.search(read(os.path.join(folder, "pyvenv.cfg")) or b"")
    return f"{os.path.realpath(program)} {version[1].decode() if version else ''}".rstrip()
