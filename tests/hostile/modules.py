"""Modules that try something: what each changes in an honest one, and the refusal that ``workspace.add`` owes it.

``{home}``, ``{ran}`` and ``{url}`` stand for the person's home, the folder in which a module's command leaves its mark,
and a server that notes who comes.
"""

from __future__ import annotations

import io
import os
import shlex
import socket
import stat
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.hostile import fragments

LOCAL = "workspace/local"
DEPLOYMENT = """\
version: 1
deployment: yoda
client: Yoda Ltd
module: guest
strategy: rsync
hosts: [{host: 127.0.0.1, port: 1}]
user: deploy
base_path: /srv/dagster
dagster: {kind: native, url: "http://127.0.0.1:9"}
environment: {kind: host, python: python3}
"""


@dataclass(frozen=True)
class Places:
    """Where a module's tries lead to.

    Attributes:
        home: The person's home, with secrets.
        ran: A folder in which each command of a module's leaves a mark.
        url: A server that notes who comes.
    """

    home: Path
    ran: Path
    url: str

    def filled(self, text: str) -> str:
        """Return a text with the places in it."""
        return text.replace("{home}", str(self.home)).replace("{ran}", str(self.ran)).replace("{url}", self.url)


Change = Callable[[Path, Places], None]


@dataclass(frozen=True)
class Hostile:
    """What one module tries.

    Attributes:
        name: What it tries.
        change: Makes it of an honest module.
        refused: What ``workspace.add`` says; None where it is harmless there, and added.
    """

    name: str
    change: Change
    refused: str | None = None


def write(path: str, text: str | bytes) -> Change:
    def change(module: Path, places: Places) -> None:
        file = module / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        file.write_bytes(places.filled(text).encode() if isinstance(text, str) else text)

    return change


def link(path: str, target: str) -> Change:
    def change(module: Path, places: Places) -> None:
        place = module / path
        _clear(place)
        place.symlink_to(places.filled(target))

    return change


def special(path: str, kind: str) -> Change:
    def change(module: Path, _places: Places) -> None:
        place = module / path
        _clear(place)
        if kind == "fifo":
            os.mkfifo(place)
        elif kind == "socket":
            # A path in an address has 107 bytes at most (unix(7)).
            with socket.socket(socket.AF_UNIX) as server:
                before = Path.cwd()
                os.chdir(place.parent)
                server.bind(place.name)
                os.chdir(before)
        elif os.geteuid() == 0:
            os.mknod(place, stat.S_IFCHR | 0o666, os.makedev(1, 5))
        else:
            place.symlink_to("/dev/zero")

    return change


def large(path: str, size: int) -> Change:
    def change(module: Path, _places: Places) -> None:
        with (module / path).open("wb") as file:
            file.truncate(size)

    return change


