"""A deployment against raw rsync, Ansible and pyinfra: the same files over the same SSH, near and far.

    python benchmarks/deploy.py [--files 60 5000] [--far 50] [--repeat 3] [--peers [NAME …]] [--hosts 8] [--git]
                                [--json FILE]

Far away, everything is measured once more on the same wire without its delay: what is between the two, divided by the
delay, are the round trips. ``--git`` deploys the same files with that strategy too. ``cp`` is how long the host's file
system takes to hold that many files, whoever brings them; with ``TMPDIR=/dev/shm`` everything is in memory, and that is
next to nothing. Interpreter starts are taken off all times. What Dagster itself takes (validate, reload) is
in a separate column; the host's Dagster is the stand-in of the tests, so that the rest is what is measured.
``--far MS`` needs root, gcc and iproute2; ``--peers`` needs ``ansible`` and ``pyinfra`` on PATH.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY))

from benchmarks.far_wire import FAR, wire
from dagster_module_builder.deploy.deploy import Options, deploy
from dagster_module_builder.deploy.model.deployment import find
from tests.deploy.modules import make_deployment, make_module, set_value, simplify
from tests.deploy.quick_dagster import PYTHON
from tests.deploy.sshd import SshHost, free_port, make_key

CASES = ("first", "no change", "one file")
PEERS = ("ansible", "pyinfra")


@dataclass
class Bench:
    """A module of so many files and the hosts that it goes to."""

    root: Path
    module: Path
    hosts: list[SshHost]

    def change(self, value: object) -> None:
        """Change one file, and commit it."""
        set_value(self.module, value)
        commit(self.root)

    def use(self, strategy: str) -> None:
        """Deploy with another strategy."""
        path = self.module / "deploy/yoda/deployment.yaml"
        path.write_text(re.sub("^strategy: .*$", f"strategy: {strategy}", path.read_text(), flags=re.MULTILINE))

    def three_cases(self, strategy: str, turn: int) -> Iterator[tuple[str, str, float]]:
        """Deploy to empty hosts, once more, and with a change; yield what took how long."""
        self.use(strategy)
        for host in self.hosts:
            fresh(host)
        for case in CASES:
            if case == "one file":
                self.change(f"{1000 + turn}, {strategy!r}")
            for what, seconds in self.ours().items():
                yield case, what, seconds

    def ours(self) -> dict[str, float]:
        started = time.perf_counter()
        outcomes = deploy(find(self.root, "yoda"), Options(allow_dirty=True, settle=False, keep=2))
        whole = time.perf_counter() - started
        dagster = max(one.seconds["validate"] + one.seconds["reload"] for one in outcomes)
        return {"transport": whole - dagster, "dagster": dagster}


def commit(root: Path) -> None:
    """Commit everything below a folder."""
    settings = ["-c", "user.name=x", "-c", "user.email=x@x", "-c", "gc.auto=0"]
    for arguments in (["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run(["git", *settings, *arguments], cwd=root, check=True)


@contextlib.contextmanager
def bench(
    folder: Path, files: int, address: Callable[[int], str], inside: str | None, count: int = 1
) -> Iterator[Bench]:
    """Make a module and hosts; each has an sshd and a stand-in for Dagster, in the namespace ``inside``."""
    root = folder / "workspace"
    module = simplify(make_module(root))
    data = module / "src/sales_report_dagster/data"
    for number in range(files - sum(1 for path in module.rglob("*") if path.is_file())):
        path = data / f"{number // 100:03}" / f"{number:05}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# file {number}\n" + "x = 1\n" * 150)
    key = make_key(folder / "key")
    hosts, dagsters, urls = [], [], []
    try:
        for number in range(count):
            host = SshHost(
                folder / f"host{number}", address(number), free_port() if inside is None else 2200 + number, key
            )
            host.namespace = inside
            hosts.append(host.start())
            host.base.joinpath("modules").mkdir(parents=True)
            (host.base / "workspace.yaml").write_text("load_from: []\n")
            port = free_port() if inside is None else 3000 + number
            urls.append(f"http://127.0.0.1:{port}")
            prefix = ["ip", "netns", "exec", inside] if inside else []
            stand_in = REPOSITORY / "tests/deploy/quick_dagster.py"
            process = subprocess.Popen(
                [*prefix, sys.executable, stand_in, host.base, str(port)], stdout=subprocess.PIPE
            )
            dagsters.append(process)
            process.stdout.readline()
        python = folder / "python"
        python.write_text(PYTHON)
        python.chmod(0o755)
        make_deployment(module, hosts, urls, str(python))
        (root / ".gitignore").write_text("deploy/\n__pycache__/\n")
        subprocess.run(["git", "init", "-q", root], check=True)
        commit(root)
        yield Bench(root, module, hosts)
    finally:
        for process in dagsters:
            process.kill()
            process.wait()
            process.stdout.close()
        for host in hosts:
            host.stop()


def fresh(host: SshHost) -> None:
    """Take everything out of a host's way."""
    while list(host.base.glob("modules/*/releases/*.gone")):
        time.sleep(0.05)
    put_away(host, "modules")
    (host.base / "modules").mkdir()
    (host.base / "workspace.yaml").write_text("load_from: []\n")
    (host.base / ".env").unlink(missing_ok=True)
    without_peers(host)


