"""Every real bank file: how many entries, their sum, opening and closing, or why it is refused; checked against other readers."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree

import mt940
import pytest

from tests.bank.formats.bank_files import FOLDERS, Case, cases, content_of, facts, files_of, read_case
from topline.kernel.errors import DomainError

ALL = {folder: cases(folder) for folder in FOLDERS}


def read_of(folder: str) -> list[Case]:
    return [case for case in ALL[folder] if case.rows[0][0] != "refused"]


def each(folder: str):
    return pytest.mark.parametrize("case", ALL[folder], ids=lambda case: case.id)


def each_read(folder: str):
    return pytest.mark.parametrize("case", read_of(folder), ids=lambda case: case.id)


def stands_as_told(case: Case, shared: Path) -> None:
    """The reader gives the rows of the table, statement by statement, or refuses for the reason told there."""
    if case.rows[0][0] != "refused":
        assert [facts(statement) for statement in read_case(case, shared / "data")] == list(case.rows)
        return
    with pytest.raises(DomainError) as refusal:
        read_case(case, shared / "data")
    assert case.rows[0][1] in refusal.value.message
    assert refusal.value.remedy


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_file_of_the_folders_is_left_out(folder, shared):
    assert {case.file for case in ALL[folder]} == files_of(shared / "data" / folder)


def test_every_bank_folder_has_its_table(shared):
    assert sorted(path.name for path in (shared / "data").glob("bank_*")) == FOLDERS


@each("bank_bai2")
def test_bai2_files(case, shared):
    stands_as_told(case, shared)


@each("bank_camt")
def test_camt_files(case, shared):
    stands_as_told(case, shared)


@each("bank_coda_n43")
def test_coda_and_norma_43_files(case, shared):
    stands_as_told(case, shared)


@each("bank_csv_german")
def test_german_sheets(case, shared):
    stands_as_told(case, shared)


@each("bank_csv_oca_sheet")
def test_sheets_of_accounting_programs(case, shared):
    stands_as_told(case, shared)


@each("bank_csv_swiss")
def test_swiss_sheets(case, shared):
    stands_as_told(case, shared)


@each("bank_mt940")
def test_mt940_files(case, shared):
    stands_as_told(case, shared)


@each("bank_ofx")
def test_ofx_files(case, shared):
    stands_as_told(case, shared)


def told(case: Case) -> tuple[int, int]:
    """Entries and sum of a case over all its statements, by the table."""
    return sum(int(row[2]) for row in case.rows), sum(int(row[3]) for row in case.rows)


# The tables against readers that share nothing with ours.


@pytest.mark.parametrize(
    "case", [c for c in read_of("bank_camt") if c.file.endswith("xml") or "/test-" in c.file], ids=lambda c: c.id
)
def test_camt_by_a_bare_walk_over_the_elements(case, shared):
    root = ElementTree.fromstring(content_of(case, shared / "data"))
    entries = [node for node in root.iter() if name(node) == "Ntry"]
    booked = [node for node in entries if (text(node, "Sts") or text(node, "Sts", "Cd")) not in {"PDNG", "INFO"}]
    signed = [Decimal(text(n, "Amt")) * (-1 if text(n, "CdtDbtInd") == "DBIT" else 1) for n in booked]
    assert told(case) == (len(entries), int(sum(signed) * 100))


def name(node: ElementTree.Element) -> str:
    return node.tag.rpartition("}")[2]


def text(node: ElementTree.Element | None, *path: str) -> str:
    for step in path:
        node = next((child for child in node if name(child) == step), None) if node is not None else None
    return (node.text or "").strip() if node is not None else ""


@pytest.mark.parametrize("case", [c for c in read_of("bank_mt940") if "ASNB" not in c.file], ids=lambda c: c.id)
def test_mt940_by_the_library_of_that_name(case, shared):
    """The library breaks on the ASN files (second line of field 61), and takes RC, a credit taken back, for a credit."""
    found = mt940.parse(content_of(case, shared / "data").decode("utf-8", "replace"))
    amounts = [
        entry.data["amount"].amount * (-1 if entry.data["status"] == "RC" else 1) for entry in found if "amount" in entry.data
    ]
    assert told(case) == (len(amounts), int(sum(amounts) * 100))


@pytest.mark.parametrize("case", [c for c in read_of("bank_mt940") if "ASNB" in c.file], ids=lambda c: c.id)
def test_asn_files_by_their_fields_61_and_62(case, shared):
    lines = content_of(case, shared / "data").decode().splitlines()
    moved = [re.match(r":61:\d{6}[\d ]{4}([CD])([\d,]+)N", line) for line in lines if line.startswith(":61:")]
    signed = [Decimal(m[2].replace(",", ".")) * (1 if m[1] == "C" else -1) for m in moved]
    closings = [line[15:].replace(",", "") for line in lines if line.startswith(":62F:")]
    assert told(case) == (len(moved), int(sum(signed) * 100))
    assert [row[5] for row in case.rows] == [str(int(c)) for c in closings]


@each_read("bank_ofx")
def test_ofx_by_its_amounts_alone(case, shared):
    amounts = re.findall(r"<TRNAMT>\s*([^<\s]+)", content_of(case, shared / "data").decode("utf-8", "replace"))
    assert told(case) == (len(amounts), int(sum(Decimal(a.replace(",", ".")) for a in amounts) * 100))


@pytest.mark.parametrize("case", [c for c in read_of("bank_coda_n43") if "Coda" in c.file], ids=lambda c: c.id)
def test_coda_by_the_places_of_the_standard(case, shared):
    """Movements are records 21 whose detail number is 0000: parts of a globalised movement do not count again."""
    lines = [line for line in content_of(case, shared / "data").decode("latin-1").splitlines() if line[:2] == "21"]
    whole = [line for line in lines if line[6:10] == "0000"]
    assert told(case) == (len(whole), sum(int(line[32:46]) * (-1 if line[31] == "1" else 1) for line in whole))


@pytest.mark.parametrize("case", [c for c in read_of("bank_coda_n43") if "n43" in c.file], ids=lambda c: c.id)
def test_norma_43_by_the_totals_of_record_33(case, shared):
    lines = [line for line in content_of(case, shared / "data").decode("latin-1").splitlines() if line[:2] == "33"]
    given = [(int(line[20:25]) + int(line[39:44]), int(line[44:58]) - int(line[25:39]), int(line[59:73])) for line in lines]
    assert [(int(row[2]), int(row[3]), int(row[5])) for row in case.rows] == given


# Sheets with a collective booking and its parts: the other program books the parts as well, so only balances can be compared.
PARTS = ("ubs_example_format1_", "ubs_example_format3_it_wdetails", "ubs_example_format3_fr_2024", "ubs_example_format3_fr_2025")
SHEETS = [c for f in ("bank_csv_german", "bank_csv_swiss") for c in read_of(f) if not any(part in c.file for part in PARTS)]


@pytest.mark.parametrize("case", SHEETS, ids=lambda c: c.id)
def test_sheets_by_the_import_that_their_publisher_expects(case, shared):
    rows = list(expected_rows(case, shared / "data"))
    assert told(case) == (len(rows), int(sum(rows) * 100))


def expected_rows(case: Case, data: Path) -> Iterator[Decimal]:
    """Income less expenses of each row of the answer beside a file; rows without either are totals."""
    answer = next((data / case.folder).rglob(f"testexpected/*/{Path(case.file).stem}.txt")).read_text(encoding="utf-8")
    if "20240108" in case.file:  # its answer was made with the wrong delimiter: the sheet's own two columns instead
        lines = csv.reader(content_of(case, data).decode("utf-8").splitlines()[6:])
        for cells in lines:
            if cells[0][:2].isdigit():
                yield Decimal(cells[3] or 0) - Decimal(cells[2] or 0)
        return
    table = answer.partition("\\begin{tablevalue}")[2].partition("\n")[2].partition("\\end{tablevalue}")[0]
    head, *lines = table.split("\\\\\n")
    columns = [cell.strip() for cell in head.split("&")]
    for line in lines:
        cells = dict(
            zip(columns, (cell.strip().replace("'", "").replace("+", "") for cell in re.split(r"(?<!\\)&", line)), strict=False)
        )
        if cells.get("Income") or cells.get("Expenses"):
            yield Decimal(cells.get("Income") or 0) - abs(Decimal(cells.get("Expenses") or 0))


@pytest.mark.parametrize("case", [c for c in read_of("bank_csv_swiss") if "ubs_example_format1" in c.file], ids=lambda c: c.id)
def test_collective_bookings_count_once_by_the_two_balances_that_the_sheet_ends_with(case, shared):
    """The last row gives opening and closing, in an order that differs by language; two files hold scrambled ones there."""
    lines = content_of(case, shared / "data").decode("utf-8-sig", "replace").splitlines()
    last = re.split("[;,]", next(line for line in reversed(lines) if line.strip(";, ")))
    if all(re.fullmatch(r"-?\d+\.\d\d0*", cell) for cell in last[:2]):
        assert sorted(int(Decimal(cell) * 100) for cell in last[:2]) == sorted(int(figure) for figure in case.rows[0][4:])
    else:
        assert case.file.endswith(("_20160908.csv", "_20230905_03.csv"))
    assert int(case.rows[0][4]) + int(case.rows[0][3]) == int(case.rows[0][5])
