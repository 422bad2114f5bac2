"""Run Cookiecutter in a separate process: arguments are JSON on stdin, hooks print on stdout and stderr.

``rendering`` runs this file by its path, because Cookiecutter changes the working directory, the import path and the
logging of its process.
"""

from __future__ import annotations

import json
import logging
import sys

HOOK_REFUSED = 3
FOLDER_EXISTS = 4


def main() -> int:
    """Render, and return an exit code; the reason of a failure is what stands on stderr."""
    # This file's folder comes first in the import path of a script: its modules must not stand in for others.
    del sys.path[0]
    # Failed hooks are logged with a traceback that says nothing of the template.
    logging.getLogger("cookiecutter").addHandler(logging.NullHandler())
    logging.getLogger("cookiecutter").propagate = False

    from cookiecutter import exceptions  # not before the import path is set
    from cookiecutter.main import cookiecutter

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


if __name__ == "__main__":
    sys.exit(main())
