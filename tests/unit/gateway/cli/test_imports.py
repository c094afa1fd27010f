"""Files of imports: what is read, and what is said of bad rows."""

from pathlib import Path

import pytest

from config.errors import Misconfigured
from gateway.cli.catalog import read_catalog
from gateway.cli.csv_file import BadFile, Problem
from gateway.cli.importing import BYTES_AT_ONCE, ROWS_AT_ONCE, parts_of
from gateway.cli.stock import read_stock
from handlers.actions import StockRow

PLACES = frozenset({"S-001", "W-001"})


def written(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "file.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_a_good_file_is_its_rows_and_an_empty_safety_stock_is_none(tmp_path: Path) -> None:
    file = written(tmp_path, "location,sku,on_hand,safety_stock\nS-001,MUG,7,\nW-001,MUG,0,2\n\n")
    sheet = read_stock(file, PLACES)
    assert sheet.problems == ()
    assert [(r.sku, r.location, r.on_hand, r.safety_stock) for r in sheet.rows] == [
        ("MUG", "S-001", 7, 0),
        ("MUG", "W-001", 0, 2),
    ]


def test_every_bad_row_is_named_with_its_line_and_all_its_reasons(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "sku,location,on_hand\nMUG,S-001,1\nMUG,S-001,2\nCUP,S-999,-1\nCUP,S-001\n,W-001,1.5\n",
    )
    assert read_stock(file, PLACES).problems == (
        Problem(3, "this sku at this location stands in line 2 too"),
        Problem(
            4,
            "location 'S-999' is no location of the network file; "
            "on_hand '-1' is not a whole number of 0 or more",
        ),
        Problem(5, "has 2 cells, which is not what the first line has"),
        Problem(6, "sku is empty; on_hand '1.5' is not a whole number of 0 or more"),
    )


@pytest.mark.parametrize(
    "number", ["1e3", "0x10", "\u0661", "1_000", "99999999999999999999", "NaN"]
)
def test_a_number_has_one_form_only(tmp_path: Path, number: str) -> None:
    file = written(tmp_path, f"sku,location,on_hand\nMUG,S-001,{number}\n")
    assert len(read_stock(file, PLACES).problems) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sku,location,on_hand,shelf\n", "unknown columns 'shelf'"),
        ("sku,location\n", "on_hand are missing"),
        ("sku,sku,location,on_hand\n", "sku stand there twice"),
        ("", "are missing"),
        ('sku,location,on_hand\n"MUG"x,S-001,1\n', "line 2: not CSV"),
    ],
)
def test_what_is_no_such_table_is_refused_with_a_reason(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(BadFile, match=said):
        read_stock(written(tmp_path, text), PLACES)


def test_a_file_that_is_not_there_or_not_utf_8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="name a CSV file"):
        read_stock(tmp_path / "nothing.csv", PLACES)
    with pytest.raises(BadFile, match="UTF-8"):
        read_stock(written(tmp_path, "sku,location,on_hand\nTÖPF,S-001,1\n", "latin-1"), PLACES)


def test_a_spreadsheets_byte_order_mark_and_quoted_lines_are_read(tmp_path: Path) -> None:
    text = 'sku,title\nMUG,"Mug, ""blue"""\n'
    (item,) = read_catalog(written(tmp_path, text, "utf-8-sig")).rows
    assert (item.sku, item.title) == ("MUG", 'Mug, "blue"')


def test_a_catalog_item_keeps_what_the_channels_call_it(tmp_path: Path) -> None:
    text = (
        "sku,price_minor,currency,external\nMUG,1200,GBP,shop-main:808950810;pos-1:FG:Q5\nCUP,,,\n"
    )
    mug, cup = read_catalog(written(tmp_path, text)).rows
    assert mug.external == (("shop-main", "808950810"), ("pos-1", "FG:Q5"))
    assert (cup.price_minor, cup.currency, cup.external) == (None, "", ())


def test_a_sku_or_a_channels_item_stands_once_in_a_catalog(tmp_path: Path) -> None:
    text = "sku,external\nMUG,shop-main:1\nMUG,shop-main:2\nCUP,shop-main:1\nPOT,nonsense\n"
    assert read_catalog(written(tmp_path, text)).problems == (
        Problem(3, "this sku stands in line 2 too"),
        Problem(4, "external shop-main:1 stands in line 2 too"),
        Problem(5, "external is not of the form shop-main:808950810;pos-1:FGQ5JJWT"),
    )


def test_rows_go_in_parts_that_one_request_can_carry() -> None:
    rows = [StockRow(sku="MUG", location="S-001", on_hand=1)] * (ROWS_AT_ONCE + 1)  # type: ignore[arg-type]
    assert [len(part) for part in parts_of(rows)] == [ROWS_AT_ONCE, 1]
    large = ["x" * (BYTES_AT_ONCE // 2)] * 3
    assert [len(part) for part in parts_of(large)] == [1, 1, 1]
