"""Redacting files, so that a diff shows no secrets."""
