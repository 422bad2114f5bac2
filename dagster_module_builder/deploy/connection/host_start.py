"""How the host's side is started: one line that every login shell understands, and what it means when it is not."""

from __future__ import annotations

import functools
import json
import zlib
from pathlib import Path

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.deploy import host_side

#: What the host's side can be run by: the oldest, and the newest to look for under its own name.
OLDEST, NEWEST = 8, 30
#: What the host's first line begins with.
GREETING = b'{"hello":'

#: Where people's installers put programs that a login without a terminal does not find.
_PLACES = "$HOME/.local/bin:$HOME/.cargo/bin"
_NOTHING, _TOO_OLD = "no-python", "old-python"

#: Runs in whatever Python there is, from 3.4: goes on in the next one named if this is too old.
_CODE = (
    "import json,os,sys,zlib;v=sys.version_info;a=sys.argv;"
    f"v<(3,{OLDEST}) and (a[5:] and os.execvp(a[5],[a[5]]+a[2:4]+a[1:5]+a[6:])"
    rf" or sys.exit(\"{_TOO_OLD} \"+sys.version.split()[0]));"
    "s=json.loads(zlib.decompress(sys.stdin.buffer.read(int(a[1]))).decode());exec(s.pop(0))"
)

#: Isolated from whatever the host's Python was given: no site packages, no variables, no current folder. The modules
#: are made in the order that they are sent in, so that each finds the ones that it imports.
_LOADER = """\
for name, text in s:
    module = sys.modules[name] = type(sys)(name)
    module.__spec__ = type(sys.__spec__)(name, None)
    exec(compile(text, name.replace(".", "/") + ".py", "exec"), vars(module))
    vars(sys.modules["host_side"])[name.rpartition(".")[2]] = module
module.main()
"""


@functools.cache
def program() -> bytes:
    """Return the host's side as it is sent: what loads it, then each module's name and text."""
    folder = Path(host_side.__file__).parent
    names = {"host_side": "__init__", **{f"host_side.{name}": name for name in host_side.MODULES}}
    sources = [(name, (folder / f"{file}.py").read_text("utf-8")) for name, file in names.items()]
    return zlib.compress(json.dumps([_LOADER, *sources]).encode(), 9)


def start_line(size: int, python: str | None = None) -> str:
    """Return the command that starts the host's side, which then reads itself from its input.

    It is one word in single quotes for a POSIX shell, without newline, ``!``, ``'`` or a backslash at a place where
    csh, tcsh or fish would see more in it than sh does; csh takes words of less than 1024 characters.

    Args:
        size: How long the host's side is, in bytes.
        python: The interpreter; None takes ``python3``, or the newest one that is good enough.
    """
    others = f"n={NEWEST};while [ $n -ge {OLDEST} ];do command -v python3.$n&&set -- $* python3.$n;n=$((n-1));done"
    named = python is not None
    first = f'"{_at_home(python)}"' if python is not None else "python3"
    return (
        f'exec sh -c \'PATH=$PATH:{_PLACES};export PATH;C="{_CODE}";{"" if named else f"{{ {others};}}>/dev/null;"}'
        f'for p in {first} $*;do command -v "$p">/dev/null&&exec "$p" -ISuc "$C" {size} -ISuc "$C" host_side $*;done;'
        f"echo {_NOTHING} >&2;exit 127'"
    )


def _at_home(path: str) -> str:
    return "$HOME/" + path[2:] if path.startswith("~/") else path


def refusal(host: str, python: str | None, noise: str, complaints: str) -> RefusedError:
    """Return what it means that a host never answered.

    Args:
        host: Which.
        python: The interpreter that was named for it.
        noise: What it wrote to its output.
        complaints: What it wrote to its error output.
    """
    name_it = f"install Python 3.{OLDEST} or newer there, or name one by 'python:' in deployment.yaml"
    last = (complaints or noise).splitlines()[-1:] or [""]
    if last[0].startswith(_TOO_OLD):
        return RefusedError(
            f"{host}: {python or 'python3'} is Python {last[0].split()[-1]}, which is too old: {name_it}."
        )
    if last[0].startswith(_NOTHING):
        if python:
            return RefusedError(
                f"{host}: {python}, which deployment.yaml names by 'python:', is not on the host: correct the path."
            )
        return RefusedError(f"{host}: python3 is not installed on the host: {name_it}.")
    said = " ".join(f"{noise[-2000:]} {complaints[-2000:]}".split())[-300:].strip() or "(nothing)"
    return RefusedError(
        f"{host}: the login shell did not start Python. It said: {said!r}. Start files (.bashrc, .profile, .cshrc, "
        f"config.fish) must not ask, read input, end or start another shell where there is no terminal. "
        f"Try: ssh {host} python3 --version"
    )
