"""The very release that ran for one deployment gets to another one's hosts, with that one's settings."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.modules import make_deployment, set_value
from tests.deploy.program import run
from tests.deploy.sites import Site, quick_sites


@dataclass
class Stages:
    """A module with two deployments, each with its own host."""

    staging: Site
    production: Site

    def deploy(self) -> None:
        done = run(self.staging.root, "deploy", "staging", "--allow-dirty", "--no-settle")
        assert done.returncode == 0, done

    def promote(self, *flags: str) -> str:
        done = run(self.staging.root, "deploy.promote", "staging", "production", *flags)
        assert done.returncode == 0, done
        return done.stdout

    def refused(self, *flags: str) -> str:
        """Promote in vain; production stays as it is."""
        before = self.production.current() if (self.production.there / "current").exists() else None
        done = run(self.staging.root, "deploy.promote", "staging", "production", *flags)
        assert done.returncode == 1, done
        after = self.production.current() if (self.production.there / "current").exists() else None
        assert after == before
        return done.stderr


@pytest.fixture
def stages(tmp_path: Path) -> Iterator[Stages]:
    for sites in quick_sites(tmp_path, 2):
        staging, production = sites.sites
        shutil.rmtree(staging.module / "deploy")
        python = str(staging.host.folder / "python")
        for name, site in (("staging", staging), ("production", production)):
            folder = make_deployment(site.module, [site.host], [site.dagster.url], python, name=name)
            (folder / ".env.deploy").write_text(f"SALES_REPORT_TOKEN='of {name}'\n")
        yield Stages(staging, production)


def content(site: Site) -> dict[str, bytes]:
    folder = site.there / "releases" / site.current()
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "RELEASE.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_release_that_runs_is_promoted_with_the_other_settings(stages: Stages) -> None:
    """Whatever the module's folder has become; links and programs stay what they are."""
    program = stages.staging.module / "tool.sh"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (stages.staging.module / "link").symlink_to("tool.sh")
    (stages.staging.module / "large").write_bytes(bytes(range(256)) * 12_000)
    stages.deploy()
    set_value(stages.staging.module, 2)
    (planned,) = json.loads(stages.promote("--dry-run", "--json"))
    change = planned["modules"]["sales-report"]
    assert (change["from"], change["settings"]["added"]) == (None, ["SALES_REPORT_TOKEN"])
    assert {"link", "large", "tool.sh"} <= set(change["files"]["added"])
    assert not stages.production.there.exists()
    said = json.loads(stages.promote("--json"))
    assert said[0]["releases"] == {"sales-report": stages.production.current()}
    assert content(stages.production) == content(stages.staging)
    folder = stages.production.there / "releases" / stages.production.current()
    assert (folder / "link").readlink() == Path("tool.sh")
    assert (folder / "tool.sh").stat().st_mode & 0o111
    assert "of production" in (stages.production.host.base / ".env").read_text()
    assert "of staging" not in (stages.production.host.base / ".env").read_text()
    records = [json.loads((site.there / "releases" / site.current() / "RELEASE.json").read_text())
               for site in (stages.staging, stages.production)]  # fmt: skip
    assert records[0]["digest"] == records[1]["digest"]
    assert records[1]["promoted_from"] == f"staging {stages.staging.current()}"
    # An earlier one, by its name.
    first = stages.staging.current()
    stages.deploy()
    stages.promote()
    stages.promote("--release", first)
    assert content(stages.production)["src/sales_report_dagster/value.py"] == b"VALUE = 1\n"


def test_what_never_ran_or_was_changed_is_not_promoted(stages: Stages) -> None:
    assert "has no release yet there" in stages.refused()
    stages.deploy()
    assert "has no release nosuch there" in stages.refused("--release", "nosuch")
    log = stages.staging.host.base / "modules/.logs/sales-report.jsonl"
    written = log.read_text()
    log.write_text("")
    assert "never ran there" in stages.refused()
    log.write_text(written)
    release = stages.staging.there / "releases" / stages.staging.current()
    value = release / "src/sales_report_dagster/value.py"
    value.chmod(0o644)
    value.write_text("VALUE = 666\n")
    assert "are not those of the release any more: src/sales_report_dagster/value.py" in stages.refused()
    # Also with a manifest that fits what was changed: the record has its digest.

    manifest = release / "manifest.sha256"
    manifest.chmod(0o644)
    old, new = (hashlib.sha256(text).hexdigest() for text in (b"VALUE = 1\n", b"VALUE = 666\n"))
    manifest.write_text("".join(sorted(manifest.read_text().replace(old, new).splitlines(keepends=True))))
    assert "is not the one that was deployed" in stages.refused()
    stages.staging.dagster.known.clear()  # type: ignore[union-attr]
    assert "Dagster has not loaded" in stages.refused()


def test_its_names_are_asked_for(stages: Stages) -> None:
    same = run(stages.staging.root, "deploy.promote", "staging", "staging")
    assert (same.returncode, "to itself" in same.stderr) == (1, True), same
    missing = run(stages.staging.root, "deploy.promote", "staging")
    assert missing.returncode == 2, missing
