"""A service whose ``environment`` is a list gets the same variables as one whose ``environment`` is a mapping."""

from __future__ import annotations

from dagster_module_builder.shared_files.formats import compose

FRAGMENT = b"""x-dagster-code:
  environment:
    HOST: seo_db
    PORT: 5440
    QUIET: true
    FROM_HOST:
"""


def test_a_list_says_what_the_mapping_says() -> None:
    (given,) = compose.contributions(FRAGMENT, ["web"])
    assert given.mapping == (b"HOST: seo_db", b"PORT: 5440", b"QUIET: true", b"FROM_HOST:")
    assert given.sequence == (b'- "HOST=seo_db"', b'- "PORT=5440"', b'- "QUIET=true"', b'- "FROM_HOST"')
