"""What the checks of code say, word for word: the message, the cure, the place and how bad it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from dagster_module_builder.audit.results import Problem
from tests.audit.findings import problems, skipped
from tests.audit.projects import write

BUILT = "import dagster as dg\n\ndefs = dg.Definitions()\n"
ADDED = "Run 'upgrade', which adds it"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give a folder for a project; no check here asks for a workspace."""
    return tmp_path


def found(root: Path, files: dict[str, str], check: str) -> list[Problem]:
    return problems(root, write(root / "projects/orders", files), check)


def no_resources(fix: str = ADDED, *, by_upgrade: bool = True) -> list[Problem]:
    return [Problem("No resources.py", fix, by_upgrade=by_upgrade)]


def bare(name: str, where: str) -> Problem:
    return Problem(f"The asset {name} has no prefix", 'Set key_prefix="orders"', where, "WARN")


def partitions_without_timezone(where: str) -> Problem:
    fix = 'Set timezone="UTC", or the intended timezone'
    return Problem("Partitions that a schedule follows have no timezone", fix, where, "WARN")


def no_timezone(where: str) -> Problem:
    fix = 'Set execution_timezone="UTC", or the intended timezone'
    return Problem("A schedule has no timezone", fix, where, "WARN")


def invalid(what: str, where: str) -> Problem:
    return Problem(f"Not valid Python: {what}", "Fix that line", where)


NO_DEFINITIONS = Problem("No file builds Definitions", "Build dagster.Definitions in definitions.py")
NO_TESTS = Problem("No tests", "Write tests/test_assets.py", status="WARN")
MANY = "".join(f"@asset\ndef a{number}(): ...\n\n\n" for number in range(5))

