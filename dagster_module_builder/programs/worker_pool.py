"""Processes that share work: they end with this one, whichever way it ends."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

#: The request to be sent a signal when the parent ends (prctl(2)).
_PR_SET_PDEATHSIG = 1


def worker_pool(workers: int, prepare: Callable[[], object] | None = None) -> ProcessPoolExecutor:
    """Return a pool whose processes end with this one on Linux, also if it is killed: they would wait for ever.

    Args:
        workers: The number of processes.
        prepare: Is called in each process before its first work.
    """
    is_linux = sys.platform == "linux"
    context = multiprocessing.get_context("fork" if is_linux else None)
    return ProcessPoolExecutor(workers, context, _begin, (os.getpid() if is_linux else 0, prepare))


def _begin(parent: int, prepare: Callable[[], object] | None) -> None:
    if parent:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            # It ended before that.
            os._exit(1)
    if prepare:
        prepare()
