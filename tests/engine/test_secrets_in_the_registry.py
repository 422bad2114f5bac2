"""FAULTS S12: the registry is committed; nothing in it lets the passwords of ``.env`` be guessed offline."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import EditedBlockError
from dagster_module_builder.health.validate import validate
from dagster_module_builder.transactions.lock import locked
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.remove import remove_module
from dagster_module_builder.workspaces.sync import sync
from tests.engine.folders import make_module, make_workspace, services, shared

#: The last line of the owner's, which has no ending, and a module's with a password that can be guessed.
OWN = b"A='1'\nROOT_PASSWORD='letmein'"
SEO = b"SEO_DB_PORT='15440'\nSEO_DB_PASSWORD='hunter2'\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = make_workspace(tmp_path / "workspace", env=OWN)
    (services(root) / ".env").chmod(0o600)
    make_module(root, "seo", env=SEO)
    add_module(root, "seo")
    return root


def registry(root: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((root / settings.REGISTRY).read_bytes())
    return data


def plain(body: bytes) -> str:
    return hashlib.sha256(body.rstrip(b"\n")).hexdigest()


def as_earlier_versions_wrote(root: Path) -> None:
    """Take the seal from a registry, and the key from the workspace."""
    data = registry(root)
    data.pop("key")
    data["integrated_modules"][0]["blocks"][".env"] = plain(SEO)
    line = OWN.splitlines()[-1].decode()
    data["scaffolds"][".env#(end of file)"] = {"before": [line], "after": [f"{line}\n"]}
    (root / settings.REGISTRY).write_text(json.dumps(data))
    (root / settings.KEY).unlink()


def guesses(root: Path) -> list[str]:
    """Return what in the registry a right guess at a secret can be recognised by."""
    text = (root / settings.REGISTRY).read_text()
    lines = [plain(line) for line in [*SEO.splitlines(), *OWN.splitlines()]]
    return [guess for guess in (plain(SEO), "letmein", "hunter2", *lines) if guess in text]


def test_no_guess_at_a_password_can_be_tried_on_the_registry(root: Path) -> None:
    assert guesses(root) == []
    assert registry(root)["integrated_modules"][0]["blocks"][".env"].startswith("hmac-sha256:")


def test_the_key_is_the_owners_alone_and_no_version_control_takes_it(tmp_path: Path) -> None:
    """FAULTS S12: in a workspace that nothing keeps out of git yet, too."""
    root = make_workspace(tmp_path / "workspace", env=OWN)
    (root / settings.KEY).unlink()
    ignored = (root / settings.KEY).with_name(".gitignore")
    ignored.unlink()
    make_module(root, "seo", env=SEO)
    add_module(root, "seo")
    key = (root / settings.KEY).read_bytes()
    assert len(key) == 32
    assert stat.S_IMODE((root / settings.KEY).stat().st_mode) == 0o600
    assert ignored.read_text().splitlines()[1:] == ["*", "!.gitignore", "!.registry", "!servers/", "!servers/*"]
    sync(root)
    assert (root / settings.KEY).read_bytes() == key


def test_a_damaged_key_is_replaced_and_the_owners_list_beside_it_stays(root: Path) -> None:
    (root / settings.KEY).write_bytes(b"cut")
    ignored = (root / settings.KEY).with_name(".gitignore")
    ignored.write_text("*\n# mine\n")
    with locked(root):
        assert len((root / settings.KEY).read_bytes()) == 32
    assert ignored.read_text() == "*\n# mine\n"


def test_a_workspace_of_an_earlier_version_is_brought_along_at_the_next_write(root: Path) -> None:
    """FAULTS S12: with the digests of the modules that the write is not about, and the owner's last line."""
    as_earlier_versions_wrote(root)
    assert guesses(root) != []
    assert [str(found) for found in validate(root, check=False)] == []
    make_module(root, "other", 15441)
    add_module(root, "other")
    assert guesses(root) == []
    remove_module(root, "other")
    remove_module(root, "seo")
    assert shared(root)[".env"] == OWN


def test_a_change_by_hand_is_still_noticed(root: Path) -> None:
    file = services(root) / ".env"
    file.write_bytes(file.read_bytes().replace(b"hunter2", b"hunter3"))
    with pytest.raises(EditedBlockError):
        remove_module(root, "seo")
    with pytest.raises(EditedBlockError):
        sync(root)


def test_without_the_key_a_block_is_known_by_what_its_module_gives(root: Path) -> None:
    """FAULTS S12: as in a copy of a workspace that the key did not come with."""
    (root / settings.KEY).unlink()
    assert [str(found) for found in validate(root, check=False)] == []
    assert sync(root).updated == ()
    remove_module(root, "seo", dry_run=True)
    assert [str(found) for found in validate(root, check=False)] == []


def test_without_the_key_a_block_that_is_not_what_its_module_gives_is_not_lost(root: Path) -> None:
    (root / settings.KEY).unlink()
    make_module(root, "seo", env=SEO.replace(b"hunter2", b"another"))
    with pytest.raises(EditedBlockError):
        remove_module(root, "seo")
    remove_module(root, "seo", force=True)


def test_a_clone_has_neither_key_nor_secrets_and_works(root: Path) -> None:
    """FAULTS S12: a colleague's clone lacks what git ignores; their module has its own password."""
    for path in (root / settings.KEY, services(root) / ".env"):
        path.unlink()
    make_module(root, "seo", env=SEO.replace(b"hunter2", b"theirs"))
    sync(root)
    assert b"theirs" in shared(root)[".env"]
    assert [str(found) for found in validate(root, check=False) if found.severity == "error"] == []
    remove_module(root, "seo")
