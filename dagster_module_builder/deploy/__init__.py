"""Deployments: what they are, how they are configured, and how they are carried out on hosts."""
