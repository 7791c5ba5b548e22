"""Play the script: every day the real actions, the clock standing on that day, one transaction a day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
from django.db import transaction

from topline.bank import actions as bank
from topline.bank import queries as bank_queries
from topline.bank.formats.model import Statement, StatementEntry
from topline.billing import actions as billing
from topline.billing.models import Invoice
from topline.books import actions as books
from topline.books import queries as book_queries
from topline.books.models import Entity
from topline.cases import actions as cases
from topline.cases import queries as case_queries
from topline.collections import actions as collections
from topline.collections import claims, reminders
from topline.collections.models import DunningPolicy
from topline.demo import capturing, contracting, paying, quotas, quoting, script, selling, subscribing, surrounding
from topline.demo import market as landscape
from topline.demo.script import EMPLOYER_PPM, TAX_PPM, Script
from topline.engine import reference_rates, terms
from topline.flows import daily
from topline.kernel import clock
from topline.kernel.actor import Actor
from topline.lifecycle import actions as lifecycle
from topline.market import actions as market
from topline.pipeline import actions as pipeline
from topline.receivables import actions as receivables
from topline.receivables import offers, write_offs
from topline.team import actions as team
from topline.team.models import Member
from topline.team.queries import system_actor
from topline.treasury import actions as treasury
from topline.treasury import levers, outlook

NOTES = ("Pays half by next Friday", "Contests the price of the seats", "Can pay in four parts", "Voicemail; try again")
KEY, NAME = "demo", "Meridian Software GmbH"
ON_DOCUMENTS = {
    "tax_id": "DE136695976", "line1": "Speicherstraße 5", "postal_code": "10115", "city": "Berlin", "email": "invoices@meridian.example",
    "phone": "+49 30 5550100", "accent": "#1d4ed8",
}  # fmt: skip
EMAIL, PASSWORD = "owner@demo.localhost", "topline-demo-2026"
DAYS = 730
DESK_DAYS = 84  # before the last day, collectors begin to log their calls, every Monday
FROZEN = 4  # the last Mondays, each of which is frozen by what was known then, to be held against what came
CASE_DAYS = 60  # before the last day, a large debt was taken as a case; it is closed on the last one
TEAM = [("Olivia Owner", EMAIL, ["Owner"]), ("Rita Ops", "rita@demo.localhost", ["RevOps"]), ("Bela Billing", "bela@demo.localhost", ["Billing"]),
        ("Clara Collections", "clara@demo.localhost", ["Collections"]), ("Theo Treasury", "theo@demo.localhost", ["Treasury"]),
        ("Anton Approver", "anton@demo.localhost", ["Approver"]), ("Audrey Auditor", "audrey@demo.localhost", ["Auditor"]), ("Sam Sales", "sam@demo.localhost", ["Sales"]),
        ("Mona Manager", "mona@demo.localhost", ["Sales manager"])]  # fmt: skip


def carried_on(end: date) -> list[tuple[date, Decimal]]:
    """Half-years up to a day whose reference rate was not published when this was written, with the last one that was: the demo company claims interest on any day."""
    table = reference_rates.TABLES["EU"]
    half, found = max(table), []
    percent = Decimal(table[half])
    while half < reference_rates.half_of(end):
        half = (half[0], 2) if half[1] == 1 else (half[0] + 1, 1)
        found.append((reference_rates.first_day(half), percent))
    return found


def last_day() -> date:
    """The last day that was played: the newest day of a bank statement."""
    entity = Entity.objects.get(key=KEY)
    days = [bank_queries.last_statement_day(a.pk) for a in bank_queries.accounts(entity.pk)]
    return max((d for d in days if d), default=clock.today())


def is_begun() -> bool:
    """Whether the company is here, be it half built because somebody stopped it."""
    return Entity.objects.filter(key=KEY).exists()


def is_built() -> bool:
    """Whether it was played to its last day: the ladder of reminders is set then."""
    return DunningPolicy.objects.filter(entity__key=KEY).exists()


def build(*, seed: int = 7, end: date | None = None, days: int = DAYS, tick: Callable[[], Any] = lambda: None) -> int:
    """Make the company and play it until `end` (default yesterday); returns the entity's id. The same seed gives the same company."""
    end = end or clock.today() - timedelta(days=1)
    start = end - timedelta(days=days - 1)
    plan = script.write(seed=seed, start=start, end=end)
    actor = system_actor("demo")
    monday = end - timedelta(days=end.weekday() or 7)
    mondays = [monday - timedelta(weeks=back) for back in range(FROZEN)]
    with clock.at(_morning(start)), transaction.atomic():
        play = _Play(actor, plan, start)
    for n in range(days):
        day = start + timedelta(days=n)
        with clock.at(_morning(day)), transaction.atomic():
            play.day(day, is_last=n == days - 1)
            if n == days - CASE_DAYS:
                play.take_a_case(day)
            if n >= days - DESK_DAYS and n < days - 1 and day.weekday() == 0:
                play.work_the_desk(day)
            if day == mondays[-1]:
                play.plan_cash(day)
            if day in mondays:
                outlook.freeze_forecast(actor=actor, entity_id=play.entity_id, as_of=day)
        tick()
    with clock.at(_morning(end)), transaction.atomic():
        play.sell(end, seed)
    landscape.play(actor=actor, seed=seed, start=start, end=end, customers=list(zip(play.customers, plan.customers, strict=True)))
    with clock.at(_morning(end)), transaction.atomic():
        surrounding.play(actor=actor, seed=seed)
        subscribing.play(actor=actor, entity_id=play.entity_id, seed=seed, end=end)
        contracting.play(actor=actor, entity_id=play.entity_id, end=end)
        paying.play(actor=actor, entity_id=play.entity_id, end=end)
        play.finish(end)
        play.lie_on_desks(end)
        while books.seal(actor=actor):
            pass
    return play.entity_id


