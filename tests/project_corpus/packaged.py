"""Projects of dg, of scaffolds, and packages."""

from __future__ import annotations

from tests.project_corpus.building import (
    FROM_FOLDER,
    Project,
    asset,
    defs,
    dg_project,
    packages,
    poetry,
    pyproject,
    scaffold,
    setup_py,
    workspace,
)

REGISTERED = "resources={'io_manager': FilesystemIOManager(base_dir='/srv/orders')}"
MANAGER = "from dagster import FilesystemIOManager\n"
IN_FOLDER = """\
import dagster as dg


@dg.definitions
def resources():
    return dg.Definitions(resources={"warehouse": dg.ResourceDefinition.hardcoded_resource("here")})
"""

PROJECTS = {
    "dg": Project(
        "dagster-io/hooli-data-eng-pipelines: hooli-basics",
        {"pyproject.toml": dg_project("orders"), "src/orders/definitions.py": FROM_FOLDER, "uv.lock": "version = 1\n",
         **packages("src/orders", "src/orders/defs"), "src/orders/defs/assets.py": asset()},
    ),
    "dg with resources in its folder": Project(
        "DirkTorre/dagster-workspace: projects/imdb",
        {"pyproject.toml": dg_project("orders"), "src/orders/definitions.py": FROM_FOLDER,
         **packages("src/orders", "src/orders/defs", "src/orders/defs/warehouse"),
         "src/orders/defs/assets.py": asset(), "src/orders/defs/resources.py": IN_FOLDER},
    ),
    "dg with an io manager in its folder": Project(
        "ESS-Graz/sywi-data-platform: patents",
        {"pyproject.toml": dg_project("patents"), "src/patents/definitions.py": FROM_FOLDER,
         **packages("src/patents", "src/patents/defs"), "src/patents/defs/assets.py": asset(prefix="orders"),
         "src/patents/defs/io.py": (
             "import dagster as dg\n\ndefs = dg.Definitions("
             "resources={'io_manager': dg.FilesystemIOManager(base_dir='/srv/patents')})\n"
         )},
    ),
    "dg with a component": Project(
        "cnolanminich/testing-dg-workspace: projects/my-cool-project",
        {"pyproject.toml": dg_project("my_cool_project", 'registry_modules = ["my_cool_project.components.*"]\n'),
         "src/my_cool_project/definitions.py": FROM_FOLDER,
         **packages("src/my_cool_project", "src/my_cool_project/components", "src/my_cool_project/defs"),
         "src/my_cool_project/components/spec.py": (
             "import dagster as dg\n\n\nclass Specs(dg.Component, dg.Model, dg.Resolvable):\n    keys: list[str]\n\n"
             "    def build_defs(self, context):\n"
             "        return dg.Definitions(assets=[dg.AssetSpec(['orders', key]) for key in self.keys])\n"
         ),
         "src/my_cool_project/defs/specs/defs.yaml": (
             "type: my_cool_project.components.spec.Specs\nattributes:\n  keys: [first, second]\n"
         )},
    ),
    "dg with another target": Project(
        "Ccinaza/nomba-data-pipeline",
        {"pyproject.toml": dg_project("orders", 'code_location_target_module = "orders.entry"\n'),
         **packages("src/orders"), "src/orders/assets.py": asset(), "src/orders/entry.py": defs("orders.assets")},
    ),
    "dg that loads its folder by itself": Project(
        "eric-thomas-dagster/dagster-litellm-demo",
        {"pyproject.toml": dg_project("orders", "autoload_defs = true\n"),
         **packages("src/orders", "src/orders/defs"), "src/orders/defs/assets.py": asset()},
        needs="nothing",
    ),
    "scaffold": Project(
        "AdelHol/weather_etl",
        {"pyproject.toml": scaffold("weather_etl.definitions"), **packages("weather_etl", "weather_etl_tests"),
         "weather_etl/assets.py": asset(), "weather_etl/definitions.py": defs("weather_etl.assets"),
         "weather_etl_tests/test_assets.py": "def test_nothing():\n    assert True\n"},
    ),
    "older scaffold": Project(
        "BrenoFariasdaSilva/Dagster-GitHub-Stars",
        {"setup.py": setup_py("dagster", "pandas"), "setup.cfg": "[metadata]\nname = stars\n",
         "pyproject.toml": "[build-system]\nrequires = ['setuptools']\n\n[tool.dagster]\nmodule_name = 'stars'\n",
         "stars/assets.py": asset(), "stars/__init__.py": defs("stars.assets")},
    ),
    "older scaffold with a computed list": Project(
        "andrewm4894/anomstack",
        {"setup.py": "from setuptools import setup\n\nsetup(install_requires=open('requirements.txt').readlines())\n",
         "requirements.txt": "dagster\n", **packages("anomaly"), "anomaly/assets.py": asset(),
         "anomaly/main.py": defs("anomaly.assets"), "workspace.yaml": workspace("python_module: anomaly.main")},
    ),
    "settings in setup.cfg": Project(
        "RJ-SMTR/maestro",
        {"setup.cfg": "[metadata]\nname = maestro\n\n[options]\ninstall_requires =\n    dagster\n    pandas\n",
         **packages("maestro"), "maestro/assets.py": asset(), "maestro/definitions.py": defs("maestro.assets")},
    ),
    "poetry": Project(
        "Arka-Data-Net/demo-dagster",
        {"pyproject.toml": poetry("demo"), "demo/assets.py": asset(), "demo/__init__.py": defs("demo.assets")},
    ),
    "poetry with a lock": Project(
        "K12-Analytics-Engineering/canvas",
        {"pyproject.toml": poetry("canvas"), "poetry.lock": "# made by Poetry\n", **packages("canvas"),
         "canvas/assets.py": asset(), "canvas/definitions.py": defs("canvas.assets")},
    ),
    "pdm": Project(
        "opsmill/infrahub-orchestrator",
        {"pyproject.toml": pyproject(more="[tool.pdm]\ndistribution = true\n"), "pdm.lock": "",
         **packages("src/orders"), "src/orders/assets.py": asset(), "src/orders/definitions.py": defs("orders.assets")},
    ),
    "requirements that setuptools reads": Project(
        "mobidata-bw/ipl-dagster-pipeline",
        {"pyproject.toml": (
            "[project]\nname = 'pipeline'\nversion = '1'\ndynamic = ['dependencies']\n\n"
            "[tool.setuptools.dynamic]\ndependencies = {file = ['requirements.txt']}\n"
        ), "requirements.txt": "dagster\npandas\n", **packages("pipeline"), "pipeline/assets.py": asset(),
         "pipeline/definitions.py": defs("pipeline.assets")},
    ),
    "requirements.txt alone": Project(
        "chrishayen/dagster-deployment",
        {"requirements.txt": "dagster>=1.5\ndagster-webserver\n", **packages("queue_dagster"),
         "queue_dagster/assets.py": asset(), "queue_dagster/definitions.py": defs("queue_dagster.assets")},
    ),
    "a namespace package": Project(
        "3DBAG/3dbag-pipeline: packages/core",
        {"pyproject.toml": pyproject("core"), **packages("src/bag/core"), "src/bag/core/assets.py": asset(),
         "src/bag/core/code_location.py": defs("bag.core.assets")},
    ),
    "capital letters": Project(
        "TristanAgaesse/crypto-belief-narrative-pipeline",
        {"pyproject.toml": pyproject("Belief-Pipeline"), **packages("src/BeliefPipeline"),
         "src/BeliefPipeline/assets.py": asset(), "src/BeliefPipeline/definitions.py": defs("BeliefPipeline.assets")},
    ),
    "a package called src": Project(
        "AIZharau/data-ingestion-dlt",
        {"pyproject.toml": pyproject(), "src/__init__.py": "from src.definitions import defs\n",
         "src/assets.py": asset(), "src/definitions.py": defs("src.assets"),
         "workspace.yaml": workspace("python_file: src/__init__.py")},
    ),
    "a member of a uv workspace": Project(
        "Doctacon/databox: packages/databox",
        {"pyproject.toml": pyproject("box", "[tool.uv.sources]\nother = {workspace = true}\n", ("dagster", "other")),
         **packages("databox", "databox/orchestration"), "databox/orchestration/assets.py": asset(),
         "databox/orchestration/definitions.py": defs("databox.orchestration.assets")},
        needs="nothing",
    ),
    "an io manager of a library": Project(
        "ESS-Graz/sywi-data-platform: hackernews",
        {"pyproject.toml": scaffold("news.definitions"), **packages("news"), "news/assets.py": asset(),
         "news/definitions.py": defs("news.assets", REGISTERED, head=MANAGER)},
    ),
    "an older Dagster": Project(
        "DataBiosphere/hca-ingest: orchestration",
        {"pyproject.toml": poetry("hca", "0.12.14"), **packages("hca"), "hca/assets.py": asset(),
         "hca/definitions.py": defs("hca.assets")},
    ),
}  # fmt: skip
