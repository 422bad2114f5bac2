"""Pipelines of modules in every place of a repository, as the platforms are told of them."""

from __future__ import annotations

from typing import Any

from dagster_module_builder.deploy.pipelines.description import Pipeline, Trigger
from dagster_module_builder.deploy.strategies.base import load_strategy

#: By name: the folder of the module, what is carried out with which settings, and what a push may change there.
LAYOUTS: dict[str, tuple[str, str, dict[str, Any], dict[str, bool]]] = {
    "one module": (".", "git", {}, {"src/a.py": True, "README.md": True}),
    "three in a monorepo": (
        "etl/loads/orders",
        "git",
        {},
        {
            "etl/loads/orders/src/a.py": True,
            "etl/loads/stock/src/a.py": False,
            "README.md": False,
            "etl/loads/o": False,
        },
    ),
    "a file and a folder beside": (
        "projects/orders",
        "git",
        {"include": ["libs/acme", "VERSION"]},
        {"projects/orders/deploy/yoda/deployment.yaml": True, "libs/acme/x.py": True, "VERSION": True, "libs/b": False},
    ),
    "a folder above": (
        "etl/loads/orders",
        "docker",
        {"context": "..", "registry": "none", "image": "x"},
        {"etl/loads/shared.py": True, "etl/loads/stock/src/a.py": True, "etl/x.py": False},
    ),
    "all of it": (
        "projects/orders",
        "docker",
        {"context": "../..", "registry": "none", "image": "x"},
        {"README.md": True, "projects/orders/src/a.py": True},
    ),
}


def described(layout: str, kind: Any, platform: str) -> Pipeline:
    inside, strategy, own, _ = LAYOUTS[layout]
    return Pipeline(
        module="orders",
        deployment="yoda",
        inside=inside,
        platform=platform,
        trigger=Trigger(kind, "trunk", "sales/v*"),
        sources=load_strategy(strategy).sources(own, inside),
        environment="orders-yoda",
        tool="dagster-module-builder==1.0",
        tests=("pytest",),
        programs=(),
        registry=None,
        runner=None,
        image="python:3.12",
        approvers=None,
    )
