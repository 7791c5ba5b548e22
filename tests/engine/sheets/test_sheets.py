"""Sheets as people send them: encodings, delimiters, broken shapes, days and amounts; every doubt is told, none is guessed."""

from __future__ import annotations

import io
from datetime import date, datetime

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topline.engine.sheets import Column, Profile, SheetRefused, load_profile, load_profiles, read_sheet, typed
from topline.engine.sheets.profile import ProfileInvalid
from topline.kernel import money


def profile(**options) -> Profile:
    columns = {
        "name": Column(header=("name",)),
        "day": Column(header=("day",), type="date"),
        "amount": Column(header=("amount",), type="amount"),
        "currency": Column(header=("currency",), type="currency"),
    }
    return Profile(id="test", kind="bank", title="Test", columns=columns, **{"constants": {"currency": "EUR"}, **options})


def read(text: str | bytes, **options):
    content = text if isinstance(text, bytes) else text.encode()
    return typed(read_sheet(content, name="file.csv"), profile(**options))


def amounts(*cells: str, currency: str = "EUR", **options) -> list[int]:
    rows = "".join(f'A;"{cell}"\n' for cell in cells)
    result = read("name;amount\n" + rows, constants={"currency": currency}, **options)
    assert result.problems.is_empty()
    return result.rows["amount"].to_list()


def problem(text: str | bytes, **options) -> tuple[int, str]:
    result = read(text, **options)
    assert result.problems.height == 1
    assert result.problems["remedy"][0]
    assert f"Row {result.problems['row'][0]}" in result.problems["message"][0]
    return result.problems.select("row", "code").row(0)


@pytest.mark.parametrize(
    ("codec", "told"),
    [
        ("utf-8", "UTF-8"),
        ("utf-8-sig", "UTF-8 with BOM"),
        ("latin-1", "Windows-1252"),
        ("cp1252", "Windows-1252"),
        ("utf-16", "UTF-16"),
    ],
)
def test_each_encoding_is_found_and_told(codec, told):
    sheet = read_sheet("name;amount\nMüller;1,50\n".encode(codec))
    assert sheet.detected["encoding"] == told
    assert sheet.cells["c0"].to_list() == ["name", "Müller"]


@pytest.mark.parametrize(("mark", "told"), [(",", ","), (";", ";"), ("\t", "tab"), ("|", "|")])
def test_each_delimiter_is_found_and_told(mark, told):
    sheet = read_sheet(f'name{mark}amount\n"A{mark}B"{mark}1\nC{mark}2\n'.encode())
    assert sheet.detected["delimiter"] == told
    assert sheet.cells["c0"].to_list() == ["name", f"A{mark}B", "C"]


def test_decimal_commas_do_not_pass_for_delimiters():
    assert read_sheet(b"name;amount\nA;1,50\nB;2,50\nC;3,50\n").detected["delimiter"] == ";"
    assert read_sheet(b'name;amount\nA;1,234,567.50\nB;"9,876,543.00"\n').detected["delimiter"] == ";"
    assert read_sheet(b"day,amount\n20260105,100\n20260106,200\n").detected["delimiter"] == ","


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_each_kind_of_line_end_parts_records(end):
    assert read_sheet(end.join(["name;amount", "A;1", "B;2"]).encode()).cells.height == 3


def test_a_quoted_cell_may_hold_line_ends_and_quotes():
    assert read_sheet(b'name;amount\n"A ""x""\nB";1\n').cells["c0"][1] == 'A "x"\nB'


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b'name;amount\n"A;1\nB;2\n', "Line 2 of file.csv opens a quote that is never closed"),
        (b"name;amount\nA\0;1\n", "NUL byte in line 2"),
        (b"%PDF-1.7", "looks like a PDF"),
        (b"PK\x03\x04broken", "damaged workbook"),
        (b"\xd0\xcf\x11\xe0old", "an old Excel or Word file"),
        (b"\x1f\x8b\x08", "a gzip archive"),
        (b"\xff\xfea", "begins like UTF-16 but breaks"),
        (b";" * 400 + b"\n", "has 401 columns"),
    ],
)
def test_what_is_no_sheet_is_refused_with_one_sentence(content, sentence):
    with pytest.raises(SheetRefused, match=sentence) as refused:
        read_sheet(content, name="file.csv")
    assert refused.value.remedy


def test_a_file_above_the_limit_is_refused_by_its_size_before_it_is_read(tmp_path):
    huge = tmp_path / "huge.csv"
    with huge.open("wb") as file:
        file.truncate(1024**3)
    with pytest.raises(SheetRefused, match=r"1,073,741,824 bytes; at most"):
        read_sheet(huge)


def test_nul_bytes_are_dropped_where_a_profile_says_so():
    assert read_sheet(b"name;amount\nA\0;1\n", drop_nul=True).cells["c0"][1] == "A"


