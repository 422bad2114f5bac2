from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pdf_file import write_pdf

from delivery_notes_dagster.assets import ASSETS, items
from delivery_notes_dagster.checks import CHECKS
from delivery_notes_dagster.notes import items_of
from delivery_notes_dagster.sftp import SftpFolder


def run(resources: dict[str, Any]) -> dg.ExecuteInProcessResult:
    return dg.materialize([*ASSETS, *CHECKS], resources=resources)


def failed(result: dg.ExecuteInProcessResult) -> set[str]:
    return {check.check_name for check in result.get_asset_check_evaluations() if not check.passed}


def test_every_item_of_every_note_is_a_row(resources: dict[str, Any]):
    result = run(resources)
    table = result.output_for_node(items.node_def.name)

    assert table[["file", "note", "article", "quantity", "name"]].values.tolist() == [
        ["1001.pdf", "1001", "A-100", 12, "Hinge, brass"],
        ["1001.pdf", "1001", "B-7", 3, "Door handle"],
        ["1002.pdf", "1002", "A-100", 4, "Hinge, brass"],
    ]
    assert table["delivered_on"].dt.day.tolist() == [2, 2, 3]
    assert not failed(result)


def test_a_file_that_is_no_delivery_note_is_found(resources: dict[str, Any], outgoing: Path):
    write_pdf(outgoing / "prices.pdf", "Price list")

    assert failed(run(resources)) == {"every_note_was_read"}


def test_a_note_in_two_files_is_found(resources: dict[str, Any], outgoing: Path):
    (outgoing / "copy.pdf").write_bytes((outgoing / "1001.pdf").read_bytes())

    assert failed(run(resources)) == {"no_note_comes_twice"}


def test_an_empty_folder_gives_an_empty_table(resources: dict[str, Any], outgoing: Path):
    for file in outgoing.iterdir():
        file.unlink()

    assert run(resources).output_for_node(items.node_def.name).empty


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [("folder", "elsewhere", "not found"), ("known_hosts", "/dev/null", "Host key verification failed")],
)
def test_what_the_server_refuses_is_named(server: SftpFolder, tmp_path: Path, setting: str, value: str, reason: str):
    other = SftpFolder(**{**server.model_dump(), setting: value})

    with pytest.raises(dg.Failure, match=reason):
        other.copy_to(tmp_path)


def test_a_text_without_a_head_has_no_items():
    assert items_of("A-100  12  Hinge") == []