def without_peers(host: SshHost) -> None:
    """Take what the others made out of a host's way."""
    put_away(host, "peer*")


def put_away(host: SshHost, pattern: str) -> None:
    """Move what was made elsewhere: ext4 takes 60 times as long for a new file where many were removed of late.

    (It leaves the inodes of removed files alone for up to five minutes, and passes all of them for each new one:
    ``recently_deleted`` in fs/ext4/ialloc.c of Linux.)
    """
    away = host.folder / "away"
    away.mkdir(exist_ok=True)
    for path in list(host.base.glob(pattern)):
        path.rename(away / str(len(list(away.iterdir()))))


def timed(command: list[str], folder: Path, environ: dict[str, str]) -> float:
    started = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environ}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{command[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return time.perf_counter() - started


def copied(made: Bench) -> float:
    """Have a host copy the module's files from its own disk, where they are in its memory already."""
    return timed(
        ["cp", "-r", os.fspath(made.module / "src"), os.fspath(made.hosts[0].base / "peer-copy")], made.root, {}
    )


@dataclass
class Peers:
    """The same transfer, and about the same commands, as others do it; ``number`` counts the releases."""

    made: Bench
    folder: Path
    number: int = 0

    def step(self) -> tuple[str, str, str]:
        """Return this release's folder, the one before, and SSH's options."""
        self.number += 1
        host = self.made.hosts[0]
        known = self.made.module / "deploy/yoda/known_hosts"
        trusted = f"-o UserKnownHostsFile={known} -o StrictHostKeyChecking=yes"
        ssh = f"-p {host.port} -i {host.client_key} -o IdentitiesOnly=yes {trusted}"
        return f"{host.base}/peer{self.number}", f"{host.base}/peer{self.number - 1}", ssh

    def rsync(self) -> float:
        """Raw rsync and one command."""
        new, old, ssh = self.step()
        address = self.made.hosts[0].address
        excluded = ["--exclude=deploy", "--exclude=.env*", "--exclude=__pycache__", "--exclude=/tests"]
        took = timed(["rsync", "-az", *excluded, f"--link-dest={old}", "-e", f"ssh {ssh}", f"{self.made.module}/",
                      f"{address}:{new}/"], self.folder, {})  # fmt: skip
        return took + timed(["ssh", *ssh.split(), address, "true"], self.folder, {})

    def ansible(self) -> float:
        """``synchronize`` and five commands, with pipelining and a kept connection."""
        new, old, ssh = self.step()
        host = self.made.hosts[0]
        (self.folder / "inventory").write_text(
            f"{host.address} ansible_port={host.port} ansible_ssh_private_key_file={host.client_key} "
            f"ansible_python_interpreter=/usr/bin/python3 ansible_ssh_common_args='{ssh}'\n"
        )
        options = [
            f"--link-dest={old}",
            "--exclude=deploy",
            "--exclude=.env*",
            "--exclude=__pycache__",
            "--exclude=/tests",
        ]
        tasks = [
            {
                "ansible.posix.synchronize": {
                    "src": f"{self.made.module}/",
                    "dest": new,
                    "rsync_opts": options,
                    "use_ssh_args": True,
                }
            },
            *({"ansible.builtin.command": command} for command in five(new, host)),
        ]
        (self.folder / "play.yml").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
        environ = {"ANSIBLE_PIPELINING": "1", "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"),
                   "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=60s",
                   "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.folder / f"cp{self.number}")}  # fmt: skip
        (self.folder / "ansible.cfg").write_text("[defaults]\n")
        took = timed(["ansible-playbook", "-i", "inventory", "play.yml"], self.folder, environ)
        return took - start_of("ansible-playbook", self.folder)

    def pyinfra(self) -> float:
        """``files.rsync`` and five operations."""
        new, old, ssh = self.step()
        host = self.made.hosts[0]
        known = self.made.module / "deploy/yoda/known_hosts"
        (self.folder / "inventory.py").write_text(
            f"hosts = [({host.address!r}, {{'ssh_port': {host.port}, 'ssh_key': {str(host.client_key)!r}, "
            f"'ssh_known_hosts_file': {str(known)!r}, 'ssh_user': {os.environ.get('USER', 'root')!r}}})]\n"
        )
        flags = [
            "-az",
            f"--link-dest={old}",
            "--exclude=deploy",
            "--exclude=.env*",
            "--exclude=/tests",
            f"-e 'ssh {ssh}'",
        ]
        lines = ["from pyinfra.operations import files, server",
                 f"files.rsync(src={str(self.made.module) + '/'!r}, dest={new + '/'!r}, flags={flags!r})"]  # fmt: skip
        lines += [f"server.shell(commands=[{command!r}])" for command in five(new, host)]
        (self.folder / "work.py").write_text("\n".join(lines) + "\n")
        took = timed(["pyinfra", "-y", "inventory.py", "work.py"], self.folder, {})
        return took - start_of("pyinfra", self.folder)


def five(new: str, host: SshHost) -> list[str]:
    """Return what a deployment at least does beside the transfer."""
    current = f"{host.base}/peer-current"
    return [f"df {host.base}", f"test -d {new}", "python3 -c pass", f"ln -sfn {new} {current}", f"readlink {current}"]


def start_of(program: str, folder: Path) -> float:
    return timed([program, "--version"], folder, {})


def measure(
    made: Bench, folder: Path, repeat: int, *, peers: Sequence[str], git: bool
) -> dict[str, dict[str, list[float]]]:
    """Return, for each case, the seconds of each tool, as often as asked for."""
    found: dict[str, dict[str, list[float]]] = {case: {} for case in CASES}
    chosen = ["rsync", *peers]

    def note(case: str, who: str, seconds: float) -> None:
        found[case].setdefault(who, []).append(round(seconds, 3))

    strategies = {"ours": "rsync", **({"ours by git": "git"} if git else {})}
    for turn in range(repeat):
        for name, strategy in strategies.items():
            for case, what, seconds in made.three_cases(strategy, turn):
                note(case, f"{name}: {what}", seconds)
        note("first", "cp", copied(made))
        for who in chosen:
            peer = Peers(made, folder)
            without_peers(made.hosts[0])
            for case in CASES:
                if case == "one file":
                    made.change(f"{2000 + turn}, {who!r}")
                note(case, who, getattr(peer, who)())
    made.use("rsync")
    return found


def run(
    files: list[int], repeat: int, *, peers: Sequence[str], git: bool, hosts: int, place: str, inside: str | None
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    address = (lambda _: FAR) if inside else (lambda number: f"127.0.0.{number + 2}")
    for count in files:
        with tempfile.TemporaryDirectory() as folder, bench(Path(folder), count, address, inside) as made:
            made.ours()  # imports
            work = Path(folder) / "peers"
            work.mkdir()
            for case, times in measure(made, work, repeat, peers=peers, git=git).items():
                medians = {who: statistics.median(values) for who, values in times.items()}
                least = {who: min(values) for who, values in times.items()}
                rows.append({"place": place, "files": count, "case": case, **medians, "least": least, "all": times})
                print(json.dumps(rows[-1]), flush=True)
    if hosts:
        with tempfile.TemporaryDirectory() as folder, bench(Path(folder), files[0], address, inside, hosts) as made:
            one = statistics.median([_seconds(made, 1) for _ in range(repeat)])
            every = statistics.median([_seconds(made, hosts) for _ in range(repeat)])
            rows.append(
                {
                    "place": place,
                    "files": files[0],
                    "case": "one file",
                    "hosts": hosts,
                    "one host": round(one, 3),
                    "all hosts": round(every, 3),
                }
            )
            print(json.dumps(rows[-1]), flush=True)
    return rows


def _seconds(made: Bench, count: int) -> float:
    made.change(time.time())
    chosen = [f"{host.address}:{host.port}" for host in made.hosts[:count]]
    started = time.perf_counter()
    deploy(find(made.root, "yoda"), Options(hosts=chosen, allow_dirty=True, settle=False, keep=2))
    return time.perf_counter() - started


def far_away(delay: float) -> list[dict[str, object]]:
    """Measure on a wire with a delay and on the same one without; return the rows of the first, with round trips."""
    slow, fast = (_on_a_wire(one) for one in (delay, 0.0))
    for far, near in zip(slow, fast, strict=True):
        if "least" in far:
            least, without = far["least"], near["least"]
            # Time that differs by other things than the wire is no round trip: the fastest turn has least of it.
            far["round trips"] = {
                who: round((least[who] - without[who]) * 1000 / delay, 1)
                for who in least
                if who not in PEERS and not who.endswith("dagster")
            }
            print(json.dumps({key: far[key] for key in ("files", "case", "round trips")}), flush=True)
    return [*fast, *slow]


def _on_a_wire(delay: float) -> list[dict[str, Any]]:
    with wire(f"dmb{os.getpid()}", delay) as made, tempfile.NamedTemporaryFile() as rows:
        arguments = [*sys.argv[1:], "--inside", made.far, "--delay", str(delay), "--json", rows.name]
        subprocess.run(["ip", "netns", "exec", made.near, sys.executable, __file__, *arguments], check=True)
        found: list[dict[str, Any]] = json.loads(Path(rows.name).read_text())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, nargs="+", default=[60, 5000])
    parser.add_argument("--far", type=float, default=0, help="round trip in milliseconds")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--peers", nargs="*", choices=PEERS, help="those named, or all of them")
    parser.add_argument("--git", action="store_true")
    parser.add_argument("--hosts", type=int, default=0)
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    parser.add_argument("--delay", type=float, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.far and not given.inside:
        rows = far_away(given.far)
    else:
        place = f"far, {given.delay:g} ms" if given.inside else "loopback"
        peers = () if given.peers is None else given.peers or PEERS
        chosen = {"peers": peers, "git": given.git, "hosts": given.hosts}
        rows = run(given.files, given.repeat, **chosen, place=place, inside=given.inside)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
