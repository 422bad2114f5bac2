"""Redaction: only what is known to be harmless is shown or committed."""
