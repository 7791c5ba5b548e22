"""What if: the same futures under one change each, side by side.

Every case draws the same chances as the plain one, so that a difference comes from the change and not from luck.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from functools import partial

import numpy as np
import polars as pl

from topline.books.models import Entity
from topline.engine import cash_paths
from topline.engine.cash import Coverage
from topline.kernel.errors import Invalid, ensure
from topline.kernel.money import round_minor
from topline.market import queries as market
from topline.treasury import queries
from topline.treasury.calendar import occurrences
from topline.treasury.outlook import Basis, basis, futures, record_of, standing, trust

AHEAD = (28, 56, 91)  # days at whose end balances are told


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What the cases assume. A customer of None is the one that owes most; hire_minor is what a new person costs a month.

    Raises: Invalid for shares outside 0 to 100, more than 180 days, more than 1,000 people, negative pay.
    """

    slip_percent: int = 20
    late_days: int = 14
    late_customer_id: int | None = None
    lost_customer_id: int | None = None
    hires: int = 1
    hire_minor: int | None = None
    vendor_days: int = 14

    def __post_init__(self) -> None:
        ensure(0 <= self.slip_percent <= 100, Invalid("A slip lies between 0 and 100 percent.", field="slip_percent"))
        ensure(0 <= self.late_days <= 180, Invalid("A customer may be 0 to 180 days late.", field="late_days"))
        ensure(0 <= self.vendor_days <= 180, Invalid("Vendors may be put off by 0 to 180 days.", field="vendor_days"))
        ensure(0 <= self.hires <= 1_000, Invalid("Hire between 0 and 1,000 people.", field="hires"))
        ensure(self.hire_minor is None or self.hire_minor >= 0, Invalid("Pay cannot be negative.", field="hire_minor"))


@dataclass(frozen=True, slots=True)
class Scenario:
    """One case: balances AHEAD, the lowest one and its day, the odds of each payroll in percent, in order of the payrolls."""

    name: str
    balances: tuple[cash_paths.Range, ...]
    lowest: cash_paths.Range
    lowest_on: date
    percents: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """The cases, the plain one first, in the company's currency; the payrolls that their odds belong to; how such ranges held so far."""

    as_of: date
    currency: str
    scenarios: tuple[Scenario, ...]
    payrolls: tuple[Coverage, ...]
    assumed: Assumptions
    trust: str


def compare(*, entity: Entity, as_of: date, assumed: Assumptions) -> Compared:
    """The plain case, and one case for each change: slipping collections, a late payer, a lost one, new people, late vendors.

    Work: 10,000 futures a case.
    """
    record = record_of(entity, as_of)
    on = basis(entity, as_of, record)
    owed = pl.DataFrame({"customer_id": on.drawn.customers, "amount_minor": on.drawn.amounts})
    ranked = owed.group_by("customer_id").agg(pl.col("amount_minor").sum()).sort("amount_minor", "customer_id", descending=True)
    largest = ranked["customer_id"].to_list()[:1]
    late = assumed.late_customer_id or (largest[0] if largest else None)
    lost = assumed.lost_customer_id or (largest[0] if largest else None)
    names = market.names([c for c in (late, lost) if c])
    cost = assumed.hire_minor if assumed.hire_minor is not None else _cost_of_one(on.base.outflows, entity)
    out = on.base.outflows
    cases = [
        _case("As it stands", on, out),
        _case(
            f"Collections slip {assumed.slip_percent} %",
            on,
            out,
            partial(cash_paths.collections_slip, percent=assumed.slip_percent),
        ),
    ]
    if late is not None:
        said = f"{names.get(late, 'The largest payer')} pays {assumed.late_days} days later"
        cases.append(_case(said, on, out, partial(cash_paths.payer_late, customer=late, days=assumed.late_days)))
    if lost is not None:
        said = f"{names.get(lost, 'The largest payer')} pays nothing"
        cases.append(_case(said, on, out, partial(cash_paths.customer_lost, customer=lost)))
    people = "1 person is" if assumed.hires == 1 else f"{assumed.hires:,} people are"
    cases.append(_case(f"{people} hired", on, _with_hires(out, as_of, on.base.daily.height, assumed.hires * cost)))
    put_off = pl.when(pl.col("kind") == "vendor").then(pl.duration(days=assumed.vendor_days)).otherwise(pl.duration(days=0))
    vendors = out.with_columns(pl.col("debit_on") + put_off)
    cases.append(_case(f"Vendors are paid {assumed.vendor_days} days later", on, vendors))
    return Compared(
        as_of, entity.currency, tuple(cases), tuple(on.base.payrolls), replace(assumed, hire_minor=cost), trust(record)
    )


def _case(
    name: str, on: Basis, outflows: pl.DataFrame, change: Callable[[cash_paths.Book], cash_paths.Book] | None = None
) -> Scenario:
    """change  what the case does to what is open and to what contracts will be billed for"""
    case = replace(on, drawn=change(on.drawn), coming=change(on.coming)) if change else on
    found = futures(case, case.drawn, outflows)
    as_of, days = on.base.as_of, on.drawn.days
    ranges = cash_paths.ranges(found.balances, days)
    at = [int(np.searchsorted(days, min(ahead, days[-1]), side="right")) - 1 for ahead in AHEAD]
    lowest = cash_paths.lowest(found.balances)
    return Scenario(
        name=name,
        balances=tuple(ranges[n] for n in at),
        lowest=lowest,
        lowest_on=as_of + timedelta(days=days[lowest.day]),
        percents=tuple(standing(on, payroll, found).percent for payroll in on.base.payrolls),
    )


def _cost_of_one(outflows: pl.DataFrame, entity: Entity) -> int:
    """What one more person costs a month: planned payroll a month over the people it pays; 0 where nobody is paid."""
    people = queries.people_paid(entity.pk)
    paid = int(outflows.filter(pl.col("kind") == "payroll")["amount_minor"].sum())
    return round_minor(Decimal(paid) / 3 / people) if people else 0


def _with_hires(outflows: pl.DataFrame, as_of: date, days: int, monthly_minor: int) -> pl.DataFrame:
    """The outflows and, from the end of the month that follows, what new people cost."""
    start, end = as_of + timedelta(days=1), as_of + timedelta(days=1 + days)
    first = (as_of.replace(day=1) + timedelta(days=63)).replace(day=1) - timedelta(days=1)
    paydays = occurrences(first_on=first, frequency="monthly", start=start, end=end)
    new = pl.DataFrame(
        {"debit_on": paydays, "amount_minor": [monthly_minor] * len(paydays)}, schema_overrides={"debit_on": pl.Date}
    )
    return pl.concat([outflows, new], how="diagonal_relaxed")
