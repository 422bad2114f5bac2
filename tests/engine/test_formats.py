"""Every format of a shared file takes blocks, and gives back the bytes that were there."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

from dagster_module_builder.shared_files import formats
from dagster_module_builder.shared_files.formats.line_file import LineFile
from dagster_module_builder.shared_files.formats.shared_file import Contribution, SharedFile
from tests.engine.merging import merged, without

MODULES = [
    importlib.import_module(f"{formats.__name__}.{name}") for _, name, _ in pkgutil.iter_modules(formats.__path__)
]
FORMATS: dict[str, SharedFile] = {
    module.__name__.rpartition(".")[2]: module.FILE for module in MODULES if hasattr(module, "FILE")
}
TEXTS = (b"", b"# A comment.\n", b"# A comment.", b"# A comment.\r\n# Another.\r\n")


@pytest.mark.parametrize("text", TEXTS, ids=["empty", "a line", "no line feed", "carriage returns"])
@pytest.mark.parametrize("name", FORMATS)
def test_blocks_of_two_modules_come_and_go(name: str, text: bytes) -> None:
    kind = FORMATS[name]
    path = () if isinstance(kind, LineFile) else ("things",)
    given = {marker: [Contribution(path, mapping=(f"{marker}: 1".encode(),))] for marker in ("first", "second")}
    both = merged(kind, text, given)
    for marker in given:
        assert f"BEGIN: {marker}".encode() in (both.text or b"")
    assert (without(kind, both, *given) or b"") == text
