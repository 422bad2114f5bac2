"""What a module's database may use on a host: what every module may use, and what the deployment allows. Pure."""

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
from dagster_module_builder.shared_files.formats.outline import UnsafeEditError
from dagster_module_builder.shared_files.formats.yaml_text import ON_HOST, loaded

#: The key of these settings in a release's record (``database_of``).
KEY = "unallowed"


def unallowed(
    names: ModuleNames, service: Mapping[str, Any], volumes: Mapping[str, Any], env: bytes, allowed: Sequence[str]
) -> dict[str, str]:
    """Return the settings of a database that the deployment does not allow, with what each would do.

    Args:
        names: The module's names.
        service: The database's service, as the module's fragment has it.
        volumes: The volumes that it mounts.
        env: The deployment's settings.
        allowed: The settings that the deployment allows.

    Raises:
        RefusedError: There are too many to list.
    """
    refused = _refused(names, service, volumes, env)
    return {setting.setting: setting.why for setting in refused if not covered(allowed, setting)}


def _refused(
    names: ModuleNames, service: Mapping[str, Any], volumes: Mapping[str, Any], env: bytes
) -> Sequence[Refused]:
    text = yaml.safe_dump({"services": {f"{names.snake}_db": dict(service)}, "volumes": dict(volumes)})
    try:
        return judge(names.name, {compose.NAME: text.encode(), env_file.NAME: env}).refused
    except UnsafeEditError as error:
        raise RefusedError(f"The service {names.snake}_db of {names.name} cannot be read: {error.reason}.") from None


def reasons(names: ModuleNames, database: Mapping[str, Any] | None, text: bytes) -> Iterator[str]:
    """Yield why a database is refused: settings that are neither allowed nor on the host already.

    Args:
        names: The module's names.
        database: What ``database_of`` returned.
        text: The host's compose file.
    """
    if not database or not database.get(KEY):
        return
    data = loaded(Path(compose.NAME), text, ON_HOST)
    services = data.get("services") if isinstance(data, dict) else None
    present = services.get(database["name"]) if isinstance(services, dict) else None
    volumes = data.get("volumes") if isinstance(data, dict) else None
    known = _refused(names, present, volumes or {}, b"") if isinstance(present, dict) else ()
    present_settings = {refused.setting for refused in known}
    for setting, why in database[KEY].items():
        if setting not in present_settings:
            yield (
                f"{database['name']}: {setting!r} {why}. Remove it from the module's docker-compose.yml; or, if you "
                f"trust the module on this host, add it to the list 'allow:' in deployment.yaml"
            )
