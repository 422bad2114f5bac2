"""What an older version or a person put there for a module, without recording or marking it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.transactions.registry import parse_registry
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.remove import remove_module
from tests.corpus.workspaces import CASES, Case, Modules, bytes_of
from tests.engine.folders import make_module, make_workspace, services

SEO_LINES = b"SEO_DB_PORT='15440'\nSEO_DB_PASSWORD='s3cret'\n"
STATS_LINES = b"SEO_STATS_DB_PORT='15441'\nSEO_STATS_OTHER=1\n"


@pytest.fixture
def old(tmp_path: Path, modules: Modules) -> tuple[Path, dict[str, bytes]]:
    """A workspace in which an older version integrated a module: names only in the registry, no markers in the .env."""
    root = Case(CASES / "data-etl-dagster").lay_out(tmp_path / "ws")
    (root / settings.SERVICES / ".env").write_bytes(b"# ours\nA='1'\n")
    before = bytes_of(root)
    modules.put(root, "sales-report")
    add_module(root, "sales-report")
    registry = root / settings.REGISTRY
    registry.write_text(
        json.dumps({**json.loads(registry.read_bytes()), "integrated_modules": [{"name": "sales-report"}]})
    )
    env = root / settings.SERVICES / ".env"
    env.write_bytes(
        b"".join(
            line
            for line in env.read_bytes().splitlines(keepends=True)
            if b"# BEGIN" not in line and b"# END" not in line
        )
    )
    return root, before


def test_an_entry_without_digests_is_shown_before_it_is_taken_over(old: tuple[Path, dict[str, bytes]]) -> None:
    root, _ = old
    there = bytes_of(root)
    with pytest.raises(BuilderError, match="--adopt") as refusal:
        add_module(root, "sales-report")
    assert "+# BEGIN: sales_report" in str(refusal.value)
    assert "PASSWORD=…" in str(refusal.value)
    assert bytes_of(root) == there


def test_an_entry_without_digests_is_taken_over_and_can_be_removed(old: tuple[Path, dict[str, bytes]]) -> None:
    root, before = old
    add_module(root, "sales-report", adopting=True)
    entry = parse_registry(root, (root / settings.REGISTRY).read_bytes()).find("sales-report")
    assert entry
    assert set(entry.blocks) >= {".env", "workspace.yaml#load_from", "docker-compose.yml#services"}
    remove_module(root, "sales-report")
    assert bytes_of(root) == before


def test_an_entry_without_digests_is_removed_with_its_lines_once_they_were_shown(
    old: tuple[Path, dict[str, bytes]],
) -> None:
    root, before = old
    there = bytes_of(root)
    with pytest.raises(BuilderError, match="--adopt") as refusal:
        remove_module(root, "sales-report")
    assert "-SALES_REPORT_DB_PORT=" in str(refusal.value)
    assert bytes_of(root) == there
    remove_module(root, "sales-report", adopting=True)
    assert bytes_of(root) == before


@pytest.fixture
def unmarked(tmp_path: Path) -> Path:
    """A workspace whose .env sets the variables of ``seo`` and ``seo_stats`` without markers."""
    root = make_workspace(tmp_path / "ws", env=b"A=1\n" + SEO_LINES + b"# between\n" + STATS_LINES)
    make_module(root, "seo", 15440)
    make_module(root, "seo-stats", 15441)
    return root


def test_lines_are_found_by_prefix_and_the_longer_prefix_keeps_its_own(unmarked: Path) -> None:
    add_module(unmarked, "seo", adopting=True)
    text = (services(unmarked) / ".env").read_bytes()
    assert text.startswith(b"A=1\n# between\n" + STATS_LINES + b"# BEGIN: seo\n")


def test_lines_without_markers_are_shown_before_they_are_taken_over(unmarked: Path) -> None:
    before = bytes_of(unmarked)
    with pytest.raises(BuilderError, match="--adopt") as refusal:
        add_module(unmarked, "seo")
    assert "-SEO_DB_PORT='15440'" in str(refusal.value)
    assert "s3cret" not in str(refusal.value)
    assert bytes_of(unmarked) == before


def test_a_value_that_would_be_lost_is_not_taken_over(unmarked: Path) -> None:
    env = services(unmarked) / ".env"
    env.write_bytes(env.read_bytes().replace(b"s3cret", b"typed by hand"))
    before = bytes_of(unmarked)
    with pytest.raises(BuilderError, match=r"different values for SEO_DB_PASSWORD"):
        add_module(unmarked, "seo", adopting=True)
    assert bytes_of(unmarked) == before
    add_module(unmarked, "seo", force=True)
    assert b"typed by hand" not in env.read_bytes()


def test_what_the_module_does_not_set_stays(unmarked: Path) -> None:
    env = services(unmarked) / ".env"
    env.write_bytes(env.read_bytes() + b"SEO_OTHER='mine'\n")
    add_module(unmarked, "seo", adopting=True)
    assert b"SEO_OTHER='mine'\n# BEGIN: seo\n" in env.read_bytes()
