"""What is refused and how: hostile XML, cut-off files, wrong names, sums that differ; and no byte can break a reader."""

from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bank.formats import samples
from topline.bank.formats import NotThisFormat, StatementRefused, detect, read_statements, xml
from topline.kernel.errors import DomainError


def refusal(content: bytes, **options) -> DomainError:
    with pytest.raises(DomainError) as refused:
        read_statements(content, name="march.dat", **options)
    assert "march.dat" in refused.value.message
    assert refused.value.remedy
    return refused.value


@pytest.mark.parametrize("found", samples.ALL)
def test_each_format_is_known_by_its_content_and_read(found):
    content = samples.ALL[found]
    assert detect(content) == found
    [statement] = read_statements(content, name="file.pdf")
    assert [e.amount_minor for e in statement.entries] == [25_000, -10_050]
    assert statement.opening_minor == (None if found == "ofx" else 100_000)
    assert statement.closing_minor == 114_950
    assert "Globex" in f"{statement.entries[0].counterparty_name} {statement.entries[0].remittance_information}".title()


@pytest.mark.parametrize("found", ["camt", "mt940", "bai2", "coda", "norma43", "csv"])
def test_a_statement_that_does_not_add_up_is_refused_whole_with_the_figures(found):
    content = samples.ALL[found]
    controls = (b"250000,", b"250001,") if found == "bai2" else (b"", b"")
    for old, new in ((b"1149.50", b"1149.51"), (b"1149,50", b"1149,51"), (b"114950", b"114951"), controls):
        content = content.replace(old, new)
    told = refusal(content)
    assert isinstance(told, StatementRefused)
    assert "1,149.50" in told.message
    assert "1,149.51" in told.message


@pytest.mark.parametrize("found", ["camt", "mt940", "ofx", "bai2", "coda", "norma43"])
@pytest.mark.parametrize("share", [0.5, 0.8, 0.9])
def test_a_file_that_is_cut_off_is_refused(found, share):
    content = samples.ALL[found]
    refusal(content[: int(len(content) * share)])


def test_mt940_without_closing_balance_is_refused_with_that_reason():
    without = b"\n".join(line for line in samples.MT940.splitlines() if not line.startswith(b":62F:"))
    assert "no closing balance (:62F:)" in refusal(without).message


def test_mt940_with_a_movement_after_its_closing_balance_is_refused():
    assert "after the closing balance" in refusal(samples.MT940.replace(b"-\n", b":61:2603060306C1,00NTRFX\n")).message


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"?>", b'?><!DOCTYPE a SYSTEM "file:///etc/passwd">', "a document type or entities"),
        (b"?>", b'?><!DOCTYPE a [<!ENTITY b "c">]>', "a document type or entities"),
        (b"R1<", b"&b;<", "Entity 'b' not defined"),
        (b"250.00<", b"250<!-- .00 -->.00<", "hides a comment or an instruction inside a value"),
        (b"250.00<", b"250<?x?>.00<", "hides a comment or an instruction inside a value"),
        (b"<Ustrd>", b"<a>" * 1000 + b"</a>" * 1000 + b"<Ustrd>", "nests deeper than 200 levels"),
        (b"</Stmt>", b"", "The XML breaks in line"),
        (b">250.00<", b">-250.00<", "is negative; its sign belongs in CdtDbtInd"),
        (b">250.00<", b">250.001<", "has more decimals than EUR allows"),
        (b">250.00<", b">NaN<", "is not an amount"),
        (b'Ccy="EUR">250', b'Ccy="XYZ">250', "XYZ"),
        (b"<BookgDt><Dt>2026-03-05", b"<BookgDt><Dt>2026-02-31", "is no day"),
        (b"<BookgDt><Dt>2026", b"<BookgDt><Dt>1826", "has the day 1826-03-05, outside 1900 to 2199"),
        (b"<BookgDt><Dt>2026", b"<BookgDt><Dt>2226", "has the day 2226-03-05, outside 1900 to 2199"),
        (b"<CdtDbtInd>CRDT</CdtDbtInd><Sts>", b"<Sts>", "neither credit nor debit"),
    ],
)
def test_xml_that_asks_for_more_than_data_or_says_less_is_refused_in_a_sentence(old, new, reason):
    assert reason in refusal(samples.CAMT.replace(old, new, 1)).message


