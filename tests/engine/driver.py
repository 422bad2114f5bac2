"""Carries out commands of the engine, each in a separate process that waits for a tracer first.

Reads lines ``command<TAB>root<TAB>argument``, and answers each with two: the process, once it stands still, and how it
ended.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.transactions.lock import locked
from dagster_module_builder.workspaces import restore, sync
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.adopt import adopt, look_through
from dagster_module_builder.workspaces.release import release
from dagster_module_builder.workspaces.remove import remove_module

DONE, REFUSED, CRASHED = 0, 10, 11

#: prctl(2): who may trace this process, where the kernel's Yama module asks; any process may.
PR_SET_PTRACER, PR_SET_PTRACER_ANY = 0x59616D61, -1


def recover(root: Path, _: str) -> None:
    with locked(root):
        pass


COMMANDS = {
    "add": add_module,
    "remove": remove_module,
    "sync": lambda root, _: sync.sync(root, prune=True),
    "restore": restore.restore,
    "recover": recover,
    "adopt": lambda root, _: adopt(look_through(root, write_workspace_file=True)),
    "release": lambda root, _: release(root),
}


def carry_out(command: str, root: Path, argument: str) -> int:
    try:
        COMMANDS[command](root, argument)
    except BuilderError:
        return REFUSED
    except BaseException:  # noqa: BLE001 - whatever it was, the test shows it
        (root / "traceback.txt").write_text(traceback.format_exc())
        return CRASHED
    return DONE


def answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def main(carry_out: Callable[[str, Path, str], int] = carry_out) -> None:
    for line in sys.stdin:
        command, root, argument = line.rstrip("\n").split("\t")
        process = os.fork()
        if process == 0:
            ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_ulong(PR_SET_PTRACER_ANY), 0, 0, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
            # The workspaces of other tests are no neighbours of this one.
            os.environ["XDG_STATE_HOME"] = os.fspath(Path(root).parent / "state")
            os._exit(carry_out(command, Path(root), argument))
        os.waitpid(process, os.WUNTRACED)
        answer(process)
        answer(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))


if __name__ == "__main__":
    main()
