"""The IO manager in ``Definitions``: what is added, and that every other byte stays."""

from __future__ import annotations

import ast

import pytest

from dagster_module_builder.upgrade.io_manager_registration import Registration, registered

WHOLE = Registration("from .resources import RESOURCES", "RESOURCES", "**RESOURCES")
ONE = Registration(
    "from .storage import ModuleStorage", '{"io_manager": ModuleStorage()}', '"io_manager": ModuleStorage()'
)

SHAPES = {
    "no resources": (
        "defs = dg.Definitions(assets=ASSETS)\n",
        "defs = dg.Definitions(assets=ASSETS, resources=RESOURCES)\n",
    ),
    "nothing at all": ("defs = Definitions()\n", "defs = Definitions(resources=RESOURCES)\n"),
    "a trailing comma": ("defs = Definitions(assets=[a],)\n", "defs = Definitions(assets=[a], resources=RESOURCES,)\n"),
    "a line each": (
        "defs = Definitions(\n    assets=[a],  # all\n    jobs=[j],  # both\n)  # end\n",
        "defs = Definitions(\n    assets=[a],  # all\n    jobs=[j],  # both\n    resources=RESOURCES,\n)  # end\n",
    ),
    "a line each, no comma": (
        "defs = Definitions(\n    assets=[a],\n    jobs=[j]\n)\n",
        "defs = Definitions(\n    assets=[a],\n    jobs=[j],\n    resources=RESOURCES\n)\n",
    ),
    "tabs": (
        "defs = Definitions(\n\tassets=[a],\n)\n",
        "defs = Definitions(\n\tassets=[a],\n\tresources=RESOURCES,\n)\n",
    ),
    "a mapping": (
        'defs = Definitions(resources={"db": DB()})\n',
        'defs = Definitions(resources={**RESOURCES, "db": DB()})\n',
    ),
    "an empty mapping": ("defs = Definitions(resources={})\n", "defs = Definitions(resources={**RESOURCES})\n"),
    "a mapping of lines": (
        'defs = Definitions(\n    resources={\n        # the base\n        "db": DB(),\n    },\n)\n',
        (
            "defs = Definitions(\n    resources={\n        # the base\n        **RESOURCES,\n"
            '        "db": DB(),\n    },\n)\n'
        ),
    ),
    "a name": ("defs = Definitions(resources=ours)\n", "defs = Definitions(resources={**RESOURCES, **ours})\n"),
    "in a function": (
        "def make():\n    return dg.Definitions(assets=[a])\n",
        "def make():\n    return dg.Definitions(assets=[a], resources=RESOURCES)\n",
    ),
    "non-ASCII": (
        '# größe 日本\ndefs = Definitions(assets=["ü"])\n',
        '# größe 日本\ndefs = Definitions(assets=["ü"], resources=RESOURCES)\n',
    ),
}


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_resource_is_added_and_nothing_else_changes(shape: str, ending: str) -> None:
    before, after = SHAPES[shape]
    head = '"""What Dagster loads."""\n\nimport dagster as dg\nfrom dagster import Definitions   # kept\n'
    given = f"{head}\n\n{before}".replace("\n", ending).encode()
    wanted = f"{head}{WHOLE.imported}\n\n\n{after}".replace("\n", ending).encode()
    assert registered(given, WHOLE) == wanted


NOT_UNDERSTOOD = {
    "two of them": "a = Definitions()\nb = Definitions()\n",
    "none": "from dagster import repository\n",
    "by position": "defs = Definitions([a])\n",
    "unpacked": "defs = Definitions(**given)\n",
    "a call": "defs = Definitions(resources=resources_for(env))\n",
    "a choice": "defs = Definitions(resources=A if x else B)\n",
    "no Python": "defs = Definitions(\n",
}


@pytest.mark.parametrize("shape", NOT_UNDERSTOOD)
def test_what_is_not_understood_is_left_alone(shape: str) -> None:
    assert registered(NOT_UNDERSTOOD[shape].encode(), WHOLE) is None


def test_a_byte_order_mark_is_not_lost_silently() -> None:
    text = b"\xef\xbb\xbfdefs = Definitions()\n"
    found = registered(text, WHOLE)
    assert found is None or found.startswith(b"\xef\xbb\xbf")


def test_one_resource_is_added_to_others() -> None:
    found = registered(b'defs = Definitions(resources={"db": DB()})\n', ONE)
    assert found == (
        b"from .storage import ModuleStorage\n"
        b'defs = Definitions(resources={"io_manager": ModuleStorage(), "db": DB()})\n'
    )
    ast.parse(found)
