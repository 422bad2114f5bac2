"""The site, built once."""

from __future__ import annotations

import pytest

from tests import needs
from tests.site import built_site
from tests.site.built_site import Site


@pytest.fixture(scope="session")
def documentation(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The documentation site, built as ``nox -s docs`` builds it."""
    needs.module("mkdocs")
    folder = tmp_path_factory.mktemp("documentation")
    done = built_site.build(folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return Site(folder / "site")
