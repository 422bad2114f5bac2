"""Names, settings, ports and errors: standard library only, since the template's hooks carry copies."""
