"""What is read from syntax trees: variables, texts, and IO managers, through names, imports and functions."""

from __future__ import annotations

from pathlib import Path

import pytest

from dagster_module_builder.audit.sources import Sources
from dagster_module_builder.audit.syntax import parsed

#: A variable as it is found: its name, its place, whether it has to be set, whether it is an EnvVar.
Read = tuple[str, str, bool, bool]


def sources(folder: Path, files: dict[str, str]) -> Sources:
    return Sources([parsed(folder / name, text.encode()) for name, text in files.items()])


def reads(folder: Path, files: dict[str, str]) -> list[Read]:
    return sorted(
        (one.name, f"{one.position.path.relative_to(folder)}:{one.position.line}", one.required, one.is_env_var)
        for one in sources(folder, files).variables()
    )


VARIABLES = {
    "environ with []": ('os.environ["A"]\nenviron["B"]', [("A", "a.py:1", True, False), ("B", "a.py:2", True, False)]),
    "environ that is set or deleted": ('os.environ["A"] = "x"\ndel os.environ["B"]', []),
    "another mapping": ('settings["A"]\nsettings.get("B")\nget("C")', []),
    "environ.get and getenv": (
        'os.environ.get("A")\n\nos.environ.get("B", "x")\nos.getenv("C")\ngetenv("D", "x")',
        [("A", "a.py:1", False, False), ("B", "a.py:3", False, False), ("C", "a.py:4", False, False),
         ("D", "a.py:5", False, False)],
    ),
    "other methods of environ": ('os.environ.pop("A")\nos.environ.setdefault("B", "x")', []),
    "EnvVar": ('dg.EnvVar("A")\nEnvVar("B")', [("A", "a.py:1", True, True), ("B", "a.py:2", True, True)]),
    "EnvVar's ways": ('dg.EnvVar.int("A")', [("A", "a.py:1", True, True)]),
    "other classes' ways": ('dg.Text.int("A")\ndg.Text("B")', []),
    "calls without an argument": ("getenv()\nEnvVar()\nos.environ.get()\nf()()", []),
    "a name that is no text": ("os.environ[1]\nos.getenv(f())", []),
    "names": ('A: str = "X"\nB = C = "Y"\nos.getenv(A)\nos.getenv(C)\nos.getenv(D)',
              [("X", "a.py:3", False, False), ("Y", "a.py:4", False, False)]),
    "a name that is declared only": ("A: str\nos.getenv(A)", []),
    "an attribute that is given a text": ('self.A: str = "X"\nself.B = "Y"\nos.getenv(A)\nos.getenv(B)', []),
    "a name for a name": ('A = "X"\nB = A\nos.getenv(B)', [("X", "a.py:3", False, False)]),
    "texts that are put together": (
        'A = "X"\nos.getenv(f"{A}_1")\nos.getenv(A + "_2")\nos.getenv(A - "_3")\nos.getenv(A + f())',
        [("X_1", "a.py:2", False, False), ("X_2", "a.py:3", False, False)],
    ),
    "a text that is made from itself": ('A = "X"\nA = A + "Y"\nos.getenv(A)', []),
    "texts in texts": (
        """os.getenv("A" + f"B{'C' + 'D'}E" + ("F" + "G"))""", [("ABCDEFG", "a.py:1", False, False)]
    ),
    "hundreds of texts": ("os.getenv(" + "+".join(["'A'"] * 700) + ")", [("A" * 700, "a.py:1", False, False)]),
    "a name for itself": ("A = A\nos.getenv(A)", []),
    "names in a circle": ("A = B\nB = A\nos.getenv(A)", []),
    "the same name twice": ('A = "X"\nos.getenv(A + A)', [("XX", "a.py:2", False, False)]),
    "an operator between other things": ("f = g - 1\nos.getenv(f)", []),
    "functions that are given a name": (
        (
            'def f(a, b):\n    return os.environ[a], os.getenv(f"{b}_Y")\n\n\n'
            'f("A", "X")\nf("B")\nf(g())\nf("C", "D", "E")'
        ),
        [("A", "a.py:5", True, False), ("B", "a.py:6", True, False), ("C", "a.py:8", True, False),
         ("D_Y", "a.py:8", False, False), ("X_Y", "a.py:5", False, False)],
    ),
    "functions that are given a name for EnvVar": (
        'async def f(a):\n    return EnvVar(a), EnvVar("Y")\n\n\nf("X")',
        [("X", "a.py:5", True, True), ("Y", "a.py:2", True, True)],
    ),
    "functions that know the name": (
        'def f(a):\n    return os.getenv("X")\n\n\nf("Y")\nos.getenv(g())', [("X", "a.py:2", False, False)]
    ),
    "a parameter called as a name at the top": (
        'a = "X"\n\n\ndef f(a):\n    return os.getenv(g(a) + a)\n\n\nf("Y")', []
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", VARIABLES)
def test_variables_that_one_file_reads(tmp_path: Path, case: str) -> None:
    text, wanted = VARIABLES[case]
    assert reads(tmp_path, {"a.py": text}) == wanted


IMPORTS = {
    "from a file": ({"a.py": "from b import A", "b.py": 'A = "X"'}, ["X"]),
    "by another name": ({"a.py": "from b import B as A", "b.py": 'B = "X"'}, ["X"]),
    "from a file in a package": ({"a.py": "from p.b import A", "p/b.py": 'A = "X"', "q/c.py": 'A = "Y"'}, ["X"]),
    "from the package": ({"p/a.py": "from . import A", "p/__init__.py": 'A = "X"'}, ["X"]),
    "from a package by its name": ({"a.py": "from p import A", "p/__init__.py": 'A = "X"'}, ["X"]),
    "from a file in the package": ({"p/a.py": "from .b import A", "p/b.py": 'A = "X"'}, ["X"]),
    "from a file that imports it": ({"a.py": "from b import A", "b.py": "from c import A", "c.py": 'A = "X"'}, ["X"]),
    "through five files": (
        {"a.py": "from b import A", **{f"{one}.py": f"from {two} import A" for one, two in ("bc", "cd", "de", "ef")},
         "f.py": 'A = "X"'},
        [],
    ),
    "through four files": (
        {"a.py": "from b import A", **{f"{one}.py": f"from {two} import A" for one, two in ("bc", "cd", "de")},
         "e.py": 'A = "X"'},
        ["X"],
    ),
    "in a circle": ({"a.py": "from b import A", "b.py": "from a import A"}, []),
    "from nowhere": ({"a.py": "from other import A", "b.py": 'A = "X"'}, []),
    "what is not imported": ({"a.py": "from b import B", "b.py": 'A = "X"'}, []),
    "from one of two files of that name": (
        {"a.py": "from b import A", "p/b.py": 'B = "Y"', "q/b.py": 'A = "X"'}, ["X"]
    ),
    "what is declared, too": ({"a.py": "from b import A; A: str", "b.py": 'A = "X"'}, ["X"]),
    "from another file of the same name": (
        {"p/a.py": 'from q.a import B as A; B = "Y"', "q/a.py": 'B = "X"'}, ["X"]
    ),
    "from itself": ({"p/a.py": "from other.a import A", "q/a.py": 'A = "X"'}, ["X"]),
}  # fmt: skip


@pytest.mark.parametrize("case", IMPORTS)
def test_names_are_followed_through_imports(tmp_path: Path, case: str) -> None:
    files, wanted = IMPORTS[case]
    first, *_ = files
    read = reads(tmp_path, {**files, first: f"{files[first]}\nos.getenv(A)\n"})
    assert read == [(name, f"{first}:2", False, False) for name in wanted]


def test_calls_are_found_by_their_last_name_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = b"def f():\n    x.g(1)\n\n\nh(2)(3)\nh(g(4), g(5))\ni(6)\ng[int](7)\n"
    file = parsed(tmp_path / "a.py", text)
    assert [(call.lineno, call.col_offset) for call in file.calls("g")] == [(2, 4), (6, 2), (6, 8), (8, 0)]
    lines = [2, 5, 5, 6, 6, 6, 8]
    assert [call.lineno for call in file.calls("h", "g", "h", "none")] == lines
    assert list(file.calls("none")) == []


def test_the_packages_of_a_file_are_those_of_both_kinds_of_import(tmp_path: Path) -> None:
    file = parsed(tmp_path / "a.py", b"import a.b as c, d\nfrom e.f import g\nfrom . import h\n")
    assert list(file.packages) == ["a.b", "d", "e.f", ""]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("class A(dg.IOManager): ...", ["A"]),
        ("class A(UPathIOManager[str]): ...", ["A"]),
        ("class A(B): ...\nclass B(C): ...\nclass C(InputManager): ...", ["C", "B", "A"]),
        ("class A(B): ...\nclass C: ...", []),
        ("@io_manager\ndef a(): ...\n@dg.io_manager(x=1)\ndef b(): ...", ["a", "b"]),
        ("@cache\ndef a(): ...\ndef b(): ...", []),
        ("class A(IOManager): ...\n@io_manager\ndef b(): ...\nclass C(A, IOManager): ...", ["A", "C", "b"]),
    ],
)  # fmt: skip
def test_io_managers_are_known_by_their_bases_and_decorators(tmp_path: Path, text: str, wanted: list[str]) -> None:
    assert [node.name for _, node in sources(tmp_path, {"a.py": text}).io_managers] == wanted


def test_a_file_that_is_no_python_has_an_empty_tree_and_a_problem(tmp_path: Path) -> None:
    for text in ("x = )", "x = '\0'", "x" + "+ x" * 20000, "-" * 20000 + "x"):
        file = parsed(tmp_path / "a.py", text.encode())
        assert file.problem is not None
        assert list(file.calls("x")) == []
    assert parsed(tmp_path / "a.py", b"").problem is None
