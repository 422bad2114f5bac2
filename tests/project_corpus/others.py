"""Projects without a package, with repositories, merges, several code locations, and with other tools inside."""

from __future__ import annotations

from tests.project_corpus.building import Project, asset, defs, packages, pyproject, scaffold, setup_py, workspace

REPOSITORY = """\
from dagster import ScheduleDefinition, define_asset_job, repository

from {package}.assets import numbers


@repository
def everything():
    job = define_asset_job("nightly")
    return [numbers, job, ScheduleDefinition(job=job, cron_schedule="0 3 * * *", execution_timezone="UTC")]
"""
WITH_RESOURCES = """\
from dagster import FilesystemIOManager, repository, with_resources

from inventory.assets import numbers


@repository
def everything():
    return with_resources([numbers], {"io_manager": FilesystemIOManager(base_dir="/srv/inventory")})
"""
MERGED = """\
from dagster import Definitions

from {package}.sales import definitions as sales
from {package}.stock import definitions as stock

defs = Definitions.merge(sales.defs, stock.defs)
"""
PARTS = {
    **packages("parts", "parts/sales", "parts/stock"),
    "parts/sales/assets.py": asset("sold"), "parts/sales/definitions.py": defs("parts.sales.assets"),
    "parts/stock/assets.py": asset("stored"), "parts/stock/definitions.py": defs("parts.stock.assets"),
}  # fmt: skip
BUILDER = """\
import dagster as dg

from src.assets import numbers


class Builder:
    def __init__(self):
        self.resources = {}

    def build(self):
        return dg.Definitions(assets=[numbers], resources=self.resources)


defs = Builder().build()
"""
OWN_MANAGER = """\
import dagster as dg


class ParquetIOManager(dg.ConfigurableIOManager):
    base: str = "/srv/lake"

    def handle_output(self, context, obj): ...

    def load_input(self, context): ...
"""
DBT = {
    "transform/dbt_project.yml": "name: transform\nversion: '1.0.0'\nprofile: transform\n",
    "transform/models/first.sql": "select 1 as id\n",
    "transform/profiles.yml": (
        "transform:\n  target: dev\n  outputs:\n    dev: {type: duckdb, path: ':memory:', threads: 1}\n"
    ),
}
DBT_ASSETS = """\
from pathlib import Path

from dagster_dbt import DbtCliResource, DbtProject, dbt_assets

project = DbtProject(project_dir=Path(__file__).parents[1] / "transform")
project.prepare_if_dev()


@dbt_assets(manifest=project.manifest_path)
def models(context, dbt: DbtCliResource):
    yield from dbt.cli(["build"], context=context).stream()
"""
DBT_DEFS = """\
import dagster as dg
from dagster_dbt import DbtCliResource

from shop.models import models, project

defs = dg.Definitions(assets=[models], resources={"dbt": DbtCliResource(project_dir=project)})
"""
DLT = """\
import dlt
from dagster import AssetExecutionContext, Definitions
from dagster_dlt import DagsterDltResource, dlt_assets


@dlt.source
def numbers():
    @dlt.resource
    def rows():
        yield {"id": 1}

    return rows


@dlt_assets(dlt_source=numbers(), dlt_pipeline=dlt.pipeline("numbers", destination="duckdb"))
def loaded(context: AssetExecutionContext, dlt_resource: DagsterDltResource):
    yield from dlt_resource.run(context=context)


defs = Definitions(assets=[loaded], resources={"dlt_resource": DagsterDltResource()})
"""
SLING = """\
from dagster import Definitions
from dagster_sling import SlingResource, sling_assets

REPLICATION = {"source": "A", "target": "B", "defaults": {"mode": "full-refresh"}, "streams": {"public.orders": None}}


@sling_assets(replication_config=REPLICATION)
def copied(context, sling: SlingResource):
    yield from sling.replicate(context=context)


defs = Definitions(assets=[copied], resources={"sling": SlingResource(connections=[])})
"""

