"""What plain ``ssh`` reaches by a configuration, a deployment reaches by the same file, and with pinned keys only."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.base.errors import BuilderError, RefusedError, ToolError
from dagster_module_builder.deploy.connection import channels
from dagster_module_builder.deploy.connection.address import Address, parts_of
from dagster_module_builder.deploy.connection.channels import OpenSshChannel
from dagster_module_builder.deploy.connection.conversation import Conversation
from dagster_module_builder.deploy.connection.remote import Remote
from dagster_module_builder.deploy.model.deployment import read_deployment
from dagster_module_builder.deploy.trust import shown_keys
from tests import needs
from tests.deploy.namespaces import inside
from tests.deploy.sites import Site
from tests.deploy.sshd import SshHost, make_key, user
from tests.ports import free_port

PROXY = """\
import os, socket, sys, threading
assert sys.argv[3:] == sys.argv[3:4] + [sys.argv[1], "100%"], sys.argv
wire = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def back():
    while data := wire.recv(65536):
        os.write(1, data)
    os._exit(0)
threading.Thread(target=back, daemon=True).start()
while data := os.read(0, 65536):
    wire.sendall(data)
"""


@dataclass
class Net:
    """Hosts that are there for a whole module of tests."""

    folder: Path
    near: SshHost
    mid: SshHost
    far: SshHost
    six: SshHost
    #: Speaks only what Paramiko does not, and lets in by certificates.
    modern: SshHost

    @property
    def key(self) -> Path:
        return self.far.client_key

    @property
    def pinned(self) -> str:
        hosts = (self.near, self.mid, self.far, self.six, self.modern)
        named = "".join(host.known_hosts_line for host in hosts)
        return named + f"[localhost]:{self.far.port} {self.far.public_key}\n"

    def config(self, folder: Path, *lines: str, alias: str = "target") -> Path:
        """Write a configuration with the way to ``target``, and aliases of the hosts that may lie between."""
        path = folder / "ssh_config"
        hosts = {"near": self.near, "mid": self.mid}
        text = f"Host {alias}\n" + "".join(f"  {line}\n" for line in lines)
        for name, host in hosts.items():
            text += f"Host {name}\n  HostName {host.address}\n  Port {host.port}\n"
        text += (
            f"Host *\n  User {user()}\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n"
        )
        if not any("Identity" in line for line in lines):
            text += f"  IdentityFile {self.key}\n  IdentitiesOnly yes\n"
        path.write_text(text)
        return path

    def address(self, folder: Path, config: Path, host: str = "target", pinned: str | None = None) -> Address:
        known = folder / "yoda" / "known_hosts"
        known.parent.mkdir(exist_ok=True)
        known.write_text(self.pinned if pinned is None else pinned)
        return Address(host, known, config=str(config))


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    needs.programs("sshd", "ssh", "ssh-keygen", "ssh-agent")
    folder = tmp_path_factory.mktemp("net")
    key, ca = make_key(folder / "key"), make_key(folder / "ca")
    modern = {"KexAlgorithms": "sntrup761x25519-sha512@openssh.com", "TrustedUserCAKeys": f"{ca}.pub"}
    places = {"near": "127.0.0.2", "mid": "127.0.0.3", "far": "127.0.0.1", "six": "::1", "modern": "127.0.0.5"}
    hosts = {name: SshHost(folder / name, place, free_port(place), key) for name, place in places.items()}
    hosts["modern"].settings |= modern
    with contextlib.ExitStack() as stack:
        for host in hosts.values():
            stack.callback(host.stop)
            host.start()
        yield Net(folder, **hosts)


def at(host: SshHost) -> list[str]:
    return [f"HostName {host.address}", f"Port {host.port}"]


def by_proxy(net: Net, folder: Path) -> list[str]:
    (folder / "proxy.py").write_text(PROXY)
    return [*at(net.far), f"ProxyCommand {sys.executable} {folder}/proxy.py %h %p %r-%n %h 100%%"]


def by_named_key(net: Net, folder: Path, name: str, expanded: str) -> list[str]:
    shutil.copy(net.key, folder / expanded)
    return [*at(net.far), f"IdentityFile {folder}/{name}", "IdentitiesOnly yes"]


def by_certificate(net: Net, folder: Path) -> list[str]:
    key = make_key(folder / "own")
    sign = ["ssh-keygen", "-q", "-s", net.folder / "ca", "-I", "test", "-n", user(), f"{key}.pub"]
    subprocess.run(sign, check=True, capture_output=True)
    (folder / "own-cert.pub").rename(folder / "signed.pub")
    return [*at(net.modern), f"IdentityFile {key}", f"CertificateFile {folder}/signed.pub", "IdentitiesOnly yes"]


def by_agent(net: Net, folder: Path) -> list[str]:
    start_agent(folder / "agent", net.key)
    return [*at(net.far), f"IdentityAgent {folder}/agent", f"IdentityFile {folder}/none"]


def by_public_key(net: Net, folder: Path) -> list[str]:
    """As agents of password managers are used: many keys, of which a public file says which one."""
    start_agent(folder / "agent", *(make_key(folder / f"wrong{number}") for number in range(6)), net.key)
    shutil.copy(f"{net.key}.pub", folder / "right.pub")
    agent = f"IdentityAgent {folder}/agent"
    return [*at(net.far), agent, f"IdentityFile {folder}/right.pub", "IdentitiesOnly yes"]


def by_own_known_hosts(net: Net, folder: Path) -> list[str]:
    (folder / "own").write_text(net.far.known_hosts_line)
    return [*at(net.far), f"UserKnownHostsFile {folder}/own", "StrictHostKeyChecking yes"]


AGENTS: list[subprocess.Popen[bytes]] = []


def start_agent(path: Path, *keys: Path) -> None:
    AGENTS.append(subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL))
    environ = {**os.environ, "SSH_AUTH_SOCK": str(path)}
    while subprocess.run(["ssh-add", "-q", *keys], env=environ, capture_output=True, check=False).returncode:
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def ended_agents(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setenv("KEY_OF_TEST", "id_by_variable")
    yield
    while AGENTS:
        agent = AGENTS.pop()
        agent.terminate()
        agent.wait()


WAYS: dict[str, Callable[[Net, Path], list[str]]] = {
    "HostName and Port": lambda net, _: at(net.far),
    "ProxyJump with user, numeric address and port": lambda net, _: [
        *at(net.far), f"ProxyJump {user()}@{net.near.address}:{net.near.port}"],
    "ProxyJump through two": lambda net, _: [*at(net.far), "ProxyJump near,mid"],
    "ProxyJump through two by addresses": lambda net, _: [
        *at(net.far), f"ProxyJump ssh://{user()}@{net.near.address}:{net.near.port},[::1]:{net.six.port}"],
    "ProxyJump over IPv6": lambda net, _: [*at(net.far), f"ProxyJump {user()}@[::1]:{net.six.port}"],
    "IPv6": lambda net, _: at(net.six),
    "IPv6 behind a jump host": lambda net, _: [*at(net.six), "ProxyJump near"],
    "ProxyCommand with every token": by_proxy,
    "IdentityFile with tokens": lambda net, folder: by_named_key(
        net, folder, "id_%h_%n_%p_%r_%u_%i_%k_100%%",
        f"id_127.0.0.1_target_{net.far.port}_{user()}_{user()}_{os.getuid()}_target_100%"),
    "IdentityFile with a variable": lambda net, folder: by_named_key(net, folder, "${KEY_OF_TEST}", "id_by_variable"),
    "IdentityAgent": by_agent,
    "IdentitiesOnly with an agent": by_public_key,
    "CertificateFile": by_certificate,
    "KexAlgorithms that Paramiko has not": lambda net, _: at(net.modern),
    "AddressFamily": lambda net, _: ["HostName localhost", f"Port {net.far.port}", "AddressFamily inet"],
    "BindAddress": lambda net, _: [*at(net.far), "BindAddress 127.0.0.9"],
    "ConnectTimeout and ServerAliveInterval": lambda net, _: [
        *at(net.far), "ConnectTimeout 3", "ServerAliveInterval 60"],
    "UserKnownHostsFile": by_own_known_hosts,
    "HostKeyAlias": lambda net, _: [*at(net.far), "HostKeyAlias another"],
    "what would be in the way": lambda net, _: [
        *at(net.far), "RequestTTY force", "ForwardX11 yes", "Compression yes", "ControlMaster auto",
        "ControlPath /nowhere/at/all", "SetEnv X=1"],
}  # fmt: skip


def plain(config: Path, *command: str) -> subprocess.CompletedProcess[bytes]:
    line = ["ssh", "-F", config, "-o", "BatchMode=yes", "-o", "ControlPath=none", "target", *command]
    return subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, check=False)


def talk(address: Address, folder: str = "~/srv") -> str:
    """Have a conversation with a host; return the folder that it made."""
    with contextlib.closing(Remote(address)) as remote, Conversation(remote) as conversation:
        return str(conversation.ask("layout", base=folder)["base"])


@pytest.mark.parametrize("way", WAYS)
def test_what_ssh_reaches_a_deployment_reaches(net: Net, tmp_path: Path, way: str) -> None:
    """FAULTS D1, D2, D3: the conversation and the bulk connection both follow the configuration."""
    config = net.config(tmp_path, *WAYS[way](net, tmp_path))
    said = plain(config, "true")
    assert said.returncode == 0, said.stderr
    address = net.address(tmp_path, config)
    assert talk(address).endswith("/srv")
    with contextlib.closing(Remote(address)) as remote:
        said = subprocess.run([*remote.bulk(), "--", "target", "echo here"], capture_output=True, check=True)
    assert said.stdout.endswith(b"here\n")


@pytest.mark.parametrize("way", WAYS)
def test_no_way_leads_to_a_host_that_is_not_pinned(net: Net, tmp_path: Path, way: str) -> None:
    """FAULTS S13: another key at the end of the way is refused, whatever the configuration accepts."""
    config = net.config(tmp_path, *WAYS[way](net, tmp_path))
    hosts = [net.near, net.mid, *([net.six] if "[::1]" in config.read_text() else [])]
    address = net.address(tmp_path, config, pinned="".join(host.known_hosts_line for host in hosts))
    with pytest.raises(RefusedError, match=r"The key of target is not pinned: run 'deploy\.trust yoda --module "):
        talk(address)


@pytest.mark.parametrize("hops", ["near", "near,mid"])
def test_a_jump_host_that_is_not_pinned_is_named(net: Net, tmp_path: Path, hops: str) -> None:
    """FAULTS D6: before anything is tried."""
    config = net.config(tmp_path, *at(net.far), f"ProxyJump {hops}")
    pinned = "".join(host.known_hosts_line for host in (net.near, net.far)) if "mid" in hops else ""
    unpinned = hops.rpartition(",")[2]
    before = net.near.connections()
    with pytest.raises(RefusedError, match=rf"jump host {unpinned} is not pinned: run 'deploy\.trust yoda --module "):
        talk(net.address(tmp_path, config, pinned=pinned))
    assert net.near.connections() == before


def test_every_host_of_a_chain_is_shown_and_pinned(net: Net, quick: Site, tmp_path: Path) -> None:
    """FAULTS D2: the nearest first, and no further than to the first that is not pinned."""
    config = net.config(tmp_path, *at(net.far), "ProxyJump near,mid")
    path = quick.module / "deploy/yoda/deployment.yaml"
    change(path, hosts=["target"], ssh={"config": str(config)}, user=None)
    deployment = read_deployment(path.parent)
    seen = []
    for host in (net.near, net.mid, net.far):
        deployment.known_hosts.write_text("".join(line for _, line in seen))
        shown = shown_keys(deployment)[-1]
        seen.append((str(shown.host), host.known_hosts_line))
        assert shown.keys == (host.known_hosts_line.strip(),)
    assert [name for name, _ in seen] == ["near", "mid", "target"]


def test_an_address_with_a_zone_is_reached(tmp_path: Path) -> None:
    """FAULTS D3: a link-local address says which interface it is behind."""
    needs.root()
    needs.programs("ip")
    name = f"zone{os.getpid()}"
    host = SshHost(tmp_path / "host", "fe80::1%lo", 2222, make_key(tmp_path / "key"), namespace=name)
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        subprocess.run(["ip", "-n", name, "address", "add", "fe80::1/64", "dev", "lo", "nodad"], check=True)
        host.start()
        (tmp_path / "known_hosts").write_text(host.known_hosts_line)
        address = Address(host.address, tmp_path / "known_hosts", host.port, user(), str(host.client_key))
        assert inside(name, lambda: talk(address)).result(30).endswith("/srv")
        with contextlib.closing(Remote(address)) as remote:
            command = inside(name, remote.bulk).result(30)
            assert subprocess.run([*command, "--", host.address, "true"], check=False).returncode == 0
    finally:
        host.stop()
        subprocess.run(["ip", "netns", "delete", name], check=True)


def test_an_ipv6_address_is_reached_as_it_is_written(net: Net, tmp_path: Path) -> None:
    """FAULTS D3: by the conversation and by the bulk connection."""
    known = tmp_path / "known_hosts"
    known.write_text(net.six.known_hosts_line)
    address = Address("::1", known, net.six.port, user(), str(net.key))
    assert talk(address).endswith("/srv")
    with contextlib.closing(Remote(address)) as remote:
        assert subprocess.run([*remote.bulk(), "--", "::1", "true"], check=False).returncode == 0


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[tuple[str, list[SshHost]]]:
    """Give a network with three hosts in a row, each of which reaches its neighbours alone."""
    needs.root()
    needs.programs("ip")
    names = [f"chain{os.getpid()}n{number}" for number in range(4)]
    key = make_key(tmp_path / "key")
    hosts = [SshHost(tmp_path / f"host{n}", f"10.77.{n}.2", 2200 + n, key, namespace=names[n]) for n in (1, 2, 3)]
    with contextlib.ExitStack() as stack:
        for name in names:
            subprocess.run(["ip", "netns", "add", name], check=True)
            stack.callback(subprocess.run, ["ip", "netns", "delete", name], check=True)
        for number, (near, far) in enumerate(itertools.pairwise(names), 1):
            link(near, far, f"10.77.{number}")
        for host in hosts:
            stack.callback(host.stop)
            host.start()
        yield names[0], hosts


def link(near: str, far: str, net: str) -> None:
    """Join two networks by a wire; the near end is ``.1``, and the far one ``.2``."""
    wire = ["ip", "link", "add", "far", "netns", near, "type", "veth", "peer", "name", "near", "netns", far]
    subprocess.run(wire, check=True)
    for name, device, number in ((near, "far", 1), (far, "near", 2)):
        subprocess.run(["ip", "-n", name, "address", "add", f"{net}.{number}/24", "dev", device], check=True)
        subprocess.run(["ip", "-n", name, "link", "set", device, "up"], check=True)


def test_the_last_of_three_hosts_is_reached_where_only_the_first_one_is(
    chain: tuple[str, list[SshHost]], tmp_path: Path
) -> None:
    """FAULTS D2: nothing of the way is looked for, or connected to, from here."""
    here, hosts = chain
    names = ("first", "second", "target")
    places = "".join(
        f"Host {name}\n  HostName {host.address}\n  Port {host.port}\n" for name, host in zip(names, hosts, strict=True)
    )
    (tmp_path / "ssh_config").write_text(
        f"Host second\n  ProxyJump first\nHost target\n  ProxyJump second\n{places}Host *\n  User {user()}\n"
        f"  IdentityFile {hosts[0].client_key}\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n"
    )
    (tmp_path / "known_hosts").write_text("".join(host.known_hosts_line for host in hosts))
    inside_here = ["ip", "netns", "exec", here, "ssh", "-F", tmp_path / "ssh_config", "-o", "BatchMode=yes"]
    straight = subprocess.run(
        [*inside_here, "-J", "none", "target", "true"], capture_output=True, text=True, check=False
    )
    assert "Network is unreachable" in straight.stderr
    assert subprocess.run([*inside_here, "target", "true"], check=False).returncode == 0
    address = Address("target", tmp_path / "known_hosts", config=str(tmp_path / "ssh_config"))
    assert inside(here, lambda: talk(address)).result(60).endswith("/srv")
    with contextlib.closing(Remote(address)) as remote:
        command = inside(here, remote.bulk).result(60)
        assert subprocess.run([*command, "--", "target", "true"], check=False).returncode == 0


FAILURES = {
    "ProxyJump nowhere": "Connection refused",
    "ProxyCommand sh -c 'echo the tunnel is closed on Sundays >&2; exit 3'": "the tunnel is closed on Sundays",
    "ProxyCommand nc %q": "its token %q is not one of",
    "ProxyJump round": r"form a circle through round\. Set 'ProxyJump none' for round",
    "ProxyJump near,a b": "is not of the form",
}


@pytest.mark.parametrize("line", FAILURES)
def test_a_way_that_fails_says_why(net: Net, tmp_path: Path, line: str) -> None:
    """FAULTS D6: in the words of the program that failed, or named before it is tried."""
    config = net.config(tmp_path, *at(net.far), line)
    closed = free_port("127.0.0.2")
    more = f"Host nowhere\n  HostName 127.0.0.2\n  Port {closed}\n"
    more += "Host round\n  ProxyJump round2\nHost round2\n  ProxyJump round\n"
    config.write_text(more + config.read_text())
    address = net.address(tmp_path, config, pinned=net.pinned + f"[127.0.0.2]:{closed} {net.near.public_key}\n")
    if line.endswith("a b"):
        with pytest.raises(RefusedError, match=FAILURES[line]):
            parts_of(line.rpartition(",")[2])
        return
    with pytest.raises(BuilderError, match=FAILURES[line]):
        talk(address)


OPEN = {
    "a command that knows the key": lambda net, _: f"KnownHostsCommand /bin/echo {net.far.known_hosts_line.strip()}",
    "this machine": lambda *_: "NoHostAuthenticationForLocalhost yes",
    "DNS": lambda *_: "VerifyHostKeyDNS yes",
    "a connection that is open": lambda _, folder: f"ControlPath {folder}/master",
}


@pytest.mark.parametrize("way", OPEN)
@pytest.mark.parametrize("is_between", [False, True])
def test_openssh_accepts_no_key_by_the_persons_configuration(
    net: Net, tmp_path: Path, way: str, is_between: bool
) -> None:
    """FAULTS S13: neither of the host nor of one that lies before it."""
    config = net.config(tmp_path, *at(net.far), OPEN[way](net, tmp_path), alias="behind" if is_between else "target")
    if is_between:
        text = f"Host target\n  HostName {net.mid.address}\n  Port {net.mid.port}\n  ProxyJump behind\n"
        config.write_text(text + config.read_text())
    address = net.address(tmp_path, config, pinned=net.mid.known_hosts_line)
    itself = "behind" if is_between else "target"
    line = ["ssh", "-F", config, "-o", "BatchMode=yes", "-M", "-S", tmp_path / "master", itself, "cat"]
    opened = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert opened.stdin is not None
        assert opened.stdout is not None
        opened.stdin.write(b"here")
        opened.stdin.flush()
        assert opened.stdout.read(4) == b"here"
        command = [*address.ssh(), "--", "target", "true"]
        assert b"verification failed" in subprocess.run(command, capture_output=True, check=False).stderr
        for name in ("verifyhostkeydns false", "nohostauthenticationforlocalhost no", "controlmaster false"):
            hop = address.through or address
            said = subprocess.run([*hop.ssh(), "-G", hop.host], capture_output=True, text=True, check=True).stdout
            assert f"\n{name}\n" in said
    finally:
        opened.communicate()


def test_the_path_of_a_socket_is_short_whatever_tmpdir_is(
    net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAULTS D4: a path of more than 104 characters is too long for a Unix domain socket."""
    long = tmp_path / ("x" * 105)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    address = net.address(tmp_path, net.config(tmp_path, *at(net.far)))
    with contextlib.closing(Remote(address)) as remote:
        command = remote.bulk()
        assert subprocess.run([*command, "--", "target", "true"], check=False).returncode == 0
        (control,) = (part for part in command if part.startswith("ControlPath="))
        folder = Path(control.partition("=")[2]).parent
        assert folder.stat().st_mode & 0o077 == 0
        assert len(control) < 90
    assert not folder.exists()


