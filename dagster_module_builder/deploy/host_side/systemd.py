"""The processes of this host's Dagster as units of ``systemd --user``."""

from __future__ import annotations

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

#: A unit of systemd's. Nothing in it is secret. The program itself may not have special characters in its path.
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
    """Return the name of a unit: one for each folder that Dagster runs in."""
    place = hashlib.sha256(service_path(host, folder).encode()).hexdigest()[:8]
    return f"dagster-{place}-{name}.service"


def unit_text(folder: str, python: str, start: str, name: str) -> str:
    r"""Return a unit, with what systemd reads in paths escaped (systemd.unit(5), systemd.service(5)).

    ``%`` begins a specifier; in ``ExecStart=``, ``$`` begins a variable, and quoted words have ``\`` and ``"`` escaped.
    """
    plain = folder.replace("%", "%%")
    quoted = [
        path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$") for path in (python, start)
    ]
    return UNIT.format(name=name, shown=plain, folder=plain, python=quoted[0], start=quoted[1])


def units_folder() -> str:
    """Return where the units of this user are."""
    return os.path.join(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"), "systemd", "user")


def surroundings() -> dict[str, str]:
    """Return the variables with which systemctl finds this user's systemd; a login without a terminal may lack them."""
    place = f"/run/user/{os.geteuid()}"
    return {**({"XDG_RUNTIME_DIR": place} if os.path.isdir(place) else {}), **os.environ}


def systemctl(host: Host, *arguments: str) -> tuple[int, str]:
    """Ask this user's systemd for something."""
    return host.client.run(["systemctl", "--user", *arguments], limit=60, env=surroundings())


def has_systemd(host: Host) -> bool:
    """Tell whether this user has a systemd that answers."""
    return installed("systemctl") is not None and systemctl(host, "show-environment")[0] == 0


def start_unit(host: Host, folder: str, name: str) -> None:
    """Have systemd start a process now, and at each start of the machine."""
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


def keep_lingering(host: Host) -> bool:
    """Have systemd keep this user's units when the user is not logged in; tell whether it does."""
    user = pwd.getpwuid(os.geteuid()).pw_name
    _, said = host.client.run(["loginctl", "show-user", user, "--property=Linger"], limit=60)
    return "Linger=yes" in said or host.client.run(["loginctl", "enable-linger"], limit=60)[0] == 0
