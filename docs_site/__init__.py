"""Builds the documentation site: pages of the repository, and pages that are made from the code.

``python -m docs_site`` (``nox -s docs``) writes ``build/site``, which a browser opens without a server or a network.
"""
