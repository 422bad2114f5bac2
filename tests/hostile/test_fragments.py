"""What a module's fragments may say, looked at by the rules alone, and through the tasks that read them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dagster_module_builder.audit.run import audit
from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import FragmentRefusedError, UsageError
from dagster_module_builder.fragment_rules.references import WorkspaceNames
from dagster_module_builder.fragment_rules.refused import covers, parse_allowances
from dagster_module_builder.fragment_rules.rules import Judged, judge
from dagster_module_builder.health.validate import validate
from dagster_module_builder.modules.module import FRAGMENT_NAMES
from dagster_module_builder.shared_files.formats.outline import UnsafeEditError
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.listing import listing
from dagster_module_builder.workspaces.sync import sync
from tests.cli.terminal import Terminal
from tests.corpus.workspaces import bytes_of
from tests.engine.folders import make_workspace, services
from tests.hostile.fragments import CASES, COMPOSE, HARMLESS, NAME, SERVICES, SNIPPET, SNIPPETS, Case

SHARED = {fragment: shared for shared, fragment in FRAGMENT_NAMES.items()}


def judged(fragments: dict[str, bytes], around: WorkspaceNames | None = None) -> Judged:
    return judge(NAME, {SHARED[name]: text for name, text in fragments.items()}, around or WorkspaceNames())


def refused(case: Case) -> dict[str, int]:
    """Return what is refused of a fragment, with the lines."""
    found = judged(case.fragments).refused
    assert {one.file for one in found} == {SHARED[case.file]}
    return {one.setting: one.line for one in found}


def test_there_are_as_many_cases_as_there_have_to_be() -> None:
    assert len(SERVICES) >= 35
    assert len(SNIPPETS) >= 15
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_hostile_fragment_is_refused_with_its_settings_and_their_lines(case: Case) -> None:
    """FAULTS S5, S15: what a module may say is a list; all else is named with its line."""
    found = refused(case)
    assert set(found) == set(case.refused)
    for setting, line in found.items():
        said = case.text.splitlines()[line - 1]
        assert any(word in said for word in setting.replace(":", " ").replace(".", " ").split()), (setting, line)


HONEST = (
    "image: ghcr.io/x/y:1",
    "command: ['a', '--b=${GUEST_PORT}']\nentrypoint: /x\nworking_dir: /x\ninit: true\ntty: true\nstop_signal: INT",
    "ports: ['127.0.0.1:${GUEST_PORT}:5432', {target: 80, published: '8080'}]\nexpose: [80]",
    "environment: {A: b, PATH: /x, GUEST_A: null}",
    "environment: ['A=b', 'B=$$x', GUEST_TOKEN]",
    "healthcheck: {test: [CMD-SHELL, 'echo $$X'], interval: 5s}\nrestart: unless-stopped\nprofiles: [x]",
    "depends_on: {guest_db: {condition: service_healthy}, dagster_postgres: {condition: service_started}}",
    "labels: {traefik.enable: 'true'}\nlogging: {driver: json-file, options: {max-size: 10m}}",
    "labels: ['a=b']\ncontainer_name: guest-db\nhostname: db\nplatform: linux/amd64\npull_policy: always",
    "ulimits: {nofile: 65536}\nmem_limit: 1g\ncpus: 2\npids_limit: 100\nshm_size: 1g\nstop_grace_period: 1m",
    "tmpfs: [/run]\nread_only: true\ncap_drop: [ALL]\nsecurity_opt: ['no-new-privileges:true']\nprivileged: false",
    "user: '1000:1000'", "user: postgres", "user: ${WORKSPACE_UID:-1000}:${WORKSPACE_GID:-1000}", "user: 70",
    "volumes: ['guest_data:/x', '../../projects/guest:/y:ro', '../../data/in:/z', '../../data/storage/guest:/s', /c]",
    "volumes: [{type: volume, source: guest_data, target: /x, volume: {nocopy: true}}, {type: tmpfs, target: /t}]",
    "volumes: [{type: bind, source: ../../projects/guest, target: /x, read_only: true, bind: {selinux: z}}]",
    "env_file: ../../projects/guest/db.env", "env_file: [{path: ../../projects/guest/db.env, required: false}]",
    "networks: {workspace-net: {aliases: [guest-search]}}", "networks: [workspace-net, guest_net]",
    "network_mode: none", "network_mode: service:guest_db", "extends: guest_db", "extends: {service: guest_db}",
    "deploy: {replicas: 2, resources: {limits: {cpus: '1', memory: 1g}}, restart_policy: {condition: any}}",
    "image: ${COMPOSE_PROJECT_NAME}-guest\nbuild: {context: ../../projects/guest, args: {A: b}, target: x}",
    "build: ../../projects/guest/image", "extra_hosts: ['host.docker.internal:host-gateway']", "x-mine: {a: 1}",
    "secrets: [guest_key]\nconfigs: [{source: guest_conf, target: /x}]", "post_start: [{command: x, user: '1'}]",
)  # fmt: skip
SECTIONS = """
volumes:
  guest_data:
  guest_more: {name: "${COMPOSE_PROJECT_NAME}_guest_more", labels: {a: b}}
