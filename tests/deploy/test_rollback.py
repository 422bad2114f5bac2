"""Which release a rollback goes back to where none is named."""

from __future__ import annotations

from dagster_module_builder.deploy.model.deployment import find
from dagster_module_builder.deploy.rollback import roll_back
from tests.deploy.modules import set_value
from tests.deploy.sites import Site


def test_goes_back_over_releases_of_the_same_content_and_says_so(quick: Site) -> None:
    """FAULTS P11: after a commit was deployed twice, the release before has the same code."""
    first = quick.deploy()[0].releases["sales-report"]
    set_value(quick.module, 2)
    second = quick.deploy()[0].releases["sales-report"]
    third = quick.deploy()[0].releases["sales-report"]
    (outcome,) = roll_back(find(quick.root, "yoda"))
    assert outcome.releases == {"sales-report": first}
    assert quick.running() == first
    assert f"{second} was skipped: it has the same content and settings as {third}." in "\n".join(outcome.notes)


def test_a_release_with_other_settings_is_not_skipped_and_the_same_is_told(quick: Site) -> None:
    """FAULTS P11: settings differ, so the rollback changes something; where nothing does, that is said."""
    first = quick.deploy()[0].releases["sales-report"]
    second = quick.deploy()[0].releases["sales-report"]
    (outcome,) = roll_back(find(quick.root, "yoda"))
    assert outcome.releases == {"sales-report": first}
    assert f"{first} has the same content and settings as {second}" in "\n".join(outcome.notes)
    (quick.module / "deploy/yoda/.env.deploy").write_text("SALES_REPORT_TOKEN='second'\n")
    quick.deploy()
    (outcome,) = roll_back(find(quick.root, "yoda"))
    assert outcome.releases == {"sales-report": first}
    assert "same content" not in "\n".join(outcome.notes)
