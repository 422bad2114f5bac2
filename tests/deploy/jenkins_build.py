"""A build of a declarative pipeline: which stages run, in what order things are known, and what conditions say of them.

No registry has Jenkins's core, so its conditions are modelled from its documentation; what each needs is in a table.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.deploy import jenkinsfiles
from tests.deploy.jenkinsfiles import Word

SYNTAX = "https://www.jenkins.io/doc/book/pipeline/syntax/"


class Documented(NamedTuple):
    """A condition as Jenkins documents it: what it is asked of, and where that is said."""

    of: str
    source: str


#: What conditions of stages are asked of. A ``changeset`` is what checkouts of this build have written down, compared
#: with the build before: without a checkout there is none.
CONDITIONS = {
    "branch": Documented("the job", f"{SYNTAX}#built-in-conditions"),
    "changeRequest": Documented("the job", f"{SYNTAX}#built-in-conditions"),
    "tag": Documented("the job", f"{SYNTAX}#built-in-conditions"),
    "buildingTag": Documented("the job", f"{SYNTAX}#built-in-conditions"),
    "triggeredBy": Documented("the causes", f"{SYNTAX}#built-in-conditions"),
    "equals": Documented("parameters and variables", f"{SYNTAX}#built-in-conditions"),
    "expression": Documented("parameters and variables", f"{SYNTAX}#built-in-conditions"),
    "changeset": Documented("checkouts", f"{SYNTAX}#built-in-conditions"),
    "changelog": Documented("checkouts", f"{SYNTAX}#built-in-conditions"),
}
#: Asked for before a stage has its agent, and so before the checkout that comes with the agent.
BEFORE = {
    "beforeAgent": f"{SYNTAX}#evaluating-when-before-entering-agent-in-a-stage",
    "beforeInput": f"{SYNTAX}#evaluating-when-before-the-input-directive",
    "beforeOptions": f"{SYNTAX}#evaluating-when-before-the-options-directive",
}


class NotKnownYetError(AssertionError):
    """A condition asks for what the build does not know."""


@dataclass
class Build(ABC):
    """One build.

    Attributes:
        job: ``branch`` or ``tag``, and its name; ``change``, and the branch that a change request is for.
        by_person: Whether a person started it.
        parameters: With their values.
        variables: What the pipeline sets in ``env``.
        checked_out: Whether a checkout has happened.
        ran: The stages that ran.
    """

    job: tuple[str, str]
    by_person: bool
    parameters: Mapping[str, str]
    variables: dict[str, str] = field(default_factory=dict)
    checked_out: bool = False
    ran: list[str] = field(default_factory=list)

    @abstractmethod
    def checkout(self) -> Mapping[str, str]:
        """Check the commit out; return the variables that the Git plugin gives."""

    @abstractmethod
    def status(self, script: str) -> int:
        """Run shell lines, and return their status."""

    @abstractmethod
    def work(self, stage: Word, steps: Sequence[Word]) -> bool:
        """Do the steps of a stage that has been checked out; return whether they succeeded."""

    def run(self, pipeline: Word) -> None:
        """Run the stages whose conditions hold, until one fails."""
        skips = _skips_checkout(pipeline)
        for stage in jenkinsfiles.within(pipeline, "stages"):
            name = str(stage["given"][0])
            conditions = jenkinsfiles.within(stage, "when")
            early = any(one["name"] in BEFORE and one["given"] == [True] for one in conditions)
            self.checked_out = self.checked_out or not (skips or early)
            if all(self.holds(one) for one in conditions if one["name"] not in BEFORE):
                self.ran.append(name)
                if not self._stage(stage):
                    return

    def _stage(self, stage: Word) -> bool:
        steps = jenkinsfiles.within(stage, "steps")
        if scripts := [one for step in steps if step["name"] == "script" for one in step["inside"]]:
            assert [one["name"] for one in steps] == ["deleteDir", "script"]
            for one in scripts:
                assert str(one["set"]).startswith("env.")
                self.variables[one["set"].removeprefix("env.")] = str(self.value(one["value"]))
            return True
        assert [one["name"] for one in steps[:2]] == ["deleteDir", "checkout"]
        self.checkout()
        self.checked_out = True
        return self.work(stage, steps[2:])

    def value(self, word: Any) -> Any:
        """Return what an expression gives."""
        if not isinstance(word, dict):
            return word
        kinds = {
            "variable": lambda: self._variable(word["variable"]),
            "equal": lambda: self.value(word["equal"][0]) == self.value(word["equal"][1]),
            "elvis": lambda: self.value(word["elvis"][0]) or self.value(word["elvis"][1]),
            "ask": lambda: self.value(word["yes" if self.value(word["ask"]) else "no"]),
            "property": lambda: self.value(word["of"]).get(word["property"]),
        }
        read = next((read for kind, read in kinds.items() if kind in word), lambda: self._step(word))
        return read()

    def _step(self, word: Word) -> Any:
        if word["name"] == "checkout":
            self.checked_out = True
            return self.checkout()
        assert word["name"] == "sh"
        assert word["given"][0]["returnStatus"] is True
        assert self.checked_out
        return self.status(word["given"][0]["script"])

    def _variable(self, name: str) -> str | None:
        place, _, key = name.partition(".")
        return {"params": self.parameters, "env": self.variables}[place].get(key)

    def holds(self, condition: Word) -> bool:
        """Tell whether a condition holds.

        Raises:
            NotKnownYetError: It is of a checkout, and there has been none.
        """
        name, given, inside = condition["name"], condition["given"], condition["inside"]
        if name in {"not", "anyOf", "allOf"}:
            parts = [self.holds(one) for one in inside]
            return not parts[0] if name == "not" else any(parts) if name == "anyOf" else all(parts)
        if CONDITIONS[name].of == "checkouts" and not self.checked_out:
            raise NotKnownYetError(f"line {condition['line']}: {name} before a checkout, see {CONDITIONS[name].source}")
        return self._plain(name, given, inside)

    def _plain(self, name: str, given: Sequence[Any], inside: Sequence[Word] | None) -> bool:
        if name == "equals":
            return bool(given[0]["expected"] == self.value(given[0]["actual"]))
        if name == "expression":
            return bool(self.value((inside or [])[-1]))
        if name == "triggeredBy":
            assert given == ["UserIdCause"]
            return self.by_person
        kind, ref = self.job
        if name == "changeRequest":
            return kind == "change" and (not given or given[0] == {"target": ref})
        pattern = given[0]["pattern"] if isinstance(given[0], dict) else given[0]
        return name == kind and jenkinsfiles.fits(pattern, ref)


def _skips_checkout(pipeline: Word) -> bool:
    options: Iterator[Word] = iter(jenkinsfiles.within(pipeline, "options"))
    return any(one["name"] == "skipDefaultCheckout" and one["given"] in ([], [True]) for one in options)
