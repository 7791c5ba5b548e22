"""The demo company's longer contracts: a project billed in parts, subscriptions taken over from before that renew or ended, list prices they lag behind, a credit
note by lines, and statements of account that were sent."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from topline.billing import actions as billing
from topline.billing.models import InvoiceLine
from topline.catalog import queries as catalog
from topline.contracts import actions, amendments, runs, schedules
from topline.contracts.dates import add_months
from topline.contracts.models import Item
from topline.engine.rating.credit_notes import Chosen
from topline.kernel.actor import Actor
from topline.market.models import Customer
from topline.receivables import statement_delivery, statements

TAKEN_OVER = 12  # of which the last four ended
BEHIND = 3
SEAT = {"description": "Platform, each seat", "quantity_micro": 8 * 10**6, "unit_price_nano": 11_00 * 10**9, "unit": "month"}


def play(*, actor: Actor, entity_id: int, end: date) -> None:
    """All of it begins with the month of the last day; what it bills is billed on its first day."""
    first = end.replace(day=1)
    known = (
        Customer.objects.filter(merged_into__isnull=True, aliases__isnull=False, is_on_hold=False)
        .order_by("-id")
        .values_list("id", flat=True)
        .distinct()
    )
    buyers = list(known[: TAKEN_OVER + BEHIND + 1])
    if not buyers:
        return
    _project(actor, entity_id, buyers[0], first)
    for n, buyer in enumerate(buyers[1 : TAKEN_OVER + 1]):
        _taken_over(actor, entity_id, buyer, first, goes_on=n < TAKEN_OVER - 4)
    points = [p for p in catalog.list_points(first).to_dicts() if p["currency"] == "EUR"][:BEHIND]
    found = dict(catalog.find(pl.Series([p["code"] for p in points], dtype=pl.String)).iter_rows())
    for buyer, point in zip(buyers[TAKEN_OVER + 1 :], points, strict=False):
        item = {
            "product_id": found[point["code"]],
            "quantity_micro": 2 * 10**6,
            "unit_price_nano": point["unit_price_nano"] * 9 // 10,
            "unit": "quarter",
        }
        actions.add_contract(actor=actor, entity_id=entity_id, customer_id=buyer, currency="EUR", starts_on=first, ends_on=add_months(first, 3), items=[item], renews_months=12, notice_days=30)  # fmt: skip
    runs.run(actor=actor, entity_id=entity_id, as_of=first)
    line = InvoiceLine.objects.filter(invoice__entity_id=entity_id, invoice__kind="invoice", invoice__state="open", quantity_micro__gte=4 * 10**6, invoice__issued_on=first).order_by("id").first()  # fmt: skip
    if line is not None:
        chosen = [Chosen(line.position, quantity_micro=10**6)]
        billing.credit_invoice(
            actor=actor, invoice_id=line.invoice_id, issue_on=end, lines=chosen, reason="One seat was never used"
        )
    _statements(actor, entity_id, first)


def _project(actor: Actor, entity_id: int, buyer: int, first: date) -> None:
    """A roll-out for 24,000: a deposit, two milestones of which one was accepted, and a rest in two months."""
    once = {
        "description": "Roll-out",
        "quantity_micro": 10**6,
        "unit_price_nano": 24_000_00 * 10**9,
        "unit": "day",
        "ends_on": first + timedelta(days=1),
    }
    made = actions.add_contract(
        actor=actor, entity_id=entity_id, customer_id=buyer, currency="EUR", starts_on=first, ends_on=add_months(first, 6), items=[once], purchase_order="PO-5117"
    )  # fmt: skip
    item = Item.objects.get(contract_id=made)
    parts = [
        ("Deposit", 4_000_00, first),
        ("Concept accepted", 8_000_00, None),
        ("Go-live accepted", 8_000_00, None),
        ("Rest", 4_000_00, add_months(first, 2)),
    ]
    schedules.set_schedule(
        actor=actor, item_id=item.pk, parts=[{"description": d, "amount_minor": m, "due_on": on, "expected_on": add_months(first, 1) if d.startswith("Go-live") else None} for d, m, on in parts]
    )  # fmt: skip
    concept = item.parts.get(description="Concept accepted")
    schedules.accept_milestone(actor=actor, part_id=concept.pk, on=first, accepted_by="Head of IT")


def _taken_over(actor: Actor, entity_id: int, buyer: int, first: date, *, goes_on: bool) -> None:
    """A subscription of almost two years that another system billed until now; or one that ended after its first year."""
    begun, over = add_months(first, -22), add_months(first, -10)
    until = add_months(first, 2)
    item = {**SEAT, "starts_on": first, "ends_on": until} if goes_on else {**SEAT, "starts_on": over, "ends_on": over}
    made = actions.add_contract(actor=actor, entity_id=entity_id, customer_id=buyer, currency="EUR", starts_on=begun, ends_on=over, items=[item], notice_days=30)  # fmt: skip
    if goes_on:
        amendments.amend(actor=actor, contract_id=made, kind="renew", on=over, months=12, because="Taken over with the contract")


def _statements(actor: Actor, entity_id: int, first: date) -> None:
    """Statements of the month before went to four customers; one came back."""
    since, until = statements.month_of(first)
    found = (
        statements.accounts(entity_id=entity_id, since=since, until=until)["customer_id"]
        .unique(maintain_order=True)
        .head(4)
        .to_list()
    )
    if not found:
        return
    made = statement_delivery.send_statements(actor=actor, entity_id=entity_id, customer_ids=found, since=since, until=until)
    for n, delivery_id in enumerate(made["delivery_id"].drop_nulls()):
        statement_delivery.mark_statement(
            actor=actor, delivery_id=delivery_id, state="sent", message_id=f"<demo-statement-{delivery_id}@topline>"
        )
        if n == 3:
            statement_delivery.mark_statement(actor=actor, delivery_id=delivery_id, state="bounced", note="550 no such mailbox")