COMMITTED = {
    "ProxyCommand touch oops": "ProxyCommand",
    "=ProxyCommand touch oops": "''",
    'Match exec "touch oops"': "Match",
    "KnownHostsCommand /bin/touch oops": "KnownHostsCommand",
    "Include other": "Include",
    "LocalCommand touch oops": "LocalCommand",
    "PKCS11Provider ./evil.so": "PKCS11Provider",
    '"ProxyCommand" touch oops': '"ProxyCommand"',
    "proxycommand=touch oops": "proxycommand",
}


def change(path: Path, **changes: object) -> None:

    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))


@pytest.mark.parametrize("line", COMMITTED)
@pytest.mark.parametrize("named", ["beside", "absolute"])
def test_a_committed_configuration_runs_nothing(quick: Site, line: str, named: str) -> None:
    """FAULTS S4: it says where hosts are, and no more; the line is named."""
    folder = quick.module / "deploy/yoda"
    (folder / "ssh_config").write_text(f"# ours\nHost a\n\n  {line}\n  User x\n")
    change(
        folder / "deployment.yaml", ssh={"config": "ssh_config" if named == "beside" else str(folder / "ssh_config")}
    )
    with pytest.raises(RefusedError, match=r"ssh_config:4: ") as refused:
        _ = read_deployment(folder).hosts
    assert COMMITTED[line] in str(refused.value)


