"""Modules for a workspace whose Dagster runs natively."""

from __future__ import annotations

import textwrap
from pathlib import Path

DEFINITIONS = """
    import os
    from pathlib import Path

    import dagster as dg

    FOLDER = Path(os.environ["DAGSTER_STORAGE_DIR"])


    class Text(dg.IOManager):
        def handle_output(self, context, obj):
            path = FOLDER.joinpath(*context.asset_key.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(obj)
            context.add_output_metadata({"path": dg.MetadataValue.path(str(path)), "dagster/row_count": len(obj)})

        def load_input(self, context):
            return FOLDER.joinpath(*context.asset_key.path).read_text()


    @dg.asset(key_prefix="NAME", group_name="NAME")
    def raw():
        print("a module may print\\x07")
        return os.environ["NAME_TEXT"]


    RETRIES = dg.RetryPolicy(max_retries=1)


    @dg.asset(key_prefix="NAME", group_name="NAME", ins={"raw": dg.AssetIn(key=["NAME", "raw"])}, retry_policy=RETRIES)
    def cleaned(raw):
        if raw == "broken":
            raise ValueError("the text is broken") from KeyError("what the module found first")
        return raw.strip()


    @dg.asset_check(asset=cleaned, blocking=True)
    def not_empty():
        text = FOLDER.joinpath("NAME", "cleaned").read_text()
        return dg.AssetCheckResult(passed=bool(text))


    @dg.asset(key_prefix="NAME", group_name="NAME", ins={"cleaned": dg.AssetIn(key=["NAME", "cleaned"])})
    def summary(cleaned):
        return cleaned[:1]


    defs = dg.Definitions(
        assets=[raw, cleaned, summary],
        asset_checks=[not_empty],
        resources={"io_manager": Text()},
        executor=dg.in_process_executor,
    )
"""
PARTITIONED = """
    import dagster as dg

    days = dg.StaticPartitionsDefinition(["monday", "tuesday"])


    @dg.asset(key_prefix="NAME", partitions_def=days)
    def daily(context):
        return dg.MaterializeResult(metadata={"dagster/row_count": len(context.partition_key)})


    defs = dg.Definitions(assets=[daily])
"""


def add_module(
    root: Path,
    name: str,
    definitions: str = DEFINITIONS,
    requirements: tuple[str, ...] = ("dagster",),
    *,
    own_server: bool = False,
) -> Path:
    """Write a module by hand, and its entry into the workspace file."""
    module, snake = root / "projects" / name, name.replace("-", "_")
    package = module / "src" / f"{snake}_dagster"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    text = textwrap.dedent(definitions).replace("NAME_TEXT", f"{snake.upper()}_TEXT").replace("NAME", snake)
    (package / "definitions.py").write_text(text)
    dependencies = ", ".join(f'"{requirement}"' for requirement in requirements)
    (module / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nversion = "0"\ndependencies = [{dependencies}]\n'
    )
    entry = f"  - grpc_server: {{host: {snake}_code, port: 4000, location_name: {snake}}}\n"
    if not own_server:
        entry = (
            "  - python_package:\n"
            f"      package_name: {snake}_dagster.definitions\n"
            f"      working_directory: ../../projects/{name}/src\n"
            f"      location_name: {snake}\n"
        )
    file = root / "services/dagster/workspace.yaml"
    file.write_text(file.read_text().replace("load_from: []", "load_from:") + entry)
    with (root / "services/dagster/.env").open("a") as env:
        env.write(f"{snake.upper()}_TEXT='hello'\n")
    return module
