"""Fixtures: temporary storage and an SFTP server of this machine, so that tests never touch the workspace's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pdf_file import write_pdf
from sftp_server import serving

from delivery_notes_dagster.sftp import SftpFolder
from delivery_notes_dagster.storage import STORAGE_VARIABLE, ModuleStorage

NOTES = {
    "1001": "Delivery note 1001\nDate 2026-03-02\n\nA-100    12  Hinge, brass\nB-7       3  Door handle",
    "1002": "Delivery note 1002\nDate 2026-03-03\n\nA-100     4  Hinge, brass",
}


@pytest.fixture(autouse=True)
def storage_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "storage"
    monkeypatch.setenv(STORAGE_VARIABLE, str(folder))
    return folder


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpFolder]:
    with serving(tmp_path_factory.mktemp("sftp")) as folder:
        yield folder


@pytest.fixture
def outgoing(server: SftpFolder) -> Path:
    """The server's folder, in which are two delivery notes."""
    folder = Path(server.folder)
    for file in folder.iterdir():
        file.unlink()
    for number, text in NOTES.items():
        write_pdf(folder / f"{number}.pdf", text)
    return folder


@pytest.fixture
def resources(server: SftpFolder, outgoing: Path) -> dict[str, Any]:
    return {"io_manager": ModuleStorage(), "notes": server}
