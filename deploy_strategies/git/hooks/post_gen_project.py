"""After rendering: what holds secrets is for its owner only."""

from pathlib import Path

Path(".env.deploy").chmod(0o600)