networks:
  guest_net: {driver: bridge, internal: true}
secrets:
  guest_key: {file: ../../projects/guest/key}
  guest_token: {environment: GUEST_TOKEN}
configs:
  guest_conf: {content: a}
x-common: {a: 1}
x-dagster-code:
  depends_on: {guest_db: {condition: service_started}}
  environment: {GUEST_DB_HOST: guest_db}
  volumes: ['guest_data:/data/guest', '../../projects/guest/out:/tmp/dagster_storage/guest']
"""


@pytest.mark.parametrize("keys", HONEST)
def test_settings_that_people_use_are_not_refused(keys: str) -> None:
    lines = "\n".join(f"    {line}" for line in keys.splitlines())
    text = f"services:\n  guest_db:\n{lines}\n{SECTIONS}"
    assert judged({**case_of(HARMLESS), COMPOSE: text.encode()}).refused == ()


@pytest.mark.parametrize(
    "text",
    [
        "# A comment\nRUN apt-get update \\\n    # why\n    && apt-get install --yes x\n",
        "RUN <<E\nset -e\nfrom x import y\nE\nLABEL a=b\n",
        "run --mount=type=cache,id=guest-uv,target=/root/.cache uv pip install x\n",
        "RUN --mount=source=projects/guest/x,target=/x --network=none true\nRUN --mount=type=tmpfs,target=/t x\n",
        'COPY --chown=1000:1000 --chmod=644 projects/guest/a projects/guest/b/ /x/\nCOPY ["projects/guest/a b", "/"]\n',
        "COPY <<E /etc/guest.conf\na = b\nE\n",
        "ENV A=b C='d e' F=\"g h\" \\\n    I=j\nENV OLD form of it\nARG X\nARG Y=1 Z=2\n",
        'ENV PYTHONPATH="/workspace/projects/guest/src:${PYTHONPATH}"\n',
    ],
)
def test_instructions_that_people_use_are_not_refused(text: str) -> None:
    assert judged({**case_of(HARMLESS), SNIPPET: text.encode()}).refused == ()


@pytest.mark.parametrize(
    "text", ["\u00a0\n", "\x1c\n", "USER\n", "RUN <<E\nUSER \nE\n", "ENV\n", "ARG \u00a0\n", "COPY {} x\n"]
)
def test_what_is_hardly_an_instruction_is_refused_too(text: str) -> None:
    assert len(judged({**case_of(HARMLESS), SNIPPET: text.encode()}).refused) == 1


def case_of(fragments: object) -> dict[str, bytes]:
    return {name: text.encode() for name, text in dict(fragments).items()}  # type: ignore[call-overload]


CODE_SERVER = """\
services:
  guest_code:
    image: ${COMPOSE_PROJECT_NAME}-guest_code
    build: {context: ../.., dockerfile: projects/guest/Dockerfile}
    user: ${WORKSPACE_UID:-1000}:${WORKSPACE_GID:-1000}
    env_file: .env
    volumes: [../..:/workspace, 'dagster_home:/opt/dagster/home/storage', 'dagster_storage:/tmp/dagster_storage']
