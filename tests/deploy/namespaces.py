"""Network namespaces that hosts are in."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

CLONE_NEWNET = 0x40000000


def inside(namespace: str, work: Callable[[], Any]) -> Future[Any]:
    """Do something in a network namespace, in a thread: each has its own, and what it starts inherits it."""
    found: Future[Any] = Future()

    def run() -> None:
        try:
            with Path(f"/var/run/netns/{namespace}").open() as file:
                assert ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET) == 0, ctypes.get_errno()
            found.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            found.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return found
