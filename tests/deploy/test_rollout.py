"""How a change goes over several hosts, step by step, where no host is reached: what it says, and whom it puts back."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dagster_module_builder.base.errors import BuilderError, RefusedError
from dagster_module_builder.deploy import rollout
from dagster_module_builder.deploy.hosts.host_run import HostRun
from dagster_module_builder.deploy.hosts.targets import Target, targets_of
from dagster_module_builder.deploy.model.deployment import Deployment
from dagster_module_builder.deploy.removal import Removing
from dagster_module_builder.deploy.rollback import ChosenRelease, Reselecting
from dagster_module_builder.deploy.rollout import DeployError, HostOutcome, Rollout


def deployment(module: str, hosts: Sequence[Mapping[str, Any] | str], **dagster: str) -> Deployment:
    entries = [{"host": host} if isinstance(host, str) else host for host in hosts]
    told = {"url": "http://127.0.0.1:3000", **dagster}
    data = {"module": module, "deployment": "yoda", "strategy": "rsync", "hosts": entries, "base_path": "/srv/d/"}
    return Deployment(Path("/ws") / module / "deploy/yoda", {**data, "dagster": told})


def test_modules_that_go_to_one_dagster_go_there_together() -> None:
    one, other = deployment("sales", ["a", "b"]), deployment("stock", ["b", {"host": "b", "user": "u"}])
    found = [(str(target), [each.names.name for each in target.deployments]) for target in targets_of([one, other])]
    assert found == [("a", ["sales"]), ("b", ["sales", "stock"]), ("b", ["stock"])]


def test_only_the_hosts_that_are_asked_for_are_taken() -> None:
    """By their name, or with its port."""
    group = [deployment("sales", ["a", {"host": "b", "port": 2222}, {"host": "b", "port": 2223}])]
    addresses = [str(host) for host in group[0].hosts]
    assert [str(target) for target in targets_of(group, ["b"])] == addresses[1:]
    assert [str(target) for target in targets_of(group, [addresses[2]])] == addresses[2:]
    assert [str(target) for target in targets_of(group)] == addresses
    with pytest.raises(RefusedError, match=f"This deployment has no host 'c'. Its hosts: {', '.join(addresses)}"):
        targets_of(group, ["a", "c"])


def test_deployments_that_disagree_on_a_dagster_are_refused() -> None:
    other = deployment("stock", ["a"], url="http://127.0.0.1:4000")
    with pytest.raises(RefusedError, match="disagree on where Dagster answers on a"):
        targets_of([deployment("sales", ["a"]), other])
    for different in ({"folder": "dagster"}, {"kind": "compose"}):
        with pytest.raises(RefusedError, match="sales and stock disagree on how Dagster runs on a"):
            targets_of([deployment("sales", ["a"]), deployment("stock", ["a"], **different)])


class ExitError(BuilderError):
    exit_code = 4


@dataclass
class Far(HostRun):
    """A host that is not reached; it answers what a test says."""

    events: list[str] = field(default_factory=list)
    refuses_back: bool = False

    def report(self, step: str) -> None:
        self.events.append(step)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.conversation.close = lambda: self.events.append("closed")  # type: ignore[method-assign]

    def settle(self, *, is_new: bool, wait: bool) -> None:
        self.events.append(f"daemon {is_new} {wait}")

    def back(self, modules: Sequence[str], log: Mapping[str, Any]) -> list[str]:
        self.events.append(f"back: {' '.join(modules)}: {log['action']} {log['step']}: {log['reason']}")
        if self.refuses_back:
            raise BuilderError("gone")
        return ["look at this"] if "lost" in str(self.target) else []


@dataclass
class Change(Rollout):
    """A change that fails where a test says: at a step of a host."""

    fails: Mapping[tuple[str, str], Exception] = field(default_factory=dict)

    def at(self, step: str, run: HostRun) -> None:
        assert isinstance(run, Far)
        run.events.append(step)
        if error := self.fails.get((step, str(run.target))):
            raise error

    def prepare(self, run: HostRun) -> None:
        run.begun = ["sales"]
        self.at("prepare", run)

    def switch(self, run: HostRun) -> None:
        self.at("switch", run)

    def keep(self, run: HostRun) -> HostOutcome:
        self.at("keep", run)
        run.notes.append("kept")
        run.seconds["reload"] = 1.0
        return HostOutcome(str(run.target), {"sales": "new"}, problems=("of keep",))

    def settle(self, run: HostRun) -> None:
        self.at("settle", run)


def far(*hosts: str) -> list[HostRun]:
    return [
        Far(Target(each.hosts[0], (each,)), lambda *_: None) for each in (deployment("sales", [one]) for one in hosts)
    ]


def change(runs: list[HostRun], **fails: Exception) -> Change:
    """Return a change; ``switch_b`` names the step and the host where it fails."""
    named = {tuple(name.split("_")): error for name, error in fails.items()}
    return Change([], lambda *_: None, runs, fails=named)  # type: ignore[arg-type]


def events(run: HostRun) -> list[str]:
    assert isinstance(run, Far)
    return run.events


def test_a_change_stands_on_all_hosts() -> None:
    runs = far("a", "b")
    outcomes = change(runs, settle_b=BuilderError("No daemon.")).carry_out()
    problem = "No daemon. The change stands on b."
    assert [outcome.problems for outcome in outcomes] == [("of keep",), ("of keep", problem)]
    assert all((one.stands, one.notes, one.seconds) == (True, ("kept",), {"reload": 1.0}) for one in outcomes)
    assert all(events(run) == ["prepare", "switch", "keep", "settle", "closed"] for run in runs)


def test_a_host_that_cannot_be_prepared_puts_back_those_that_began() -> None:
    runs = far("a", "b")
    plan = change(runs, prepare_b=ExitError("Full."))
    plan.fails = {("prepare", "b"): ExitError("Full.")}
    with pytest.raises(DeployError) as caught:
        plan.carry_out()
    assert str(caught.value) == "Nothing was switched: 1 of 2 hosts failed.\nFull."
    assert caught.value.exit_code == 4
    assert caught.value.results == [
        {"host": "a", "step": "prepare", "error": None}, {"host": "b", "step": "prepare", "error": "Full."}
    ]  # fmt: skip
    back = "back: sales: change prepare: Full."
    assert events(runs[0]) == ["prepare", back, "closed"]
    assert events(runs[1]) == ["prepare", "failed", back, "closed"]


def test_a_host_that_does_not_take_the_switch_puts_back_all() -> None:
    """What hosts say, and that one does not answer, is told."""
    runs = far("a", "lost", "c")
    runs[2].begun = []
    assert isinstance(runs[0], Far)
    with pytest.raises(DeployError) as caught:
        change(runs, switch_a=BuilderError("No."), switch_lost=BuilderError("Gone.")).carry_out()
    assert str(caught.value).splitlines() == [
        "Rolled back on every host that answered: 2 of 3 hosts failed.", "No.", "Gone.",
        "lost: look at this",
    ]  # fmt: skip
    (only,) = far("a")
    only.refuses_back = True  # type: ignore[attr-defined]
    with pytest.raises(DeployError) as caught:
        change([only], switch_a=BuilderError("No.")).carry_out()
    assert str(caught.value).splitlines() == [
        "Rolled back on every host that answered.", "No.",
        "a did not confirm the rollback; it rolls back by itself: see 'deploy.status'.",
    ]  # fmt: skip
    with pytest.raises(DeployError, match=r"Rolled back on every host\.\nNo\."):
        change(far("a"), switch_a=BuilderError("No.")).carry_out()


def test_a_host_on_which_nothing_was_begun_is_not_put_back() -> None:
    runs = far("a", "b")
    plan = change(runs)

    def work(run: HostRun) -> None:
        raise BuilderError("No.")

    with pytest.raises(DeployError, match="Nothing was switched"):
        plan.step("prepare", work)
    assert all(events(run) == ["failed"] for run in runs)


def test_only_chosen_hosts_are_switched_and_all_are_closed() -> None:
    runs = far("a", "b")
    plan = change(runs)
    plan.chosen = lambda: plan.runs[:1]  # type: ignore[method-assign]
    assert [outcome.host for outcome in plan.carry_out()] == ["a"]
    assert events(runs[1]) == ["prepare", "closed"]
    plan = change(far("a"))
    plan.chosen = list  # type: ignore[method-assign]
    assert plan.carry_out() == []


def test_an_interruption_behind_the_barrier_is_told() -> None:
    """FAULTS B4."""
    runs = far("a")
    (outcome,) = change(runs, settle_a=KeyboardInterrupt()).carry_out()  # type: ignore[arg-type]
    assert outcome.stands
    assert "a: interrupted before Dagster's daemon was known to have the change." in outcome.problems


def test_by_default_nothing_is_forced_or_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change opens the connections by itself; edited blocks are replaced, and the daemon awaited, only when asked."""
    assert (rollout.DEFAULT_OPTIONS.hosts, rollout.DEFAULT_OPTIONS.wait, rollout.DEFAULT_OPTIONS.force) == (
        (),
        0.0,
        False,
    )
    monkeypatch.setattr(rollout, "HostRun", Far)
    monkeypatch.setattr(Change, "settle", Rollout.settle)
    plan = change([])
    plan.targets = [far("a")[0].target]
    assert [outcome.host for outcome in plan.carry_out()] == ["a"]
    assert events(plan.runs[0]) == ["prepare", "switch", "keep", "daemon False False", "closed"]


