"""The pages that are made from the code have everything that the code has."""

from __future__ import annotations

import ast
import json
import re

import pytest

from dagster_module_builder.commands import namespace
from dagster_module_builder.deploy.questions import all_names, strategies
from docs_site import json_page, message_page, question_pages, task_pages
from docs_site.spoken_texts import SourceFile
from tests.cli.message_texts import CONTEXTS


def test_every_task_has_a_section_with_all_its_flags() -> None:
    sections = dict(re.findall(r"(?ms)^### (\S+)$(.*?)(?=^##|\Z)", task_pages.page()))
    assert sections.keys() == set(namespace.task_names)
    for name, text in sections.items():
        flags = set(re.findall(r"^\| `(--[a-z-]+)", text, re.MULTILINE))
        positional = {f"--{one.name}" for one in CONTEXTS[name].positional_args}
        assert flags == set(CONTEXTS[name].flags) - positional, name


def test_every_question_of_every_strategy_is_explained() -> None:
    page = question_pages.page()
    assert [name for name in strategies() if f"\n## {name}\n" not in page] == []
    assert [name for name in all_names() if f"\n| `{name}` |" not in page] == []


@pytest.mark.parametrize(
    ("heading", "text", "cure"),
    [
        ("Workspace", "No workspace at <root>.", "Create one with 'workspace.init', or pass --root."),
        ("Workspace", "this is not a registry of modules",
         "List backups with 'workspace.backups', and restore one with 'workspace.restore ID'."),
        ("On a host", "The host has no folder <modules>", "run 'deploy.setup' once."),
        ("Command line and questions", "Unknown value for --<flag>: '<value>'.", "Choose one of …."),
        ("This machine: doctor", "<name>: its folder is gone", "workspace.remove <name>"),
        ("Command line and questions", "Pass --install or --remove, not both.", ""),
    ],
)  # fmt: skip
def test_a_message_is_told_with_its_cure(heading: str, text: str, cure: str) -> None:
    assert message_page.Message(text, cure) in message_page.messages()[heading]


def test_every_error_with_a_text_of_words_is_on_the_page() -> None:
    """What stands at a place where an error is made, as one text, is told under some heading."""
    errors = message_page.error_names() - {"DamagedFileError", "ConflictError"}
    told = " ".join(f"{one.text} {one.cure}" for said in message_page.messages().values() for one in said)
    missing, seen = [], 0
    for folder in message_page.PACKAGES:
        for path in folder.rglob("*.py"):
            file = SourceFile(ast.parse(path.read_text()))
            for name, call in file.calls():
                if name in errors and call.args and isinstance(call.args[0], ast.Constant):
                    seen += 1
                    words = re.findall(r"[\w'-]{4,}", str(call.args[0].value))
                    missing += [call.args[0].value for word in words if word.strip("'") not in told]
    assert seen > 15
    assert missing == []


@pytest.mark.parametrize(
    ("code", "texts"),
    [
        ("x('a' + b)", ["a<b>"]),
        ("x(f'{a.some_name!r} is')", ["'<some name>' is"]),
        ("x('a' if b else 'c')", ["a", "c"]),
        ("def f(problem):\n    x(problem)\nf('a')\nf(problem='b')", ["a", "b"]),
        ("def f():\n    text = 'a'\n    x(text)", ["a"]),
        ("A = 'a'\nx(f'{A} b')", ["a b"]),
        ("def f():\n    return 'a'\nx(f())", ["a"]),
        ("x(unknown())", ["…"]),
    ],
)
def test_what_an_expression_may_say_is_followed_within_a_file(code: str, texts: list[str]) -> None:
    file = SourceFile(ast.parse(code))
    said = [text for name, call in file.calls() if name == "x" for text in file.texts(call.args[0])]
    assert sorted(said) == sorted(texts)


def test_what_every_task_prints_as_json_is_on_the_page_with_its_schema() -> None:
    page = json_page.page()
    tasks = {name for name, context in CONTEXTS.items() if context.name == name and "--json" in context.flags}
    sections = dict(re.findall(r"(?ms)^## (\S[^\n]*)$(.*?)(?=^##|\Z)", page))
    assert tasks == sections.keys() - {"A task that fails"}
    schemas = dict(json_page.files())
    for name, text in sections.items():
        assert len(re.findall(r"(?m)^\| `", text)) >= 2, name
        (link,) = re.findall(r"\((json/\S+)\)", text)
        assert f"reference/{link}" in schemas


def test_keys_of_a_schema_are_named_by_their_way() -> None:
    schema = json.loads(dict(json_page.files())["reference/json/doctor.schema.json"])
    rows = [(key, kind) for key, kind, _ in json_page.rows_of(schema, {})]
    assert rows[:3] == [("`ok`", "true or false"), ("`findings`", "list"), ("`findings[].area`", "text")]
    assert ("`findings[].state`", "`ok`, `warning`, `problem`") in rows