def _clear(place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_dir() and not place.is_symlink():
        place.rename(place.with_name(f"{place.name}-before"))
    place.unlink(missing_ok=True)


def all_of(*changes: Change) -> Change:
    def change(module: Path, places: Places) -> None:
        for one in changes:
            one(module, places)

    return change


def repository(*settings: tuple[str, str], attributes: str = "", hook: str = "") -> Change:
    """Make the module a repository with these settings."""

    def change(module: Path, places: Places) -> None:
        def git(*arguments: str) -> None:
            subprocess.run(["git", "-C", module, *arguments], check=True, capture_output=True)

        git("init", "--quiet")
        git("add", "--all")
        git("-c", "user.name=g", "-c", "user.email=g@example.com", "commit", "--quiet", "--message=x")
        if attributes:
            (module / ".gitattributes").write_text(attributes)
        if hook:
            for name in ("pre-commit", "post-checkout", "post-index-change", "reference-transaction", "fsmonitor"):
                file = module / ".git/hooks" / name
                file.write_text(f"#!/bin/sh\n{places.filled(hook)}\n")
                file.chmod(0o755)
        for key, value in settings:
            git("config", key, places.filled(value))
        (module / "src/guest_dagster/new.py").write_text("")

    return change


def bare(module: Path, places: Places) -> None:
    """Make the module's folder itself a bare repository, whose file system monitor is a command."""
    (module / "objects").mkdir()
    (module / "refs").mkdir()
    (module / "HEAD").write_text("ref: refs/heads/main\n")
    (module / "config").write_text(
        f"[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = .\n\tfsmonitor = {mark(places)}\n"
    )


def mark(places: Places, name: str = "ran") -> str:
    return f"touch {shlex.quote(str(places.ran))}/{name};false"


def archive(*names: str, size: int = 1) -> Change:
    def change(module: Path, _places: Places) -> None:
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as file:
            for name in names:
                file.writestr(name, b"\0" * size)
        folder = module / ".dagster-module"
        folder.mkdir()
        (folder / "baseline.zip").write_bytes(held.getvalue())
        (module / ".dagster-module.json").write_text('{"template_version": "1.0.0", "answers": {"name": "guest"}}')

    return change


def fragment(case: fragments.Case) -> Hostile:
    def change(module: Path, _places: Places) -> None:
        for name, text in case.in_module.items():
            (module / name).parent.mkdir(parents=True, exist_ok=True)
            (module / name).write_bytes(text)

    return Hostile(f"fragment: {case.name}", change, "guest|refused")


SECRET, RUN = "{home}/.ssh/id_canary", "open('{ran}/ran', 'w')\n"
TOUCH = "touch {ran}/ran;false"
PROJECT = '[project]\nname = "guest"\nversion = "0"\n'
BACKEND = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)
FRAGMENT_FILES = ("workspace.yaml", ".env", "docker-compose.yml", "dockerfile.snippet")
OTHERS = (".dagster-module.json", "pyproject.toml", "setup.py", "setup.cfg", "uv.lock", "requirements.txt", ".env")
UNREAD = (
    "README.md", "Dockerfile", "src/guest_dagster/definitions.py", "src/guest_dagster/more.py", "tests/test_x.py",
    ".gitignore", "deploy/yoda/deployment.yaml", "deploy/yoda/.env.deploy", "deploy/yoda/known_hosts",
    "deploy/yoda/DEPLOYMENT.md", "deploy/deployment.schema.json",
    ".dagster-module/baseline.zip",
)  # fmt: skip
FOLDERS = ("deploy", "deploy/yoda", "src", "src/guest_dagster", "tests", "data", ".github", ".dagster-module", "docs")
LEADS_OUT, NOT_PLAIN = "leads out of|leads through", "is not a regular file|leads out of"

LINKS = (
    *(
        Hostile(f"link: the fragment {name} to a key", link(f"{LOCAL}/{name}", SECRET), LEADS_OUT)
        for name in FRAGMENT_FILES
    ),
    *(
        Hostile(f"link: the fragment {name} to others' secrets",
                link(f"{LOCAL}/{name}", "../../../../services/dagster/.env"), LEADS_OUT)
        for name in FRAGMENT_FILES
    ),
    *(
        Hostile(f"link: the fragment {name} to one of the home", link(f"{LOCAL}/{name}", f"{{home}}/{name}"), LEADS_OUT)
        for name in FRAGMENT_FILES
    ),
    *(
        Hostile(f"link: {name} to one of the home", link(name, f"{{home}}/{name}"), LEADS_OUT)
        for name in (".dagster-module.json", "pyproject.toml", "uv.lock", "requirements.txt")
    ),
    *(
        Hostile(f"link: {name} to one of the home", link(f"deploy/{name}", f"{{home}}/{name}"))
        for name in ("yoda/deployment.yaml", "yoda/.env.deploy")
    ),
    *(
        Hostile(f"link: the fragment .env to {target}", link(f"{LOCAL}/.env", target), LEADS_OUT)
        for target in ("/etc/passwd", "{home}/../etc/shadow", "../../../../../etc/ssl/private.pem")
    ),
    Hostile("link: settings of a deployment to the machine's", link("deploy/yoda/.env.deploy", "{home}/../etc/shadow")),
    Hostile("link: the folder docs to the machine's", link("docs", "/etc")),
    *(Hostile(f"link: {name} to a key", link(name, SECRET), LEADS_OUT) for name in OTHERS),
    *(Hostile(f"link: {name} to a key", link(name, SECRET)) for name in UNREAD),
    *(Hostile(f"link: the folder {name} to the home", link(name, "{home}")) for name in FOLDERS),
    Hostile("link: the fragments' folder to the home", link(LOCAL, "{home}"), "workspace/local|leads out"),
    Hostile("link: the folder above it to the home", link("workspace", "{home}"), "workspace/local|leads out"),
    Hostile("link: a fragment to nowhere", link(f"{LOCAL}/docker-compose.yml", "nowhere")),
    Hostile("link: a fragment to itself", link(f"{LOCAL}/.env", ".env"), "leads nowhere|not a regular file"),
    Hostile("link: a fragment to a device", link(f"{LOCAL}/.env", "/dev/zero"), LEADS_OUT),
)  # fmt: skip

