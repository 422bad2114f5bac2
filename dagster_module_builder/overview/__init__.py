"""The workspace at a glance: what 'workspace.list' and 'workspace.graph' show of its modules."""
