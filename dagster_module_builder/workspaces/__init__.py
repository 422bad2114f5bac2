"""The workspace's use cases: make it, add and remove modules, bring it in line."""
