"""Processes of this host: how to identify one, since numbers are reused, and which paths the running ones name."""

from __future__ import annotations

import contextlib
import os
import signal

from .files import read
from .outside import failed, outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds that listing the host's processes may take.
LOOKING = 60.0


def start_of(process: int) -> str | None:
    """Return when a process began; with its number, that identifies one process, even after a reboot.

    It is ``boot_id`` and the field ``starttime`` of proc(5); without /proc, the start as ps prints it. None if there is
    no such process.
    """
    boot, stat = read("/proc/sys/kernel/random/boot_id"), None
    with contextlib.suppress(ProcessLookupError):  # It ends while it is read.
        stat = read(f"/proc/{process}/stat")
    if boot is not None:
        return None if stat is None else f"{boot.decode().strip()} {stat.rpartition(b')')[2].split()[19].decode()}"
    return said(["ps", "-o", "lstart=", "-p", str(process)], answers=(0, 1)).strip() or None


def has_open(process: int, path: str) -> bool:
    """Tell whether a process has a file open; False if this user cannot see that."""
    folder = f"/proc/{process}/fd"
    with contextlib.suppress(OSError):
        wanted = os.stat(path)
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                if os.path.samestat(os.stat(os.path.join(folder, name)), wanted):
                    return True
    return False


def end(process: int, is_it: Callable[[], bool], number: int = signal.SIGTERM) -> bool:
    """Send a signal to a process if it is the right one; tell whether it was.

    Args:
        process: Its number.
        is_it: Tells whether the process of that number is the right one; called when the number cannot be reused any
            more, if the kernel supports that (pidfd_open(2)).
        number: The signal.
    """
    try:
        handle = os.pidfd_open(process)
    except (AttributeError, OSError):
        handle = None
    try:
        if not is_it():
            return False
        with contextlib.suppress(ProcessLookupError):
            if handle is None:
                os.kill(process, number)
            else:
                signal.pidfd_send_signal(handle, number)
    finally:
        if handle is not None:
            os.close(handle)
    return True


def named_by_processes() -> str:
    """Return a text with the programs, arguments and folders of all running processes."""
    numbers = [name for name in os.listdir("/proc") if name.isdigit()] if os.path.isdir("/proc/self") else []
    if not numbers:
        return said(["ps", "-A", "-ww", "-o", "args="])
    texts = []
    for number in numbers:
        with contextlib.suppress(OSError):
            texts.append((read(f"/proc/{number}/cmdline") or b"").replace(b"\0", b" ").decode("utf-8", "replace"))
            texts += [os.readlink(f"/proc/{number}/{link}") for link in ("exe", "cwd")]
    return "\n".join(texts)


def said(command: list[str], answers: tuple[int, ...] = (0,)) -> str:
    """Return the output of a short program; ``answers`` are the exit statuses that count as success."""
    status, text, words = outcome(command, LOOKING)
    if status not in answers:
        raise failed("tool", command, status, words)
    return text
