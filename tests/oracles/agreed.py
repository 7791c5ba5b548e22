"""Published cases as contracts: all are written down in one database, billed together by runs, and their figures read from charges and documents.

A case is a generator: it writes down what was agreed, and each `yield` waits until everything was billed; what it returns are its figures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from topline.billing import taxes
from topline.billing.models import Invoice, InvoiceLine
from topline.books import actions as books
from topline.books.models import Entity
from topline.contracts import actions, amendments, bills, runs, wallets
from topline.contracts.models import Charge, Contract, Credit, Item, Parked
from topline.kernel import clock
from topline.market import actions as market
from topline.metering import actions as metering
from topline.team.queries import system_actor

Figures = dict[str, Any]
Case = Generator[None, None, Figures]
FAR, NOW = date(2030, 1, 1), date(2030, 1, 2)
MICRO, NANO = 10**6, 10**9
D = Decimal


def day(text: str) -> date:
    return date.fromisoformat(text)


def after(text: str) -> date:
    return day(text) + timedelta(days=1)


@dataclass
class Deal:
    """A contract of one case and what was billed of it."""

    book: Book
    pk: int
    customer: str

    def amend(self, kind: str, on: date, **said: Any) -> None:
        amendments.amend(actor=self.book.actor, contract_id=self.pk, kind=kind, on=on, **said)

    def item(self, place: int = 0) -> int:
        return Item.objects.filter(contract_id=self.pk).order_by("id")[place].pk

    def use(self, *values: Any, meter: str = "USED", at: datetime = datetime(2024, 1, 5), **said: str) -> None:
        self.book.use(self.customer, meter, values, at, said)

    def charges(self) -> list[Charge]:
        return list(Charge.objects.filter(item__contract_id=self.pk).order_by("id").select_related("item"))

    def by_item(self) -> list[int]:
        """What each item came to, in order, of those that came to something."""
        sums: dict[int, int] = {}
        for c in self.charges():
            sums[c.item_id] = sums.get(c.item_id, 0) + c.net_minor
        return [cents for _, cents in sorted(sums.items()) if cents]

    def shown(self, as_of: date) -> pl.DataFrame:
        """What a preview up to a day shows of it."""
        found = bills.compute(Contract.objects.filter(pk=self.pk), entity=self.book.entity, as_of=as_of, on=as_of)
        assert found.parked.is_empty(), found.parked.to_dicts()
        return found.lines

    def sell(self, name: str, amount_minor: int | None, **said: Any) -> Credit:
        """Credits of the customer, for nothing but this contract."""
        customer = Contract.objects.values_list("customer_id", flat=True).get(pk=self.pk)
        told = {
            "actor": self.book.actor,
            "entity_id": self.book.entity.pk,
            "customer_id": customer,
            "currency": "EUR",
            "issue_on": date(2024, 1, 1),
        }
        return Credit.objects.get(
            pk=wallets.sell_credits(name=name, amount_minor=amount_minor, contract_id=self.pk, **told, **said)
        )

    def documents(self) -> list[Invoice]:
        return list(Invoice.objects.filter(customer__name=self.customer).order_by("id"))

    def lines(self) -> list[InvoiceLine]:
        return list(InvoiceLine.objects.filter(invoice__customer__name=self.customer).order_by("id"))


class Book:
    """A company whose contracts are the cases of a file."""

    def __init__(self, name: str, time_zone: str = "UTC", tax_rounding: str = "line") -> None:
        self.name = name
        self.actor = system_actor("test")
        pk = books.open_entity(actor=self.actor, key=name.lower(), name=f"File {name}", currency="EUR", time_zone=time_zone)
        books.describe_entity(actor=self.actor, entity_id=pk, changes={"country": "DE", "tax_rounding": tax_rounding})
        self.entity = Entity.objects.get(pk=pk)
        self.events: list[dict[str, Any]] = []
        self.meters: dict[str, int] = {}
        self.taxes: set[str] = set()
        self.count, self.sent = 0, 0

    def meter(self, code: str, method: str = "sum", **said: Any) -> int:
        if code not in self.meters:
            self.meters[code] = metering.add_meter(actor=self.actor, code=f"{self.name}{code}", name=code, method=method, **said)
        return self.meters[code]

    def tax(self, percent: str) -> str:
        """The class of products that is taxed at a rate."""
        name = f"t{percent}"
        if name not in self.taxes:
            taxes.add_tax_rate(actor=self.actor, country="DE", tax_class=name, rate_ppm=int(D(percent) * 10_000), valid_from=date(2000, 1, 1))  # fmt: skip
            self.taxes.add(name)
        return name

    def sign(self, *items: Mapping[str, Any], starts: date, ends: date | None = None, **facts: Any) -> Deal:
        """A contract of a customer of its own. Of an item: minor, its price of a unit in minor units; meter, where it is used."""
        self.count += 1
        name = f"{self.name} {self.count}"
        customer = market.add_customers(actor=self.actor, customers=pl.DataFrame({"name": [name], "currency": ["EUR"]}))["customer_id"][0]  # fmt: skip
        rows = []
        for said in items:
            row = {"description": "Case", "quantity_micro": MICRO, "unit": "month", "tax_class": "none"} | said
            if "minor" in row:
                row["unit_price_nano"] = int(D(str(row.pop("minor"))) * NANO)
            if "meter" in row:
                row["meter_id"] = self.meter(row.pop("meter"), row.pop("method", "sum"))
            rows.append(row)
        pk = actions.add_contract(actor=self.actor, entity_id=self.entity.pk, customer_id=customer, currency="EUR", starts_on=starts, ends_on=ends, items=rows, **facts)  # fmt: skip
        return Deal(self, pk, name)

    def use(self, customer: str, meter: str, values: tuple[Any, ...], at: datetime, said: dict[str, str]) -> None:
        for n, value in enumerate(values):
            self.sent += 1
            row = {"key": f"{self.name}{self.sent}", "meter": f"{self.name}{meter}", "customer": customer, "at": at + timedelta(minutes=n), "value_micro": int(D(str(value)) * MICRO), "properties": json.dumps(said)}  # fmt: skip
            self.events.append(row)

    def bill(self, as_of: date = FAR) -> None:
        """Take in what was used and bill everything up to a day; what lies beyond its bounds is looked at and billed."""
        if self.events:
            metering.record_events(actor=self.actor, events=pl.DataFrame(self.events, schema_overrides={"at": pl.Datetime("us")}))
        self.events = []
        runs.run(actor=self.actor, entity_id=self.entity.pk, as_of=as_of)
        held = list(Parked.objects.filter(cleared_at__isnull=True, code__in=["beyond_bounds", "billed_too_often"]))
        for parked in held:
            runs.release_parked(actor=self.actor, parked_id=parked.pk, because="A published case")
        if held:
            runs.run(actor=self.actor, entity_id=self.entity.pk, as_of=as_of)


def bill_all(
    file: str, cases: list[dict[str, Any]], areas: Mapping[str, Callable[[Book, dict[str, Any]], Case]]
) -> dict[str, Figures | Exception]:
    """The figures of cases, by id; a refusal where one was refused."""
    book, found, waiting = Book(file), {}, {}
    with clock.at(NOW):
        for case in cases:
            waiting[case["id"]] = areas[case["area"]](book, case["inputs"])
        while waiting:
            for name, work in list(waiting.items()):
                try:
                    next(work)
                except StopIteration as done:
                    found[name] = done.value
                    del waiting[name]
                except Exception as refused:  # noqa: BLE001  (compared with what the source says)
                    found[name] = refused
                    del waiting[name]
            if waiting:
                book.bill()
    return found
