"""What a delivery note in PDF says."""

import re
import subprocess
from pathlib import Path
from typing import Any

HEAD = re.compile(r"Delivery note\s+(?P<note>\S+)\s+Date\s+(?P<delivered_on>\d{4}-\d\d-\d\d)")
ITEM = re.compile(r"^\s*(?P<article>[A-Z]+-\d+)\s+(?P<quantity>\d+)\s+(?P<name>\S.*?)\s*$", re.MULTILINE)


def text_of(pdf: Path) -> str:
    """Return the text of a PDF file, laid out as on its pages."""
    command = ["pdftotext", "-layout", "-enc", "UTF-8", str(pdf), "-"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout


def items_of(text: str) -> list[dict[str, Any]]:
    """Return the items of a note; none if its text is no delivery note.

    "Delivery note 1001  Date 2026-03-02 … A-100  12  Hinge" ->
    [{"note": "1001", "delivered_on": "2026-03-02", "article": "A-100", "quantity": "12", "name": "Hinge"}]
    """
    head = HEAD.search(text)
    return [{**head.groupdict(), **item.groupdict()} for item in ITEM.finditer(text)] if head else []