def test_a_row_with_more_cells_than_the_header_is_told_and_the_others_stand():
    result = read("name;amount\nA;1;oops\nB;2\nC\n")
    assert result.problems.select("row", "code").rows() == [(2, "ragged")]
    assert result.rows.select("row", "amount").rows() == [(3, 200), (4, None)]


def test_a_missing_column_is_told_with_those_that_are_there():
    needs = Profile(id="t", kind="bank", title="T", columns={"day": Column(header=("day",), type="date", required=True)})
    with pytest.raises(SheetRefused, match="has no column day; it begins with name, amount"):
        typed(read_sheet(b"name;amount\nA;1\n", name="file.csv"), needs)


def test_a_header_is_found_below_a_preamble_and_without_its_accents():
    assert read("Bank of X;;\nAccount;123\n\nNAME ;Amount:\nA;1,50\n").rows["amount"].to_list() == [150]
    garbled = Profile(
        id="t", kind="bank", title="T", columns={"debit": Column(header=("débit",), type="amount")}, constants={"currency": "CHF"}
    )
    assert typed(read_sheet("text;D\ufffdbit\nA;1.50\n".encode()), garbled).rows["debit"].to_list() == [150]


# Days


@pytest.mark.parametrize(
    ("cells", "order"),
    [
        (["31.01.2026", "05.02.2026"], "dmy"),
        (["01/31/2026", "02/05/2026"], "mdy"),
        (["2026-01-31", "2026-02-05"], "ymd"),
        (["2026/1/31", "2026/2/5"], "ymd"),
        (["20260131", "20260205"], "ymd"),
        (["31.1.26", "5.2.26"], "dmy"),
        (["2026-01-31T10:00:00", "2026-02-05 23:59"], "ymd"),
    ],
)
def test_the_order_of_day_and_month_is_proved_by_the_column_itself(cells, order):
    result = read("name;day\n" + "".join(f"A;{cell}\n" for cell in cells))
    assert result.rows["day"].to_list() == [date(2026, 1, 31), date(2026, 2, 5)]
    assert result.detected["order of days in day"] == order


def test_days_that_fit_both_orders_are_asked_for_and_never_guessed():
    with pytest.raises(SheetRefused, match="Is '03/04/2026' in column day day first or month first"):
        read("name;day\nA;03/04/2026\nB;05/06/2026\n")
    assert read("name;day\nA;03/04/2026\n", date_order="dmy").rows["day"].to_list() == [date(2026, 4, 3)]
    assert read("name;day\nA;03/04/2026\n", date_order="mdy").rows["day"].to_list() == [date(2026, 3, 4)]


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("31.02.2026", "no_such_day"),
        ("29.02.2026", "no_such_day"),
        ("01.13.2026", "no_such_day"),
        ("31.12.1899", "date_out_of_range"),
        ("01.01.2200", "date_out_of_range"),
        ("tomorrow", "not_a_date"),
        ("46053", "not_a_date"),
    ],
)
def test_a_day_that_is_none_is_told_with_its_row(cell, code):
    assert problem(f"name;day\nA;30.01.2026\nB;{cell}\n", date_order="dmy") == (3, code)


def test_the_first_and_the_last_day_that_are_read():
    found = read("name;day\nA;01.01.1900\nB;31.12.2199\nC;29.02.2028\n", date_order="dmy").rows["day"].to_list()
    assert found == [date(1900, 1, 1), date(2199, 12, 31), date(2028, 2, 29)]


# Amounts


@pytest.mark.parametrize(
    ("cells", "mark"),
    [
        (["1,234.50", "7"], "."),
        (["1.234,50", "7"], ","),
        (["1'234.50", "7.00"], "."),
        (["1’234.50", "7.0"], "."),
        (["1 234,50", "7,00"], ","),
        (["1\u00a0234,5", "7"], ","),
    ],
)
def test_the_decimal_mark_is_proved_by_the_column_itself(cells, mark):
    result = read("name;amount\n" + "".join(f'A;"{cell}"\n' for cell in cells))
    assert result.rows["amount"].to_list() == [123_450, 700]
    assert result.detected["decimal mark"] == mark


def test_a_lone_group_of_three_proves_nothing_and_is_asked_for():
    with pytest.raises(SheetRefused, match="Nothing in column amount tells its decimal mark"):
        read("name;amount\nA;1.234\n")
    assert amounts("1.234", decimal_mark=",") == [123_400]


def test_two_decimal_marks_in_one_column_are_told():
    with pytest.raises(SheetRefused, match="uses both"):
        read("name;amount\nA;1.50\nB;1,50\n")


@pytest.mark.parametrize("cell", ["-12.50", "12.50-", "(12.50)", "\u221212.50"])
def test_each_way_to_write_a_negative_amount(cell):
    assert amounts(cell, decimal_mark=".") == [-1_250]


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("12.345", "too_many_decimals"),
        ("1,23", "not_an_amount"),
        ("12..5", "not_an_amount"),
        ("1,2345.00", "not_an_amount"),
        ("12 EUR", "not_an_amount"),
        ("=1+1", "not_an_amount"),
        ("1e5", "not_an_amount"),
        ("NaN", "not_an_amount"),
        ("-", "not_an_amount"),
        ("99999999999999999999.00", "amount_too_large"),
    ],
)
def test_an_amount_that_is_none_is_told_with_its_row(cell, code):
    assert problem(f'name;amount\nA;1.00\nB;"{cell}"\n', decimal_mark=".") == (3, code)


