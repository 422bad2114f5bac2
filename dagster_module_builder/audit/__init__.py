"""The audit of a module: how far it is from today's pattern. A check is one function in one of the files here."""
