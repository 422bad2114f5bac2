"""Checks whether a release's definitions load where it will run."""

from __future__ import annotations

import os
import re
import time

from .client import tail
from .errors import RefusedError
from .files import put, remove_tree
from .programs import run_where, seen_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .host import Host


#: Loads definitions as Dagster's own command and its code servers do, in half the time of that command:
#: ``python -c LOAD -m PACKAGE -d FOLDER``. If that fails, or there is not exactly one ``Definitions``, Dagster's
#: command runs and reports the reason; but it takes an exit with 0 for success, so that is caught here.
#: Compiled files of the environment are kept for the code server; nothing is written into the release.
LOADED = "definitions: loaded"
ENDED = "definitions: the module ends the process that loads it (sys.exit, os._exit)"
LOAD = f"""\
import importlib.machinery as machinery, importlib, os, sys
class Unwritten(machinery.SourceFileLoader):
    def set_data(self, *_, **__):
        pass
kinds = (machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES), (Unwritten, machinery.SOURCE_SUFFIXES)
finder = machinery.FileFinder.path_hook(*kinds)
def of_release(path):
    if os.path.join(path, "").startswith(os.path.join(sys.argv[4], "")):
        return finder(path)
    raise ImportError(path)
sys.path_hooks.insert(0, of_release)
os.environ["DAGSTER_IS_DEFS_VALIDATION_CLI"] = "1"
sys.path.insert(0, sys.argv[4])
from dagster import Definitions
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._utils.test.definitions import LazyDefinitions
try:
    values = vars(importlib.import_module(sys.argv[2])).values()
except SystemExit:
    print("\\n{ENDED}", flush=True)
    os._exit(1)
(found,) = [value for value in values if isinstance(value, (Definitions, LazyDefinitions))]
Definitions.validate_loadable(found)
RepositorySnap.from_def(found.get_repository_def())
print("\\n{LOADED}", flush=True)
os._exit(0)
"""


def check_definitions(
    host: Host,
    module: str,
    folder: str | None,
    python: str,
    package: str,
    environ: dict[str, str],
    path: str = "src",
    where: dict[str, Any] | None = None,
    identity: str | None = None,
) -> dict[str, Any]:
    """Load a release's definitions with its new settings; return how many seconds that took."""
    started = time.monotonic()
    code_folder = os.path.join(folder or host.release(module, str(identity)), path)
    home = os.path.join(host.modules, f".temporary-{os.getpid()}")
    os.mkdir(home, 0o700)
    own = {"DAGSTER_HOME": seen_from(host, where, home), "DAGSTER_DISABLE_TELEMETRY": "1"}
    program = python if where else os.path.expanduser(python)
    target = ["-m", package, "-d", seen_from(host, where, code_folder)]
    settings = {**environ, **own}
    try:
        put(os.path.join(home, "dagster.yaml"), b"telemetry:\n  enabled: false\n", lasting=False)
        code, said = run_where(host, where, [program, "-c", LOAD, *target], home, 300, settings)
        results = {LOADED, ENDED} & set(said.splitlines())
        if not code and not results:
            # Only the module's own code can end it like this: ``os._exit(0)``.
            code, said, results = 1, f"{said}\n{ENDED}", {ENDED}
        if not results:
            command = [program, "-m", "dagster", "definitions", "validate", *target]
            code, said = run_where(host, where, command, home, 300, {**settings, "PYTHONDONTWRITEBYTECODE": "1"})
    finally:
        remove_tree(home)
    if code:
        raise RefusedError("definitions", f"The definitions of {module} do not load:\n{complaint(said)}")
    return {"seconds": round(time.monotonic() - started, 3)}


def complaint(said: str) -> str:
    """Return what Dagster's command says of definitions that do not load, without its warnings, colours and dates."""
    text = COLOUR.sub("", said)
    _, found, why = text.rpartition(FAILED)
    lines = why.partition("\n")[2].splitlines() if found else text.splitlines()
    return tail("\n".join(line for line in lines if not NOISE.search(line)))


#: What Dagster's command writes before an error, of itself, and for a terminal.
FAILED = "Validation failed for code location "
NOISE = re.compile(r"dagster system frames hidden|Validation for \d+ code locations failed")
COLOUR = re.compile("\x1b\\[[0-9;]*m")
#: What Dagster's command prints if definitions load, unless the module turns logging off.
VALID = "Validation successful"
#: Imports a module, and prints that it did.
IMPORTED = "definitions: imported"
IMPORT = f"import importlib, sys; importlib.import_module(sys.argv[1]); print('\\n{IMPORTED}')"


def validate_in(host: Host, container: str, package: str) -> tuple[int, str]:
    """Load definitions in a container by Dagster's command; return its exit status and its output.

    If a module ends the process that loads it, the command exits with 0, and the server still seems healthy.
    """
    code, said = host.client.run(
        ["docker", "exec", container, "dagster", "definitions", "validate", "-m", package], limit=300
    )
    if code or VALID in said:
        return code, said
    ended, words = host.client.run(["docker", "exec", container, "python", "-c", IMPORT, package], limit=300)
    # In an image without ``python``, only the server's health counts.
    return (1, ENDED) if ended == 0 and IMPORTED not in words.splitlines() else (0, said)
