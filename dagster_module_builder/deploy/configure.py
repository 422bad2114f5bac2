"""Makes a deployment of a module: ``deploy/<name>/`` with its settings, its secrets and its guide."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dagster_module_builder.base.errors import RefusedError, UsageError
from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.deploy import pipeline, pipeline_companions
from dagster_module_builder.deploy.model.deployment import DEPLOYMENTS, FILE, FILL_IN, GUIDE, SCHEMA, read_deployment
from dagster_module_builder.deploy.model.host_settings import ENV, EXAMPLE
from dagster_module_builder.deploy.model.schema import problem_with, schema
from dagster_module_builder.deploy.questions import carried_by, detected, local_env, renamed_questions
from dagster_module_builder.deploy.strategies.base import load_steps
from dagster_module_builder.disclosure.values import is_harmless
from dagster_module_builder.programs.version_control import top
from dagster_module_builder.shared_files.formats import env_file, env_value
from dagster_module_builder.shared_files.formats.yaml_text import loaded
from dagster_module_builder.templating.questionnaire import Answer, Question, questions_of
from dagster_module_builder.templating.rendering import render
from dagster_module_builder.templating.template_folders import staging
from dagster_module_builder.transactions import module_files, transaction
from deploy_strategies import strategy_folder

_GENERATED = re.compile(r"_DB_(ROOT_)?PASSWORD$")


@dataclass(frozen=True)
class Configured:
    """A new deployment.

    Attributes:
        folder: ``deploy/<name>`` in the module.
        files: Its files, and the pipeline's.
        empty: The settings that the user has to fill in.
    """

    folder: Path
    files: tuple[Path, ...]
    empty: tuple[str, ...]


def configure(root: Path, module: Path, strategy: str, answers: Mapping[str, Answer]) -> Configured:
    """Make a deployment of a module.

    Args:
        root: The workspace's root.
        module: The module's folder.
        strategy: The strategy.
        answers: The answers by question; missing ones are detected, or get their default.

    Raises:
        RefusedError: There is a deployment of that name, or an answer is not valid.
    """
    carried = carried_by(strategy, answers)
    values = {**detected(root, module, strategy, carried), **answers}
    _refuse_unprintable(values)
    if lacking := load_steps(strategy).problem_with(values):
        raise RefusedError(lacking)
    folder = _free_folder(module, str(values.get("deployment", "")))
    module_files.refuse_links(module, module / DEPLOYMENTS / SCHEMA)
    # The files will be committed, so a repository that git cannot read is reported before anything is made.
    top(module)
    with _all_or_nothing(module / DEPLOYMENTS):
        with staging(module / DEPLOYMENTS) as private:
            made = _rendered(strategy, carried, values, private)
            problem = problem_with(loaded(made / FILE, (made / FILE).read_bytes()))
            if problem:
                raise UsageError(f"Not a valid deployment: {problem}.")
            empty = _write_settings(module, made, has_server=values["database"] in {"postgresql", "mysql"})
            text = json.dumps(schema(), indent=2) + "\n"
            module_files.write(module, module / DEPLOYMENTS / SCHEMA, text.encode())
            module_files.move_in(module, made, folder)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return Configured(folder, (*files, *_write_pipeline(folder)), empty)


def _free_folder(module: Path, name: str) -> Path:
    """Return a new deployment's folder.

    Raises:
        UsageError: No deployment can have this name.
        RefusedError: There is one.
    """
    if not re.fullmatch(r"[a-z0-9]+(?:[-_][a-z0-9]+)*", name):
        raise UsageError(f"{name!r} cannot be a deployment's name: use lower-case letters, digits and '-'.")
    folder = module / DEPLOYMENTS / name
    module_files.refuse_links(module, folder)
    if folder.exists():
        raise RefusedError(f"{folder} exists already: change its files, or choose another name.")
    return folder


def judge(
    root: Path, module: Path, strategy: str, carried: str | None
) -> Callable[[Question, Mapping[str, Answer]], None]:
    """Return what refuses one answer about a deployment as ``configure`` would, beside the answers so far.

    Args:
        root: The workspace's root.
        module: The module's folder.
        strategy: The strategy.
        carried: The strategy that it carries out, if any.
    """
    known = detected(root, module, strategy, carried)

    def refuse(question: Question, answers: Mapping[str, Answer]) -> None:
        _refuse_unprintable({question.name: answers[question.name]})
        if question.name == "deployment":
            _free_folder(module, str(answers["deployment"]))
        others = {name: answer for name, answer in answers.items() if name != question.name}
        problem = problem_with_answers(strategy, carried, {**known, **answers})
        # What other answers lack is not this one's fault.
        if problem and problem != problem_with_answers(strategy, carried, {**known, **others}):
            raise UsageError(f"{problem.rstrip('.')}.")

    return refuse


def problem_with_answers(strategy: str, carried: str | None, values: Mapping[str, Answer]) -> str | None:
    """Return why there could be no deployment with these answers, and defaults for the rest."""
    text = _drafted(strategy, carried, values)
    return problem_with(loaded(Path(FILE), text.encode())) or load_steps(strategy).problem_with(values)


def _drafted(strategy: str, carried: str | None, values: Mapping[str, Answer]) -> str:
    """Return the ``deployment.yaml`` that the answers make."""
    own = questions_of(strategy_folder(strategy))
    if carried is None:
        return own.drafted(FILE, values)
    below, above = _split(strategy, carried, values)
    whole = questions_of(strategy_folder(carried)).drafted(FILE, below)
    return _one_file(whole, own.drafted(FILE, above), strategy)


@contextlib.contextmanager
def _all_or_nothing(folder: Path) -> Iterator[None]:
    """If the block fails, remove what it made beside the deployment: the schema, and the folder of deployments."""
    was_there, had_schema = folder.exists(), (folder / SCHEMA).exists()
    try:
        yield
    except BaseException:
        if not had_schema:
            (folder / SCHEMA).unlink(missing_ok=True)
        if not was_there:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _write_pipeline(folder: Path) -> list[Path]:
    """Write the pipeline of a new deployment; if that fails, remove the deployment."""
    try:
        deployment = read_deployment(folder)
        if deployment.pipeline is None:
            return []
        place = pipeline.find(deployment)
        change = pipeline.planned_at(place)
        beside = pipeline_companions.companions(place)
        for file in (*beside, change):
            transaction.commit_one(file)
    except BaseException:
        shutil.rmtree(folder)
        raise
    return [change.path, *(file.path for file in beside if file.before is None)]


def _rendered(strategy: str, carried: str | None, answers: Mapping[str, Answer], private: Path) -> Path:
    """Render a strategy's files, over those of the one that it carries out."""
    if carried is None:
        return render(strategy_folder(strategy), answers, private)
    folders_of = {name: private / name for name in ("below", "above")}
    for path in folders_of.values():
        path.mkdir()
    below, above = _split(strategy, carried, answers)
    made = render(strategy_folder(carried), below, folders_of["below"])
    over = render(strategy_folder(strategy), above, folders_of["above"])
    return _laid_over(made, over, strategy)