SPECIAL = (
    *(Hostile(f"fifo: the fragment {name}", special(f"{LOCAL}/{name}", "fifo"), NOT_PLAIN) for name in FRAGMENT_FILES),
    *(Hostile(f"fifo: {name}", special(name, "fifo"), NOT_PLAIN) for name in OTHERS[:2]),
    *(Hostile(f"fifo: {name}", special(name, "fifo")) for name in UNREAD if not name.endswith("zip")),
    Hostile("device: a fragment", special(f"{LOCAL}/.env", "device"), NOT_PLAIN),
    Hostile("device: code", special("src/guest_dagster/more.py", "device")),
    Hostile("socket: a fragment", special(f"{LOCAL}/.env", "socket"), NOT_PLAIN),
    Hostile("large: a fragment", large(f"{LOCAL}/.env", 1 << 30), "larger than 16 MiB"),
    Hostile("large: pyproject.toml", large("pyproject.toml", 1 << 34), "larger than 16 MiB"),
    Hostile("large: code", large("src/guest_dagster/more.py", 1 << 34)),
    Hostile("large: a deployment", large("deploy/yoda/deployment.yaml", 1 << 34)),
)

GIT = (
    Hostile("git: a bare repository", bare),
    Hostile("git: a monitor", repository(("core.fsmonitor", TOUCH))),
    Hostile("git: hooks", repository(hook=TOUCH)),
    Hostile("git: hooks elsewhere", repository(("core.hooksPath", ".git/hooks"), hook=TOUCH)),
    Hostile("git: a filter", repository(("filter.x.clean", TOUCH), ("filter.x.process", TOUCH),
                                          attributes="* filter=x\n")),
    Hostile("git: a diff", repository(("diff.external", TOUCH), ("diff.x.textconv", TOUCH), attributes="* diff=x\n")),
    Hostile("git: a merge", repository(("merge.x.driver", TOUCH), attributes="* merge=x\n")),
    Hostile("git: a pager, an editor, an agent",
            repository(("core.pager", TOUCH), ("core.editor", TOUCH), ("core.sshCommand", TOUCH),
                       ("gpg.program", TOUCH))),
    Hostile("git: credentials", repository(("credential.helper", f"!{TOUCH}"), ("remote.origin.url", "{url}/x.git"))),
    Hostile("git: a remote that is a command", repository(("remote.origin.url", f"ext::sh -c {TOUCH}"),
                                                          ("protocol.ext.allow", "always"))),
    Hostile("git: a work tree elsewhere", repository(("core.worktree", "{home}"))),
    Hostile("git: an included file", repository(("include.path", SECRET))),
    Hostile("git: a repository elsewhere", write(".git", "gitdir: {home}/.ssh\n")),
    Hostile("git: a submodule", all_of(repository(), write(
        ".gitmodules", '[submodule "x"]\n\tpath = x\n\turl = {url}/x\n'))),
)  # fmt: skip

CODE = (
    *(
        Hostile(f"code: {name}", write(name, RUN))
        for name in ("conftest.py", "sitecustomize.py", "usercustomize.py", "yaml.py", "dagster.py", "tasks.py",
                     "invoke.py", "src/sitecustomize.py", "src/guest_dagster/__init__.py", "tests/conftest.py",
                     "noxfile.py", "dagster_module_builder.py")
    ),
    Hostile("code: invoke.yaml", write("invoke.yaml", "run: {shell: '{ran}'}\ntasks: {search_root: '{home}'}\n")),
    Hostile("build: a backend", all_of(write("backend.py", RUN),
                                       write("pyproject.toml", f"{PROJECT}dynamic = ['dependencies']\n{BACKEND}"))),
    Hostile("build: setup.py", all_of(write("setup.py", RUN), write("pyproject.toml", ""))),
    Hostile("build: uv.toml", write("uv.toml", 'index-url = "{url}/simple"\n')),
    Hostile("index: its own", write(
        "pyproject.toml", f'{PROJECT}dependencies=["x"]\n[[tool.uv.index]]\nurl="{{url}}/s"\n')),
    Hostile("index: a URL", write("pyproject.toml", f'{PROJECT}dependencies=["x @ {{url}}/x.whl"]\n')),
    Hostile("index: a repository", write("pyproject.toml", f'{PROJECT}dependencies=["x @ git+{{url}}/x"]\n')),
    Hostile("index: options", write(
        "pyproject.toml", f'{PROJECT}dependencies=["--index-url {{url}}", "-r {SECRET}"]\n')),
)  # fmt: skip

