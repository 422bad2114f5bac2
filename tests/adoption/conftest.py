"""The modules that go into every adopted repository."""

from tests.corpus.made_modules import compose, modules
from tests.in_memory import tmp_path

__all__ = ["compose", "modules", "tmp_path"]
