"""The modules that go into every workspace of the corpus."""

from tests.corpus.made_modules import compose, modules
from tests.in_memory import tmp_path

__all__ = ["compose", "modules", "tmp_path"]