def test_zeros_after_the_last_decimal_of_a_currency_do_no_harm():
    assert amounts("12.340000", decimal_mark=".") == [1_234]


def test_each_currency_has_its_own_decimals():
    assert amounts("1,234", currency="JPY", decimal_mark=".") == [1_234]
    assert amounts("1.234", currency="KWD", decimal_mark=".") == [1_234]
    assert problem("name;amount;currency\nA;1.5;JPY\nB;1.5;EUR\n", decimal_mark=".") == (2, "too_many_decimals")
    assert problem("name;amount;currency\nA;1.50;EUX\nB;1.50;EUR\n", decimal_mark=".") == (2, "unknown_currency")


@given(
    minors=st.lists(st.integers(-(10**14), 10**14), min_size=1, max_size=20),
    currency=st.sampled_from(["EUR", "USD", "CHF", "JPY", "KWD", "HUF"]),
)
def test_what_money_writes_the_reader_reads_back(minors, currency):
    cells = [money.format_amount(minor, currency) for minor in minors]
    assert amounts(*cells, currency=currency, decimal_mark=".") == minors


# Workbooks


def workbook(*rows) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def test_a_workbook_gives_its_days_and_numbers_as_they_are():
    content = workbook(
        ["name", "day", "amount"], ["A", date(2026, 1, 31), 1234.5], ["B", datetime(2026, 2, 5), -7], ["C", "2026-02-06", "8.25"]
    )
    result = typed(read_sheet(content, name="file.xlsx"), profile())
    assert result.problems.is_empty()
    assert result.rows.select("day", "amount").rows() == [
        (date(2026, 1, 31), 123_450),
        (date(2026, 2, 5), -700),
        (date(2026, 2, 6), 825),
    ]
    assert result.detected["format"] == "XLSX"


def test_the_formula_of_a_workbook_is_not_computed_and_its_row_is_told_where_it_is_needed():
    needs = profile()
    columns = {**needs.columns, "amount": Column(header=("amount",), type="amount", required=True)}
    content = workbook(["name", "amount"], ["A", 1.5], ["B", "=1+1"])
    result = typed(
        read_sheet(content, name="file.xlsx"),
        Profile(id="t", kind="bank", title="T", columns=columns, constants={"currency": "EUR"}),
    )
    assert result.rows["amount"].to_list() == [150]
    assert result.problems["row"].to_list() == [3]


# Profiles


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[", "is not YAML"),
        ("id: a", "needs a mapping `columns`"),
        ("id: a\nkind: bank\ntitle: A\ncolour: red\ncolumns: {a: b}", "does not know 'colour'"),
        ("id: a\nkind: bank\ntitle: A\ncolumns: {a: {head: b}}", "does not know 'head'"),
        ("id: a\nkind: bank\ntitle: A\nskip_if_empty: [b]\ncolumns: {a: b}", "does not know 'b'"),
        ("id: a\nkind: bank\ntitle: A\nfooter: true\ncolumns: {a: b}", "footer needs skip_if_empty"),
        ("id: a\nkind: bank\ntitle: A\nfacts: {x: {left: 1}}\ncolumns: {a: b}", "does not know 'left'"),
        ("kind: bank\ntitle: A\ncolumns: {a: b}", "A profile needs id"),
    ],
)
def test_a_profile_that_says_something_unknown_is_refused(tmp_path, text, sentence):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ProfileInvalid, match=sentence):
        load_profile(path)


def test_one_file_may_hold_several_profiles(tmp_path):
    one = "id: {}\nkind: bank\ntitle: A\ncolumns: {{a: b}}\n"
    (tmp_path / "mine.yaml").write_text(one.format("first") + "---\n" + one.format("second"))
    assert list(load_profiles(tmp_path)) == ["first", "second"]
    with pytest.raises(ProfileInvalid, match="holds 2 profiles"):
        load_profile(tmp_path / "mine.yaml")


def test_continuation_rows_fold_into_the_record_above_and_closing_words_are_no_records():
    text = "day;name;amount\n30.01.2026;A;1.00\n;more;\n31.01.2026;B;2.00\nTotal;;3.00\n"
    result = read(
        text,
        date_order="dmy",
        decimal_mark=".",
        skip_if_empty=("day",),
        fold=("name",),
        footer=True,
        facts={"total": {"below": 1, "cell": 3}},
    )
    assert result.rows.select("name", "amount").rows() == [("A more", 100), ("B", 200)]
    assert result.facts == {"total": "3.00"}
    assert result.footer.height == 1
