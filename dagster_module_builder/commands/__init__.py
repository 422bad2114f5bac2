"""The command line: parse, call, print. The namespace is put together here and nowhere else."""

from __future__ import annotations

from invoke.collection import Collection

from dagster_module_builder.commands import demo, modules, workspace

namespace = Collection()
namespace.add_task(modules.new)
namespace.add_task(demo.demo)

_workspace = Collection("workspace")
for _task in workspace.TASKS:
    _workspace.add_task(_task)
namespace.add_collection(_workspace)
