"""Shows what each host does on stderr: a live table on a terminal, otherwise a line for each step."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from dagster_module_builder.commands import console
from dagster_module_builder.commands.live_display import can_move, clock, drawn, one_line
from dagster_module_builder.programs.last_lines import Line

#: Steps after which a host does nothing.
_RESTING = {"done", "failed", "lost", "as before"}
#: Seconds after which a step that still works is named again where nothing moves, so that a log shows life.
STILL = 30.0


@dataclass
class _Step:
    """A host's current step, since when, and the last line of what runs there."""

    name: str
    since: float
    line: str = ""
    told: float = 0.0

    @property
    def is_resting(self) -> bool:
        return self.name in _RESTING

    def seconds(self, now: float) -> str:
        return "" if self.is_resting else clock(now - self.since)


class StepsTable:
    """Shows each host's current step, how long it has taken, and the last line of what runs there."""

    def __init__(self, still: float = STILL) -> None:
        self._steps: dict[str, _Step] = {}
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._moves = False
        self._still, self._over = still, threading.Event()
        self._open = ExitStack()

    def update(self, host: str, step: str) -> None:
        """Set a host's current step, or the last line of what runs in it; can be called from any thread."""
        now = time.monotonic()
        with self._lock:
            if isinstance(step, Line):
                if host in self._steps:
                    self._steps[host].line = step
                return
            self._steps[host] = _Step(step, now, told=now)
            if not self._moves:
                console.inform(f"{host}: {step}")

    def _table(self) -> Any:
        from rich.table import Table

        now = time.monotonic()
        table = Table(box=None, pad_edge=False)
        table.add_column("HOST", max_width=40)
        table.add_column("STEP", no_wrap=True)
        table.add_column("TIME", justify="right", no_wrap=True)
        table.add_column("")
        with self._lock:
            for host, step in self._steps.items():
                line = "" if step.is_resting else step.line
                table.add_row(one_line(host), one_line(step.name), step.seconds(now), one_line(line))
        table.caption, table.caption_justify = clock(now - self._started), "left"
        return table

    def _tell_of_long_steps(self) -> None:
        """Name each step that has taken long since it was named, until the table is closed."""
        while not self._over.wait(min(1.0, self._still)):
            now = time.monotonic()
            with self._lock:
                for host, step in self._steps.items():
                    if not step.is_resting and now - step.told >= self._still:
                        step.told = now
                        console.inform(
                            f"{host}: {step.name} ({step.seconds(now)})" + (f": {step.line}" * bool(step.line))
                        )

    def __enter__(self) -> StepsTable:  # noqa: PYI034 - typing.Self is younger than our oldest Python
        self._moves = can_move()
        if self._moves:
            self._open.enter_context(drawn(self._table))
        else:
            threading.Thread(target=self._tell_of_long_steps, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._open.close()