def test_a_document_type_in_another_encoding_is_refused_as_well():
    hidden = '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'.encode("utf-16")
    with pytest.raises(DomainError):
        xml.parse(hidden)


@pytest.mark.parametrize("version", ["02", "03", "04", "05", "06", "07", "08"])
def test_camt_053_is_read_in_every_version(version):
    [statement] = read_statements(samples.CAMT.replace(b"053.001.02", b"053.001." + version.encode()))
    assert (statement.kind, statement.sequence, statement.movement_minor) == ("statement", 7, 14_950)


def test_pending_entries_of_a_camt_statement_do_not_count_towards_its_balance():
    pending = samples.CAMT.replace(
        b"</Stmt>",
        samples.CAMT.partition(b"</Bal>\n<Ntry>")[2]
        .partition(b"</Ntry>")[0]
        .join([b"<Ntry>", b"</Ntry></Stmt>"])
        .replace(b"BOOK", b"PDNG"),
    )
    [statement] = read_statements(pending)
    assert [e.status for e in statement.entries] == ["booked", "booked", "pending"]
    assert statement.movement_minor == 14_950


def test_ofx_in_small_letters_loses_nothing_and_a_comment_is_refused():
    assert len(read_statements(samples.OFX.replace(b"STMTTRN", b"stmttrn"))[0].entries) == 2
    assert "comment" in refusal(samples.OFX.replace(b"<FITID>1", b"<!-- <FITID>1 -->")).message


def test_bai2_counts_its_records_with_or_without_continuations():
    assert read_statements(samples.BAI2.replace(b"250000,5/", b"250000,4/").replace(b",7/", b",6/").replace(b",1,9/", b",1,8/"))
    assert "the trailer counts 3 records" in refusal(samples.BAI2.replace(b"250000,5/", b"250000,3/")).message
    assert "the control total of the group" in refusal(samples.BAI2.replace(b"98,250000", b"98,250001")).message


def test_coda_is_held_to_the_totals_of_its_trailer():
    assert (
        "the trailer gives debits and credits"
        in refusal(samples.CODA.replace(b"000004000000000100500", b"000004000000000100000")).message
    )