def _split(strategy: str, carried: str, answers: Mapping[str, Answer]) -> tuple[dict[str, Answer], dict[str, Answer]]:
    """Return the answers to the carried strategy's questions, and to the other one's.

    Raises:
        UsageError: Neither asks for an answer.
    """
    names = renamed_questions(strategy, carried)
    own = {question.name for question in questions_of(strategy_folder(strategy))}
    unknown = set(answers) - own - set(names.values()) - {"database"}
    if unknown:
        raise UsageError(f"{strategy} with {carried} asks no question {', '.join(sorted(unknown))}.")
    below = {name: answers[asked] for name, asked in names.items() if asked in answers}
    return below, {name: answer for name, answer in answers.items() if name in own}


def _one_file(whole: str, section: str, strategy: str) -> str:
    """Return a ``deployment.yaml`` with the section of the strategy that carries out the file's own."""
    named = re.sub(r"(?m)^strategy: .*$", f"strategy: {json.dumps(strategy)}", whole)
    return f"{named}\n{section}"


def _laid_over(made: Path, over: Path, strategy: str) -> Path:
    """Add the section and the guide of a strategy to the files of the one that it carries out."""
    whole, section = ((folder / FILE).read_text("utf-8") for folder in (made, over))
    (made / FILE).write_text(_one_file(whole, section, strategy), "utf-8")
    _, _, rest = (made / GUIDE).read_text("utf-8").partition("\n")
    deeper = re.sub(r"(?m)^(#+ )", r"#\1", rest)
    (made / GUIDE).write_text((over / GUIDE).read_text("utf-8") + deeper, "utf-8")
    return made


def _refuse_unprintable(answers: Mapping[str, Answer]) -> None:
    for name, answer in answers.items():
        if isinstance(answer, str) and not answer.isprintable():
            raise UsageError(f"--{name.replace('_', '-')}: {answer!r} has characters that cannot be printed.")


def _write_settings(module: Path, made: Path, *, has_server: bool) -> tuple[str, ...]:
    """Add the module's settings, with new secrets, to the rendered files; return the empty ones."""
    known = _known_settings(module)
    values = production_settings(module, has_server=has_server)
    with (made / ENV).open("a", encoding="utf-8") as text:
        text.writelines(f"{name}={env_value.written(value)}\n" for name, value in values.items())
    with (made / EXAMPLE).open("a", encoding="utf-8") as text:
        text.writelines(_example_line(name, known.get(name, ""), value) for name, value in values.items())
    return tuple(name for name, value in values.items() if not value)


def _example_line(name: str, known: str, value: str) -> str:
    """Return a setting's line for the committed example, with its value only if that is known to be harmless."""
    if is_harmless(name, known) and is_harmless(name, value):
        return f"{name}={env_value.written(value)}\n"
    return f"# Fill it in, in {ENV} alone: this file is committed.\n{name}='{FILL_IN}'\n"


def production_settings(module: Path, *, has_server: bool) -> dict[str, str]:
    """Return the settings that a module needs on its hosts: new passwords, and harmless values of this machine."""
    values = {name: _production_value(name, value) for name, value in _known_settings(module).items()}
    if has_server:
        values.setdefault(f"{ModuleNames(module.name).env_prefix}_DB_HOST", "127.0.0.1")
    return values


def _known_settings(module: Path) -> dict[str, str]:
    example = module_files.read(module, module / ".env.example") or b""
    return {**env_file.values(example), **local_env(module)}


def _production_value(name: str, value: str) -> str:
    if _GENERATED.search(name):
        return secrets.token_urlsafe(24)
    return value if is_harmless(name, value) else ""
