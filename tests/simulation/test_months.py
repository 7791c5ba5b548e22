"""Random months of business from a seed, through the real actions: all proofs hold, and a second model agrees.

The second model is plain Python: it keeps what each document and payment has open in dictionaries and knows nothing of
frames, ledgers or tables. What it remembers of each day is later asked of the queries, as of that day.
"""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import date, timedelta

import polars as pl
import pytest

from topline.bank import actions as bank
from topline.bank.formats.model import Statement, StatementEntry
from topline.billing import actions as billing
from topline.books import actions as books
from topline.books import queries as book_queries
from topline.flows import proofs
from topline.kernel import clock
from topline.kernel.errors import DomainError
from topline.receivables import actions, queries, write_offs
from topline.receivables.models import Allocation
from topline.team.queries import system_actor

START = date(2026, 1, 1)


class Model:
    """What is open, by hand. links: allocation id -> (kind, payment, invoice or credit note pairs, amount)."""

    def __init__(self):
        self.open: dict[int, int] = {}  # document -> open cents, credit notes negative
        self.total: dict[int, int] = {}
        self.left: dict[int, int] = {}  # payment -> cents left
        self.links: dict[int, tuple] = {}
        self.bank = 0
        self.seen: dict[date, tuple[dict[int, int], dict[int, int]]] = {}

    def remember(self, day):
        self.seen[day] = ({i: m for i, m in self.open.items() if m}, {p: m for p, m in self.left.items() if m})

    def back(self, allocation):
        """Undo a link on both sides."""
        _, payment, invoice, note, amount = self.links.pop(allocation)
        if invoice is not None:
            self.open[invoice] += amount
        if note is not None:
            self.open[note] -= amount
        if payment is not None:
            self.left[payment] += amount


