"""The one door to Cookiecutter: finds the shipped templates, asks their questions, renders them privately."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster_module_builder.base.errors import BuilderError, RefusedError, ToolError, UsageError
from dagster_module_builder.base.settings import cache_folder
from dagster_module_builder.disclosure import terminal
from dagster_module_builder.programs import outside_programs
from dagster_module_builder.templating import cookiecutter_fork, cookiecutter_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

MODULE = "cookiecutter-dagster-module"
WORKSPACE = "cookiecutter-dagster-workspace"
STRATEGIES = "deploy_strategies"

Answer = str | bool

_PACKAGE = Path(__file__).parents[1]
#: In a copy of a template: where its own extension keeps what Jinja has compiled of it.
COMPILED = ".compiled"
STAGING_PREFIX = ".dagster-module-builder-"


def template_folder(template: str | os.PathLike[str]) -> Path:
    """Return the folder of a shipped template (``cookiecutter-dagster-module``), or of one given by its absolute path.

    Raises:
        ToolError: It is neither in the installed package nor beside it in a checkout.
    """
    places = [_PACKAGE / "_shipped" / template, _PACKAGE.parent / template]
    for place in places:
        if (place / "cookiecutter.json").is_file():
            return place
    raise ToolError(
        f"Templates not found: {template} is not in {' or '.join(str(p.parent) for p in places)}. Install again."
    )


@dataclass(frozen=True)
class Question:
    """One question of a template; ``default`` may be a Jinja expression over earlier answers."""

    name: str
    prompt: str
    default: Answer
    choices: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Questionnaire:
    """A template's questions in their order, as its hook before the prompts left them.

    Attributes:
        folder: The template.
        context: What its ``cookiecutter.json`` holds.
        questions: The questions.
        judge: Raises ``RefusedError`` where an answer is right for the template, but not here.
    """

    folder: Path
    context: Mapping[str, Any]
    questions: tuple[Question, ...]
    judge: Callable[[Question, Answer], None] | None = None

    def __iter__(self) -> Iterator[Question]:
        """Go through the questions in the order in which they are asked."""
        return iter(self.questions)

    def refuse_unoffered(self, answers: Mapping[str, Answer]) -> None:
        """Look at answers to questions that offer a choice.

        Raises:
            UsageError: One is none of its question's choices.
        """
        for question in self.questions:
            if question.choices and question.name in answers:
                _refuse_unless_offered(question.name, answers[question.name], question.choices)

    def default(self, question: Question, answers: Mapping[str, Answer]) -> Answer:
        """Return the answer to ``question`` if nobody is asked, given the answers so far.

        Raises:
            RefusedError: The template refuses an earlier answer.
        """
        if isinstance(question.default, bool):
            return question.default
        from cookiecutter.exceptions import CookiecutterException

        try:
            # The template's own filters say on stderr what is wrong with an earlier answer.
            with contextlib.redirect_stderr(io.StringIO()) as said:
                return self._rendered_default(question, answers)
        except CookiecutterException as error:
            raise RefusedError(said.getvalue().strip() or str(error)) from None

    @cached_property
    def _environment(self) -> Any:
        from cookiecutter.utils import create_env_with_context

        with _importable(self.folder):
            return create_env_with_context({"cookiecutter": dict(self.context)})

    def _rendered_default(self, question: Question, answers: Mapping[str, Answer]) -> str:
        from cookiecutter.prompt import render_variable  # a tenth of a second

        known: dict[str, Any] = {}
        for name, raw in self.context.items():
            if name == question.name:
                break
            first = raw[0] if isinstance(raw, list) and not name.startswith("_") else raw
            known[name] = (
                answers[name] if name in answers else _rendered(name, first, render_variable, self._environment, known)
            )
        return str(render_variable(self._environment, question.default, known))

    def ask(self, question: Question, answers: Mapping[str, Answer]) -> Answer:
        """Ask on the terminal, as Cookiecutter asks, until the template takes the answer."""
        while True:
            answer = self._read(question, answers)
            try:
                self._try(question, {**answers, question.name: answer})
                if self.judge:
                    self.judge(question, answer)
            except RefusedError as error:
                terminal.tell(str(error))
            else:
                return answer

    def _try(self, question: Question, answers: Mapping[str, Answer]) -> None:
        """Let the template look at an answer, which it does before the next question's default is there."""
        for following in self.questions[self.questions.index(question) + 1 :][:1]:
            self.default(following, answers)

    def _read(self, question: Question, answers: Mapping[str, Answer]) -> Answer:
        from cookiecutter import prompt

        number = self.questions.index(question) + 1
        prefix = f"  [dim][{number}/{len(self.questions)}][/] "
        default = self.default(question, answers)
        if question.choices:
            first = [default, *(choice for choice in question.choices if choice != default)]
            labels = {name: terminal.shown(label) for name, label in question.labels.items()}
            texts = {question.name: {"__prompt__": terminal.shown(question.prompt), **labels}}
            return str(prompt.read_user_choice(question.name, first, texts, prefix))
        plain = {question.name: terminal.shown(question.prompt)}
        if isinstance(default, bool):
            return bool(prompt.read_user_yes_no(question.name, default, plain, prefix))
        # A default may come from a module's files.
        safe = terminal.shown(default)
        answer = str(prompt.read_user_variable(question.name, safe, plain, prefix))
        return default if answer == safe else answer


