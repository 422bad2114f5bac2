"""A host that lies: nothing that it says is more than text and numbers within bounds, whatever is done with them."""

from __future__ import annotations

import base64
import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from invoke.context import Context
from invoke.exceptions import Exit

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.commands import namespace
from dagster_module_builder.deploy import rollout
from dagster_module_builder.deploy.connection import answers
from dagster_module_builder.deploy.connection.conversation import Conversation
from dagster_module_builder.deploy.host_side.conversation import REQUESTS
from dagster_module_builder.deploy.hosts import host_preparation, host_session
from tests.deploy import hostile_host
from tests.deploy.modules import set_value
from tests.deploy.sites import Site, quick_sites

#: What this program may need for a host beyond what it needs anyway, in bytes.
MEMORY = 100 << 20


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Speak to every hostile host; give what came of each."""
    folder = tmp_path_factory.mktemp("here")
    line = [sys.executable, "-m", hostile_host.__name__, str(folder)]
    done = subprocess.run(line, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2], timeout=300)
    assert done.stderr == ""
    assert list(folder.iterdir()) == []
    return {one["host"]: one for one in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("name", hostile_host.HOSTS)
def test_a_host_that_breaks_the_rules_is_refused_in_time_and_within_bounds(
    spoken: Mapping[str, Mapping[str, Any]], name: str
) -> None:
    """FAULTS S7: malformed, oversized, endless, late, repeated; 374 MB in 40 seconds were what it took before."""
    came = spoken[name]
    assert came["error"] in {"ToolError", "RefusedError", "LostError", "HostError", "HostRefusedError"}
    assert came["text"]
    assert came["grown"] < MEMORY
    assert came["seconds"] < 20
    assert len(came["text"]) < 10_000


#: The tasks that speak to a host with what each is given, in an order in which each has something to do.
TASKS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("deploy", {"allow_dirty": True, "no_settle": True}),
    ("deploy", {"allow_dirty": True, "dry_run": True}),
    ("deploy.status", {}),
    ("deploy.releases", {}),
    ("deploy.log", {}),
    ("deploy.logs", {}),
    ("deploy.runs", {}),
    ("deploy.check", {}),
    ("deploy.unlock", {"yes": True}),
    ("deploy.env", {}),
    ("deploy.rollback", {}),
    ("deploy.setup", {}),
    ("deploy.remove", {"module": ["sales-report"], "yes": True}),
)
NAMES = tuple(f"{name} {' '.join(options)}".strip() for name, options in TASKS)


def run(root: Path, number: int) -> int:
    """Run a task in this process, as Invoke does; return its exit status."""
    name, options = TASKS[number]
    task = namespace[name]
    try:
        task(Context(), name="yoda", root=str(root), **options)
    except Exit as ended:
        return int(ended.code or 0)
    return 0


@dataclass
class Honest:
    """What an honest host answered to each request of each task, and the workspace that asked."""

    root: Path
    answers: dict[int, dict[str, list[tuple[Any, Any]]]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Honest]:
    for sites in quick_sites(tmp_path_factory.mktemp("honest"), 1):
        site: Site = sites.sites[0]
        for value in (1, 2):
            set_value(site.module, value)
            site.deploy()
        made = Honest(site.root)
        asked: dict[str, list[tuple[Any, Any]]] = {}
        real = Conversation.ask_all

        def noting(talk: Conversation, requests: Sequence[tuple[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
            found = real(talk, requests)  # noqa: B023 - as it is by then
            for (what, request), answer in zip(requests, found, strict=True):
                asked.setdefault(what, []).append((copy.deepcopy(request), copy.deepcopy(answer)))  # noqa: B023 - the one of this task
            return found

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Conversation, "ask_all", noting)
            for number, name in enumerate(NAMES):
                set_value(site.module, 10 + number)
                asked = {}
                assert run(made.root, number) == 0, name
                made.answers[number] = asked
        yield made


#: How many tasks share the lies of what all of them ask for.
EACH = int(os.environ.get("LIES_IN_TURNS", "11"))
#: What a value becomes.
ODD: tuple[Any, ...] = (
    None, True, -1, 1e300, 1 << 70, "", "--output=/x", "\x1b]0;title\x07\x1b[2J", "a\nb", "../../x", "x" * 300_000, [],
    {}, [None], [1 << 40], {"x": None}, {"\x1b[2J": {"--output=/x": ["\x1b[2J"]}},
)  # fmt: skip


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value in an answer."""
    if path:
        yield path
    inside = data.items() if isinstance(data, dict) else enumerate(data[:1]) if isinstance(data, list) else ()
    for name, value in inside:
        yield from places(value, (*path, name))


