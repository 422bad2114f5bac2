"""Rendering through the one door to Cookiecutter, with real templates and real hooks."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from dagster_module_builder.base.errors import RefusedError, ToolError, UsageError
from dagster_module_builder.base.settings import CALLER_VARIABLE
from dagster_module_builder.programs import outside_programs
from dagster_module_builder.templating import child_processes, process_copies
from dagster_module_builder.templating.questionnaire import Answer, Question, questions_of
from dagster_module_builder.templating.rendering import render
from dagster_module_builder.templating.template_folders import MODULE_TEMPLATE, staging, template_folder

QUESTIONS = {
    "name": "thing",
    "__loud": "{{ cookiecutter.name | title }}",
    "title": "{{ cookiecutter.__loud }}",
    "database": ["none", "postgresql"],
    "wide": False,
    "_private": "kept",
    "__prompts__": {
        "name": "Name of the thing",
        "database": {"__prompt__": "Which database", "none": "None at all", "postgresql": "PostgreSQL"},
    },
}


def make_template(folder: Path, body: str = "{{ cookiecutter.title }}", **hooks: str) -> Path:
    template = folder / "a-template"
    project = template / "{{cookiecutter.name}}"
    project.mkdir(parents=True)
    (template / "cookiecutter.json").write_text(json.dumps(QUESTIONS))
    (project / "body.txt").write_text(body)
    (template / "hooks").mkdir()
    for name, code in hooks.items():
        (template / "hooks" / f"{name}.py").write_text(textwrap.dedent(code))
    return template


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_a_template_is_rendered_into_the_folder_given(tmp_path: Path, into: Path) -> None:
    made = render(make_template(tmp_path), {"name": "my-thing"}, into)
    assert made == into / "my-thing"
    assert (made / "body.txt").read_text() == "My-Thing"


@pytest.mark.parametrize("compiled", [True, False])
def test_bytecode_goes_into_the_cache_where_cookiecutter_has_none(
    tmp_path: Path, into: Path, monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    there = tmp_path / "compiled.pyc"
    if compiled:
        there.touch()
    monkeypatch.setattr(child_processes, "find_spec", lambda _: SimpleNamespace(cached=str(there)))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    render(make_template(tmp_path, pre_gen_project="import colorsys"), {"name": "my-thing"}, into)
    found = {path.name.partition(".")[0] for path in (tmp_path / "cache").rglob("*.pyc")}
    assert {"colorsys"} & found == (set() if compiled else {"colorsys"})
    assert not list(tmp_path.glob("a-template/**/*.pyc"))


@pytest.mark.parametrize(
    "value",
    [
        "{{ 1+1 }}",
        "{% raw %}",
        "{# no #}",
        "a\"b'c\\d",
        "a\nb",
        "tab\there",
        "ünï ☃ 😀",
        "}}",
        "",
        "$HOME #x",
        "\\x41",
        "{{ '}}' }}",
    ],
)
def test_an_answer_is_taken_as_it_is_typed(tmp_path: Path, into: Path, value: str) -> None:
    made = render(make_template(tmp_path), {"title": value}, into)
    assert (made / "body.txt").read_bytes().decode() == value


def test_a_choice_and_a_yes_or_no_arrive(tmp_path: Path, into: Path) -> None:
    template = make_template(
        tmp_path, "{{ cookiecutter.database }} {{ cookiecutter.wide }} {{ cookiecutter._private }}"
    )
    made = render(template, {"database": "postgresql", "wide": True}, into)
    assert (made / "body.txt").read_text() == "postgresql True kept"


@pytest.mark.parametrize(
    ("answers", "words"), [({"database": "oracle"}, "none, postgresql"), ({"colour": "red"}, "'colour'")]
)
def test_an_answer_that_fits_no_question_is_wrong_usage(
    tmp_path: Path, into: Path, answers: dict[str, str], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        render(make_template(tmp_path), answers, into)
    assert list(into.iterdir()) == []


def test_personal_configuration_is_not_read_and_no_replay_is_written(
    tmp_path: Path, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".cookiecutterrc").write_text("default_context:\n  title: another person's\n")
    monkeypatch.setenv("HOME", str(home))
    made = render(make_template(tmp_path), {}, into)
    assert (made / "body.txt").read_text() == "Thing"
    assert [path.name for path in home.iterdir()] == [".cookiecutterrc"]


def test_nothing_stays_in_the_temporary_folder(tmp_path: Path, into: Path, temporary: Path) -> None:
    template = make_template(tmp_path, pre_prompt="", post_gen_project="")
    render(template, {}, into)
    assert list(temporary.iterdir()) == []


def test_hooks_are_heard_on_stderr(tmp_path: Path, into: Path, capfd: pytest.CaptureFixture[str]) -> None:
    template = make_template(
        tmp_path, post_gen_project="import sys; print('on stdout'); print('on stderr', file=sys.stderr)"
    )
    render(template, {}, into)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.split("\n") == ["on stdout", "on stderr", ""]


def test_hooks_get_the_environment_given(tmp_path: Path, into: Path) -> None:
    template = make_template(tmp_path, post_gen_project="import os; open('seen', 'w').write(os.environ['SECRET'])")
    made = render(template, {}, into, {"SECRET": "s3cret"})
    assert (made / "seen").read_text() == "s3cret"


@pytest.mark.parametrize("hook", ["pre_prompt", "pre_gen_project", "post_gen_project"])
def test_a_refusing_hook_leaves_nothing_and_is_quoted(
    tmp_path: Path, into: Path, temporary: Path, capfd: pytest.CaptureFixture[str], hook: str
) -> None:
    template = make_template(tmp_path, **{hook: "import sys; sys.exit('no port is left')"})
    with pytest.raises(RefusedError) as refused:
        render(template, {}, into)
    assert str(refused.value) == "no port is left"
    assert list(into.iterdir()) == []
    assert list(temporary.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_a_crashing_hook_shows_its_last_line_only(tmp_path: Path, into: Path) -> None:
    with pytest.raises(RefusedError) as refused:
        render(make_template(tmp_path, post_gen_project="{}['missing']"), {}, into)
    assert str(refused.value) == "KeyError: 'missing'"


def test_a_defect_of_the_template_is_named(tmp_path: Path, into: Path) -> None:
    with pytest.raises(ToolError, match=r"body\.txt.*no_such"):
        render(make_template(tmp_path, "{{ cookiecutter.no_such }}"), {}, into)
    assert list(into.iterdir()) == []


def test_an_existing_folder_is_untouched(tmp_path: Path, into: Path) -> None:
    (into / "thing").mkdir()
    with pytest.raises(RefusedError, match="already"):
        render(make_template(tmp_path), {}, into)
    assert list((into / "thing").iterdir()) == []


def test_a_path_with_braces_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "{{ 1+1 }}"
    folder.mkdir()
    with pytest.raises(RefusedError, match="braces"):
        render(make_template(tmp_path), {}, folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("hook", ["pre_prompt", "pre_gen_project", "post_gen_project"])
def test_an_interrupt_in_a_hook_leaves_nothing(tmp_path: Path, into: Path, hook: str) -> None:
    flag = tmp_path / "in-the-hook"
    touch = f"pathlib.Path({str(flag)!r}).touch()"
    code = f"import pathlib, time; {touch}; time.sleep(60); pathlib.Path('late').touch()"
    template = make_template(tmp_path, **{hook: code})
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    program = f"""
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from dagster_module_builder.templating.rendering import render
from dagster_module_builder.templating.template_folders import staging
with staging(Path({str(into)!r})) as folder:
    render({str(template)!r}, {{}}, folder)
