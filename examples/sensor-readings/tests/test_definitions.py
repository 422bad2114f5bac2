from sensor_readings_dagster import NAME
from sensor_readings_dagster.definitions import defs


def test_the_definitions_are_complete():
    defs.validate_loadable(defs)


def test_every_asset_bears_the_module_s_name():
    specs = defs.resolve_all_asset_specs()

    assert specs
    assert all(spec.key.path[0] == NAME and spec.group_name == NAME for spec in specs)


def test_the_schedule_starts_nothing_by_itself():
    schedule = defs.resolve_schedule_def(f"{NAME}_daily")

    assert schedule.execution_timezone == "UTC"
    assert schedule.default_status.value == "STOPPED"
