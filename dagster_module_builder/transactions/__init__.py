"""The lock, the commit, the journal, the registry: the only writers of shared files."""
