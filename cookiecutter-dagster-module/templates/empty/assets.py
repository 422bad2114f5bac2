"""The module's assets: start here."""

{% if cookiecutter.governance != 'quick' %}
from datetime import timedelta

{% endif %}
import dagster as dg
import pandas as pd

from . import NAME
{% if cookiecutter.governance == 'enterprise' %}
from .ownership import OWNERS, RETRIES, TAGS
{% endif %}


{% if cookiecutter.governance == 'quick' %}
@dg.asset(key_prefix=NAME, group_name=NAME)
{% else %}
@dg.asset(
    key_prefix=NAME,
    group_name=NAME,
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=48), warn_window=timedelta(hours=30)),
{% if cookiecutter.governance == 'enterprise' %}
    owners=OWNERS,
    tags=TAGS,
    kinds={"pandas"},
    retry_policy=RETRIES,
{% endif %}
)
{% endif %}
def first() -> pd.DataFrame:
    """Return an example table. Replace it with your own, and list your assets in ``ASSETS`` below."""
    return pd.DataFrame({"name": ["one", "two", "three"], "value": [1, 2, 3]})


ASSETS = [first]
