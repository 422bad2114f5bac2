"""What has to be found in each project of the corpus, and made of it by an upgrade that loads nothing."""

from __future__ import annotations

from tests.project_corpus.building import Expected

EXPECTED = {
    "dg": Expected(
        "dg project, orders.definitions; requirements: project, uv.lock",
        changed=("pyproject.toml",),
        by_hand=("uv lock",),
    ),
    "dg with resources in its folder": Expected(
        "dg project, orders.definitions; requirements: project", changed=("pyproject.toml",)
    ),
    "dg with an io manager in its folder": Expected(
        "dg project, patents.definitions; requirements: project", left=("resources-file", "storage-path")
    ),
    "dg with a component": Expected(
        "dg project, my_cool_project.definitions; requirements: project", changed=("pyproject.toml",)
    ),
    "dg with another target": Expected(
        "dg project, orders.entry; requirements: project", changed=("pyproject.toml", "src/orders/entry.py")
    ),
    "dg that loads its folder by itself": Expected(
        "dg project; requirements: project",
        left=("definitions", "fragments", "fragments-fit"),
        by_hand=("Only dg loads the folder of definitions. Write orders/definitions.py",),
    ),
    "scaffold": Expected(
        "scaffolded project, weather_etl.definitions; requirements: project",
        changed=("pyproject.toml", "weather_etl/definitions.py"),
    ),
    "older scaffold": Expected(
        "scaffolded project, stars; requirements: setup", changed=("setup.py", "stars/__init__.py")
    ),
    "older scaffold with a computed list": Expected(
        "package, anomaly.main; requirements: setup",
        changed=("anomaly/main.py",),
        by_hand=("Add these requirements to install_requires in setup.py, whose structur",),
    ),
    "settings in setup.cfg": Expected(
        "package, maestro.definitions; requirements: setup", changed=("maestro/definitions.py", "setup.cfg")
    ),
    "poetry": Expected("package, demo; requirements: poetry", changed=("demo/__init__.py", "pyproject.toml")),
    "poetry with a lock": Expected(
        "package, canvas.definitions; requirements: poetry, poetry.lock",
        changed=("canvas/definitions.py", "pyproject.toml"),
        by_hand=("poetry lock",),
    ),
    "pdm": Expected(
        "package, orders.definitions; requirements: project, pdm.lock",
        changed=("pyproject.toml", "src/orders/definitions.py"),
        by_hand=("pdm lock",),
    ),
    "requirements that setuptools reads": Expected(
        "package, pipeline.definitions; requirements: file", changed=("pipeline/definitions.py", "requirements.txt")
    ),
    "requirements.txt alone": Expected(
        "package, queue_dagster.definitions; requirements: requirements", changed=("queue_dagster/definitions.py",)
    ),
    "a namespace package": Expected(
        "package, bag.core.code_location; requirements: project",
        changed=("pyproject.toml", "src/bag/core/code_location.py"),
    ),
    "capital letters": Expected(
        "package, BeliefPipeline.definitions; requirements: project",
        changed=("pyproject.toml", "src/BeliefPipeline/definitions.py"),
    ),
    "a package called src": Expected(
        "package, src.definitions; requirements: project", changed=("pyproject.toml", "src/definitions.py")
    ),
    "a member of a uv workspace": Expected(
        "package, databox.orchestration.definitions; requirements: project",
        changed=("databox/orchestration/definitions.py", "pyproject.toml"),
    ),
    "an io manager of a library": Expected(
        "scaffolded project, news.definitions; requirements: project", left=("resources-file", "storage-path")
    ),
    "an older Dagster": Expected(
        "package, hca.definitions; requirements: poetry",
        changed=("hca/definitions.py", "pyproject.toml"),
        left=("dagster-version",),
    ),
    "a single file": Expected(
        "single file, dagster_defs; requirements: project", changed=("dagster_defs.py", "pyproject.toml")
    ),
    "a single file of settings": Expected("single file, main; requirements: none", changed=("main.py",)),
    "files without a package": Expected(
        "files without a package, definitions; requirements: requirements", changed=("definitions.py",)
    ),
    "files with other files of our names": Expected(
        "files without a package, definitions; requirements: requirements", changed=("definitions.py",)
    ),
    "a repository": Expected(
        "repository, etl.repository; requirements: setup",
        changed=("setup.py",),
        left=("io-manager-registered",),
        by_hand=("The structure of etl/repository.py is not supported",),
    ),
    "a repository beside its package": Expected(
        "repository, helm.repository; requirements: setup",
        changed=("setup.py",),
        left=("io-manager-registered",),
        by_hand=("The structure of helm/repository.py is not supported",),
    ),
    "a repository with resources": Expected(
        "repository, inventory.repo; requirements: requirements", left=("resources-file", "storage-path")
    ),
    "repositories for development and production": Expected(
        "repository, project.dev_repository, project.prod_repository; requirements: requirements",
        left=("io-manager-registered",),
        by_hand=("The structure of project/dev_repository.py is not supported",),
    ),
    "a merge": Expected(
        "merged definitions, parts.definitions; requirements: project",
        changed=("parts/definitions.py", "pyproject.toml"),
    ),
    "a merge that settings do not name": Expected(
        "merged definitions, parts.definitions; requirements: project",
        changed=("parts/definitions.py", "pyproject.toml"),
    ),
    "a merge with an io manager in a part": Expected(
        "merged definitions, parts.definitions; requirements: project", left=("resources-file", "storage-path")
    ),
    "three code locations": Expected(
        "package, beacon.definitions, harbor.definitions, summit.definitions; requirements: project",
        changed=("beacon/definitions.py", "pyproject.toml"),
    ),
    "code locations of a workspace file": Expected(
        "package, crypto, weather; requirements: requirements", changed=("crypto/__init__.py",)
    ),
    "resources that a function returns": Expected(
        "files without a package, definitions; requirements: requirements",
        left=("resources-file", "io-manager"),
        by_hand=("The code does not show which resources definitions.py registers",),
    ),
    "a class that builds the definitions": Expected(
        "package, src.definitions; requirements: none",
        left=("resources-file", "io-manager"),
        by_hand=("The code does not show which resources src/definitions.py registers",),
    ),
    "an own io manager that is not registered": Expected(
        "files without a package, definitions; requirements: requirements",
        left=("resources-file", "io-manager-registered"),
        by_hand=("The module has an IO manager (ParquetIOManager), but Definitions does ",),
    ),
    "an own io manager under another key": Expected(
        "files without a package, definitions; requirements: requirements", left=("resources-file",)
    ),
    "a choice of io managers": Expected(
        "scaffolded project, ai.definitions; requirements: project", left=("resources-file", "storage-path")
    ),
    "dbt inside": Expected(
        "package, shop.definitions; requirements: project; with dbt", changed=("pyproject.toml", "shop/definitions.py")
    ),
    "dlt inside": Expected(
        "package, birds.definitions; requirements: project; with dlt",
        changed=("birds/definitions.py", "pyproject.toml"),
    ),
    "Sling inside": Expected(
        "package, platform_.definitions; requirements: project; with Sling",
        changed=("platform_/definitions.py", "pyproject.toml"),
    ),
}
