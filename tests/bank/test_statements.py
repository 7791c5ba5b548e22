"""Statements on their way into the books: whole or not at all, once, in a chain, and out again."""

from __future__ import annotations

import hashlib
from datetime import date

import pytest

from tests.bank.formats import samples
from topline.bank import actions, queries
from topline.bank.formats import StatementRefused, read_statements
from topline.bank.models import BankAccount, BankStatement, StatementLine
from topline.books import queries as books
from topline.connect import actions as connect
from topline.connect.models import ImportBatch


@pytest.fixture
def account(owner, entity):
    return actions.add_account(
        actor=owner, entity_id=entity.pk, name="Main", currency="EUR", number="DE75 5121 0800 1245 1261 99"
    )


@pytest.fixture
def take_in(owner, entity, account):
    def run(content, name="file"):
        return actions.import_statements(
            actor=owner,
            entity_id=entity.pk,
            statements=read_statements(content, name=name, currency="EUR"),
            file_name=name,
            file_sha256=hashlib.sha256(content).hexdigest(),
            format="test",
            default_account_id=account,
        )

    return run


def day(number: int, opening: str, closing: str, *moves: str) -> bytes:
    """A statement in MT940 of one day in March 2026."""
    body = "".join(f":61:2603{number:02d}03{number:02d}{move}NTRFNONREF\n:86:Fee\n" for move in moves)
    return f":20:S{number}\n:25:DE75512108001245126199\n:28C:{number}\n:60F:C2603{number:02d}EUR{opening}\n{body}:62F:C2603{number:02d}EUR{closing}\n-\n".encode()


def on_account(entity, account):
    return books.role_balances(entity_id=entity.pk, role=f"bank:{account}").get("EUR", 0)


@pytest.mark.parametrize("found", ["camt", "mt940"])
def test_a_statement_moves_the_banks_ledger_account_to_its_closing_balance(entity, account, take_in, found):
    result = take_in(samples.ALL[found])
    assert result.select("lines_new", "lines_known").row(0) == (2, 0)
    assert on_account(entity, account) == 114_950
    assert BankStatement.objects.get().sequence == 7


def test_the_same_file_twice_changes_nothing(entity, account, take_in):
    take_in(samples.MT940)
    again = take_in(samples.MT940)
    assert again.select("statement_id", "lines_new", "lines_known").row(0) == (None, 0, 2)
    assert (BankStatement.objects.count(), StatementLine.objects.count()) == (1, 2)
    assert on_account(entity, account) == 114_950


def test_the_same_movements_in_an_overlapping_file_count_once(entity, account, take_in):
    take_in(day(4, "100,00", "110,00", "C10,00"))
    longer = day(4, "100,00", "130,00", "C10,00").replace(
        b":62F:C260304", b":61:2603050305C20,00NTRFNONREF\n:86:Fee\n:62F:C260305"
    )
    assert take_in(longer).select("lines_new", "lines_known").row(0) == (1, 1)
    assert on_account(entity, account) == 13_000


def test_two_statements_of_one_day_may_hold_the_same_movement_each(entity, account, take_in):
    """A chain of balances proves that the second fee is another one."""
    take_in(day(4, "100,00", "99,00", "D1,00"))
    take_in(day(4, "99,00", "98,00", "D1,00").replace(b":28C:4", b":28C:5").replace(b":20:S4", b":20:S5"))
    assert StatementLine.objects.count() == 2
    assert on_account(entity, account) == 9_800


def test_a_statement_that_does_not_add_up_stores_nothing(take_in):
    good, bad = day(4, "100,00", "110,00", "C10,00"), day(5, "110,00", "121,00", "C10,00")
    with pytest.raises(StatementRefused, match=r"opening 110.00 and movements of 10.00 lead to 120.00, but it closes at 121.00"):
        take_in(good + bad)
    assert not BankStatement.objects.exists()
    assert not StatementLine.objects.exists()


def test_gaps_between_statements_are_shown_with_what_is_missing(account, take_in):
    for content in (
        day(2, "100,00", "110,00", "C10,00"),
        day(3, "110,00", "115,00", "C5,00"),
        day(6, "140,00", "130,00", "D10,00"),
    ):
        take_in(content)
    gap = queries.gaps(bank_account_id=account).row(0, named=True)
    assert queries.gaps(bank_account_id=account).height == 1
    assert (gap["closed_on"], gap["opens_on"]) == (date(2026, 3, 3), date(2026, 3, 6))
    assert (gap["closing_minor"], gap["opening_minor"], gap["missing_minor"]) == (11_500, 14_000, 2_500)
    take_in(day(5, "115,00", "140,00", "C25,00"))
    assert queries.gaps(bank_account_id=account).is_empty()


