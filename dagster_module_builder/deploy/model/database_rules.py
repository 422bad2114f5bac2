"""What a module's database may ask of a host: what every module may have, and what the deployment allows. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.fragment_rules.refused import Refused, covered
from dagster_module_builder.fragment_rules.rules import judge
from dagster_module_builder.shared_files.formats import compose, env_file
from dagster_module_builder.shared_files.formats.outline import OutlineError
from dagster_module_builder.shared_files.formats.yaml_text import ON_HOST, loaded

#: What ``database_of`` keeps them by in a release's record.
KEY = "unallowed"


def unallowed(
    names: ModuleNames, service: Mapping[str, Any], volumes: Mapping[str, Any], env: bytes, allowed: Sequence[str]
) -> dict[str, str]:
    """Return the settings of a database that nobody allowed, with what each would do.

    Args:
        names: The module's names.
        service: The database's service, as the module's fragment has it.
        volumes: The volumes that it mounts.
        env: The deployment's settings.
        allowed: The settings that the deployment allows.

    Raises:
        RefusedError: There are too many to list.
    """
    found = _refused(names, service, volumes, env)
    return {one.setting: one.why for one in found if not covered(allowed, one)}


def _refused(
    names: ModuleNames, service: Mapping[str, Any], volumes: Mapping[str, Any], env: bytes
) -> Sequence[Refused]:
    text = yaml.safe_dump({"services": {f"{names.snake}_db": dict(service)}, "volumes": dict(volumes)})
    try:
        return judge(names.name, {compose.NAME: text.encode(), env_file.NAME: env}).refused
    except OutlineError as error:
        raise RefusedError(f"The service {names.snake}_db of {names.name} cannot be read: {error.reason}.") from None


def reasons(names: ModuleNames, database: Mapping[str, Any] | None, text: bytes) -> Iterator[str]:
    """Yield why a host does not get a database: settings that nobody allowed and that it does not have there already.

    Args:
        names: The module's names.
        database: What ``database_of`` returned.
        text: The host's compose file.
    """
    if not database or not database.get(KEY):
        return
    data = loaded(Path(compose.NAME), text, ON_HOST)
    services = data.get("services") if isinstance(data, dict) else None
    there = services.get(database["name"]) if isinstance(services, dict) else None
    volumes = data.get("volumes") if isinstance(data, dict) else None
    standing = {one.setting for one in _refused(names, there, volumes or {}, b"")} if isinstance(there, dict) else set()
    for setting, why in database[KEY].items():
        if setting not in standing:
            yield (
                f"{database['name']}: {setting!r} {why}. Take it out of the module's docker-compose.yml, or, where you "
                f"trust the module with this host, add it to the list 'allow:' in deployment.yaml"
            )
