"""Registries that accept a job's own OIDC token, so that no password is stored for the job that pushes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dagster_module_builder.base.errors import RefusedError

KEY = "registry_login"
#: The registries of each kind. The groups are the parts of the name that a login needs.
#: https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html,
#: https://cloud.google.com/artifact-registry/docs/repositories/repo-locations,
#: https://learn.microsoft.com/azure/container-registry/container-registry-concepts
_REGISTRIES = {
    "aws": re.compile(r"[0-9]{12}\.dkr\.ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?"),
    "google": re.compile(r"[a-z0-9-]+-docker\.pkg\.dev|(?:[a-z]+\.)?gcr\.io"),
    "azure": re.compile(r"(?P<name>[a-z0-9-]+)\.azurecr\.io"),
}
_EXAMPLES = {
    "aws": "ACCOUNT.dkr.ecr.REGION.amazonaws.com",
    "google": "LOCATION-docker.pkg.dev",
    "azure": "NAME.azurecr.io",
}
#: The user name for a login with a token of the cloud
#: (https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html,
#: https://cloud.google.com/artifact-registry/docs/docker/authentication#token,
#: https://learn.microsoft.com/azure/container-registry/container-registry-authentication).
_USERS = {"aws": "AWS", "google": "oauth2accesstoken", "azure": "00000000-0000-0000-0000-000000000000"}


@dataclass(frozen=True)
class RegistryLogin:
    """How a job logs in at the registry.

    Attributes:
        kind: The cloud: ``aws``, ``google`` or ``azure``.
        identity: The job's identity there, as in ``deployment.yaml``.
        place: The ``region`` or ``name`` in the registry's name.
    """

    kind: str
    identity: Mapping[str, str]
    place: Mapping[str, str]

    @property
    def user(self) -> str:
        """The user that the registry expects with a token."""
        return _USERS[self.kind]


def login_of(section: Mapping[str, Any], registry: str | None) -> RegistryLogin | None:
    """Return how a pipeline's job logs in at its registry by its own token; None if it uses a password.

    Args:
        section: The pipeline's section of ``deployment.yaml``.
        registry: The registry that images are pushed to; None without one.

    Raises:
        RefusedError: The platform has no such token, or the registry is of another kind.
    """
    if not section.get(KEY):
        return None
    ((kind, identity),) = section[KEY].items()
    if section["platform"] != "github":
        raise RefusedError(
            f"'{KEY}' works on GitHub only: on {section['platform']} the registry's password is a secret of the "
            f"pipeline. Remove {KEY} from deployment.yaml, and set the secrets that its guide names."
        )
    place = _REGISTRIES[kind].fullmatch(registry or "")
    if place is None:
        raise RefusedError(
            f"'{KEY}: {kind}' is for the registry {_EXAMPLES[kind]}, but images go to {registry or 'no registry'}. "
            f"Change one of the two in deployment.yaml."
        )
    return RegistryLogin(kind, identity, place.groupdict())