def test_an_earlier_statement_moves_the_opening_balance_back(entity, account, take_in):
    take_in(day(6, "140,00", "130,00", "D10,00"))
    take_in(day(5, "115,00", "140,00", "C25,00"))
    assert on_account(entity, account) == 13_000


def test_undoing_a_statement_reverses_its_lines_and_frees_the_file(owner, entity, account, take_in):
    first = take_in(day(4, "100,00", "110,00", "C10,00"))["statement_id"][0]
    take_in(day(5, "110,00", "115,00", "C5,00"))
    assert actions.undo_statements(actor=owner, statement_ids=[first], on=date(2026, 3, 9), reason="Wrong file") == 1
    assert on_account(entity, account) == 11_500
    take_in(day(4, "100,00", "110,00", "C10,00"))
    assert on_account(entity, account) == 11_500
    assert StatementLine.objects.count() == 2


def test_a_statement_of_a_strange_account_or_currency_is_refused(owner, entity, take_in):
    with pytest.raises(actions.UnknownBankAccount, match="DE75512108001245126199 in USD"):
        take_in(samples.MT940.replace(b"EUR", b"USD"))
    assert not BankStatement.objects.exists()


def test_through_the_importer_a_file_opens_its_account_and_a_second_time_is_told(owner, entity):
    def load():
        batch = connect.check_file(actor=owner, entity_id=entity.pk, kind="bank", content=samples.CAMT, file_name="march.xml")
        while connect.run_import(actor=owner, batch_id=batch):
            pass
        return batch

    batch = load()
    assert BankAccount.objects.get().number == "DE75512108001245126199"
    with pytest.raises(connect.FileImported, match="nothing was changed"):
        load()
    assert StatementLine.objects.count() == 2
    connect.undo_import(actor=owner, batch_id=batch, on=date(2026, 3, 9), reason="Wrong company")
    assert not StatementLine.objects.exists()
    assert on_account(entity, BankAccount.objects.get().pk) == 0
    assert ImportBatch.objects.get(pk=batch).state == "undone"


def test_through_the_importer_a_refused_statement_leaves_no_trace(owner, entity):
    with pytest.raises(StatementRefused, match=r"march\.xml: .* does not add up"):
        connect.check_file(
            actor=owner,
            entity_id=entity.pk,
            kind="bank",
            content=samples.CAMT.replace(b"1149.50", b"1.00"),
            file_name="march.xml",
        )
    assert not ImportBatch.objects.exists()
    assert not BankAccount.objects.exists()


def test_the_second_of_two_equal_days_comes_in_once_however_it_comes_again(entity, account, take_in):
    first = day(4, "100,00", "99,00", "D1,00")
    second = day(4, "99,00", "98,00", "D1,00").replace(b":28C:4", b":28C:5")
    longer = second.replace(b":62F:C260304EUR98,00", b":61:2603050305D1,00NTRFNONREF\n:86:Fee\n:62F:C260305EUR97,00")
    whole = day(4, "100,00", "98,00", "D1,00", "D1,00")
    for content in (first, second, second, first, longer, whole):
        take_in(content)
    assert StatementLine.objects.count() == 3
    assert on_account(entity, account) == 9_700


def test_days_that_came_in_with_a_longer_statement_do_not_come_in_again_one_by_one(entity, account, take_in):
    take_in(day(4, "100,00", "98,00", "D1,00", "D1,00"))
    take_in(day(4, "100,00", "99,00", "D1,00"))
    take_in(day(4, "99,00", "98,00", "D1,00").replace(b":28C:4", b":28C:5"))
    assert StatementLine.objects.count() == 2
    assert on_account(entity, account) == 9_800


def test_the_caller_says_which_of_day_and_month_comes_first(owner, entity):
    sheet = b"Date;Description;Amount;Currency\n03/04/2026;Rent;-1.00;EUR\n"

    def check(**options):
        return connect.check_file(
            actor=owner, entity_id=entity.pk, kind="bank", content=sheet, file_name="a.csv", options=options
        )

    with pytest.raises(connect.DomainError, match="day first or month first"):
        check()
    batch = check(date_order="dmy", decimal_mark=".")
    while connect.run_import(actor=owner, batch_id=batch):
        pass
    assert StatementLine.objects.get().booked_on == date(2026, 4, 3)


def test_statements_of_one_day_chain_by_their_balances_whatever_their_numbers(entity, account, take_in):
    unnumbered = day(4, "100,00", "99,00", "D1,00").replace(b":28C:4\n", b"")
    take_in(day(4, "99,00", "97,00", "D2,00"))
    take_in(unnumbered)
    [told] = queries.bank_balances(entity_id=entity.pk, as_of=date(2026, 3, 4))
    assert (told.balance_minor, told.source) == (9_700, "statement")
    take_in(day(5, "97,00", "98,00", "C1,00"))
    assert queries.gaps(bank_account_id=account).is_empty()
    assert on_account(entity, account) == 9_800