"""
SERVER = b"load_from:\n  - grpc_server: {host: guest_code, port: 4000}\n"


def test_a_code_server_has_what_services_that_run_code_have_and_no_more() -> None:
    fragments = {**case_of(HARMLESS), COMPOSE: CODE_SERVER.encode(), "workspace.yaml": SERVER}
    assert judged(fragments).refused == ()
    changes = {
        "    user: ${WORKSPACE_UID:-1000}:${WORKSPACE_GID:-1000}\n": ("", {"volumes:../.."}),
        "../..:/workspace": ("../..:/else", {"volumes:../.."}),
        "dagster_home:/opt/dagster/home/storage": ("dagster_home:/x", {"volumes:dagster_home"}),
        "projects/guest/Dockerfile": ("services/dagster/Dockerfile", {"build.dockerfile:services/dagster/Dockerfile"}),
    }
    for old, (new, wanted) in changes.items():
        changed = judged({**fragments, COMPOSE: CODE_SERVER.replace(old, new).encode()}).refused
        assert {one.setting for one in changed} == wanted
    no_server = judged({**fragments, "workspace.yaml": HARMLESS["workspace.yaml"].encode()}).refused
    assert {"volumes:../..", "env_file:.env", "build.context:../.."} <= {one.setting for one in no_server}


def test_what_stands_among_the_workspaces_lines_cannot_be_taken_over() -> None:
    around = WorkspaceNames(anchors={"common"}, variables={"SECRET"}, uses={"POSTGRES_IMAGE"})
    text = b"services:\n  guest_db:\n    environment: &common {A: $SECRET}\n"
    found = judged({**case_of(HARMLESS), COMPOSE: text, ".env": b"GUEST_A='1'\nPOSTGRES_IMAGE='evil'\n"}, around)
    assert {one.setting for one in found.refused} == {"anchor:common", "variable:SECRET", "variable:POSTGRES_IMAGE"}


@pytest.mark.parametrize(
    "text",
    [
        "x-0: &a0 [/:/h]\n" + "".join(f"x-{n}: &a{n} [{f'*a{n - 1}, ' * 9}]\n" for n in range(1, 12))
        + "services:\n  guest_db:\n    devices: *a11\n",
        "services:\n" + "".join(f"  s{number}:\n    pid: host\n" for number in range(300)),
    ],
    ids=["aliases of aliases", "hundreds of settings"],
)  # fmt: skip
def test_what_cannot_be_listed_is_refused_as_a_whole(text: str) -> None:
    with pytest.raises(UnsafeEditError, match="more than 200 settings"):
        judged({**case_of(HARMLESS), COMPOSE: text.encode()})


def test_an_allowance_covers_its_setting_and_what_is_below_its_key_and_no_neighbour() -> None:
    pairs = {
        ("privileged", "privileged"): True, ("cap_add", "cap_add:X"): True, ("cap_add:X", "cap_add:X_Y"): False,
        ("deploy", "deploy.x.y:1"): True, ("volumes:/a", "volumes:/a:ro"): True, ("pid", "pids:1"): False,
        ("volumes:/a", "volumes:/a/b"): False, ("volumes:/a", "volumes:/a.b"): False, ("x:/a:ro", "x:/a"): False,
    }  # fmt: skip
    assert {pair: covers(*pair) for pair in pairs} == pairs


def test_allowances_are_read_as_the_refusal_prints_them() -> None:
    given = ["shop=privileged", "shop=volumes:/a=b", "a-b=COPY:--from=x"]
    assert parse_allowances(given) == {"shop": ("privileged", "volumes:/a=b"), "a-b": ("COPY:--from=x",)}
    for wrong in ("privileged", "shop=", "=x", "Shop=x", "shop= "):
        with pytest.raises(UsageError, match="write NAME=SETTING"):
            parse_allowances([wrong])


def put(root: Path, case: Case) -> Path:
    folder = root / settings.PROJECTS / NAME
    for name, text in case.in_module.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = make_workspace(tmp_path / "ws")
    (services(made) / ".env").chmod(0o600)
    return made


RIGHTS = next(case for case in SERVICES if case.name == "all rights")
HARMLESS_CASE = Case("harmless", COMPOSE, HARMLESS[COMPOSE], ())


def test_every_task_that_reads_fragments_refuses_and_changes_nothing(root: Path) -> None:
    """FAULTS S5: ``add``, ``sync``, ``validate``, ``audit`` meet the same rules, and name the place and the cure."""
    folder = put(root, RIGHTS)
    before = bytes_of(root)
    said = f"{folder / settings.FRAGMENTS / COMPOSE}:4: services.guest_db: 'privileged' gives the container rights"
    for task in (lambda: add_module(root, NAME), lambda: sync(root)):
        with pytest.raises(FragmentRefusedError) as refusal:
            task()
        assert said in str(refusal.value)
        assert f"workspace.add {NAME} --allow {NAME}=privileged" in str(refusal.value)
    assert bytes_of(root) == before
    (result,) = [one for one in audit(root, folder).results if one.check == "fragment-settings"]
    assert result.status == "FAIL"
    assert result.problems[0].where == f"workspace/local/{COMPOSE}:4"

    put(root, HARMLESS_CASE)
    add_module(root, NAME)
    put(root, RIGHTS)
    (finding,) = [one for one in validate(root, check=False) if one.severity == "error"]
    assert finding.command == f"workspace.sync --allow {NAME}=privileged"
    assert finding.where == f"{folder / settings.FRAGMENTS / COMPOSE}:4"


def test_what_a_person_allows_is_recorded_shown_and_forgotten_with_the_setting(root: Path) -> None:
    folder = put(root, RIGHTS)
    done = add_module(root, NAME, allowances={NAME: ["privileged", "pid"]})
    assert [note for note in done.notes if "pid" in note] == [
        f"Warning: --allow {NAME}=pid was not recorded: {NAME!r} has no such setting that needs it."
    ]
    assert allowed(root) == ["privileged"]
    assert [one.allowed for one in listing(root)] == [("privileged",)]
    (result,) = [one for one in audit(root, folder).results if one.check == "fragment-settings"]
    assert [(one.status, one.message) for one in result.problems] == [("WARN", "'privileged' was allowed")]
    assert sync(root).outcome.plan.effective == ()
    assert [one for one in validate(root, check=False) if one.severity == "error"] == []

    put(root, HARMLESS_CASE)
    sync(root)
    assert allowed(root) is None
    put(root, RIGHTS)
    with pytest.raises(FragmentRefusedError):
        sync(root)
    sync(root, allowances={NAME: ["privileged"]})
    assert allowed(root) == ["privileged"]


def allowed(root: Path) -> list[str] | None:
    (entry,) = json.loads((root / settings.REGISTRY).read_bytes())["integrated_modules"]
    return entry.get("allowed")


def test_a_module_of_an_earlier_version_goes_on_working_with_a_warning(root: Path) -> None:
    """What stands in the workspace already was added without a question: it stays, new settings do not."""
    folder = put(root, RIGHTS)
    add_module(root, NAME, allowances={NAME: ["privileged"]})
    forget_allowances(root)
    (finding,) = validate(root, check=False)
    assert (finding.severity, finding.command) == ("warning", f"workspace.sync --allow {NAME}=privileged")
    fragment = folder / settings.FRAGMENTS / COMPOSE
    fragment.write_text(fragment.read_text().replace("x:1", "x:2"))
    done = sync(root)
    assert any("An earlier version added it" in note for note in done.outcome.notes)
    assert b"x:2" in (services(root) / COMPOSE).read_bytes()
    fragment.write_text(fragment.read_text() + "    pid: host\n")
    with pytest.raises(FragmentRefusedError) as refusal:
        sync(root)
    assert [text for _, text in refusal.value.settings] == [
        "services.guest_db: 'pid:host' shares a namespace with this machine or with other containers"
    ]


def forget_allowances(root: Path) -> None:
    """Make the registry one of an earlier version."""
    registry = root / settings.REGISTRY
    data = json.loads(registry.read_bytes())
    for entry in data["integrated_modules"]:
        del entry["allowed"]
    registry.write_text(json.dumps(data))


@pytest.mark.parametrize("link", ["projects/guest/out", "data/out"])
def test_a_mount_that_a_link_leads_elsewhere_is_refused(root: Path, tmp_path: Path, link: str) -> None:
    text = f"services:\n  guest_db:\n    image: x:1\n    volumes: ['../../{link}/a:/out']\n"
    put(root, Case("link", COMPOSE, text, ()))
    (root / link).parent.mkdir(exist_ok=True)
    (root / link).symlink_to(tmp_path)
    with pytest.raises(FragmentRefusedError, match="leads out of the module's folder through a link"):
        add_module(root, NAME)
    (root / link).unlink()
    (root / link).mkdir()
    add_module(root, NAME)


OWN_FILE = "services:\n  guest_db:\n    image: x:1\n    env_file: ../../projects/guest/db.env\n"


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("A=${AWS_TOKEN}\nB='$LITERAL'\n# $NO\nC=$GUEST_X\nD=$$E\n", {"AWS_TOKEN"}),
        ('export AWS_TOKEN\nB: $OTHER\r\nC = "x${SHOP_PASSWORD:-}"\n', {"AWS_TOKEN", "OTHER", "SHOP_PASSWORD"}),
        ("A=\"\nB='$HOME'\n\"\n", {"HOME"}),
        ("A='x\\'\nB='$HOME'\n", {"HOME"}),
        ("A='1'\nGUEST_TOKEN\nTZ\n", set()),
    ],
)
def test_an_own_file_of_variables_takes_none_of_others(root: Path, text: str, taken: set[str]) -> None:
    """FAULTS S5, S15: Compose fills variables of the shell and of ``.env`` into it, and takes names without values."""
    folder = put(root, Case("env_file", COMPOSE, OWN_FILE, ()))
    (folder / "db.env").write_bytes(text.encode())
    if not taken:
        assert add_module(root, NAME, dry_run=True).plan.effective
        return
    with pytest.raises(FragmentRefusedError, match=r"is taken by projects/guest/db.env:\d") as refusal:
        add_module(root, NAME)
    assert {why.partition("'variable:")[2].partition("'")[0] for _, why in refusal.value.settings} == taken
    assert add_module(root, NAME, allowances={NAME: [f"variable:{name}" for name in taken]}).plan.effective


def test_a_file_of_variables_that_is_taken_raw_may_have_dollars(root: Path) -> None:
    raw = "env_file: [{path: ../../projects/guest/db.env, format: raw}]"
    folder = put(root, Case("env_file", COMPOSE, OWN_FILE.replace("env_file: ../../projects/guest/db.env", raw), ()))
    (folder / "db.env").write_text("A=$HOME\n")
    assert add_module(root, NAME, dry_run=True).plan.effective
    (folder / "db.env").write_text("HOME\n")
    with pytest.raises(FragmentRefusedError, match="variable:HOME"):
        add_module(root, NAME)


def test_what_was_changed_since_a_module_was_added_is_refused_before_docker_reads_it(terminal: Terminal) -> None:
    """FAULTS S5, S9: links and files of variables are looked at by ``workspace.up`` once more."""
    root = terminal.root
    terminal.run("workspace.init")
    mounts = "    volumes: ['../../projects/guest/out:/out']\n"
    folder = put(root, Case("changed", COMPOSE, OWN_FILE + mounts, ()))
    (folder / "db.env").write_text("A='1'\n")
    (folder / "out").mkdir()
    assert terminal.run("workspace.add", NAME, "--no-check").returncode == 0
    terminal.environment["DOCKER_HOST"] = f"unix://{root}/no.sock"
    assert "guest" not in terminal.refused("workspace.up")
    (folder / "db.env").write_text("A=$HOME\n")
    (folder / "out").rmdir()
    (folder / "out").symlink_to("/etc")
    said = terminal.refused("workspace.up")
    assert "link:projects/guest/out->/etc" in said
    assert "variable:HOME" in said
    command = said.strip().splitlines()[-1].split()
    assert command[:2] == ["workspace.sync", "--allow"]


def test_the_command_that_a_refusal_prints_allows_what_it_refuses(terminal: Terminal) -> None:
    root = terminal.root
    terminal.run("workspace.init")
    case = next(case for case in CASES if case.name == "image: a device")
    put(root, Case("both", SNIPPET, case.text + "USER root\n", ()))
    refusal = terminal.run("workspace.add", NAME, "--no-check")
    assert refusal.returncode == 1
    command = refusal.stderr.strip().splitlines()[-1].split()
    assert command[:2] == ["workspace.add", NAME]
    assert terminal.run(*command, "--no-check").returncode == 0
    assert f"{NAME} is allowed: RUN:--device=x, USER:root" in terminal.run("workspace.list").stdout
    wrong = terminal.run("workspace.sync", "--allow", "privileged")
    assert (wrong.returncode, "write NAME=SETTING" in wrong.stderr) == (2, True)