def zipped(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, samples.CAMT)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b" \n\n ", "is empty"),
        (b"%PDF-1.7 ...", "looks like a PDF"),
        (zipped("a.xml"), "a ZIP archive: unpack it first"),
        (b"!Type:Bank\nD1/2/26\nT5\n^\n", "QIF, which has neither account nor balance"),
        (b"<html><body>Sign in</body></html>", "XML, but no camt statement"),
        (b"hello", "no bank file that we know"),
        (b"a;b\n1;2\n", "No bank profile recognises"),
        (b"\x89PNG\r\n\x1a\n,,,", "looks like a picture"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_told_what_it_looks_like(content, reason):
    assert reason in refusal(content).message


def test_text_that_is_no_statement_is_of_another_format_and_not_a_broken_statement():
    assert isinstance(refusal(b"hello"), NotThisFormat)


def test_a_sheet_whose_days_fit_both_orders_is_not_guessed():
    told = refusal(b"Date;Description;Amount\n03/05/2026;Rent;-1.00\n", currency="EUR")
    assert "day first or month first?" in told.message
    assert "--date-order" in told.remedy


def test_an_amount_without_a_day_among_the_closing_words_is_no_footer():
    sheet = "Buchungsdatum,Text,Belastung,Gutschrift,Saldo\n05.03.2026,Rent,100.50,,899.50\nTotal,,{},,\n"
    assert read_statements(sheet.format("100.50").encode(), currency="CHF")[0].movement_minor == -10_050
    assert "has the amount 77.00 but no day" in refusal(sheet.format("77.00").encode(), currency="CHF").message


def test_running_balances_are_followed_where_a_bank_gives_one_a_day():
    sheet = (
        "Buchungsdatum,Text,Belastung,Gutschrift,Saldo\n06.03.2026,C,1.00,,97.00\n05.03.2026,B,1.00,,98.00\n05.03.2026,A,1.00,,\n"
    )
    [statement] = read_statements(sheet.encode(), currency="CHF")
    assert (statement.opening_minor, statement.closing_minor) == (10_000, 9_700)
    assert (
        "The running balance of row 2 does not add up"
        in refusal(sheet.replace("97.00", "96.00").encode(), currency="CHF").message
    )


def test_a_debit_column_with_both_signs_holds_debits_taken_back():
    sheet = b"Date;Description;Debit;Credit;Currency\n2026-03-05;Fee;5.00;;EUR\n2026-03-06;Fee taken back;-5.00;;EUR\n2026-03-07;In;;9.00;EUR\n"
    assert [e.amount_minor for e in read_statements(sheet)[0].entries] == [-500, 500, 900]
    signed = sheet.replace(b";5.00", b";-5.00")
    assert [e.amount_minor for e in read_statements(signed)[0].entries] == [-500, -500, 900]


def test_the_currency_of_a_sheet_comes_from_its_headers_or_is_asked_for_and_told():
    sheet = "Datum;Avisierungstext;Gutschrift{0};Lastschrift{0}\n05.03.2026;Globex;5.00;\n"
    [named] = read_statements(sheet.format(" in CHF").encode(), currency="EUR")
    assert (named.currency, named.entries[0].currency) == ("CHF", "CHF")
    assert not any("names no currency" in note for note in named.notes)
    [assumed] = read_statements(sheet.format("").encode(), currency="EUR")
    assert "The sheet names no currency; EUR was taken." in assumed.notes
    [generic] = read_statements(b"Date;Description;Amount\n2026-03-05;Fee;-1.00\n", currency="USD")
    assert "The sheet names no currency; USD was taken." in generic.notes
    told = refusal(sheet.format("").encode())
    assert "names no currency" in told.message
    assert "--currency" in told.remedy


def test_the_account_of_a_ubs_sheet_stands_above_its_header():
    preamble = (
        "Account number:;1;\nIBAN:;CH93 0076 2011 6238 5295 7;\nFrom:;2026-03-05;\nUntil:;2026-03-05;\nOpening balance:;10.00;\n"
    )
    sheet = (
        preamble
        + "Closing balance:;{};\nValued in:;CHF;\nNumbers of transactions in this period:;1;\n\n"
        + "Trade date;Trade time;Booking date;Value date;Currency;Debit;Credit;Individual amount;Balance;Transaction no.;Description1\n"
        + "2026-03-05;;2026-03-05;2026-03-05;CHF;-2.00;;;8.00;1;Fee\n;;;;CHF;;;-1.50;;1;part\n;;;;CHF;;;-0.50;;1;part\n"
    )
    [statement] = read_statements(sheet.format("8.00").encode())
    assert (statement.account, statement.opening_minor, statement.closing_minor) == ("CH9300762011623852957", 1_000, 800)
    assert [e.amount_minor for e in statement.entries] == [-200]
    assert (
        "opening 10.00 and movements of -2.00 lead to 8.00, but it closes at 9.00"
        in refusal(sheet.format("9.00").encode()).message
    )


@pytest.mark.parametrize("found", samples.ALL)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_happens_to_its_bytes_a_file_is_read_or_refused_and_nothing_else(found, data):
    content = bytearray(samples.ALL[found])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["change", "cut", "insert", "truncate"])):
            case "change":
                content[at] = data.draw(st.integers(0, 255))
            case "cut":
                del content[at : at + data.draw(st.integers(1, 20))]
            case "insert":
                content[at:at] = data.draw(st.binary(min_size=1, max_size=6))
            case _:
                del content[at + 1 :]
        if not content:
            return
    try:
        statements = read_statements(bytes(content), name="march.dat", currency="EUR")
    except DomainError as refused:
        assert refused.message
        return
    for statement in statements:
        if statement.opening_minor is not None and statement.closing_minor is not None and statement.kind == "statement":
            assert statement.opening_minor + statement.movement_minor == statement.closing_minor


def test_a_payers_text_cannot_turn_the_writing_round():
    turned = samples.CAMT.replace(b"<Nm>Globex</Nm>", "<Nm>Glo\u202ebex</Nm>".encode()).replace(
        b">R1<", "> \u2067R1\u2069 \u05e9\u05dc\u05d5\u05dd<".encode()
    )
    (statement,) = read_statements(turned)
    entry = statement.entries[0]
    assert (entry.counterparty_name, entry.remittance_information.strip()) == ("Globex", "R1 \u05e9\u05dc\u05d5\u05dd")
