"""Who answers for the assets, and what every one of them gets."""

import dagster as dg

from . import NAME

#: Email addresses, or teams as "team:name".
OWNERS = [f"team:{NAME}"]

TAGS = {"module": NAME, "tier": "production"}

#: A step that fails is tried again after half a minute, then after one.
RETRIES = dg.RetryPolicy(max_retries=2, delay=30, backoff=dg.Backoff.EXPONENTIAL)
{% if cookiecutter.database != 'none' %}

#: Steps in this pool write to the database; its size is set under "concurrency" in dagster.yaml, or in the UI.
DATABASE_POOL = f"{NAME}_database"
{% endif %}
