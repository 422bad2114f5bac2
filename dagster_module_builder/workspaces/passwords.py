"""Passwords of databases that a plan changes: a server takes its password from its settings at its first start only."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dagster_module_builder.base import settings
from dagster_module_builder.claims.facts import interpolated, load_lines
from dagster_module_builder.shared_files.formats import compose, env_file
from dagster_module_builder.transactions.plan import Plan
from dagster_module_builder.workspaces.workspace import Workspace, bodies_of

#: The variables of the images that make an account, with the name of the account (https://hub.docker.com/_/postgres,
#: https://hub.docker.com/_/mysql, https://hub.docker.com/_/mariadb).
_ACCOUNTS = {
    "POSTGRES_PASSWORD": "${POSTGRES_USER:-postgres}",
    "MYSQL_PASSWORD": "${MYSQL_USER}",
    "MARIADB_PASSWORD": "${MARIADB_USER}",
    "MYSQL_ROOT_PASSWORD": "root",
    "MARIADB_ROOT_PASSWORD": "root",
}


@dataclass(frozen=True)
class Changed:
    """A password that a plan changes, of a database whose server keeps the old one.

    Attributes:
        module: The module.
        service: Its database's Compose service.
        variable: The variable of the image.
        user: The account.
        steps: The command that changes it in the server.
    """

    module: str
    service: str
    variable: str
    user: str
    steps: str

    def __str__(self) -> str:
        return (
            f"{self.module}: the password of {self.user!r} changes for {self.service}. A database that was started "
            f"before keeps its old password. Change it there before the next run, and type the new one: "
            f"{self.steps}\nOr put the old password back into the module's {settings.FRAGMENTS}/.env."
        )


def changed_by(workspace: Workspace, plan: Plan) -> Iterator[Changed]:
    """Yield the passwords of databases in the workspace that a plan changes."""
    after = next((change.after for change in plan.changes if change.path == workspace.path(env_file.NAME)), None)
    return changed(workspace, env_file.values(after or b""))


def changed(workspace: Workspace, after: Mapping[str, str]) -> Iterator[Changed]:
    """Yield the passwords of the workspace's databases that these variables change; unchanged ones may be left out."""
    before = env_file.values(workspace.files[env_file.NAME] or b"")
    after = {**before, **after}
    names = {name for name, value in before.items() if name in after and after[name] != value}
    for entry in workspace.registry.entries if names else ():
        bodies = bodies_of(workspace, entry.marker).get((compose.NAME, ("services",)), ())
        for name, service in (load_lines(bodies) or {}).items() if bodies else ():
            for variable, user in _changed_in(_environment(service), before, after):
                yield Changed(entry.name, name, variable, user, steps(workspace, name, variable, user))


def _environment(service: Mapping[str, Any]) -> dict[str, str]:
    environment = service.get("environment")
    if isinstance(environment, list):
        return dict(str(line).partition("=")[::2] for line in environment)
    return {str(name): str(value) for name, value in environment.items()} if isinstance(environment, dict) else {}


def _changed_in(
    environment: Mapping[str, str], before: Mapping[str, str], after: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield the variables of an image that get another password, with the account's name."""
    for variable, account in _ACCOUNTS.items():
        text = environment.get(variable, "")
        if interpolated(text, before) != interpolated(text, after):
            values = {name: interpolated(value, before) for name, value in environment.items()}
            yield variable, interpolated(account, values)


def account_passwords(service: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, str]:
    """Return the passwords that a database's service gets with these variables, by the variable of its image."""
    environment = _environment(service)
    return {name: interpolated(environment[name], env) for name in _ACCOUNTS if name in environment}


def steps(workspace: Workspace, service: str, variable: str, user: str) -> str:
    """Return the command that asks for a password and changes it; it is on no command line."""
    folder = shlex.quote(str(workspace.path(compose.NAME).parent))
    begin = f"docker compose --project-directory {folder} exec {service} sh -c "
    if variable.startswith("POSTGRES"):
        line = 'psql --username "$POSTGRES_USER" --dbname "${POSTGRES_DB:-$POSTGRES_USER}" --command "\\password"'
        return begin + shlex.quote(line)
    client = (
        'MYSQL_PWD="${MYSQL_ROOT_PASSWORD:-$MARIADB_ROOT_PASSWORD}" $(command -v mysql || command -v mariadb) -uroot'
    )
    where = "'root'@'localhost', 'root'@'%'" if user == "root" else f"'{user}'@'%'"
    accounts = [f"{account} IDENTIFIED BY '$NEW'" for account in where.split(", ")]
    ask = 'printf "New password: "; stty -echo; read -r NEW; stty echo; echo'
    line = f'{ask}; {client} -e "ALTER USER {", ".join(accounts)}"'
    return begin + shlex.quote(line)
