"""The processes of this host's Dagster as units of ``systemd --user``."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd

from .client import tail
from .errors import RefusedError
from .files import put
from .outside import installed
from .service import START, python_of, service_path, service_settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .host import Host

#: A systemd unit, without secrets. The program that ExecStart= names may not have special characters in its path.
UNIT = """\
[Unit]
Description=Dagster's {name} in {shown}

[Service]
WorkingDirectory={folder}
ExecStart=/usr/bin/env "{python}" "{start}" {name}
Restart=on-failure
RestartSec=5

[Install]
WantedBy=default.target
"""


def unit_name(host: Host, folder: str, name: str) -> str:
    """Return the name of a process's unit, different for each folder: ``dagster-0a1b2c3d-daemon.service``."""
    digest = hashlib.sha256(service_path(host, folder).encode()).hexdigest()[:8]
    return f"dagster-{digest}-{name}.service"


def unit_text(folder: str, python: str, start: str, name: str) -> str:
    r"""Return a unit's text, with special characters in paths escaped (systemd.unit(5), systemd.service(5)).

    ``%`` begins a specifier. In ``ExecStart=``, ``$`` begins a variable, and quoted words escape ``\`` and ``"``.
    """
    plain = folder.replace("%", "%%")
    quoted = [
        path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$") for path in (python, start)
    ]
    return UNIT.format(name=name, shown=plain, folder=plain, python=quoted[0], start=quoted[1])


def units_folder() -> str:
    """Return the folder of this user's units."""
    return os.path.join(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"), "systemd", "user")


def surroundings() -> dict[str, str]:
    """Return the variables by which systemctl finds this user's systemd; a login without a terminal may lack them."""
    runtime = f"/run/user/{os.geteuid()}"
    return {**({"XDG_RUNTIME_DIR": runtime} if os.path.isdir(runtime) else {}), **os.environ}


def systemctl(host: Host, *arguments: str) -> tuple[int, str]:
    """Run ``systemctl --user``; return its exit status and its output."""
    return host.client.run(["systemctl", "--user", *arguments], limit=60, env=surroundings())


def has_systemd(host: Host) -> bool:
    """Tell whether this user's systemd answers."""
    return installed("systemctl") is not None and systemctl(host, "show-environment")[0] == 0


def start_unit(host: Host, folder: str, name: str) -> None:
    """Have systemd start a process now and at each boot."""
    unit = unit_name(host, folder, name)
    text = unit_text(
        service_settings(host, folder)["folder"],
        str(python_of(host, folder)),
        service_path(host, folder, START),
        name,
    )
    os.makedirs(units_folder(), exist_ok=True)
    put(os.path.join(units_folder(), unit), text.encode())
    for arguments in (["daemon-reload"], ["enable", "--now", unit]):
        code, said = systemctl(host, *arguments)
        if code:
            raise RefusedError("service", f"systemctl --user {' '.join(arguments)} failed on the host: {tail(said)}")


def forget_unit(host: Host, units: list[str]) -> None:
    """Have systemd forget units that were stopped for good."""
    for unit in units:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(units_folder(), unit))
    systemctl(host, "daemon-reload")


def keep_lingering(host: Host) -> bool:
    """Have systemd keep this user's units running when the user logs out; tell whether it does."""
    user = pwd.getpwuid(os.geteuid()).pw_name
    _, said = host.client.run(["loginctl", "show-user", user, "--property=Linger"], limit=60)
    return "Linger=yes" in said or host.client.run(["loginctl", "enable-linger"], limit=60)[0] == 0