def found(state: str, *, journal: bool = False, lock: object = None) -> dict[str, Any]:
    return {"modules": {"sales": {"state": {"current": state}}}, "journal": journal, "lock": lock}


def lost(monkeypatch: pytest.MonkeyPatch, *answers: dict[str, Any] | None) -> Far:
    """Return a host that had release ``old``, and answers as given when it is asked once more."""
    (run,) = far("a")
    run.inspection = found("old")
    left = list(answers)

    class Again(Far):
        def __post_init__(self) -> None:
            self.events = run.events
            super().__post_init__()

        def inspect(self, *_: object, **__: object) -> dict[str, Any]:
            answer = left.pop(0) if len(left) > 1 else left[0]
            if answer is None:
                raise BuilderError("Not reached.")
            return answer

    monkeypatch.setattr(rollout, "HostRun", Again)
    assert isinstance(run, Far)
    return run


def test_a_host_that_is_lost_is_asked_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS B4: as soon as it has put back what it puts back; it says which release that is."""
    error = BuilderError("Cut.")
    run, begun = lost(monkeypatch, found("old", lock={"who": "x"}), found("new")), time.monotonic()
    outcome = rollout.what_stands(run, error)
    assert time.monotonic() - begun > 0.4, "the host is asked without a pause"
    assert run.events == ["closed", "closed"]
    assert (outcome.stands, outcome.releases) == (True, {"sales": "new"})
    assert outcome.problems == ("Cut. The change stands on a.",)
    outcome = rollout.what_stands(lost(monkeypatch, found("old")), error)
    assert (outcome.stands, outcome.releases) == (False, {"sales": "old"})
    assert "a has the old release, which was restored: sales old. Run the command again" in outcome.problems[0]
    outcome = rollout.what_stands(lost(monkeypatch, found("new", journal=True)), error)
    assert not outcome.stands
    assert "which will be restored by the next command: sales new." in outcome.problems[0]
    outcome = rollout.what_stands(lost(monkeypatch, found("", journal=True)), error)
    assert outcome.releases == {}
    assert ": no release." in outcome.problems[0]
    outcome = rollout.what_stands(lost(monkeypatch, None, found("new")), error)
    assert outcome.stands, "a look that failed once decides what is said of the host"
    monkeypatch.setattr(rollout, "LOCK_FREE", 0.0)
    outcome = rollout.what_stands(lost(monkeypatch, None), error)
    assert (outcome.stands, dict(outcome.releases)) == (False, {})
    assert outcome.problems == ("Cut.\nIt is not known which release runs on a: Not reached.",)
    monkeypatch.setattr(rollout, "LOCK_FREE", -1.0)
    assert not rollout.what_stands(lost(monkeypatch, found("old", lock={"who": "x"}), found("new")), error).stands


def test_of_hosts_that_are_lost_none_confirming_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS B4."""
    lost(monkeypatch, found("old"))
    runs = far("a", "b")
    for run in runs:
        run.inspection = found("old")
    with pytest.raises(DeployError, match=r"Cut\.\na has the old release(.|\n)*b has the old release"):
        change(runs, keep_a=BuilderError("Cut."), keep_b=BuilderError("Cut.")).carry_out()
    assert events(runs[0])[-3:] == ["lost", "closed", "closed"]
    runs = far("a", "b")
    for run in runs:
        run.inspection = found("old")
    outcomes = change(runs, keep_b=BuilderError("Cut.")).carry_out()
    assert [outcome.stands for outcome in outcomes] == [True, False]
    assert "settle" not in events(runs[1])


