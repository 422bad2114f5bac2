"""How long to wait for containers that start: as long as something moves.

A slow machine is not a broken one. A service that Docker calls unhealthy often only needs longer than its health check
allows; its state and its log show whether it still gets on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

#: What a service's container shows of itself.
RUNNING = {"", "healthy"}
#: A container that was seen restarting this often starts the same way again and again.
_RESTARTS = 5


@dataclass(frozen=True)
class ServiceStatus:
    """The status of a service's container.

    Attributes:
        name: The service's name.
        state: The container's state in the engine's words: ``running``.
        health: The result of its health check; empty without one.
        exit_code: Its exit code, or 0.
        ports: The ports of this machine that it publishes.
    """

    name: str
    state: str
    health: str
    exit_code: int
    ports: tuple[int, ...] = ()

    @property
    def is_well(self) -> bool:
        """Whether it runs and is healthy, or has completed its only task."""
        done = self.state == "exited" and self.exit_code == 0
        return done or (self.state == "running" and self.health in RUNNING)

    @property
    def has_ended(self) -> bool:
        """Whether it failed for good, so that waiting longer is useless."""
        return self.state == "dead" or (self.state == "exited" and self.exit_code != 0)

    @property
    def has_failed(self) -> bool:
        """Whether it failed, or does not pass its health check."""
        return self.has_ended or self.health == "unhealthy"

    def __str__(self) -> str:
        """Return its status: ``postgres: healthy``."""
        if self.state == "exited":
            return f"{self.name}: {'done' if self.exit_code == 0 else f'ended with code {self.exit_code}'}"
        return f"{self.name}: {self.health or self.state}"


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds.

    Attributes:
        still: For a service that is not healthy, and does not move.
        starting: For one whose health check has not decided yet, and that does not move.
        unhealthy: For one that moves, but has not been healthy in all that time.
    """

    still: float
    starting: float
    unhealthy: float


def patience_with(modules: int) -> Patience:
    """Return how long to wait in a workspace with so many modules: each takes seconds to load, one after the other."""
    return Patience(still=30.0 + 2 * modules, starting=300.0 + 10 * modules, unhealthy=600.0 + 20 * modules)


@dataclass
class Watch:
    """Looks at services again and again, and tells when one of them has failed.

    Attributes:
        patience: How long to wait.
        now: The time of the last look, in seconds.
    """

    patience: Patience
    now: float
    _seen: dict[str, tuple[str, str]] = field(default_factory=dict)
    _moved_at: dict[str, float] = field(default_factory=dict)
    _unwell_since: dict[str, float] = field(default_factory=dict)
    _restarts: dict[str, int] = field(default_factory=dict)

    def look(self, services: Sequence[ServiceStatus], logs: Mapping[str, str], now: float) -> list[ServiceStatus]:
        """Take a look, and return the services that have failed.

        Args:
            services: All services that are waited for.
            logs: The last lines of the logs of those that are not well.
            now: The time, in seconds.
        """
        self.now = now
        for service in services:
            self._note(service, logs.get(service.name, ""))
        # A service may only wait for another one, so what moves anywhere counts for those that have not begun.
        return [service for service in services if not service.is_well and self._has_failed(service)]

    def _note(self, service: ServiceStatus, log: str) -> None:
        name, seen = service.name, (f"{service.state} {service.health}", log)
        before = self._seen.get(name)
        if before != seen:
            self._moved_at[name] = self.now
        if service.state == "restarting" and (before is None or not before[0].startswith("restarting")):
            self._restarts[name] = self._restarts.get(name, 0) + 1
        self._seen[name] = seen
        if service.health == "unhealthy":
            self._unwell_since.setdefault(name, self.now)
        else:
            self._unwell_since.pop(name, None)

    def _has_failed(self, service: ServiceStatus) -> bool:
        if service.has_ended or self._restarts.get(service.name, 0) >= _RESTARTS:
            return True
        if service.health == "unhealthy":
            is_still = self.now - self._moved_at[service.name] > self.patience.still
            return is_still or self.now - self._unwell_since[service.name] > self.patience.unhealthy
        return self.now - max(self._moved_at.values()) > self.patience.starting