class Play:
    """One company; every step draws a verb, does it for real and in the model."""

    def __init__(self, seed, owner, entity, customers, issue, pay):
        self.dice = random.Random(seed)
        self.owner, self.entity, self.customers, self.issue, self.pay = owner, entity, customers, issue, pay
        self.model = Model()
        self.day = START
        self.owner_of: dict[int, int] = {}
        self.account = bank.add_account(actor=owner, entity_id=entity.pk, name="Giro", currency="EUR", number="DE1")
        self.done: dict[str, int] = defaultdict(int)

    def step(self):
        verbs = [self.invoices] * 3 + [self.payment] * 3 + [self.settle] * 5
        verbs += [
            self.unapply,
            self.credit,
            self.write_off,
            self.refund,
            self.give_back,
            self.void,
            self.statement,
            self.too_much,
        ]
        verb = self.dice.choice(verbs)
        if verb() is not False:
            self.done[verb.__name__] += 1

    def some(self, found):
        return self.dice.choice(sorted(found)) if found else None

    def invoices(self):
        customer = self.some(self.customers)
        amounts = [self.dice.randint(1, 50_000) for _ in range(self.dice.randint(1, 4))]
        terms = self.dice.choice(["net 30", "net 14", "50% 0, 50% 30"])
        rate = self.dice.choice([0, 190_000, 70_000])
        for invoice, net in zip(self.issue(customer, *amounts, on=self.day, terms=terms, tax_ppm=rate), amounts, strict=True):
            self.model.open[invoice] = self.model.total[invoice] = net + (2 * net * rate + 10**6) // (2 * 10**6)
            self.owner_of[invoice] = customer

    def payment(self):
        amount = self.dice.randint(1, 80_000)
        self.model.left[int(self.pay(self.some(self.customers), amount, on=self.day))] = amount

    def settle(self):
        payment = self.some([p for p, m in self.model.left.items() if m])
        invoices = [i for i, m in self.model.open.items() if m > 0]
        if payment is None or not invoices:
            return False
        rows, left = [], self.model.left[payment]
        for invoice in self.dice.sample(sorted(invoices), min(len(invoices), self.dice.randint(1, 3))):
            amount = min(left, self.model.open[invoice], self.dice.choice([10**9, self.dice.randint(1, 30_000)]))
            if amount:
                rows.append((payment, invoice, amount))
                left -= amount
        links = pl.DataFrame(rows, schema=["payment_id", "invoice_id", "amount_minor"], orient="row")
        made = actions.apply_cash(actor=self.owner, links=links, on=self.day)
        for allocation, (_, invoice, amount) in zip(made["allocation_id"].to_list(), rows, strict=True):
            self.model.links[allocation] = ("payment", payment, invoice, None, amount)
            self.model.open[invoice] -= amount
            self.model.left[payment] -= amount
        return None

    def unapply(self):
        allocation = self.some([a for a, link in self.model.links.items() if link[0] != "refund"])
        if allocation is None:
            return False
        actions.unapply(actor=self.owner, allocation_ids=[allocation], on=self.day, reason="Wrong document")
        return self.model.back(allocation)

    def credit(self):
        """A credit note for a part of an open invoice, used against it at once or kept."""
        invoice = self.some([i for i, m in self.model.open.items() if m > 1])
        if invoice is None:
            return False
        amount = self.dice.randint(1, self.model.open[invoice])
        try:
            note = billing.credit_invoice(
                actor=self.owner, invoice_id=invoice, issue_on=self.day, total_minor=amount, reason="Agreed"
            )
        except DomainError:
            return False  # more than was invoiced has been credited already
        self.model.open[note], self.model.total[note] = -amount, amount
        if self.dice.random() < 0.7:
            link = pl.DataFrame({"invoice_id": [invoice], "amount_minor": [amount]})
            made = actions.apply_credit_note(actor=self.owner, credit_note_id=note, links=link, on=self.day)
            self.model.links[made["allocation_id"][0]] = ("credit_note", None, invoice, note, amount)
            self.model.open[note] += amount
            self.model.open[invoice] -= amount
        return None

    def write_off(self):
        invoice = self.some([i for i, m in self.model.open.items() if m > 0])
        if invoice is None:
            return False
        amount, customer = self.model.open[invoice], self.owner_of[invoice]
        alone = sum(
            link[4] for link in self.model.links.values() if link[0] == "write_off" and self.owner_of[link[2]] == customer
        )
        if alone + amount > actions.ALONE_UP_TO * 100:
            with pytest.raises(actions.NeedsSecondPerson):
                actions.write_off(actor=self.owner, invoice_ids=[invoice], on=self.day, reason="Insolvent")
            asked = write_offs.propose_write_off(actor=self.owner, invoice_id=invoice, on=self.day, reason="Insolvent")
            write_offs.approve_write_off(actor=system_actor("second"), proposal_id=asked, on=self.day)
            kind, made = "write_off_of_two", Allocation.objects.filter(invoice_id=invoice).latest("id").pk
        else:
            kind = "write_off"
            made = actions.write_off(actor=self.owner, invoice_ids=[invoice], on=self.day, reason="Insolvent")["allocation_id"][0]
        self.model.links[made] = (kind, None, invoice, None, amount)
        self.model.open[invoice] = 0
        return None

    def refund(self):
        payment = self.some([p for p, m in self.model.left.items() if m])
        if payment is None:
            return False
        amount = self.dice.randint(1, self.model.left[payment])
        made = actions.refund(actor=self.owner, payment_id=payment, amount_minor=amount, on=self.day)
        self.model.links[made["allocation_id"][0]] = ("refund", payment, None, None, amount)
        self.model.left[payment] -= amount
        return None

    def give_back(self):
        """The bank returns a payment: everything it settled opens again."""
        refunded = {link[1] for link in self.model.links.values() if link[0] == "refund"}
        payment = self.some([p for p in self.model.left if p not in refunded])
        if payment is None:
            return False
        actions.return_payments(actor=self.owner, payment_ids=[payment], on=self.day, reason="No funds")
        for allocation in [a for a, link in self.model.links.items() if link[1] == payment]:
            self.model.back(allocation)
        del self.model.left[payment]
        return None

    def void(self):
        untouched = [i for i, m in self.model.open.items() if m == self.model.total[i]]
        invoice = self.some(untouched)
        if invoice is None:
            return False
        billing.void_invoices(actor=self.owner, invoice_ids=[invoice], void_on=self.day, reason="Never delivered")
        self.model.open[invoice] = 0
        self.model.total[invoice] = -1
        return None

    def statement(self):
        amounts = [self.dice.randint(-20_000, 30_000) or 1 for _ in range(3)]
        lines = tuple(
            StatementEntry(amount_minor=a, currency="EUR", booked_on=self.day, remittance_information=f"{self.day} {n}")
            for n, a in enumerate(amounts)
        )
        made = Statement(
            account="DE1", currency="EUR", entries=lines, opening_minor=self.model.bank, closing_minor=self.model.bank + sum(amounts),
            opening_on=self.day, closing_on=self.day, statement_id=str(self.day),
        )  # fmt: skip
        again = self.dice.random() < 0.3
        for _ in range(2 if again else 1):  # the same file twice changes nothing
            bank.import_statements(
                actor=self.owner, entity_id=self.entity.pk, statements=[made], file_name="s", file_sha256=f"{self.day}{amounts}", format="test"
            )  # fmt: skip
        self.model.bank += sum(amounts)

    def too_much(self):
        """What must be refused is refused and leaves nothing behind: the comparison of the day would show it."""
        payment = self.some(self.model.left)
        invoice = self.some([i for i, m in self.model.open.items() if m > 0])
        if payment is None or invoice is None:
            return False
        amount = max(self.model.left[payment], self.model.open[invoice]) + 1
        links = pl.DataFrame({"payment_id": [payment], "invoice_id": [invoice], "amount_minor": [amount]})
        with pytest.raises(actions.OverApplied):
            actions.apply_cash(actor=self.owner, links=links, on=self.day)
        return None

    def month_end(self):
        through = self.day.replace(day=1) - timedelta(days=1)
        books.lock_period(actor=self.owner, entity_id=self.entity.pk, through=through, reason="Month closed")
        with pytest.raises(books.PeriodLocked):
            self.pay(self.customers[0], 100, on=through)
        books.seal(actor=self.owner)

    def compare(self, day):
        documents, payments = self.model.seen[day]
        items = queries.open_items(entity_id=self.entity.pk, as_of=day)
        found = dict(items.group_by("invoice_id").agg(pl.col("open_minor").sum()).iter_rows())
        assert found == documents, f"open documents as of {day}"
        rest = queries.unapplied(entity_id=self.entity.pk, as_of=day)
        assert dict(rest.select("payment_id", "left_minor").iter_rows()) == payments, f"unapplied cash as of {day}"
        ledger = {
            role: book_queries.role_balances(entity_id=self.entity.pk, role=role, as_of=day).get("EUR", 0)
            for role in ("receivable", "unapplied_cash")
        }
        assert ledger == {"receivable": sum(documents.values()), "unapplied_cash": -sum(payments.values())}, f"ledger as of {day}"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_after_random_months_every_proof_holds_and_a_model_by_hand_agrees(seed, owner, entity, make_customers, issue, pay):
    play = Play(seed, owner, entity, make_customers("Globex", "Initech", "Umbrella", "Hooli"), issue, pay)
    for _ in range(60):
        with clock.at(play.day):
            for _ in range(play.dice.randint(0, 3)):
                play.step()
            play.model.remember(play.day)
        following = play.day + timedelta(days=play.dice.randint(1, 3))
        ended = following.month != play.day.month
        play.day = following
        if ended:
            with clock.at(play.day):
                play.month_end()
    assert len(play.done) >= 10, f"a verb was never played: {sorted(play.done)}"
    for day in sorted(play.model.seen)[::4]:
        play.compare(day)
    play.compare(max(play.model.seen))
    assert [p.name for p in proofs.verify() if not p.holds] == []


def test_the_comparison_notices_a_single_cent(owner, entity, make_customers, issue, pay):
    play = Play(5, owner, entity, make_customers("Globex"), issue, pay)
    with clock.at(play.day):
        play.invoices()
    play.model.remember(play.day)
    play.compare(play.day)
    first = min(play.model.seen[play.day][0])
    play.model.seen[play.day][0][first] += 1
    with pytest.raises(AssertionError, match="open documents"):
        play.compare(play.day)