def test_an_end_of_the_work_on_one_host_ends_that_on_all() -> None:
    runs = far("a", "b")
    begun, closed, ended = (threading.Event() for _ in range(3))

    def work(run: HostRun) -> None:
        if run is runs[0]:
            assert begun.wait(20)
            raise KeyboardInterrupt
        begun.set()
        assert closed.wait(20)
        time.sleep(0.1)
        ended.set()

    runs[1].conversation.close = closed.set  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        rollout.in_parallel(runs, work)
    assert ended.is_set()
    assert events(runs[0]) == ["closed"]


def test_one_host_is_worked_on_in_this_thread() -> None:
    """So that an interruption reaches it; more than one run beside each other."""
    threads = {threading.current_thread()}
    assert set(rollout.in_parallel(far("a"), lambda _: threading.current_thread())) == threads
    both = threading.Barrier(2, timeout=20)
    assert len(rollout.in_parallel(far("a", "b"), lambda _: both.wait())) == 2


def twins(kind: type[Far] = Far) -> list[HostRun]:
    """Return two users' Dagsters on one host."""
    targets = targets_of([deployment("sales", ["b", {"host": "b", "user": "u"}])])
    return [kind(target, lambda *_: None) for target in targets]


def test_each_dagster_on_one_host_has_its_own_failure() -> None:
    with pytest.raises(DeployError, match=r"^Nothing was switched: 2 of 2 hosts failed\.\nFull\.\nFull\.$") as refusal:
        change(twins(), prepare_b=BuilderError("Full.")).carry_out()
    assert [one["error"] for one in refusal.value.results] == ["Full.", "Full."]


@dataclass
class Looked(Far):
    """One on which a module was, that left behind what its user has."""

    def inspect(self, *_: object, **__: object) -> dict[str, Any]:
        self.inspection = {"modules": {"sales": {"remains": {"storage": self.target.host.address.user}}}}
        return self.inspection

    def refuse_unready(self) -> None:
        pass

    def plan(self, *_: object, **__: object) -> Any:
        return SimpleNamespace(effective=[])

    def location(self, *_: object, **__: object) -> Any:
        return None


@dataclass
class Choosing(Reselecting):
    def choose(self, run: HostRun, deployment: Deployment) -> ChosenRelease:
        return ChosenRelease(deployment, str(run.target.host.address.user), None, b"")


def test_each_dagster_on_one_host_has_its_own_data_and_release() -> None:
    removing, choosing = Removing([], lambda *_: None), Choosing([], lambda *_: None)
    runs = twins(Looked)
    for run in runs:
        removing.prepare(run)
        choosing.prepare(run)
    assert [one and one["storage"] for one in removing.remains.values()] == [None, "u"]
    assert [chosen.identity for (chosen,) in choosing.taken.values()] == ["None", "u"]
