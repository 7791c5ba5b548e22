"""Files on their way in: checked, written in whole chunks, resumed, taken back."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from tests.bank.formats import samples
from topline.billing.models import Invoice, InvoiceLine
from topline.books import queries as books
from topline.catalog import actions as catalog
from topline.connect import actions, queue
from topline.connect.models import ImportBatch
from topline.engine import aging
from topline.flows.handlers import HANDLERS
from topline.kernel import clock, outbox
from topline.kernel.models import OutboxMessage
from topline.market.models import Customer
from topline.receivables import queries as receivables
from topline.receivables.models import Payment

HEAD = "number,customer,issued on,due on,amount,paid on\n"
GOOD = (
    HEAD
    + "R1,Globex,2026-01-05,2026-02-04,100.00,\nR2,Globex,2026-01-06,2026-02-05,250.50,2026-01-20\nR3,Initech,2026-01-07,2026-02-06,-20.00,\n"
)


@pytest.fixture
def load(owner, entity):
    def run(text, kind="receivables", name="file.csv", **options):
        content = text if isinstance(text, bytes) else text.encode()
        batch = actions.check_file(
            actor=owner,
            entity_id=entity.pk,
            kind=kind,
            content=content,
            file_name=name,
            profile=options.pop("profile", ""),
            options=options,
        )
        while actions.run_import(actor=owner, batch_id=batch):
            pass
        return ImportBatch.objects.get(pk=batch)

    return run


def problems(batch):
    return list(batch.problems.order_by("row").values_list("row", "column", "code"))


def ledger(entity, role):
    return books.role_balances(entity_id=entity.pk, role=role).get("EUR", 0)


def test_open_items_and_paid_ones_come_in_with_their_customers(entity, load):
    batch = load(GOOD)
    assert (batch.state, batch.rows_done, batch.rows_refused) == ("done", 3, 0)
    assert sorted(Customer.objects.values_list("name", flat=True)) == ["Globex", "Initech"]
    assert dict(Invoice.objects.values_list("number", "state")) == {"R1": "open", "R2": "paid", "R3": "open"}
    assert ledger(entity, "receivable") == 10_000 - 2_000
    assert Payment.objects.get().received_on == date(2026, 1, 20)


def test_an_open_item_names_its_product_and_how_many_units_were_sold(owner, entity, load):
    catalog.add_products(actor=owner, products=pl.DataFrame({"code": ["PUMP"], "name": ["Pump"]}))
    batch = load(
        "number,customer,issued,due,amount,product,quantity\n"
        "R1,Globex,2026-01-05,2026-02-04,100.00,PUMP,3\n"
        "R2,Globex,2026-01-05,2026-02-04,100.00,,\n"
        "R3,Globex,2026-01-05,2026-02-04,100.00,Boat,1\n"
        "R4,Globex,2026-01-05,2026-02-04,100.00,pump,0\n"
    )
    assert problems(batch) == [(4, "product", "unknown_product"), (5, "quantity", "no_quantity")]
    lines = InvoiceLine.objects.order_by("invoice__number").values_list("product__code", "quantity_micro", "net_minor")
    assert list(lines) == [("PUMP", 3_000_000, 100_00), (None, 1_000_000, 100_00)]
    first = InvoiceLine.objects.get(quantity_micro=3_000_000)
    assert round(first.unit_price_nano * 3 / 10**9) == 100_00


def test_a_name_that_several_customers_bear_is_told_and_makes_no_third_record(entity, load, make_customers):
    one, _ = make_customers("Twin GmbH", "Twin GmbH")
    number = Customer.objects.get(pk=one).number
    batch = load(HEAD + f"R1,Twin GmbH,2026-01-05,2026-02-04,100.00,\nR2,{number},2026-01-05,2026-02-04,100.00,\n")
    assert problems(batch) == [(2, "customer", "several_customers")]
    assert list(Invoice.objects.values_list("number", "customer_id")) == [("R2", one)] and Customer.objects.count() == 2


def test_an_invoice_of_which_a_part_was_paid_comes_in_at_what_is_open(entity, load):
    batch = load(
        "number,customer,issued,due,terms,amount,open amount,tax\n"
        "R1,Globex,2026-01-05,2026-02-04,2/10 net 30,119.00,59.50,19.00\n"
        "R2,Globex,2026-01-05,,net 14,100.00,100.00,\n"
        "R3,Globex,2026-01-05,,,-50.00,-20.00,\n"
        "R4,Globex,2026-01-05,,,10.00,0.00,\n"
        "R5,Globex,2026-01-05,,,10.00,11.00,\n"
        "R6,Globex,2026-01-05,,,10.00,-1.00,\n"
    )
    assert problems(batch) == [
        (5, "open", "nothing_open"),
        (6, "open", "open_not_within_amount"),
        (7, "open", "open_not_within_amount"),
    ]
    rows = Invoice.objects.order_by("number").values_list("number", "total_minor", "tax_minor", "terms", "due_on", "memo")
    assert list(rows) == [
        ("R1", 5_950, 950, "2/10 net 30", date(2026, 2, 4), "The rest of 119.00 EUR."),
        ("R2", 10_000, 0, "net 14", date(2026, 1, 19), ""),
        ("R3", 2_000, 0, "net 30", date(2026, 2, 4), "The rest of -50.00 EUR."),
    ]
    assert ledger(entity, "receivable") == 5_950 + 10_000 - 2_000


def test_a_row_that_cannot_be_read_is_told_and_the_others_come_in(load):
    batch = load(
        HEAD
        + "R1,Globex,2026-01-05,2026-02-04,100.00,\nR2,Globex,2026-02-31,2026-03-04,100.00,\nR3,Globex,2026-01-05,2026-02-04,12.345,\n"
    )
    assert (batch.rows_done, batch.rows_refused) == (1, 2)
    assert problems(batch) == [(3, "issued on", "no_such_day"), (4, "amount", "too_many_decimals")]
    told = batch.problems.get(row=3)
    assert told.message == "Row 3, column issued on: '2026-02-31' is no day of the calendar (read as ymd)."
    assert told.remedy.startswith("Correct the date")


@pytest.mark.parametrize(
    ("kind", "row", "sentence", "remedy"),
    [
        ("receivables", "R2,Globex,2026-01-05,2026-02-04,100.00,,XQQ", "column currency: 'XQQ' is not an ISO 4217 currency code", "Use three capital letters"),
        ("receivables", "R2,Globex,1899-12-31,2026-02-04,100.00,,", "column issued on: '1899-12-31' lies outside 1900 to 2199", "Correct the year"),
        ("receivables", "R2,Globex,2026-01-05,2200-01-01,100.00,,", "column due on: '2200-01-01' lies outside 1900 to 2199", "Correct the year"),
        ("receivables", "R2,Globex,yesterday,2026-02-04,100.00,,", "column issued on: 'yesterday' is not a date", "Write it as 2026-01-31"),
        ("receivables", "R2,Globex,2026-01-05,2026-02-04,\"1.000,5\",,", "column amount: '1.000,5' is not an amount with '.' as decimal mark", "set the decimal mark"),
        ("receivables", "R2,Globex,2026-01-05,2026-02-04,100.5,,JPY", "column amount: '100.5' has more decimals than its currency", "Round it"),
        ("receivables", "R2,Globex,2026-01-05,2026-02-04,0.00,,", "column amount: '0.00' is zero", "Leave the row out"),
        ("receivables", "R2,Globex,2026-01-05,2026-02-04,-5.00,2026-02-01,", "column paid_on: '2026-02-01' is set on a credit note", "Leave it empty"),
        ("receivables", "R1,Globex,2026-01-05,2026-02-04,5.00,,", "column number: 'R1' stands twice in the file", "Number every document once"),
        ("receivables", ",Globex,2026-01-05,2026-02-04,5.00,,", "column number: The cell is empty", "Fill it in"),
        ("receivables", "R2,Globex,2026-01-05,2026-02-04,5.00,,EUR,more", "has more cells than the header (7)", "Check the delimiter"),
        ("receivables", "R2,Globex", "column issued on: The cell is empty", "Fill it in"),
        ("payments", "2026-02-01,0.00,", "column amount: '0.00' is zero or less", "Book money that leaves as a refund"),
        ("payments", "2026-02-01,-5.00,", "column amount: '-5.00' is zero or less", "Book money that leaves as a refund"),
        ("payments", "2026-02-01,5.00,R99", "column invoice: 'R99' is no invoice of ours", "Correct the number"),
    ],
)  # fmt: skip
def test_a_bad_row_is_told_by_row_column_and_cure_and_the_good_one_comes_in(load, kind, row, sentence, remedy):
    good = {
        "receivables": "number,customer,issued on,due on,amount,paid on,currency\nR1,Globex,2026-01-05,2026-02-04,1.25,,",
        "payments": "received on,amount,invoice\n2026-02-01,1.25,",
    }
    batch = load(f"{good[kind]}\n{row}\n", kind=kind, decimal_mark=".")
    assert (batch.rows_done, batch.rows_refused) == (1, 1)
    told = list(batch.problems.filter(row=3))
    assert len(told) == batch.problems.count()
    assert told[0].message.startswith("Row 3"), told[0].message
    assert sentence in told[0].message
    assert told[0].remedy.startswith(remedy) or remedy in told[0].remedy
    assert Invoice.objects.count() + Payment.objects.count() == 1


def test_a_payment_larger_than_all_debts_settles_them_and_keeps_the_rest_as_a_liability(entity, load):
    load(GOOD)
    load("received on,amount,invoice,payer\n2026-02-01,1000000.00,R1,Globex\n", kind="payments")
    assert Invoice.objects.get(number="R1").allocated_minor == 10_000
    assert ledger(entity, "unapplied_cash") == -(100_000_000 - 10_000)


def test_the_name_of_a_profile_never_opens_a_file(load, tmp_path):
    (tmp_path / "mine.yaml").write_text("id: mine\nkind: receivables\ntitle: Mine\ncolumns: {}\n")
    for kind in ("receivables", "bank"):
        with pytest.raises(actions.DomainError, match=r"There is no (bank )?profile"):
            load("date,amount\n2026-01-05,1.00\n", kind=kind, profile=str(tmp_path / "mine.yaml"))


def test_a_profile_of_ones_own_is_kept_with_the_batch_and_must_be_for_its_kind(owner, entity):
    own = "id: mine\nkind: {}\ntitle: Mine\ncolumns:\n  number: {{header: Nr}}\n  customer: {{header: Wer}}\n  issued_on: {{header: Wann, type: date}}\n  amount: {{header: Wieviel, type: amount}}\n"
    given = {
        "actor": owner, "entity_id": entity.pk, "kind": "receivables", "content": b"Nr;Wer;Wann;Wieviel\nR1;Globex;2026-01-05;1,25\n", "file_name": "f.csv",
        "profile": "mine.yaml",
    }  # fmt: skip
    with pytest.raises(actions.DomainError, match=r"mine.yaml is a profile for bank, not for receivables."):
        actions.check_file(**given, own_profile=own.format("bank"))
    batch = actions.check_file(**given, own_profile=own.format("receivables"))
    assert not actions.run_import(actor=owner, batch_id=batch)
    assert Invoice.objects.get().total_minor == 125


def test_a_file_larger_than_what_is_read_is_refused_before_anything_is_kept(load, monkeypatch):
    monkeypatch.setattr(actions, "MAX_BYTES", 100)
    with pytest.raises(actions.FileTooLarge, match=r"file.csv has .* bytes; at most 100 are read"):
        load(GOOD)
    assert not ImportBatch.objects.exists()


def test_the_same_file_twice_changes_nothing(entity, load):
    load(GOOD)
    with pytest.raises(actions.FileImported, match="nothing was changed"):
        load(GOOD)
    assert Invoice.objects.count() == 3


def test_a_number_that_is_here_already_is_refused_by_row(load):
    load(GOOD)
    batch = load(
        HEAD
        + "R1,Globex,2026-01-05,2026-02-04,100.00,\nR9,Globex,2026-01-05,2026-02-04,7.00,\nR9,Globex,2026-01-05,2026-02-04,7.00,\n"
    )
    assert problems(batch) == [(2, "number", "duplicate_number"), (4, "number", "duplicate_number")]
    assert batch.rows_done == 1


def test_an_import_that_was_interrupted_goes_on_where_it_stood(owner, entity, monkeypatch):
    monkeypatch.setattr(actions, "CHUNK", 2)
    rows = "".join(f"R{n},Globex,2026-01-05,2026-02-04,{n}.00,\n" for n in range(1, 8))
    batch = actions.check_file(
        actor=owner, entity_id=entity.pk, kind="receivables", content=(HEAD + rows).encode(), file_name="f.csv"
    )
    assert actions.run_import(actor=owner, batch_id=batch)
    assert ImportBatch.objects.get().rows_done == Invoice.objects.count() == 2
    with monkeypatch.context() as broken:
        broken.setattr(actions.billing, "import_open_items", lambda **_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            actions.run_import(actor=owner, batch_id=batch)
    assert ImportBatch.objects.get().rows_done == Invoice.objects.count() == 2
    while actions.run_import(actor=owner, batch_id=batch):
        pass
    assert sorted(Invoice.objects.values_list("total_minor", flat=True)) == [n * 100 for n in range(1, 8)]


def test_the_worker_writes_a_chunk_at_a_time_and_one_that_fails_leaves_those_before_it(owner, entity, monkeypatch):
    monkeypatch.setattr(actions, "CHUNK", 2)
    rows = "".join(f"R{n},Globex,2026-01-05,2026-02-04,{n}.00,\n" for n in range(1, 6))
    batch = actions.check_file(
        actor=owner, entity_id=entity.pk, kind="receivables", content=(HEAD + rows).encode(), file_name="f.csv"
    )
    queue.ask_for_chunk(batch)
    assert outbox.drain(HANDLERS, limit=1) == 1
    assert ImportBatch.objects.get().rows_done == Invoice.objects.count() == 2
    assert queue.is_queued(ImportBatch.objects.get())
    with monkeypatch.context() as broken:
        broken.setattr(actions.billing, "import_open_items", lambda **_: 1 / 0)
        assert outbox.drain(HANDLERS) == 1
    assert ImportBatch.objects.get().rows_done == Invoice.objects.count() == 2
    OutboxMessage.objects.update(available_at=clock.now())
    assert outbox.drain(HANDLERS) == 2
    assert (ImportBatch.objects.get().state, Invoice.objects.count()) == ("done", 5)
    assert not queue.is_queued(ImportBatch.objects.get())


def test_undoing_reverses_the_books_and_keeps_customers(owner, entity, load):
    batch = load(GOOD)
    actions.undo_import(actor=owner, batch_id=batch.pk, on=date(2026, 3, 1), reason="Wrong company")
    assert ledger(entity, "receivable") == ledger(entity, "clearing") == ledger(entity, "unapplied_cash") == 0
    assert set(Invoice.objects.values_list("state", flat=True)) == {"void"}
    assert Customer.objects.count() == 2
    with pytest.raises(actions.ImportNotReady):
        actions.undo_import(actor=owner, batch_id=batch.pk, on=date(2026, 3, 1))


def test_undoing_is_refused_when_later_payments_rest_on_it(owner, load, pay, apply):
    batch = load(GOOD)
    invoice = Invoice.objects.get(number="R1")
    apply(pay(invoice.customer_id, 5000), invoice.pk, 5000)
    with pytest.raises(actions.ImportHasDependants, match="R1"):
        actions.undo_import(actor=owner, batch_id=batch.pk, on=date(2026, 3, 1))
    assert Invoice.objects.get(number="R2").state == "paid"


def test_payments_find_their_invoice_by_number_and_the_rest_stays_unapplied(entity, load):
    load(GOOD)
    load(
        "received on,amount,invoice,payer\n2026-02-01,60.00,R1,Globex\n2026-02-02,55.00,R1,Globex\n2026-02-03,5.00,,Unknown\n",
        kind="payments",
    )
    assert Invoice.objects.get(number="R1").state == "paid"
    assert ledger(entity, "unapplied_cash") == -(1500 + 500)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("number,customer,issued on,amount\nR1,Globex,03/04/2026,100\n", "day first or month first"),
        ("number,customer,amount\nR1,Globex,100\n", "has no column issued on"),
        (
            HEAD + 'R1,"Globex,2026-01-05,2026-02-04,100.00,\nR2,Globex,2026-01-05,2026-02-04,1.00,\n',
            "Line 2 of file.csv opens a quote that is never closed",
        ),
        (HEAD + "R1,Glo\0bex,2026-01-05,2026-02-04,100.00,\n", "NUL byte in line 2"),
        (b"%PDF-1.4 blah", "looks like a PDF"),
        (b'<?xml version="1.0"?><Document/>', "looks like XML"),
        (samples.CAMT, "file.csv is a bank statement. Choose Bank statement"),
        (samples.MT940, "file.csv is a bank statement. Choose Bank statement"),
        (
            HEAD.replace(",", ":") + "R1:Globex:2026-01-05:2026-02-04:100:\n",
            "has no column number; it begins with number:customer",
        ),
        (
            HEAD + 'R1,A,2026-01-05,2026-02-04,1.00,\nR2,A,2026-01-05,2026-02-04,"1,00",\n',
            "uses both '.' and ',' as decimal mark",
        ),
        (b"", "is empty"),
    ],
)
def test_a_file_that_cannot_be_taken_is_refused_whole_with_one_sentence(load, text, sentence):
    with pytest.raises(actions.DomainError, match=sentence):
        load(text)
    assert not ImportBatch.objects.exists()
    assert not Invoice.objects.exists()


def test_bom_semicolons_and_decimal_commas_are_detected_and_shown(load):
    batch = load(b"\xef\xbb\xbf" + "Belegnummer;Kunde;Rechnungsdatum;Betrag\nR1;M\u00fcller;31.01.2026;1.234,50\n".encode())
    assert Invoice.objects.get().total_minor == 123_450
    assert batch.detected["encoding"] == "UTF-8 with BOM"
    assert (batch.detected["delimiter"], batch.detected["decimal mark"]) == (";", ",")
    assert Invoice.objects.get().due_on == date(2026, 3, 2)


@pytest.mark.parametrize("day", ["2012-12-31", "2013-06-30", "2013-12-31"])
def test_the_real_book_of_receivables_shows_what_its_readme_says(shared, entity, load, day):
    expected = {
        "2012-12-31": (86, 493_632, 13, 78_874),
        "2013-06-30": (72, 428_429, 12, 83_556),
        "2013-12-31": (3, 20_625, 10, 55_565),
    }
    content = (shared / "data/ar_ibm/WA_Fn-UseC_-Accounts-Receivable.csv").read_bytes()
    batch = load(content, profile="ibm-ar")
    assert (batch.rows_done, batch.rows_refused, Customer.objects.count()) == (2466, 0, 100)
    items = aging.age(receivables.open_items(entity_id=entity.pk, as_of=date.fromisoformat(day)), as_of=date.fromisoformat(day))
    found = {str(b): (n, m) for _, b, n, m in aging.summary(items).iter_rows()}
    assert found == {"not due": expected[day][:2], "1-30": expected[day][2:]}
    total = bulk_total()
    assert total == 14_770_318


def bulk_total():
    from topline.kernel import bulk

    return int(bulk.read(Invoice.objects.values("total_minor")).select(pl.col("total_minor").sum()).item())