CASES = {
    "files that are no Python, each with its line": (
        "syntax",
        {"a.py": "x = 1\n", "b.py": "\n\nx = )\n", "c.py": "def f(:\n", "d.py": "x" + "+ x" * 20000},
        [
            invalid("unmatched ')'", "b.py:3"),
            invalid("invalid syntax", "c.py:1"),
            invalid("it is nested too deeply, or holds a NUL byte", "d.py"),
        ],
    ),
    "Python": ("syntax", {"a.py": ""}, []),
    "Python of a later version": (
        "syntax", {"a.py": "x = )", "pyproject.toml": "[project]\nrequires-python = '>=3.99'\n"},
        skipped("written for Python >=3.99, which this program does not run on"),
    ),
    "Python of no known version": (
        "syntax", {"a.py": "x = )", "pyproject.toml": "[project]\nrequires-python = 'new'\n"},
        [invalid("unmatched ')'", "a.py:1")],
    ),
    "no Python": ("syntax", {"README.md": ""}, skipped("no Python file")),
    "nothing that builds definitions": ("definitions", {"a.py": "x = 1\n"}, [NO_DEFINITIONS]),
    "definitions": ("definitions", {"a.py": BUILT}, []),
    "no resources.py": ("resources-file", {"definitions.py": BUILT}, no_resources()),
    "IO managers that stand elsewhere": (
        "resources-file",
        {"definitions.py": BUILT, "io.py": "class A(IOManager): ...\n\n\nclass B(IOManager): ...\n"},
        no_resources("Move A, B into resources.py", by_upgrade=False),
    ),
    "resources.py": ("resources-file", {"definitions.py": BUILT, "resources.py": ""}, []),
    "a package of resources": ("resources-file", {"definitions.py": BUILT, "resources/store.py": ""}, []),
    "resources without definitions": ("resources-file", {"a.py": ""}, skipped("no definitions")),
    "assets without a prefix: three by name": (
        "asset-keys",
        {"a.py": MANY},
        [
            *(bare(f"a{number}", f"a.py:{4 * number + 2}") for number in range(3)),
            Problem("2 more assets have no prefix", status="WARN"),
        ],
    ),
    "three assets without a prefix": (
        "asset-keys", {"a.py": MANY[: MANY.index("@asset\ndef a3")]},
        [bare(f"a{number}", f"a.py:{4 * number + 2}") for number in range(3)],
    ),
    "assets of every kind": (
        "asset-keys",
        {
            "a.py": '@dg.asset(key_prefix="x")\ndef a(): ...\n@dg.asset(key="x")\ndef b(): ...\n'
            '@dg.asset(**given)\ndef c(): ...\n@cache\ndef d(): ...\ndef e(): ...\nclass F: ...\n'
            '@cache\n@dg.asset(name="g")\nasync def g(): ...\n@dg.op(name="h")\ndef h(): ...\n',
        },
        [bare("g", "a.py:13")],
    ),
    "assets that are loaded with a prefix": (
        "asset-keys",
        {"a.py": "@asset\ndef a(): ...\n", "b.py": 'ALL = load_assets_from_modules([a], key_prefix="orders")\n'},
        [],
    ),
    "assets that are loaded without a prefix": (
        "asset-keys",
        {"a.py": "@asset\ndef a(): ...\n", "b.py": 'ALL = load_assets_from_modules([a], group_name="orders")\n'},
        [bare("a", "a.py:2")],
    ),
    "only loaders": ("asset-keys", {"a.py": 'ALL = load_assets_from_package_name("other")\n'}, []),
    "no assets": ("asset-keys", {"a.py": "def a(): ...\n"}, skipped("no asset is visible without --load")),
    "schedules without a timezone": (
        "schedule-timezones",
        {
            "a.py": '@dg.schedule("0 6 * * *", job=j)\ndef a(): ...\n\n\n'
            'b = dg.ScheduleDefinition(cron_schedule="@daily")\n'
            '@schedule(cron_schedule="@daily")\ndef c(): ...\n',
        },
        [no_timezone("a.py:1"), no_timezone("a.py:5"), no_timezone("a.py:6")],
    ),
    "schedules with a timezone, or with arguments that cannot be seen": (
        "schedule-timezones",
        {
            "a.py": 'a = ScheduleDefinition(cron_schedule="@daily", execution_timezone="UTC")\n'
            '@schedule("@daily", execution_timezone="UTC")\ndef b(): ...\nc = ScheduleDefinition(**given)\n',
        },
        [],
    ),
    "schedules of partitions, which have the timezone": (
        "schedule-timezones",
        {
            "a.py": 'DAYS = dg.DailyPartitionsDefinition("2026-01-01")\n'
            'HOURS = HourlyPartitionsDefinition("2026-01-01-00:00", timezone="UTC")\n',
            "b.py": "every_day = dg.build_schedule_from_partitioned_job(j)\n",
        },
        [partitions_without_timezone("a.py:1")],
    ),
    "partitions that no schedule follows": (
        "schedule-timezones", {"a.py": 'DAYS = DailyPartitionsDefinition("2026-01-01")\n'}, skipped("no schedule")
    ),
    "what is only called as a schedule is": (
        "schedule-timezones", {"a.py": "import schedule\n\nschedule(job=1)\nschedule()\n"}, skipped("no schedule")
    ),
    "no tests": ("tests", {"a.py": ""}, [NO_TESTS]),
    "folders with tests of others": ("tests", {"spec/test_a.py": "", "tests/a.py": ""}, [NO_TESTS]),
    "tests": ("tests", {"tests/more/test_a.py": ""}, []),
    "tests of a scaffold": ("tests", {"orders_tests/test_a.py": ""}, []),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_found_in_code(root: Path, case: str) -> None:
    check, files, wanted = CASES[case]
    assert found(root, files, check) == wanted


ELSEWHERE = "Read its base path from DAGSTER_STORAGE_DIR, with /tmp/dagster_storage as the default"
OF_A_SERVICE = skipped("the IO manager stores in a database or an object store")
UNSEEN = skipped("it is not visible where the IO manager stores")


def stores_elsewhere(where: str) -> list[Problem]:
    return [Problem("The IO manager stores elsewhere", ELSEWHERE, where)]


def registered(made: str, before: str = "") -> dict[str, str]:
    return {"definitions.py": f'{before}\ndefs = Definitions(resources={{"io_manager": {made}}})\n'}


WRITING = "class Mine(IOManager):\n    def handle_output(self, context, obj):\n        {}\n"
READING = 'class Mine(IOManager):\n    def handle_output(self, context, obj):\n        obj.upload("/x")\n'

STORING = {
    "a path in a docstring": (
        {**registered("Mine()"), "io.py": f'"""DAGSTER_STORAGE_DIR"""\n{WRITING.format("obj.to_csv(path)")}'},
        stores_elsewhere("io.py:2"),
    ),
    "the volume's path": (
        {**registered("Mine()"), "io.py": f'BASE = "/tmp/dagster_storage/x"\n{WRITING.format("obj.to_csv(path)")}'},
        [],
    ),
    "the volume's path, in parts": (
        {**registered("Mine()"), "io.py": f'BASE = "/tmp" + "/dagster_storage"\n{WRITING.format("open(BASE)")}'}, []
    ),
    "a path that is made from itself": (
        {**registered("Mine()"), "io.py": f'BASE = BASE + "/x"\n{WRITING.format("open(BASE)")}'},
        stores_elsewhere("io.py:2"),
    ),
    "the variable, by a name from another file": (
        {
            **registered("Mine()"),
            "names.py": 'VARIABLE = "DAGSTER_STORAGE_DIR"\n',
            "io.py": f"from names import VARIABLE\n{WRITING.format('open(os.environ[VARIABLE])')}",
        },
        [],
    ),
    "the variable, where it is built": (
        {
            **registered('Mine(os.environ["DAGSTER_STORAGE_DIR"])', "from io_ import Mine"),
            "io_.py": WRITING.format("obj.to_csv(path)"),
        },
        [],
    ),
    "the variable, in a file that has nothing to do with it": (
        {
            **registered("Mine()"),
            "io_.py": WRITING.format("obj.to_csv(path)"),
            "other.py": 'print("DAGSTER_STORAGE_DIR")\n',
        },
        stores_elsewhere("io_.py:1"),
    ),
    "a path that only ends so": (
        {**registered("Mine()"), "io.py": f'BASE = "/x/tmp/dagster_storage"\n{WRITING.format("open(BASE)")}'},
        stores_elsewhere("io.py:2"),
    ),
    "an address": ({**registered("Mine()"), "io.py": f'BASE = "gs://b"\n{WRITING.format("open(BASE)")}'}, OF_A_SERVICE),
    "a service that its file imports": (
        {**registered("Mine()"), "io.py": f"from google.cloud import x\n{READING}"}, OF_A_SERVICE
    ),
    "a service that its file imports whole": (
        {**registered("Mine()"), "io.py": f"import psycopg\n{READING}"}, OF_A_SERVICE
    ),
    "a service in its name": (
        {**registered("RedshiftStore()"), "io.py": READING.replace("Mine", "RedshiftStore")}, OF_A_SERVICE
    ),
    "a service in its base's name": (
        {**registered("Mine()"), "io.py": "class Mine(SnowflakeBase, IOManager): ...\n"}, OF_A_SERVICE
    ),
    "a base for files, beside an import of a service": (
        {**registered("Mine()"), "io.py": "import boto3\nclass Mine(UPathIOManager): ...\n"},
        stores_elsewhere("io.py:2"),
    ),
    "one of two for a service": (
        {
            **registered("Mine()"),
            "a.py": WRITING.format("open(path)"),
            "b.py": "import boto3\nclass Other(IOManager): ...\n",
        },
        stores_elsewhere("a.py:1"),
    ),
    "one that writes no file": ({**registered("Mine()"), "io.py": READING}, UNSEEN),
    "one that names what writes files": (
        {**registered("Mine()"), "io.py": 'class Mine(IOManager):\n    mkdir = "mkdir"\n    open = (open, makedirs)\n'},
        UNSEEN,
    ),
    "one that a function makes": (
        {**registered("mine"), "io.py": "@io_manager\ndef mine(_):\n    return Store(open(path))\n"},
        stores_elsewhere("io.py:2"),
    ),
    "a library's for files, beside an import of a service": (
        registered('FilesystemIOManager(base_dir="/x")', "import boto3\n"), stores_elsewhere("definitions.py:3")
    ),
    "a library's": (registered("HttpIOManager()"), UNSEEN),
    "a library's for a service": (registered("s3_pickle_io_manager.configured(x)"), OF_A_SERVICE),
    "a library's that is not configured": (registered("s3_pickle_io_manager.described(x)"), skipped("no IO manager")),
    "Dagster's own that is told no folder": (registered("FilesystemIOManager()"), skipped("no IO manager")),
    "Dagster's own that is told something else": (
        registered("FilesystemIOManager(other=1)"), skipped("no IO manager")
    ),
    "what only has a folder": (registered('Anything(base_dir="/x")'), skipped("no IO manager")),
    "no call": (registered("fs_io_manager"), skipped("no IO manager")),
    "no IO manager under that key": (
        {"definitions.py": 'defs = Definitions(resources={"other": HttpIOManager()})\n'}, skipped("no IO manager")
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", STORING)
def test_where_the_io_manager_stores(root: Path, case: str) -> None:
    files, wanted = STORING[case]
    assert found(root, files, "storage-path") == wanted


def test_a_module_without_an_io_manager_can_be_given_one(root: Path) -> None:
    wanted = [Problem("No custom IO manager", ADDED, by_upgrade=True)]
    assert found(root, {"definitions.py": BUILT}, "io-manager") == wanted
    assert found(root, {"definitions.py": ""}, "io-manager") == skipped("no definitions")
    assert found(root, registered("HttpIOManager()"), "io-manager") == []


MINE = "class Mine(IOManager): ...\nclass Other(IOManager): ...\n"
SKIPPED = skipped("the resources of Definitions are not visible without --load")
MISSING = [
    Problem(
        "No resource 'io_manager' in Definitions",
        'Add resources={"io_manager": Mine(…)} to Definitions',
        "definitions.py",
    )
]
ONE = '{"io_manager": Mine()}'

REGISTERING = {
    "a literal": (f"defs = Definitions(resources={ONE})", []),
    "an empty literal": ("defs = Definitions(resources={})", MISSING),
    "no resources": ("defs = Definitions(assets=[])", MISSING),
    "another key": ('defs = Definitions(resources={"storage": Mine()})', MISSING),
    "another argument": (f"defs = Definitions(assets={ONE})", MISSING),
    "an argument without a name": (f"defs = Definitions([], {ONE})", MISSING),
    "an argument without a name for assets": (f"ALL = with_resources(a, {ONE})\ndefs = Definitions(ALL)", []),
    "an argument for assets": (f"ALL = with_resources(a, resources={ONE})\ndefs = Definitions(ALL)", []),
    "only assets": (f"ALL = with_resources({ONE})\ndefs = Definitions(ALL)", MISSING),
    "a key by a name": ('KEY = "io_manager"\ndefs = Definitions(resources={KEY: Mine()})', []),
    "a key that cannot be seen": ("defs = Definitions(resources={f(): Mine()})", SKIPPED),
    "a name": (f"R = {ONE}\ndefs = Definitions(resources=R)", []),
    "a name for a name": (f"R = {ONE}\nS = R\ndefs = Definitions(resources=S)", []),
    "a name that nothing is given to": ("defs = Definitions(resources=R)", SKIPPED),
    "a call": ("defs = Definitions(resources=f())", SKIPPED),
    "a call that is given a mapping": (f"defs = Definitions(resources=f({ONE}))", SKIPPED),
    "a mapping in another": (f"R = {ONE}\ndefs = Definitions(resources={{**R}})", []),
    "a mapping in another that cannot be seen": ('defs = Definitions(resources={"a": 1, **f()})', SKIPPED),
    "a mapping in another that lacks it": ('R = {"a": 1}\ndefs = Definitions(resources={**R})', MISSING),
    "dict with names": ("defs = Definitions(resources=dict(io_manager=Mine()))", []),
    "dict with other names": ("defs = Definitions(resources=dict(other=Mine()))", MISSING),
    "dict of a mapping": (f"defs = Definitions(resources=dict({ONE}))", []),
    "dict with names of a mapping": (f"defs = Definitions(resources=dict(**{ONE}))", []),
    "either side: the left": (f'defs = Definitions(resources={ONE} | {{"a": 1}})', []),
    "either side: the right": (f'defs = Definitions(resources={{"a": 1}} | {ONE})', []),
    "neither side": ('defs = Definitions(resources={"b": 1} | {"a": 1})', MISSING),
    "other sides": (f"defs = Definitions(resources={ONE} & {ONE})", SKIPPED),
    "itself with more": ('R = {**R, "a": 1}\ndefs = Definitions(resources=R)', SKIPPED),
    "itself with it": (f"R = R | {ONE}\ndefs = Definitions(resources=R)", []),
    "what makes a mapping, uncalled": ("defs = Definitions(resources=dict)", SKIPPED),
    "itself": ("R = R\ndefs = Definitions(resources=R)", SKIPPED),
    "a circle": ("R = S\nS = R\ndefs = Definitions(resources=R)", SKIPPED),
    "the same mapping twice": ('R = {"a": 1}\ndefs = Definitions(resources={**R, **R})', MISSING),
}  # fmt: skip


@pytest.mark.parametrize("case", REGISTERING)
def test_whether_the_io_manager_is_registered(root: Path, case: str) -> None:
    text, wanted = REGISTERING[case]
    assert found(root, {"definitions.py": text, "io.py": MINE}, "io-manager-registered") == wanted


def test_nothing_is_registered_where_something_is_missing(root: Path) -> None:
    check = "io-manager-registered"
    assert found(root, {"definitions.py": BUILT}, check) == skipped("no IO manager")
    assert found(root, {"definitions.py": "", "io.py": MINE}, check) == skipped("no definitions")


def test_an_io_manager_that_is_registered_by_its_name_is_one(root: Path) -> None:
    """It is the module's own, and not a library's too."""
    files = registered("MineIOManager()", "import boto3\nclass MineIOManager(IOManager): ...\n")
    assert found(root, files, "storage-path") == OF_A_SERVICE
