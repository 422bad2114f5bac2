"""The definitions that Dagster loads."""

import dagster as dg

from .assets import ASSETS
from .checks import CHECKS
from .resources import RESOURCES
{% if cookiecutter.governance != 'quick' %}
from .schedules import JOBS, SCHEDULES
{% endif %}
{% if cookiecutter.governance == 'enterprise' %}
from .sensors import SENSORS
{% endif %}

defs = dg.Definitions(
    assets=ASSETS,
    asset_checks=CHECKS,
{% if cookiecutter.governance != 'quick' %}
    jobs=JOBS,
    schedules=SCHEDULES,
{% endif %}
{% if cookiecutter.governance == 'enterprise' %}
    sensors=SENSORS,
{% endif %}
    resources=RESOURCES,
{% if cookiecutter.executor == 'in_process' %}
    executor=dg.in_process_executor,
{% else %}
    # Each step is forked from a process that has already loaded this module, which saves seconds.
    executor=dg.multiprocess_executor.configured({"max_concurrent": 4, "start_method": {"forkserver": {}}}),
{% endif %}
)