"""
    environment = {
        **os.environ,
        "TMPDIR": str(temporary),
        "PYTHONPATH": str(Path(child_processes.__file__).parents[2]),
    }
    process = subprocess.Popen([sys.executable, "-c", program], env=environment, stderr=subprocess.PIPE)
    while not flag.exists():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, complained = process.communicate(timeout=20)
    assert b"KeyboardInterrupt" in complained
    assert list(into.iterdir()) == []
    assert list(temporary.iterdir()) == []


HOOK = """
    import os, sys
    print(__name__, os.getcwd() == os.path.realpath("."), len(sys.argv), sys.stdin.read() == "")
    open("seen", "a").write(os.environ["SECRET"])
    """


@pytest.mark.parametrize("copies", [True, False])
def test_hooks_run_as_scripts_do_in_a_copy_and_in_an_interpreter(
    tmp_path: Path, into: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], copies: bool
) -> None:
    monkeypatch.setattr(process_copies, "can_copy", lambda: copies)
    before = (dict(os.environ), list(sys.path), sys.argv, set(sys.modules), Path.cwd())
    started: list[object] = []
    start = outside_programs.start
    monkeypatch.setattr(
        outside_programs, "start", lambda command, **options: started.append(command) or start(command, **options)
    )
    template = make_template(tmp_path, pre_prompt=HOOK, pre_gen_project=HOOK, post_gen_project=HOOK)
    made = render(template, {}, into, {"SECRET": "x"})
    assert (made / "seen").read_text() == "xx"
    assert capfd.readouterr().err.splitlines() == ["__main__ True 1 True"] * 3
    assert len(started) == (0 if copies else 1)
    assert (dict(os.environ), list(sys.path), sys.argv, set(sys.modules), Path.cwd()) == before


@pytest.mark.parametrize("copies", [True, False])
@pytest.mark.parametrize(
    ("ending", "said"), [("3", "exit status: 3"), ("'sorry'", "sorry"), ("None", None), ("0", None), ("False", None)]
)
def test_a_hook_ends_as_a_script_does(
    tmp_path: Path, into: Path, monkeypatch: pytest.MonkeyPatch, copies: bool, ending: str, said: str | None
) -> None:
    monkeypatch.setattr(process_copies, "can_copy", lambda: copies)
    template = make_template(tmp_path, post_gen_project=f"import sys; sys.exit({ending})")
    with pytest.raises(RefusedError, match=said) if said else contextlib.nullcontext():
        render(template, {}, into)
    assert len([*into.iterdir()]) == (0 if said else 1)


@pytest.mark.parametrize("copies", [True, False])
def test_a_hook_that_is_killed_is_named(
    tmp_path: Path, into: Path, monkeypatch: pytest.MonkeyPatch, copies: bool
) -> None:
    monkeypatch.setattr(process_copies, "can_copy", lambda: copies)
    template = make_template(tmp_path, post_gen_project="import os; os.kill(os.getppid(), 9)")
    with pytest.raises(ToolError, match=r"cookiecutter_run\.py failed \(it was ended by SIGKILL\)|SIGKILL"):
        render(template, {}, into)


def test_no_copy_is_made_beside_another_thread(tmp_path: Path, into: Path) -> None:
    # In a process without the threads that the tests may have here.
    alone = "from dagster_module_builder.templating.process_copies import can_copy; print(can_copy())"
    said = subprocess.run([sys.executable, "-c", alone], check=True, capture_output=True, text=True).stdout
    assert said == f"{sys.platform == 'linux'}\n"
    end = threading.Event()
    other = threading.Thread(target=end.wait)
    other.start()
    try:
        assert not process_copies.can_copy()
        assert (render(make_template(tmp_path), {}, into) / "body.txt").read_text() == "Thing"
    finally:
        end.set()
        other.join()


def test_compiled_files_are_kept_where_only_this_user_can_put_them(
    tmp_path: Path, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cache = tmp_path / "cache/dagster-module-builder/templates"

    def made(name: str) -> bytes:
        made = render(MODULE_TEMPLATE, {"name": name, "database": "none"}, into, {CALLER_VARIABLE: "it"})
        return (made / "pyproject.toml").read_bytes()

    first = made("sales-one")
    assert cache.stat().st_mode & 0o777 == 0o700
    kept = [*cache.iterdir()]
    assert len(kept) > 30
    # What was cut off or is no code of Jinja's is compiled again.
    for number, path in enumerate(kept):
        path.write_bytes(path.read_bytes()[: 10 * (number % 9)])
    assert made("sales-two") == first.replace(b"one", b"two").replace(b"One", b"Two")
    for path in cache.iterdir():
        path.unlink()
    cache.chmod(0o777)
    made("sales-three")
    assert list(cache.iterdir()) == []
    cache.rmdir()
    cache.write_text("a file")
    made("sales-four")


def test_staging_is_private_and_gone_afterwards(tmp_path: Path) -> None:
    with staging(tmp_path / "projects") as folder:
        assert folder.parent == tmp_path / "projects"
        assert folder.stat().st_mode & 0o777 == 0o700
    assert list((tmp_path / "projects").iterdir()) == []


def test_a_template_that_is_nowhere_is_named() -> None:
    with pytest.raises(ToolError, match="Templates not found: no-such"):
        template_folder("no-such")


def test_questions_come_in_order_with_prompts_and_choices(tmp_path: Path) -> None:
    name, title, database, wide = questions_of(make_template(tmp_path))
    assert (name.name, name.prompt, name.default) == ("name", "Name of the thing", "thing")
    assert title.prompt == "title"
    assert (database.choices, database.prompt) == (("none", "postgresql"), "Which database")
    assert database.labels == {"none": "None at all", "postgresql": "PostgreSQL"}
    assert wide.default is False


def test_a_derived_default_follows_the_answers(tmp_path: Path) -> None:
    questionnaire = questions_of(make_template(tmp_path))
    _, title, database, wide = questionnaire
    assert questionnaire.default(title, {"name": "blue"}) == "Blue"
    assert questionnaire.default(database, {}) == "none"
    assert questionnaire.default(wide, {}) is False


def test_the_hook_before_the_prompts_sets_defaults(tmp_path: Path) -> None:
    hook = """
        import json, os, pathlib
        file = pathlib.Path("cookiecutter.json")
        context = json.loads(file.read_text())
        file.write_text(json.dumps({**context, "name": os.environ["SUGGESTED"]}))
    """
    template = make_template(tmp_path, pre_prompt=hook)
    name, *_ = questions_of(template, {"SUGGESTED": "other"})
    assert name.default == "other"
    assert json.loads((template / "cookiecutter.json").read_text()) == QUESTIONS


def test_an_answer_is_judged_by_the_template_and_by_the_caller(tmp_path: Path) -> None:
    def judge(question: Question, answers: Mapping[str, Answer]) -> None:
        if answers[question.name] == "taken":
            raise RefusedError("It is taken.")

    questionnaire = replace(questions_of(make_template(tmp_path)), judge=judge)
    name = questionnaire["name"]
    assert questionnaire.problem_with(name, {"name": "taken"}) == "It is taken."
    assert questionnaire.problem_with(name, {"name": "free"}) is None
    assert questionnaire.complete({"name": "free"}) == {
        "name": "free", "title": "Free", "database": "none", "wide": False,
    }  # fmt: skip
    with pytest.raises(UsageError, match="Did you mean 'database'"):
        questionnaire.refuse_unknown(["databse"])


def test_what_the_template_says_about_its_questions(tmp_path: Path) -> None:
    template = make_template(tmp_path)
    file = template / "cookiecutter.json"
    prompts = {
        "__asked__": ["name", "wide"],
        "__needed__": ["name"],
        "__only__": {"wide": {"database": ["postgresql"]}},
        "__choose__": "when it fits",
    }
    file.write_text(json.dumps({**QUESTIONS, "__prompts__": prompts}))
    questionnaire = questions_of(template)
    assert [question.name for question in questionnaire if question.is_asked] == ["name", "wide"]
    assert [question.name for question in questionnaire if question.is_needed] == ["name"]
    assert questionnaire.choose_it == "when it fits"
    wide = questionnaire["wide"]
    assert questionnaire.matters(wide, {"database": "postgresql"})
    assert not questionnaire.matters(wide, {})
