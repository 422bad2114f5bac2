"""Shows the step of each host on stderr: a live table on a terminal, otherwise one line for each step."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Any

from dagster_module_builder.commands import console
from dagster_module_builder.disclosure import terminal
from dagster_module_builder.disclosure.messages import harmless_text


class StepsTable:
    """Shows each host's current step and the elapsed time."""

    def __init__(self) -> None:
        self._steps: dict[str, str] = {}
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._live: Any = None

    def update(self, host: str, step: str) -> None:
        """Set a host's current step; can be called from any thread."""
        with self._lock:
            self._steps[host] = step
            if self._live is None:
                console.tell(f"{host}: {step}")
            else:
                self._live.update(self._table())

    def _table(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        table = Table("host", "step", box=None, pad_edge=False)
        for host, step in self._steps.items():
            # As Text: output of a host must not be read as markup.
            table.add_row(Text(terminal.shown(host)), Text(terminal.shown(harmless_text(step))))
        table.caption = f"{time.monotonic() - self._started:.1f} s"
        return table

    def __enter__(self) -> StepsTable:  # noqa: PYI034 - typing.Self is younger than our oldest Python
        if sys.stderr.isatty():
            from rich.console import Console  # imported late: only a terminal needs it
            from rich.live import Live

            self._live = Live(self._table(), console=Console(stderr=True), refresh_per_second=8)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