def changed(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return an answer with another value at a place; ``...`` takes it out."""
    made = copy.deepcopy(data)
    inner = made
    for name in path[:-1]:
        inner = inner[name]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return made


#: What a file of a host may hold, which this program reads and edits.
FILES = (
    b"", b"\xff\xfe\x00", b"[" * 5000, b"- " * 100_000, b"{" * 200_000, b"load_from: [\x1b]0;\x07]\n",
    b"services: 7\n", b"- 1\n",
    b"services: {web: 7, db: {image: [], ports: {}, networks: 3, depends_on: 1}}\nvolumes: []\nnetworks: 1\n",
    b"load_from: {python_file: 7}\n", b"load_from: [7, [], {python_package: 1}, {grpc_server: []}]\n",
    b"run_launcher: 7\n", b"run_launcher: {module: dagster_docker, class: DockerRunLauncher, config: [1]}\n",
    b"run_launcher: {module: dagster_docker, class: DockerRunLauncher, config: {container_kwargs: 1, env_vars: 2}}\n",
    b'{"modules": 7}', b'{"modules": [7], "files": []}', b"[[[[", b"A='${B\nB=\x1b[2J\n", b"x: 2024-13-45\n",
    b"a: &a [1]\n" + b"".join(b"%c: &%c [%s]\n" % (n, n, b", ".join([b"*%c" % (n - 1)] * 9)) for n in range(98, 115)),
)  # fmt: skip


def lies(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield an answer with one value of it changed; and one with more than there has to be."""
    yield {**answer, "more": 1}
    for name in answer.get("files", ()) if isinstance(answer.get("files"), dict) else ():
        for text in FILES:
            yield changed(answer, ("files", name), base64.b64encode(text).decode())
    for path in places(answer):
        for value in (..., *ODD):
            yield changed(answer, path, value)


class Replayed:
    """A conversation whose answers are those of an honest host, but for one."""

    said: Mapping[str, Sequence[tuple[Any, Any]]]
    lie: tuple[str, dict[str, Any]]

    def __init__(self, *_: object) -> None:
        """Take what a conversation is made of."""

    def begin(self, *_: object) -> None:
        """Open nothing."""

    open = close = begin

    def ask(self, what: str, **request: Any) -> dict[str, Any]:
        answer = self.lie[1] if what == self.lie[0] else self.said.get(what, [({}, {"problems": []})])[0][1]
        if (problem := answers.answer_to(what, answer, request)) is not None:
            raise ToolError(problem)
        return copy.deepcopy(answer)

    def ask_all(self, requests: Sequence[tuple[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
        return [self.ask(what, **request) for what, request in requests]

    def post(self, requests: Iterator[object]) -> None:
        for _ in requests:
            pass


def test_the_answer_to_every_request_has_a_shape() -> None:
    """FAULTS S7: a request that is added here gets a shape in ``answers``."""
    assert set(answers.ANSWERS) == set(REQUESTS)


def test_honest_answers_are_what_they_have_to_be(honest: Honest) -> None:
    """FAULTS S7: nothing honest is refused."""
    for task, asked in honest.answers.items():
        assert asked, NAMES[task]
        for what, every in asked.items():
            for request, answer in every:
                assert answers.answer_to(what, answer, request) is None, (NAMES[task], what)
                assert answers.parsed(json.dumps({"ok": True, "result": answer}).encode())


@pytest.mark.parametrize("number", range(len(TASKS)), ids=NAMES)
def test_no_lie_of_a_host_is_a_traceback_or_a_file_or_steers_the_terminal(
    honest: Honest,
    number: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """FAULTS S7: each value of each answer, in each task that asks for it, becomes each odd one."""
    monkeypatch.setattr(host_session, "Conversation", Replayed)
    monkeypatch.setattr(rollout, "LOCK_FREE", 0.0)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (folder := tmp_path / "here").mkdir()
    monkeypatch.chdir(folder)
    before = listed(honest.root)
    Replayed.said = honest.answers[number]
    taken = refused = 0
    wrong: dict[str, Any] = {}
    for what, every in honest.answers[number].items():
        for turn, lie in enumerate(lies(every[0][1])):
            # What every task asks for is tried in turns: each lie in one of them.
            if what == "open" and turn % EACH != number % EACH:
                continue
            if answers.answer_to(what, lie, every[0][0]) is not None:
                refused += 1
                continue
            taken += 1
            Replayed.lie = (what, lie)
            status = run(honest.root, number)
            said = capfd.readouterr()
            text = said.out + said.err
            shows = any(sign in text for sign in ("should not have happened", "\x1b", "\x07", "Traceback"))
            if status not in {0, 1, 3} or shows:
                wrong.setdefault(text[-400:], (what, lie))
    assert not wrong
    assert listed(honest.root) == before
    assert list(folder.iterdir()) == []
    assert refused > taken


@pytest.mark.parametrize(
    ("registry", "image", "given"),
    [
        ("reg.example:5000", "reg.example:5000/sales@sha256:00", True),
        ("reg.example:5000", "evil.example/sales@sha256:00", False),
        ("none", "reg.example:5000/sales@sha256:00", False),
        (None, "reg.example:5000/sales@sha256:00", False),
    ],
)
def test_a_host_gets_the_password_of_its_deployments_registry_only(
    monkeypatch: pytest.MonkeyPatch, registry: str | None, image: str, given: bool
) -> None:
    """FAULTS S7: a host says which image its releases have; the password may be another deployment's."""
    monkeypatch.setenv("DEPLOY_REGISTRY_USER", "ada")
    monkeypatch.setenv("DEPLOY_REGISTRY_PASSWORD", "canary")
    asked: list[dict[str, Any]] = []
    talk = SimpleNamespace(ask=lambda _, **arguments: asked.append(arguments))
    made: Any = SimpleNamespace(report=lambda _: None, conversation=talk)
    deployment: Any = SimpleNamespace(own={"registry": registry} if registry else {})
    host_preparation.fetch_image(made, deployment, image)
    assert (asked[0].get("password") == "canary") is given


def listed(root: Path) -> set[str]:
    return {str(path) for path in root.rglob("*") if "__pycache__" not in path.parts}