class _Play:
    """The company while it is played: ids of what was made, and what waits for its day."""

    def __init__(self, actor: Actor, plan: Script, start: date) -> None:
        self.actor, self.plan = actor, plan
        self.entity_id = books.open_entity(
            actor=actor, key=KEY, name=NAME, currency="EUR", time_zone="Europe/Berlin", country="DE"
        )
        books.describe_entity(actor=actor, entity_id=self.entity_id, changes=ON_DOCUMENTS)
        members = [
            team.add_member(actor=actor, email=email, name=name, roles=roles, password=PASSWORD) for name, email, roles in TEAM
        ]
        for key, owner, deputy in (
            ("billing", 2, 1),
            ("collections", 3, 2),
            ("treasury", 4, 0),
            ("books", 4, 2),
            ("sales", 7, 1),
        ):
            team.set_area(actor=actor, key=key, owner_id=members[owner], deputy_id=members[deputy])
        frame = pl.DataFrame(
            {"name": [c.name for c in plan.customers], "currency": "EUR", "country": [c.country for c in plan.customers], "segment": [c.segment for c in plan.customers],
             "terms": [f"net {c.terms_days}" for c in plan.customers]}
        )  # fmt: skip
        self.customers: list[int] = market.add_customers(actor=actor, customers=frame)["customer_id"].to_list()
        for n, (customer, told) in enumerate(zip(self.customers, plan.customers, strict=True)):
            if n % 12:  # of one in twelve nobody is known yet
                host = "".join(c for c in told.name.split()[0].lower() if c.isascii() and c.isalnum())
                market.add_contact(
                    actor=actor, customer_id=customer, name="Accounts payable", email=f"invoices@{host}.example", role="Accounts payable"
                )  # fmt: skip
        self.account = bank.add_account(
            actor=actor, entity_id=self.entity_id, name="Hausbank Giro", currency="EUR", number="DE02120300000000202051", bic="BYLADEM1001", pays_payroll=True,
            minimum_minor=2_500_000, credit_line_minor=10_000_000, credit_line_bps=950,
        )  # fmt: skip
        self.products = selling.stock(actor=self.actor)
        self.balance = plan.opening_minor
        self.statement_from = start
        self.lines: list[StatementEntry] = []
        self.sales: dict[date, list[script.Sale]] = defaultdict(list)
        self.payments: dict[date, list[tuple[script.Sale, int, int]]] = defaultdict(list)
        self.costs: dict[date, list[tuple[str, str, int]]] = defaultdict(list)
        self.invoice_of: dict[int, int] = {}
        self.case = 0
        for sale in plan.sales:
            self.sales[sale.on].append(sale)
            for part, (day, amount) in enumerate(sale.paid):
                self.payments[day].append((sale, part, amount))
        for day, role, text, amount in plan.costs:
            self.costs[day].append((role, text, amount))
        pay = sum(p[2] for p in plan.pay_minor)
        for day in plan.paydays:
            self.costs[day] += [
                ("wages", "Salaries", pay),
                ("payroll_taxes", "Employer contributions", (2 * pay * EMPLOYER_PPM + 10**6) // (2 * 10**6)),
            ]

    def day(self, day: date, *, is_last: bool) -> None:
        """Bill what is due, take in what was paid, pay what must be paid; the bank's statement comes on Fridays."""
        if todays := self.sales.get(day):
            self._bill(day, todays)
        if paid := self.payments.get(day):
            self._take_in(day, paid)
        for n, (role, text, amount) in enumerate(self.costs.get(day, [])):
            account = book_queries.account_code(self.entity_id, role)
            clearing = book_queries.account_code(self.entity_id, "clearing")
            books.post_entry(
                actor=self.actor,
                entity_id=self.entity_id,
                key=f"demo:{day}:{n}",
                effective_on=day,
                memo=text,
                debit=account,
                credit=clearing,
                amount_minor=amount,
                currency="EUR",
            )
            self.lines.append(
                StatementEntry(
                    amount_minor=-amount,
                    currency="EUR",
                    booked_on=day,
                    counterparty_name=text,
                    remittance_information=f"{text} {day:%m/%Y}",
                )
            )
        if is_last:
            self._odd_credits(day)
        if day.weekday() == 4 or is_last:
            self._statement(day)

    def plan_cash(self, day: date) -> None:
        """What treasury plans from a Monday on."""
        pay = pl.DataFrame(
            self.plan.pay_minor, schema={"person": pl.String, "group": pl.String, "amount_minor": pl.Int64}, orient="row"
        )
        treasury.set_pay_plan(
            actor=self.actor, entity_id=self.entity_id, name="Salaries", currency="EUR", frequency="biweekly", first_payday=next((p for p in self.plan.paydays if p > day), self.plan.paydays[-1] + timedelta(days=14)), lines=pay,
            employer_cost_ppm=EMPLOYER_PPM, debit_lead_days=2, bank_account_id=self.account,
        )  # fmt: skip
        for name, kind, amount, of_month in (("Office rent", "rent", 3_100_000, 2), ("Value added tax", "tax", 5_000_000, 10), ("Cloud hosting", "vendor", 2_700_000, 14),
                                        ("Contractors", "vendor", 2_600_000, 20)):  # fmt: skip
            treasury.plan_outflow(
                actor=self.actor,
                entity_id=self.entity_id,
                name=name,
                kind=kind,
                currency="EUR",
                amount_minor=amount,
                first_on=next(d for n in range(1, 32) if (d := day + timedelta(days=n)).day == of_month),
                is_critical=name == "Cloud hosting",
            )

    def finish(self, end: date) -> None:
        """A few things that lie on desks."""
        big = self.customers[script.customers_index(self.plan.customers, script.BIG)]
        clara = Member.objects.get(email="clara@demo.localhost")
        market.change_customer(
            actor=self.actor, customer_id=big, changes={"owner_id": clara.pk, "credit_limit_minor": 100_000_000}
        )
        market.add_contact(
            actor=self.actor,
            customer_id=big,
            name="Dr. Petra Weiss",
            email="p.weiss@kolossal.example",
            phone="+49 30 5550199",
            role="Head of accounts payable",
            is_primary=True,
        )
        market.add_address(
            actor=self.actor, customer_id=big, line1="Hafenstraße 12", postal_code="20457", city="Hamburg", country="DE"
        )
        team.add_task(
            actor=self.actor,
            title="Call Kolossal about the plant control system invoice",
            assignee_id=clara.pk,
            due_on=end + timedelta(days=1),
            about_kind="customer",
            about_id=big,
        )
        market.add_customers(
            actor=self.actor,
            customers=pl.DataFrame(
                {
                    "name": [f"{self.plan.customers[3].name.split()[0].upper()} {self.plan.customers[3].name.split()[1]}"],
                    "currency": ["EUR"],
                }
            ),
        )

    def sell(self, end: date, seed: int) -> None:
        """What the sales team has in hand, and how it came there."""
        members = dict(Member.objects.filter(email__endswith="@demo.localhost").values_list("name", "id"))
        ended = selling.play(
            actor=self.actor, entity_id=self.entity_id, customers=self.customers, names=[c.name for c in self.plan.customers], members=members, seed=seed, end=end
        )  # fmt: skip
        daily.price_lateness(actor=self.actor, entity_id=self.entity_id, as_of=end)
        capturing.play(actor=self.actor, entity_id=self.entity_id, seed=seed, end=end)
        quoting.play(actor=self.actor, entity_id=self.entity_id, manager_id=members["Mona Manager"], end=end, ended=ended)
        lifecycle.set_serve_costs(
            actor=self.actor, entity_id=self.entity_id, valid_from=end.replace(month=1, day=1) - timedelta(days=366), contact_minor=6_50, ticket_minor=18_00
        )  # fmt: skip
        lifecycle.set_stage(
            actor=self.actor, customer_id=self.customers[5], stage="at_risk", because="Their head of finance left; the new one compares offers", on=end
        )  # fmt: skip
        pipeline.snapshot_pipeline(actor=self.actor, entity_id=self.entity_id, as_of=end)
        quotas.play(actor=self.actor, entity_id=self.entity_id, end=end, seed=seed)

    def work_the_desk(self, day: date) -> None:
        """A Monday at the collectors' desk: promises are judged, the five largest late debts called about, two of them promised."""
        told: dict[str, Any] = {"actor": self.actor, "entity_id": self.entity_id}
        collections.judge_promises(actor=self.actor, as_of=day)
        late = reminders.chaseable(entity_id=self.entity_id, as_of=day).filter(pl.col("due_on") < day)
        called = late.sort("open_minor", "invoice_id", descending=True).unique("customer_id", keep="first", maintain_order=True)
        for n, invoice in enumerate(called.head(5).to_dicts()):
            outcome = ("not_reached", "promised", "reached", "promised", "reached")[n]
            customer = invoice["customer_id"]
            collections.log_contact(**told, customer_id=customer, channel="call", outcome=outcome, occurred_on=day)
            if outcome == "promised":
                items = pl.DataFrame({"invoice_id": [invoice["invoice_id"]], "amount_minor": [invoice["open_minor"]]})
                collections.record_promise(
                    **told, customer_id=customer, due_on=day + timedelta(days=11), items=items, made_on=day
                )

    def take_a_case(self, day: date) -> None:
        """A debt that was worked some weeks ago: the largest that is late, the plant control system aside."""
        big = self.customers[script.customers_index(self.plan.customers, script.BIG)]
        late = reminders.chaseable(entity_id=self.entity_id, as_of=day).filter(
            (pl.col("due_on") < day) & (pl.col("customer_id") != big)
        )
        worst = late.sort("open_minor", "invoice_id", descending=True).row(0, named=True)
        self.case = cases.open_case(
            actor=self.actor,
            entity_id=self.entity_id,
            customer_id=worst["customer_id"],
            on=day,
            invoice_ids=[worst["invoice_id"]],
        )
        cases.choose_strategy(actor=self.actor, case_id=self.case, option="promise", on=day)

    def lie_on_desks(self, end: date) -> None:
        """What collectors have in hand: doubtful payments, the ladder, a promise, a dispute, a plan, calls; and the forecast, frozen."""
        told: dict[str, Any] = {"actor": self.actor, "entity_id": self.entity_id}
        daily.take_in(**told, as_of=end)
        daily.learn(**told, as_of=end)
        reminders.set_policy(**told, minimum_minor=5_000)
        late = (
            reminders.chaseable(entity_id=self.entity_id, as_of=end)
            .filter(pl.col("due_on") < end)
            .sort("open_minor", descending=True)
        )
        one_each = late.unique("customer_id", keep="first", maintain_order=True).head(4).to_dicts()
        clara = Member.objects.get(email="clara@demo.localhost")
        for invoice, outcome, note in zip(one_each, ("promised", "disputed", "reached", "not_reached"), NOTES, strict=False):
            collections.log_contact(
                **told, customer_id=invoice["customer_id"], channel="call", outcome=outcome, occurred_on=end, note=note
            )
        promised, contested, agreed = one_each[:3]
        items = pl.DataFrame({"invoice_id": [promised["invoice_id"]], "amount_minor": [promised["open_minor"] // 2]})
        collections.record_promise(
            **told,
            customer_id=promised["customer_id"],
            due_on=end + timedelta(days=10),
            items=items,
            made_on=end,
            note="Half of it now",
        )
        in_parts = self._promise_in_parts(end, late)
        collections.raise_dispute(
            actor=self.actor, invoice_id=contested["invoice_id"], reason="price", amount_minor=contested["open_minor"] // 5, raised_on=end,
            deadline_on=end + timedelta(days=14), owner_id=clara.pk, note="Expected last year's price for the seats",
        )  # fmt: skip
        parts = terms.reschedule_by_count(
            total_minor=agreed["open_minor"], count=4, every_months=1, first_on=end + timedelta(days=7)
        )
        plan = pl.DataFrame(parts, schema={"due_on": pl.Date, "amount_minor": pl.Int64}, orient="row")
        collections.agree_plan(
            **told, customer_id=agreed["customer_id"], invoice_ids=[agreed["invoice_id"]], instalments=plan, agreed_on=end
        )
        collections.set_desk(
            **told,
            customer_id=one_each[3]["customer_id"],
            snoozed_until=end + timedelta(days=3),
            note="Accounts payable is away until Friday",
        )
        big = self.customers[script.customers_index(self.plan.customers, script.BIG)]
        for step in case_queries.steps_of(self.case):
            team.finish_task(actor=self.actor, task_id=step.task_id)
        cases.close_case(actor=self.actor, case_id=self.case, on=end, note="Promised on the phone by their head of accounts")
        cases.open_case(**told, customer_id=big, on=end)
        smaller = next(row["customer_id"] for row in one_each if row["customer_id"] != big)
        case = cases.open_case(**told, customer_id=smaller, on=end)
        cases.choose_strategy(actor=self.actor, case_id=case, option="diagnose", on=end)
        others = late.filter(~pl.col("customer_id").is_in([in_parts, *(row["customer_id"] for row in one_each)])).sort(
            "due_on", "invoice_id"
        )
        for invoice_id in others["invoice_id"].head(1):
            write_offs.propose_write_off(actor=self.actor, invoice_id=invoice_id, on=end, reason="Nobody answers any more")
        self._claim_interest(end, others["invoice_id"].to_list()[1:3])
        early = reminders.chaseable(entity_id=self.entity_id, as_of=end).filter(pl.col("due_on") > end + timedelta(days=14))
        early = early.sort("open_minor", "invoice_id", descending=True).head(2)
        discounts = early.select("invoice_id", discount_minor=pl.col("open_minor") // 50)
        offers.make_offers(actor=self.actor, offers=discounts, valid_until=end + timedelta(days=7), on=end)
        reminders.plan_reminders(**told, as_of=end)
        levers.weigh_calls(**told, as_of=end)
        outlook.freeze_forecast(**told, as_of=end)

    def _promise_in_parts(self, end: date, late: pl.DataFrame) -> int:
        """The fifth largest late debt is promised in two parts for two days; returns whose it is."""
        fifth = late.unique("customer_id", keep="first", maintain_order=True).row(4, named=True)
        half = fifth["open_minor"] // 2
        for days, amount in ((7, half), (21, fifth["open_minor"] - half)):
            items = pl.DataFrame({"invoice_id": [fifth["invoice_id"]], "amount_minor": [amount]})
            collections.record_promise(
                actor=self.actor, entity_id=self.entity_id, customer_id=fifth["customer_id"], due_on=end + timedelta(days=days), items=items, made_on=end,
                note="One half now, the other two weeks later",
            )  # fmt: skip
        return int(fifth["customer_id"])

    def _claim_interest(self, end: date, late: list[int]) -> None:
        """Interest is claimed of two who are late; the second claim is waived by a credit note. A rate is written down as an example."""
        claims.add_reference_rate(
            actor=self.actor, jurisdiction="SE", valid_from=reference_rates.first_day(reference_rates.half_of(end)), percent=Decimal("2.00"),
            source="An example of the demo company, not a published rate",
        )  # fmt: skip
        for valid_from, percent in carried_on(end):
            claims.add_reference_rate(
                actor=self.actor, jurisdiction="EU", valid_from=valid_from, percent=percent, source="The last published rate carried on, for the demo company alone"
            )  # fmt: skip
        owing = Invoice.objects.filter(pk__in=late).order_by("id")
        told: dict[str, Any] = {"actor": self.actor, "entity_id": self.entity_id, "until": end, "issue_on": end}
        notes = [claims.claim_interest(**told, customer_id=invoice.customer_id, invoice_ids=[invoice.pk]) for invoice in owing]
        for note in notes[1:]:
            credit = billing.credit_invoice(actor=self.actor, invoice_id=note, issue_on=end, reason="Waived: they pay by Friday")
            total = Invoice.objects.get(pk=note).total_minor
            links = pl.DataFrame({"invoice_id": [note], "amount_minor": [total]})
            receivables.apply_credit_note(actor=self.actor, credit_note_id=credit, links=links, on=end)

    def _bill(self, day: date, sales: list[script.Sale]) -> None:
        refs = [str(n) for n in range(len(sales))]
        owners = [self.plan.customers[s.customer] for s in sales]
        head = pl.DataFrame(
            {
                "ref": refs,
                "customer_id": [self.customers[s.customer] for s in sales],
                "currency": "EUR",
                "terms": [f"net {c.terms_days}" for c in owners],
            }
        )
        counts = [selling.units(s.service, s.net_minor) for s in sales]
        lines = pl.DataFrame(
            {"ref": refs, "position": 1, "description": [s.service for s in sales], "quantity_micro": counts, "unit_price_nano": [(s.net_minor * 10**15 + n // 2) // n for s, n in zip(sales, counts, strict=True)],
             "product_id": [self.products.get(s.service) for s in sales],
             "tax_rate_ppm": [TAX_PPM if c.country == "DE" else 0 for c in owners], "tax_category": ["S" if c.country == "DE" else "AE" for c in owners]},
            schema_overrides={"product_id": pl.Int64},
        )  # fmt: skip
        made = billing.draft_invoices(actor=self.actor, entity_id=self.entity_id, invoices=head, lines=lines)
        billing.issue_invoices(actor=self.actor, invoice_ids=made["invoice_id"].to_list(), issue_on=day)
        for sale, invoice_id in zip(sales, made["invoice_id"].to_list(), strict=True):
            self.invoice_of[id(sale)] = invoice_id

    def _take_in(self, day: date, paid: list[tuple[script.Sale, int, int]]) -> None:
        for sale, part, _ in paid:
            if sale.credited_minor and part == 0:
                invoice = self.invoice_of[id(sale)]
                note = billing.credit_invoice(
                    actor=self.actor,
                    invoice_id=invoice,
                    issue_on=day,
                    total_minor=sale.credited_minor,
                    reason="Agreed after a dispute",
                )
                link = pl.DataFrame({"invoice_id": [invoice], "amount_minor": [sale.credited_minor]})
                receivables.apply_credit_note(actor=self.actor, credit_note_id=note, links=link, on=day)
        names = [self.plan.customers[s.customer].name for s, _, _ in paid]
        frame = pl.DataFrame(
            {"customer_id": [self.customers[s.customer] for s, _, _ in paid], "currency": "EUR", "amount_minor": [a for *_, a in paid], "received_on": day,
             "payer_name": names, "reference": [f"Invoice {self.invoice_of[id(s)]}" for s, _, _ in paid], "method": "bank transfer", "bank_account_id": self.account}
        )  # fmt: skip
        taken = receivables.record_payments(actor=self.actor, entity_id=self.entity_id, payments=frame)["payment_id"].to_list()
        links = [(p, self.invoice_of[id(s)], a) for p, (s, _, a) in zip(taken, paid, strict=True) if not s.unmatched]
        if links:
            receivables.apply_cash(
                actor=self.actor,
                links=pl.DataFrame(links, schema=["payment_id", "invoice_id", "amount_minor"], orient="row"),
                on=day,
            )
        for name, (sale, _, amount) in zip(names, paid, strict=True):
            text = f"Rechnung {self.invoice_of[id(sale)]} vom {sale.on:%d.%m.%Y}"
            self.lines.append(
                StatementEntry(
                    amount_minor=amount, currency="EUR", booked_on=day, counterparty_name=name, remittance_information=text
                )
            )

    def _odd_credits(self, day: date) -> None:
        """Money of the last day that a person must look at: a bank's fee taken off, a parent that pays, a word for a number, a stranger."""
        late = (
            reminders.chaseable(entity_id=self.entity_id, as_of=day)
            .filter(pl.col("due_on") < day)
            .sort("open_minor", "invoice_id")
        )
        owing = late.unique("customer_id", keep="first", maintain_order=True).head(3).to_dicts()
        names = dict(zip(self.customers, self.plan.customers, strict=True))
        short, parent, vague = [(invoice, names[invoice["customer_id"]].name) for invoice in owing]
        for amount, payer, text in (
            (short[0]["open_minor"] - 12_50, short[1], f"Rechnung {short[0]['number']} abzgl. Gebuehr"),
            (parent[0]["open_minor"], f"{parent[1].split()[0]} Beteiligungen Holding SE", f"for {parent[1]}"),
            (vague[0]["open_minor"] // 2, vague[1], "Teilzahlung"),
            (184_31, "Sparfix 24", "Danke"),
        ):
            self.lines.append(
                StatementEntry(
                    amount_minor=amount, currency="EUR", booked_on=day, counterparty_name=payer, remittance_information=text
                )
            )

    def _statement(self, day: date) -> None:
        closing = self.balance + sum(line.amount_minor for line in self.lines)
        statement = Statement(
            account="DE02120300000000202051", currency="EUR", entries=tuple(self.lines), opening_minor=self.balance, closing_minor=closing, opening_on=self.statement_from,
            closing_on=day, statement_id=f"{day:%G-%V}",
        )  # fmt: skip
        bank.import_statements(
            actor=self.actor,
            entity_id=self.entity_id,
            statements=[statement],
            file_name=f"statement-{day}.xml",
            file_sha256=f"demo-{day}",
            format="camt",
            default_account_id=self.account,
        )
        self.balance, self.lines, self.statement_from = closing, [], day + timedelta(days=1)


def _morning(day: date) -> datetime:
    return datetime.combine(day, time(8), tzinfo=UTC)