def test_a_committed_configuration_says_where_hosts_are(quick: Site) -> None:
    """FAULTS S4: what it may say is followed."""
    host, folder = quick.host, quick.module / "deploy/yoda"
    (folder / "ssh_config").write_text(
        f"# ours\nHost yoda\n\tHostName {host.address}\n  port={host.port}\n  User {user()}\n"
        f'  IdentityFile "{host.client_key}"\n  ProxyJump none\n'
    )
    change(folder / "deployment.yaml", hosts=["yoda"], user=None, ssh={"config": "ssh_config"})
    (entry,) = read_deployment(folder).hosts
    assert talk(entry.address).endswith("/srv")


def test_a_host_that_lets_in_and_starts_no_command_is_an_error(tmp_path: Path) -> None:
    host = SshHost(tmp_path / "host", "127.0.0.1", free_port(), make_key(tmp_path / "key"), settings={"MaxSessions": 0})
    (tmp_path / "known_hosts").write_text(host.start().known_hosts_line)
    address = Address(host.address, tmp_path / "known_hosts", host.port, user(), str(host.client_key))
    try:
        with pytest.raises(ToolError, match="does not start a command"):
            talk(address)
    finally:
        host.stop()


def test_what_can_be_no_name_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"a\.\.b cannot be reached"):
        talk(Address("a..b", tmp_path / "known_hosts"))


#: Reads 4 MiB, for twice as long as a connection may be silent.
SLOW = """\
import os, time
left = 4 << 20
while left:
    left -= len(os.read(0, 64 << 10))
    time.sleep(0.03)
print("all", flush=True)
"""


def test_what_a_slow_line_carries_is_not_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "SILENCE", 1)
    channel = OpenSshChannel([sys.executable, "-c", SLOW])
    try:
        channel.sendall(bytes(4 << 20))
        assert channel.makefile("rb").readline() == b"all\n"
    finally:
        channel.close()