TEXTS = (
    *(
        Hostile(f"bomb: {name}", write(f"{LOCAL}/{name}", f"{key}\n{BOMB}"), "guest|too|alias|refused|cannot")
        for name, key in (("docker-compose.yml", "services: {}"), ("workspace.yaml", "load_from: []"))
    ),
    Hostile("bomb: a deployment", write("deploy/yoda/deployment.yaml", BOMB)),
    *(
        Hostile(f"nested: {name}", write(f"{LOCAL}/{name}", "services: " + "[" * 100_000), "deep|nest|guest|line")
        for name in ("docker-compose.yml", "workspace.yaml")
    ),
    Hostile("nested: a deployment", write("deploy/yoda/deployment.yaml", "[" * 100_000)),
    Hostile("nested: pyproject.toml", write("pyproject.toml", "a = " + "[" * 100_000)),
    Hostile("nested: the record", write(".dagster-module.json", "[" * 100_000)),
    Hostile("nested: code", write("src/guest_dagster/more.py", "(" * 100_000)),
    *(
        Hostile(f"not UTF-8: {name}", write(f"{LOCAL}/{name}", b"\xff\xfe: \x80\n"), "UTF-8|utf-8|cannot|not")
        for name in ("docker-compose.yml", "workspace.yaml", ".env")
    ),
    Hostile("not UTF-8: pyproject.toml", write("pyproject.toml", b"\xff\xfe")),
    Hostile("not UTF-8: code", write("src/guest_dagster/more.py", b"# \xff\xfe\n")),
    Hostile("not UTF-8: a name", lambda module, _: Path(os.fsdecode(os.fsencode(module) + b"/src/\xff.py")).touch()),
    Hostile("controls: a name", write("src/\x1b]0;title\x07\x1b[2Kx.py", "")),
    Hostile("controls: a service", write(
        f"{LOCAL}/docker-compose.yml", 'services:\n  "\x1b[2Kx":\n    image: x\n'), "."),
    Hostile("controls: a deployment", write("deploy/yoda/deployment.yaml",
                                            DEPLOYMENT.replace("Yoda Ltd", '"\\e]0;x\\a\\e[2K"'))),
    Hostile("twice: keys", write(f"{LOCAL}/docker-compose.yml", "services:\n  a: {image: x}\n  a: {image: y}\n"),
            "docker-compose.yml:3: the key 'services.a' is repeated"),
    Hostile("twice: keys on one line", write(f"{LOCAL}/docker-compose.yml", "services:\n  a: {image: x, image: y}\n"),
            "docker-compose.yml:2: the key 'services.a.image' is repeated"),
    Hostile("twice: keys of a location", write(
        f"{LOCAL}/workspace.yaml",
        "load_from:\n  - python_package:\n      package_name: a\n      package_name: b\n"),
        "workspace.yaml:4: the key 'load_from.0.python_package.package_name' is repeated"),
    Hostile("tags: Python", write(f"{LOCAL}/docker-compose.yml",
                                  "services: !!python/object/apply:os.system ['touch {ran}/ran']\n"), "."),
    Hostile("tags: Python, in a deployment", write("deploy/yoda/deployment.yaml",
                                                   "!!python/object/apply:os.system ['touch {ran}/ran']\n")),
    Hostile("templates: in a deployment", write(
        "deploy/yoda/deployment.yaml", DEPLOYMENT.replace("Yoda Ltd", "{{ cycler.__init__.__globals__.os }}"))),
    Hostile("markers: in a fragment", write(f"{LOCAL}/.env", "# BEGIN: other\nA='1'\n# END: other\n"), "marker"),
    Hostile("variables: the machine's", write(f"{LOCAL}/.env", "LD_PRELOAD='{home}/x.so'\n"), "LD_PRELOAD"),
    Hostile("ssh: a configuration", all_of(
        write("deploy/yoda/ssh_config", 'Match exec "touch {ran}/ran"\nHost *\n  ProxyCommand touch {ran}/ran\n'),
        write("deploy/yoda/deployment.yaml", f"{DEPLOYMENT}ssh: {{config: ssh_config}}\n"))),
    Hostile("ssh: options as a host", write(
        "deploy/yoda/deployment.yaml", DEPLOYMENT.replace("127.0.0.1, ", "'-oProxyCommand=touch {ran}/ran', "))),
    Hostile("archive: names above it", archive("../../../escaped", "/tmp/escaped-by-guest")),
    Hostile("archive: a bomb", archive(*(f"{number}" for number in range(20)), size=16 << 20)),
    Hostile("archive: none", write(".dagster-module/baseline.zip", b"PK\x03\x04" + b"\0" * 100)),
)  # fmt: skip

ALL = (*LINKS, *SPECIAL, *GIT, *CODE, *TEXTS, *map(fragment, fragments.CASES[::30]))