PROJECTS = {
    "a single file": Project("CDCgov/cfa-stf-routine-forecasting", {
        "pyproject.toml": pyproject(), "dagster_defs.py": asset() + "\n\ndefs = dg.Definitions(assets=[numbers])\n",
    }),
    "a single file of settings": Project("At-Wish/code-dagster-project-hello-world", {
        "main.py": asset(head="import os\n\nSIZE = int(os.getenv('ORDERS_SIZE', '3'))\n")
        + "\n\ndefs = dg.Definitions(assets=[numbers])\n",
    }),
    "files without a package": Project("Kosyakk1337/dagster_prod: dags", {
        "requirements.txt": "dagster\n", "assets.py": asset(), "definitions.py": defs("assets"),
    }),
    "files with other files of our names": Project("EmilSundman/showcase-Dagster: location_integration_layer", {
        "requirements.txt": "dagster\n", "assets.py": asset(), "storage.py": "BUCKET = 'x'\n",
        "resources.py": "from dagster import ResourceDefinition as R\n\nOURS = {'place': R.hardcoded_resource(1)}\n",
        "definitions.py": defs("assets", "resources=OURS", head="from resources import OURS\n"),
    }),
    "a repository": Project("ApoorvYdv/customer-report-dagster", {
        "setup.py": setup_py("dagster"), **packages("etl"), "etl/assets.py": asset(),
        "etl/repository.py": REPOSITORY.format(package="etl"),
    }),
    "a repository beside its package": Project("DevStrikerTech/datahelm", {
        "setup.py": setup_py("dagster"), **packages("helm"), "helm/assets.py": asset(),
        "helm/repository.py": REPOSITORY.format(package="helm"),
        "workspace.yaml": workspace("python_file: helm/repository.py"),
    }),
    "a repository with resources": Project("Luppass/Dagster-MultiDocker", {
        "requirements.txt": "dagster\n", **packages("inventory"), "inventory/assets.py": asset(),
        "inventory/repo.py": WITH_RESOURCES,
    }),
    "repositories for development and production": Project("EdWire/dagster-edfi-api-to-bq-amt", {
        "requirements.txt": "dagster\n", **packages("project"), "project/assets.py": asset(),
        "project/dev_repository.py": REPOSITORY.format(package="project"),
        "project/prod_repository.py": REPOSITORY.format(package="project"),
    }),
    "a merge": Project("DataIntegrationGroup/AquaDuct", {
        "pyproject.toml": scaffold("parts.definitions"), **PARTS,
        "parts/definitions.py": MERGED.format(package="parts"),
    }),
    "a merge that settings do not name": Project("C00ldudeNoonan/economic-data-project", {
        "pyproject.toml": pyproject(), **PARTS, "parts/definitions.py": MERGED.format(package="parts"),
    }),
    "a merge with an io manager in a part": Project("wisemuffin/project-zeus", {
        "pyproject.toml": scaffold("parts.definitions"), **PARTS,
        "parts/definitions.py": MERGED.format(package="parts"),
        "parts/stock/definitions.py": defs(
            "parts.stock.assets", "resources={'io_manager': FilesystemIOManager(base_dir='/srv')}",
            head="from dagster import FilesystemIOManager\n",
        ),
    }),
    "three code locations": Project("C00ldudeNoonan/dagster-multi-tenant-example", {
        "pyproject.toml": pyproject(), **packages("beacon", "harbor", "summit"),
        **{f"{name}/assets.py": asset() for name in ("beacon", "harbor", "summit")},
        **{f"{name}/definitions.py": defs(f"{name}.assets") for name in ("beacon", "harbor", "summit")},
    }),
    "code locations of a workspace file": Project("Tinuz/mydataplatform: orchestration", {
        "requirements.txt": "dagster\n", **{f"{name}/assets.py": asset() for name in ("weather", "crypto")},
        **{f"{name}/__init__.py": defs(f"{name}.assets") for name in ("weather", "crypto")},
        "workspace.yaml": workspace("python_package: crypto", "python_package: weather"),
    }),
    "resources that a function returns": Project("EmilSundman/showcase-Dagster: location_dbt_layer", {
        "requirements.txt": "dagster\n", "assets.py": asset(),
        "definitions.py": defs("assets", "resources=BY_PLACE.get('LOCAL')", head="BY_PLACE = {'LOCAL': {}}\n"),
    }),
    "a class that builds the definitions": Project("GaloyMoney/lana-bank: dagster", {
        **packages("src"), "src/assets.py": asset(), "src/definitions.py": BUILDER,
    }),
    "an own io manager that is not registered": Project("Jiahong-Que-9527/SoloLakehouse", {
        "requirements.txt": "dagster\n", "lake.py": OWN_MANAGER, "assets.py": asset(), "definitions.py": defs("assets"),
    }),
    "an own io manager under another key": Project("lelouvincx/goodreads-elt-pipeline", {
        "requirements.txt": "dagster\n", "lake.py": OWN_MANAGER,
        "assets.py": asset().replace('key_prefix="orders"', 'key_prefix="orders", io_manager_key="lake"'),
        "definitions.py": defs(
            "assets", "resources={'lake': ParquetIOManager()}", head="from lake import ParquetIOManager\n"
        ),
    }),
    "a choice of io managers": Project("Carricaner/dagster-template: with_openai", {
        "pyproject.toml": scaffold("ai.definitions"), **packages("ai"), "ai/assets.py": asset(),
        "ai/definitions.py": defs(
            "ai.assets", "resources={**KEPT}",
            head="from dagster import FilesystemIOManager, mem_io_manager\n"
            "KEPT = ({'io_manager': FilesystemIOManager(base_dir='/srv')} if __name__ else "
            "{'io_manager': mem_io_manager})\n",
        ),
    }),
    "dbt inside": Project("Cam0505/CamOnDagsterDbt", {
        "pyproject.toml": pyproject(requirements=("dagster", "dagster-dbt", "dbt-duckdb")), **packages("shop"), **DBT,
        "shop/models.py": DBT_ASSETS, "shop/definitions.py": DBT_DEFS,
    }, needs="integrations"),
    "dlt inside": Project("Doctacon/bird-finder-app", {
        "pyproject.toml": pyproject(requirements=("dagster", "dagster-dlt", "dlt")), **packages("birds"),
        "birds/definitions.py": DLT,
    }, needs="integrations"),
    "Sling inside": Project("dagster-io/dagster-open-platform", {
        "pyproject.toml": pyproject(requirements=("dagster", "dagster-sling")), **packages("platform_"),
        "platform_/definitions.py": SLING,
    }, needs="integrations"),
}  # fmt: skip
