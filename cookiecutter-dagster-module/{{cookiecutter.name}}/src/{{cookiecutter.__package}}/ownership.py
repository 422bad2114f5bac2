"""Owners, tags and retries, which every asset gets."""

import dagster as dg

from . import NAME

#: Email addresses, or teams as "team:name".
OWNERS = [f"team:{NAME}"]

TAGS = {"module": NAME, "tier": "production"}

#: A failed step is retried after 30 seconds, and again after 60.
RETRIES = dg.RetryPolicy(max_retries=2, delay=30, backoff=dg.Backoff.EXPONENTIAL)
{% if cookiecutter.database != 'none' %}

#: Steps in this pool write to the database; its size is set under "concurrency" in dagster.yaml, or in the UI.
DATABASE_POOL = f"{NAME}_database"
{% endif %}
