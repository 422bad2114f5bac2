"""Deployments of modules that keep data on hosts."""

from __future__ import annotations

from pathlib import Path

from tests.deploy.sites import Site


def configure(site: Site, **settings: object) -> Path:
    """Give the module its own storage with one file in it, and these settings."""
    storage = site.host.folder / "storage"
    (storage / "sales_report").mkdir(parents=True)
    (storage / "sales_report/number").write_text("42")
    (storage / "other_module").mkdir()
    named = {"DAGSTER_STORAGE_DIR": storage, **{f"SALES_REPORT_{key}": value for key, value in settings.items()}}
    with (site.module / "deploy/yoda/.env.deploy").open("a") as file:
        file.writelines(f"{name}='{value}'\n" for name, value in named.items())
    return storage