def _rendered(name: str, raw: Any, render_variable: Callable[..., Any], environment: Any, known: dict[str, Any]) -> Any:
    """Give a variable its value as Cookiecutter does: those with one leading underscore are taken as they stand."""
    if name.startswith("_") and not name.startswith("__"):
        return raw
    return render_variable(environment, raw, known)


def questions(template: str | os.PathLike[str], environment: Mapping[str, str] | None = None) -> Questionnaire:
    """Return a template's questions, after its hook before the prompts (if any) has set their defaults.

    Args:
        template: As for ``template_folder``.
        environment: Variables for the hook, beside the process's own.
    """
    with prepared(template, environment) as made:
        context = json.loads((made / "cookiecutter.json").read_text("utf-8"))
    prompts = context.pop("__prompts__", {})
    asked = [_question(name, raw, prompts.get(name, name)) for name, raw in context.items() if not name.startswith("_")]
    return Questionnaire(template_folder(template), context, tuple(asked))


@contextlib.contextmanager
def prepared(template: str | os.PathLike[str], environment: Mapping[str, str] | None = None) -> Iterator[Path]:
    """Give a template whose hook before the prompts (if any) has run, once for all that is rendered from it.

    Args:
        template: As for ``template_folder``.
        environment: Variables for the hook, beside the process's own.
    """
    folder = template_folder(template)
    with _private_folder() as private:
        made = _prepared(folder, private, environment)
        if made != folder:
            for hook in made.glob("hooks/pre_prompt.*"):
                hook.unlink()
            (made / COMPILED).mkdir(mode=0o700, exist_ok=True)
        yield made


def _question(name: str, raw: Any, prompt: str | dict[str, str]) -> Question:
    labels = {key: text for key, text in prompt.items() if key != "__prompt__"} if isinstance(prompt, dict) else {}
    text = prompt.get("__prompt__", name) if isinstance(prompt, dict) else prompt
    if isinstance(raw, list):
        return Question(name, text, raw[0], tuple(raw), labels)
    return Question(name, text, raw if isinstance(raw, bool) else str(raw))


def _prepared(folder: Path, private: Path, environment: Mapping[str, str] | None) -> Path:
    hooks = sorted(folder.glob("hooks/pre_prompt.*"))
    if not hooks:
        return folder
    copy = shutil.copytree(folder, private / folder.name)
    for hook in hooks:
        script = copy / "hooks" / hook.name
        command = [sys.executable, str(script)] if hook.suffix == ".py" else [str(script)]
        code, said, complained = _run(command, "", copy, _child_environment(private, environment))
        _pass_on(said)
        if code:
            raise RefusedError(_reason(complained) or f"The hook {hook.name} failed.")
    return copy


def render(
    template: str | os.PathLike[str],
    answers: Mapping[str, Answer],
    into: Path,
    environment: Mapping[str, str] | None = None,
) -> Path:
    """Render a template below ``into`` and return the folder that it made there.

    Nothing is asked, no personal Cookiecutter configuration is read, and no temporary or replay file is left.
    What the hooks say goes to stderr.

    Args:
        template: As for ``template_folder``.
        answers: By question; taken as they stand, never as Jinja. Questions without one get their default.
        into: An existing folder; a ``staging`` one, from which the caller renames what it wants.
        environment: Variables for the hooks, beside the process's own. Secrets belong here, never in ``answers``.

    Raises:
        UsageError: An answer is for no question, or is none of its question's choices.
        RefusedError: A hook refused, with the hook's words.
        ToolError: Cookiecutter failed.
    """
    folder = template_folder(template)
    if _looks_like_jinja(str(into)):
        raise RefusedError(f"Cookiecutter cannot work below {into}: it takes the braces in that path for a template.")
    with _private_folder() as private:
        arguments = _arguments(folder, _checked(folder, answers), into, private)
        before = set(into.iterdir())
        run = cookiecutter_fork.run if cookiecutter_fork.is_ready() else _run_cookiecutter
        code, said, complained = run(json.dumps(arguments), private, _child_environment(private, environment))
    _pass_on(said)
    if code:
        raise _failure(code, complained, into)
    _pass_on(complained)
    (made,) = set(into.iterdir()) - before
    return made


