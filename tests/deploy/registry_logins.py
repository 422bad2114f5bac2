"""Registries that know a job by its OIDC token, and who the job is there; none of them can be had here."""

from __future__ import annotations

#: By kind of registry: its name, and who the job is there.
LOGINS = {
    "aws": ("123456789012.dkr.ecr.eu-central-1.amazonaws.com", {"role": "arn:aws:iam::123456789012:role/ci/push"}),
    "google": (
        "europe-west1-docker.pkg.dev",
        {
            "provider": "projects/123/locations/global/workloadIdentityPools/github/providers/github",
            "account": "push@acme.iam.gserviceaccount.com",
        },
    ),
    "azure": (
        "acme.azurecr.io",
        dict.fromkeys(("client", "tenant", "subscription"), "00000000-1111-2222-3333-444444444444"),
    ),
}
