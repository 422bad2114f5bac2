"""Whatever stands in the files: soon a refusal that changes nothing, or an edit that can be undone; no traceback."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.shared_files.formats.outline import LARGEST_FILE
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.remove import remove_module
from tests.engine.folders import SHARED, fragments, make_module, make_workspace, services, shared, stamps
from tests.engine.refusals import refused

pytestmark = pytest.mark.slow

#: Mutations tried of each file; ENGINE_FUZZ=5000 tries more of them.
TRIES = int(os.environ.get("ENGINE_FUZZ", "100"))
#: Seconds of this process alone: other tests run beside it.
LONGEST_S = 5.0

TOKENS = (
    b"# BEGIN: seo\n", b"# END: seo\n", b"  # BEGIN: other\n", b"# END: other\n", b"services:\n", b"load_from:\n",
    b"volumes: {}\n", b"---\n", b"...\n", b"&a ", b"*a", b"<<: *a\n", b"? ", b": ", b"- ", b"|\n", b">-\n",
    b"!!binary ", b"!x ", b"{", b"}", b"[", b"]", b"'", b'"', b"\t", b"\r\n", b"\r", b"\n", b"\x00", b"\x0c",
    b"\xff", b"\xc2\x85", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"%YAML 1.1\n", b"\\\n", b"<<EOF\n", b"EOF\n",
    b"FROM x\n", b"USER x\n", b"${A", b"$", b"=", b"export ", b"#", b" ", b"        ", b"null", b"~",
)  # fmt: skip


def mutated(text: bytes, chance: random.Random) -> bytes:
    """Return a text truncated, spliced, doubled, overwritten or with something put into it, once or a few times."""
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        start, end = sorted(chance.randrange(len(text) + 1) for _ in range(2))
        end = chance.choice([end, min(end, start + 8), min(end, start + 40)])
        piece = text[start:end]
        text = chance.choice(
            [
                text[:start],
                text[start:],
                text[:start] + text[end:],
                text[:end] + piece + text[end:],
                text[:start] + chance.choice(TOKENS) + text[start:],
                text[:start] + chance.choice(TOKENS) + text[end:],
                text[:start] + chance.randbytes(chance.randrange(1, 9)) + text[start:],
                b"\n".join(chance.sample(lines := text.split(b"\n"), len(lines))),
            ]
        )
    return text


def tried(root: Path) -> bool:
    """Add and remove the module ``seo``; return whether it was accepted. Anything but success and refusal fails."""
    before, old = shared(root), stamps(root)
    begun = time.process_time()
    try:
        add_module(root, "seo")
    except BuilderError:
        assert stamps(root) == old
        return False
    finally:
        assert time.process_time() - begun < LONGEST_S
    remove_module(root, "seo")
    assert shared(root) == before
    return True


@pytest.mark.parametrize("file", SHARED)
def test_a_mutated_shared_file_is_edited_rightly_or_refused(file: str, tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws")
    make_module(root, "seo")
    accepted = 0
    for seed in range(TRIES):
        path = services(root) / file
        path.write_bytes(mutated(SHARED[file], random.Random(seed)))
        accepted += tried(root)
    assert accepted > TRIES // 20


@pytest.mark.parametrize("file", fragments("seo", 1))
def test_a_mutated_fragment_is_put_in_rightly_or_refused(file: str, tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws")
    path = make_module(root, "seo") / settings.FRAGMENTS / file
    text = path.read_bytes()
    accepted = 0
    for seed in range(TRIES):
        path.write_bytes(mutated(text, random.Random(seed)))
        accepted += tried(root)
    assert accepted > TRIES // 50


@pytest.mark.parametrize("file", [*SHARED, "modules/.registry"])
def test_a_file_mutated_while_a_module_is_in_it_is_edited_rightly_or_refused(file: str, tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws")
    make_module(root, "seo")
    add_module(root, "seo")
    path = services(root) / file
    text, whole = path.read_bytes(), shared(root)
    registry = (root / settings.REGISTRY).read_bytes()
    for seed in range(TRIES):
        path.write_bytes(mutated(text, random.Random(seed)))
        old = stamps(root)
        try:
            remove_module(root, "seo")
        except BuilderError:
            assert stamps(root) == old
        for name, held in whole.items():
            (services(root) / name).write_bytes(held)
        (root / settings.REGISTRY).write_bytes(registry)


#: Beyond what is read at all, and the most that is.
SIZES = {"50 MB": 50 * 1024 * 1024, "2 MB": LARGEST_FILE - 1024}
LARGE = {
    "one line": b"a",
    "many lines": b"a: b\n",
    "blank lines": b"\n",
    "quotes": b"A='",
    "blocks": b"# BEGIN: a\n# END: a\n",
    "heredocs": b"RUN <<A <<B \\\n",
}
DEEP: dict[str, bytes] = {
    "flow lists": b"services: " + b"[" * 100_000,
    "flow mappings": b"services: " + b"{a: " * 100_000,
    "dashes": b"services:\n" + b"- " * 100_000,
    "indented": b"".join(b" " * depth + b"a:\n" for depth in range(2_000)),
    "question marks": b"? " * 100_000,
    "aliases": b"a0: &a0 [x]\n" + b"".join(b"a%d: &a%d [*a%d, *a%d]\n" % (n, n, n - 1, n - 1) for n in range(1, 60)),
    "merge keys": b"a0: &a0 {x: 1}\n"
    + b"".join(b"a%d: &a%d\n  <<: [*a%d, *a%d]\n" % (n, n, n - 1, n - 1) for n in range(1, 60)),
    "keys": b"services:\n" + b"".join(b"  a%d:\n    image: x\n" % number for number in range(100_000)),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("what", LARGE)
@pytest.mark.parametrize("file", SHARED)
def test_a_huge_shared_file_is_soon_refused_or_edited(file: str, what: str, size: str, tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws")
    make_module(root, "seo")
    (services(root) / file).write_bytes(LARGE[what] * (SIZES[size] // len(LARGE[what])))
    tried(root)


@pytest.mark.parametrize("file", fragments("seo", 1))
def test_a_huge_fragment_is_soon_refused_with_its_path(file: str, tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws")
    path = make_module(root, "seo") / settings.FRAGMENTS / file
    path.write_bytes(b"# a: b\n" * (SIZES["50 MB"] // 7))
    begun = time.process_time()
    assert str(path) in refused(root, lambda: add_module(root, "seo"))
    assert time.process_time() - begun < LONGEST_S


@pytest.mark.parametrize("what", DEEP)
@pytest.mark.parametrize("file", ["workspace.yaml", "docker-compose.yml"])
def test_a_deeply_nested_file_is_soon_refused_or_edited(file: str, what: str, tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws")
    path = make_module(root, "seo") / settings.FRAGMENTS / file
    text = path.read_bytes()
    (services(root) / file).write_bytes(DEEP[what])
    tried(root)
    (services(root) / file).write_bytes(SHARED[file])
    path.write_bytes(DEEP[what])
    tried(root)
    path.write_bytes(text)
    assert tried(root)