@contextlib.contextmanager
def staging(beside: Path) -> Iterator[Path]:
    """Give a private folder (0700) in ``beside``, on whose file system a rename is one step; it is gone afterwards."""
    beside.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=beside, prefix=STAGING_PREFIX) as folder:
        yield Path(folder)


def _checked(folder: Path, answers: Mapping[str, Answer]) -> dict[str, Answer]:
    context = json.loads((folder / "cookiecutter.json").read_text("utf-8"))
    # A hook before the prompts may add questions, which stand in its own copy of the template only.
    fixed = not any(folder.glob("hooks/pre_prompt.*"))
    for name, answer in answers.items():
        if name.startswith("_") or (fixed and name not in context):
            raise UsageError(f"{folder.name} asks no question {name!r}.")
        if isinstance(context.get(name), list):
            _refuse_unless_offered(name, answer, context[name])
    return {name: _as_literal(answer, context.get(name)) for name, answer in answers.items()}


def _refuse_unless_offered(name: str, answer: Answer, choices: Sequence[str]) -> None:
    if answer not in choices:
        raise UsageError(f"{name}: {answer!r} is not one of {', '.join(choices)}.")


def _as_literal(answer: Answer, default: Any) -> Answer:
    """Write an answer so that Jinja gives it back as it is; choices and booleans are not rendered."""
    if isinstance(answer, bool) or isinstance(default, (list, bool)):
        return answer
    # Jinja reads the escapes of a string literal as Python does, but not surrogate pairs, which JSON would have.
    text = (
        answer.encode("unicode_escape")
        .decode("ascii")
        .replace('"', r"\x22")
        .replace("{", r"\x7b")
        .replace("}", r"\x7d")
    )
    return f'{{{{ "{text}" }}}}' if text else ""


def _arguments(folder: Path, answers: Mapping[str, Answer], into: Path, private: Path) -> dict[str, Any]:
    folders = {"replay_dir": str(private / "replay"), "cookiecutters_dir": str(private / "cookiecutters")}
    return {
        "template": str(folder),
        "no_input": True,
        "extra_context": answers,
        "output_dir": str(into),
        "default_config": folders,
    }


def _pass_on(said: str) -> None:
    """Let the hooks be heard; on stderr, since stdout is for results."""
    terminal.tell(said, end="")


def _failure(code: int, said: str, into: Path) -> BuilderError:
    if code == cookiecutter_run.FOLDER_EXISTS:
        return RefusedError(f"The folder is in {into} already.")
    if code == cookiecutter_run.HOOK_REFUSED:
        # Cookiecutter's own last line adds nothing to what the hook said.
        return RefusedError(_reason(said.rstrip().rpartition("\n")[0]) or said.strip())
    return ToolError(_reason(said) or "Cookiecutter failed and did not say why.")


def _reason(said: str) -> str:
    text = said.strip()
    before, traceback, after = text.partition("Traceback (most recent call last)")
    return f"{before}{after.splitlines()[-1]}" if traceback else text


def _child_environment(private: Path, environment: Mapping[str, str] | None) -> dict[str, str]:
    temporary = private / "tmp"
    temporary.mkdir(exist_ok=True)
    return {**os.environ, **(environment or {}), "TMPDIR": str(temporary), **_bytecode()}


def _bytecode() -> dict[str, str]:
    """Say where bytecode goes: never beside templates, which may lie in a folder of the system's."""
    found = find_spec("cookiecutter")
    compiled = found and found.cached and Path(found.cached).is_file()
    if compiled or os.environ.get("PYTHONDONTWRITEBYTECODE"):
        return {"PYTHONDONTWRITEBYTECODE": "1"}
    # uv compiles nothing, and compiling takes longer than rendering.
    return {"PYTHONPYCACHEPREFIX": str(cache_folder() / "bytecode")}


@contextlib.contextmanager
def _private_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=STAGING_PREFIX.lstrip(".")) as folder:
        yield Path(folder)


def _run_cookiecutter(given: str, folder: Path, environment: Mapping[str, str]) -> tuple[int, str, str]:
    return _run([sys.executable, cookiecutter_run.__file__], given, folder, environment)


def _run(command: list[str], given: str, folder: Path, environment: Mapping[str, str]) -> tuple[int, str, str]:
    """Run a program with its children in a session of their own, so that an interrupt here ends all of them."""
    with outside_programs.start(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            outputs = process.communicate(given.encode())
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    said, complained = (one.decode("utf-8", "replace") for one in outputs)
    if process.returncode < 0:
        raise outside_programs.failure(Path(command[-1]).name, outside_programs.ended(process.returncode), complained)
    return process.returncode, said, complained


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let a template's own Jinja extensions be imported, but not stay: another template's may be called the same."""
    known = set(sys.modules)
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - known:
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
                del sys.modules[name]


def _looks_like_jinja(text: str) -> bool:
    return any(mark in text for mark in ("{{", "{%", "{#"))
