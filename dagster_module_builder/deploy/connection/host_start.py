"""Starts the host's side by one line that every login shell understands, and explains why that failed."""

from __future__ import annotations

import functools
import json
import zlib
from pathlib import Path

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.deploy import host_side

#: Minor versions of Python 3 that can run the host's side: the oldest, and the newest to look for by name.
OLDEST, NEWEST = 8, 30
#: The beginning of the host's first line.
GREETING = b'{"hello":'

#: Folders of installed programs that a login without a terminal does not search.
_PLACES = "$HOME/.local/bin:$HOME/.cargo/bin"
_NOTHING, _TOO_OLD = "no-python", "old-python"

#: Runs in any Python from 3.4 on; if it is too old, continues in the next one named.
_CODE = (
    "import json,os,sys,zlib;v=sys.version_info;a=sys.argv;"
    f"v<(3,{OLDEST}) and (a[5:] and os.execvp(a[5],[a[5]]+a[2:4]+a[1:5]+a[6:])"
    rf" or sys.exit(\"{_TOO_OLD} \"+sys.version.split()[0]));"
    "s=json.loads(zlib.decompress(sys.stdin.buffer.read(int(a[1]))).decode());exec(s.pop(0))"
)

#: Runs isolated: no site packages, no variables, no current folder. A module is compiled when it is first imported: to
#: compile all of them takes longer than what most conversations do.
_LOADER = """\
texts = dict(s)
class Sent:
    def find_spec(self, name, path=None, target=None):
        return type(sys.__spec__)(name, self, is_package=name == "host_side") if name in texts else None
    def create_module(self, spec):
        pass
    def exec_module(self, module):
        name = module.__name__
        exec(compile(texts[name], name.replace(".", "/") + ".py", "exec"), vars(module))
sys.meta_path.insert(0, Sent())
__import__(s[-1][0], fromlist=["main"]).main()
"""
#: Of zlib: the highest takes three times as long, for half a percent.
_LEVEL = 6


@functools.cache
def program() -> bytes:
    """Return the host's side as it is sent: the loader, then each module's name and text; compressed."""
    folder = Path(host_side.__file__).parent
    names = {"host_side": "__init__", **{f"host_side.{name}": name for name in host_side.MODULES}}
    sources = [(name, (folder / f"{file}.py").read_text("utf-8")) for name, file in names.items()]
    return zlib.compress(json.dumps([_LOADER, *sources]).encode(), _LEVEL)


def start_line(size: int, python: str | None = None) -> str:
    """Return the command that starts the host's side, which then reads its code from standard input.

    The script is one word in single quotes, without newline, ``!``, ``'`` or a backslash where csh, tcsh or fish would
    read it differently than sh; csh accepts words of less than 1024 characters.

    Args:
        size: The length of the host's side, in bytes.
        python: The interpreter; None for ``python3``, or else the newest version that is found.
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
    """Return the error for a host that never answered.

    Args:
        host: The host.
        python: The interpreter that deployment.yaml names for it.
        noise: Its standard output.
        complaints: Its standard error.
    """
    name_it = f"install Python 3.{OLDEST} or newer on the host, or set 'python:' in deployment.yaml to one"
    last = (complaints or noise).splitlines()[-1:] or [""]
    if last[0].startswith(_TOO_OLD):
        return RefusedError(
            f"{host}: {python or 'python3'} is Python {last[0].split()[-1]}, which is too old: {name_it}."
        )
    if last[0].startswith(_NOTHING):
        if python:
            return RefusedError(
                f"{host}: the host has no {python}, which 'python:' in deployment.yaml names: correct the path."
            )
        return RefusedError(f"{host}: python3 is not installed on the host: {name_it}.")
    said = " ".join(f"{noise[-2000:]} {complaints[-2000:]}".split())[-300:].strip() or "(nothing)"
    return RefusedError(
        f"{host}: the login shell did not start Python. It said: {said!r}. Without a terminal, start files (.bashrc, "
        f".profile, .cshrc, config.fish) must not ask, read input, exit, or start another shell. "
        f"Try: ssh {host} python3 --version"
    )
