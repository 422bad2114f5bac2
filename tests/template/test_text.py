"""Free text comes out as the person wrote it, in every language that it is written into."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.template.rendering import Desk, Rendering, as_literal

if TYPE_CHECKING:
    from types import ModuleType

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TEXTS = {
    "double quotes": 'say "hello"',
    "single quotes": "it's Ada's",
    "both quotes": """it's "quoted" ''' here""",
    "triple quotes": 'a """ b',
    "backslashes": r"C:\new\table \" end\\",
    "jinja": "{{ 1+1 }} {% if x %} {# c #}",
    "dollar": "$HOME ${HOME} $(id) `id`",
    "hash": "# not a comment #",
    "yaml": "key: [value, &anchor *alias] - ? | >",
    "toml": "]] = '''x'''",
    "percent": "100 % %s {0} {name}",
    "emoji": "Pinguine 🐧 ∑ naïve 数据",
    "html": "<script>alert(1)</script> &amp;",
    "markdown": "*a* _b_ [c](d) | e ~f~",
    "equals": "a=b",
}


def constants(rendering: Rendering) -> ModuleType:
    spec = importlib.util.spec_from_file_location("rendered", rendering.package / "__init__.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_a_text_comes_out_as_it_was_written(desk: Desk, text: str):
    rendering = desk.rendered(title=as_literal(text), description=as_literal(text))

    module = constants(rendering)
    assert (text, text) == (module.TITLE, module.DESCRIPTION)
    assert tomllib.loads(rendering.text("pyproject.toml"))["project"]["description"] == text
    answers = json.loads(rendering.text(".dagster-module.json"))["answers"]
    assert (answers["title"], answers["description"]) == (text, text)
    for check in (["check"], ["format", "--check"]):
        subprocess.run([sys.executable, "-m", "ruff", *check, "--no-cache", "-q", rendering.package], check=True)


def test_a_text_is_shown_by_markdown_as_it_is(desk: Desk):
    rendering = desk.rendered(title="*a* <b> _c_")

    assert rendering.text("README.md").startswith("# \\*a\\* \\<b\\> \\_c\\_\n")
