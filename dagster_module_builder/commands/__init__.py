"""The command line: parse, call, print. This is the only place that assembles the namespace."""

from __future__ import annotations

from invoke.collection import Collection

from dagster_module_builder.commands.audit import audit
from dagster_module_builder.commands.care import TASKS as CARE_TASKS
from dagster_module_builder.commands.configure_deployment import configure_deployment
from dagster_module_builder.commands.demo import demo
from dagster_module_builder.commands.deploy import collection as deploy_collection
from dagster_module_builder.commands.doctor import doctor
from dagster_module_builder.commands.modules import new
from dagster_module_builder.commands.skill import skill
from dagster_module_builder.commands.typed_words.completion import completion
from dagster_module_builder.commands.upgrade import upgrade
from dagster_module_builder.commands.version import version
from dagster_module_builder.commands.workspace import TASKS as WORKSPACE_TASKS
from dagster_module_builder.commands.workspace_adopt import TASKS as ADOPT_TASKS
from dagster_module_builder.commands.workspace_dagster import TASKS as DAGSTER_TASKS
from dagster_module_builder.commands.workspace_dev import TASKS as DEV_TASKS
from dagster_module_builder.commands.workspace_graph import TASKS as GRAPH_TASKS
from dagster_module_builder.commands.workspace_inspect import TASKS as INSPECT_TASKS
from dagster_module_builder.commands.workspace_remove import TASKS as REMOVE_TASKS
from dagster_module_builder.commands.workspace_sync import TASKS as SYNC_TASKS

namespace = Collection()
namespace.add_task(new)
namespace.add_task(demo)
namespace.add_task(doctor)
namespace.add_task(version)
namespace.add_task(completion)
namespace.add_task(skill)
namespace.add_task(audit)
namespace.add_task(upgrade)

_workspace = Collection("workspace")
for _task in (
    *WORKSPACE_TASKS,
    *ADOPT_TASKS,
    *INSPECT_TASKS,
    *GRAPH_TASKS,
    *SYNC_TASKS,
    *REMOVE_TASKS,
    *DEV_TASKS,
    *DAGSTER_TASKS,
):
    _workspace.add_task(_task)
namespace.add_collection(_workspace)
namespace.add_task(configure_deployment)
namespace.add_collection(deploy_collection())
_care = Collection("care")
for _task in CARE_TASKS:
    _care.add_task(_task)
namespace.add_collection(_care)
