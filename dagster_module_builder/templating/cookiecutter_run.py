"""Run Cookiecutter in a separate process: arguments are JSON on stdin, hooks print on stdout and stderr.

``rendering`` has a copy of its process run ``main``, or runs this file by its path, because Cookiecutter changes the
working directory, the import path and the logging of its process.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path

HOOK_REFUSED = 3
FOLDER_EXISTS = 4

#: Runs a Python script in a folder; returns its exit status.
RunScript = Callable[[str, "str | Path"], int]


def main(run_script: RunScript | None = None) -> int:
    """Render, and return an exit code; the reason of a failure is what stands on stderr.

    Args:
        run_script: Runs Cookiecutter's hooks that are in Python; by default each is a new interpreter.
    """
    # Failed hooks are logged with a traceback that says nothing of the template.
    logging.getLogger("cookiecutter").addHandler(logging.NullHandler())
    logging.getLogger("cookiecutter").propagate = False

    from cookiecutter import exceptions, hooks  # not before the import path is set
    from cookiecutter.main import cookiecutter

    if run_script:
        hooks.run_script = _with(run_script, hooks.run_script)
    try:
        cookiecutter(**json.load(sys.stdin))
    except exceptions.FailedHookException as error:
        print(error, file=sys.stderr)
        return HOOK_REFUSED
    except exceptions.OutputDirExistsException:
        return FOLDER_EXISTS
    except exceptions.UndefinedVariableInTemplate as error:
        print(f"{error.message}: {error.error.message}", file=sys.stderr)
    except (exceptions.CookiecutterException, OSError, ValueError) as error:
        print(error, file=sys.stderr)
    else:
        return 0
    return 1


def _with(run_script: RunScript, run_other: Callable[..., None]) -> Callable[..., None]:
    """Return what replaces Cookiecutter's function that runs a hook: it takes and raises the same."""
    from cookiecutter.exceptions import FailedHookException

    def run(script_path: str, cwd: Path | str = ".") -> None:
        if not script_path.endswith(".py"):
            return run_other(script_path, cwd)
        if status := run_script(script_path, cwd):
            raise FailedHookException(f"Hook script failed (exit status: {status})")
        return None

    return run


if __name__ == "__main__":
    # This file's folder comes first in the import path of a script: its modules must not stand in for others.
    del sys.path[0]
    sys.exit(main())
