"""The table of what survives in which format is what the code does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def table() -> str:
    sys.path.insert(0, str(DOCS))
    try:
        import formats_table

        return formats_table.table()
    finally:
        sys.path.remove(str(DOCS))


def test_the_page_has_the_table_that_files_give(table: str) -> None:
    assert table in (DOCS / "formats.md").read_text(), "run python docs/formats_table.py"


def test_nothing_is_lost_in_silence_but_labels_and_signatures_that_cannot_be(table: str) -> None:
    rows = [line for line in table.splitlines()[2:] if "| no |" in line]
    assert {row.split(" |")[0].removeprefix("| ") for row in rows} <= {
        "gray as one channel",
        "label of the edit",
        "signature (`--sign`)",
    }


def test_what_the_page_says_of_the_place_is_what_the_code_removes() -> None:
    from revisage.image import iptc, xmp

    page = (DOCS / "formats.md").read_text()
    for _, name in xmp._PLACE:
        assert name in page, name
    for number in iptc._PLACE:
        assert f"2:{number}" in page, number
