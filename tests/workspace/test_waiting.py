"""How long containers are waited for: FAULTS E5, a slow machine is not a broken one."""

from __future__ import annotations

import pytest

from dagster_module_builder.compose.waiting import Patience, ServiceStatus, Watch, patience_with

PATIENCE = Patience(still=30, starting=300, unhealthy=600)


def status(name: str = "web", state: str = "running", health: str = "starting", exit_code: int = 0) -> ServiceStatus:
    return ServiceStatus(name, state, health, exit_code)


def failed_after(*looks: tuple[ServiceStatus, str], every: float = 5.0) -> float | None:
    """Return the seconds after which a watch gives a service up that shows this, one look after the other."""
    watch = Watch(PATIENCE, 0.0)
    for number, (service, log) in enumerate(looks):
        if watch.look([service], {service.name: log}, number * every):
            return number * every
    return None


def test_what_is_unhealthy_but_moves_is_waited_for() -> None:
    """Five modules on a slow machine: unhealthy after 90 seconds, well 24 seconds later."""
    unhealthy = [(status(health="unhealthy"), f"loaded module {number}") for number in range(24)]
    assert failed_after(*[(status(), "")] * 18, *unhealthy, (status(health="healthy"), "")) is None


def test_what_is_unhealthy_and_does_not_move_has_failed() -> None:
    assert failed_after(*[(status(health="unhealthy"), "stuck")] * 40) == 35


def test_what_moves_but_is_never_healthy_has_failed_in_the_end() -> None:
    looks = [(status(health="unhealthy"), f"line {number}") for number in range(1000)]
    assert failed_after(*looks) == 605


def test_what_is_healthy_in_between_begins_again() -> None:
    looks = [(status(health="unhealthy" if number % 100 else "healthy"), f"line {number}") for number in range(1000)]
    assert failed_after(*looks) is None


def test_what_is_only_starting_has_the_time_of_its_health_check() -> None:
    assert failed_after(*[(status(), "silent")] * 60) is None
    assert failed_after(*[(status(), "silent")] * 62) == 305


def test_one_that_waits_for_another_is_not_given_up_while_that_moves() -> None:
    watch = Watch(PATIENCE, 0.0)
    for number in range(200):
        web, code = status("web", state="created", health=""), status("code")
        assert watch.look([web, code], {"code": f"line {number}"}, number * 5.0) == []


@pytest.mark.parametrize("ended", [status(state="exited", health="", exit_code=1), status(state="dead", health="")])
def test_what_has_ended_has_failed_at_once(ended: ServiceStatus) -> None:
    assert failed_after((ended, "")) == 0


def test_what_has_done_its_only_task_is_well() -> None:
    assert failed_after(*[(status(state="exited", health=""), "")] * 1000) is None


def test_what_restarts_again_and_again_has_failed() -> None:
    restarting = [status(state="restarting", health=""), status()]
    assert failed_after(*[(restarting[number % 2], f"line {number}") for number in range(20)]) == 40


def test_the_periods_grow_with_the_number_of_modules() -> None:
    none, many = patience_with(0), patience_with(200)
    assert (none.still, none.starting) == (30, 300)
    assert many.still > none.still
    assert many.starting == 2300
    assert many.unhealthy > none.unhealthy
