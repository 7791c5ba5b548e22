"""Whom to offer a discount for paying early, so that a payroll is covered at least cost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

import polars as pl

from topline.books import rates
from topline.books.models import Entity
from topline.collections import reminders, timing, worklist
from topline.engine import early_payment
from topline.engine.cash import Coverage
from topline.kernel.errors import Invalid, ensure
from topline.market import queries as market
from topline.receivables import offers as standing
from topline.treasury import frozen, queries

YEARLY_PERCENT = Decimal(36)  # assumed: what cash is worth when a payroll is at risk, a flat factoring fee of 3 % for 30 days
TAKEN_PERCENT = 30  # assumed: of those who would not have paid in time, how many take an offer
LEAST_PERCENT = Decimal(1)  # assumed: for less than this off nobody pays sooner
SAFE_PERCENT = 90  # a payroll is safe from these odds on
DAYS_AHEAD = (3, 7, 10, 14, 21, 30, 45, 60)  # days of a sliding scale
LOOKED_AT = 300  # largest invoices that are weighed


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Offers that cover a payroll at least cost.

    payroll      the first that is not safe (None: all are, or none is planned); percent: its odds; needed_minor: what it lacks to be
                 covered 9 times in 10
    pay_by       the last day on which money is in time
    chosen       invoice_id, customer_id, customer, number, currency, amount_minor, discount_minor, pays_minor (these three in the
                 invoice's currency), expected_on, days_early, yearly_percent, baseline, lift, gain_minor, cost_minor (these two in the
                 company's), cost_per_gain
    """

    payroll: Coverage | None
    percent: int | None
    needed_minor: int
    pay_by: date
    yearly_percent: Decimal
    taken_percent: int
    least_percent: Decimal
    candidates: int
    chosen: pl.DataFrame

    @property
    def gain_minor(self) -> int:
        """Expected extra cash by the day."""
        return int(self.chosen["gain_minor"].sum())

    @property
    def cost_minor(self) -> int:
        """Expected discount."""
        return int(self.chosen["cost_minor"].sum())


def suggest(
    *,
    entity: Entity,
    as_of: date,
    yearly_percent: Decimal = YEARLY_PERCENT,
    taken_percent: int = TAKEN_PERCENT,
    least_percent: Decimal = LEAST_PERCENT,
) -> Suggestion:
    """The cheapest offers that bring in expectation what the next payroll at risk lacks.

    Each invoice that may be chased and is expected later than the day is offered what its days are worth at the yearly cost of money,
    and at least the least that moves anybody. One in another currency is weighed at the rate of the day, and offered in its own.
    Raises: Invalid (rate or share that cannot be), RateMissing.
    """
    ensure(
        0 < yearly_percent <= 1000,
        Invalid("Money costs more than 0 and at most 1,000 % a year.", field="yearly", remedy="Use a rate such as 36."),
    )
    ensure(
        0 < taken_percent <= 100,
        Invalid("Between 1 and 100 in 100 take an offer.", field="taken", remedy="Use a share such as 30."),
    )
    ensure(
        0 <= least_percent < 100,
        Invalid("The least discount lies between 0 and less than 100 %.", field="least", remedy="Use a share such as 1."),
    )
    told = frozen.told(entity=entity, as_of=as_of, plain=queries.forecast(entity=entity, as_of=as_of))
    odds = next((o for o in told.payrolls if o.percent < SAFE_PERCENT), None) if told else None
    pay_by = odds.coverage.debit_on - timedelta(days=1) if odds else as_of
    empty = pl.DataFrame(schema={"gain_minor": pl.Int64, "cost_minor": pl.Int64, "invoice_id": pl.Int64})
    if odds is None or pay_by <= as_of:
        coverage, percent = (odds.coverage, odds.percent) if odds else (None, None)
        return Suggestion(
            coverage, percent, odds.short_p90_minor if odds else 0, pay_by, yearly_percent, taken_percent, least_percent, 0, empty
        )
    rows = _candidates(entity, as_of, pay_by, yearly_percent, least_percent, taken_percent / 100)
    chosen = _cheapest(rows, entity, as_of, needed_minor=odds.short_p90_minor, by=pay_by) if rows.height else empty
    return Suggestion(
        odds.coverage,
        odds.percent,
        odds.short_p90_minor,
        pay_by,
        yearly_percent,
        taken_percent,
        least_percent,
        rows.height,
        chosen,
    )


@dataclass(frozen=True, slots=True)
class Step:
    """One day of a dynamic discount: pay by then, save so much; what that costs a year."""

    day: date
    days_early: int
    discount_minor: int
    pays_minor: int
    yearly_percent: float


def expected_on(*, entity: Entity, invoice_id: int, as_of: date) -> date | None:
    """The day on which an open invoice is expected to be paid by itself, as foreseen this morning; None where it is not foreseen."""
    told = worklist.morning(entity_id=entity.pk, as_of=as_of).told.filter(pl.col("invoice_id") == invoice_id)
    later = as_of + timedelta(days=worklist.HORIZON)
    return (told["expected_on"][0] or later) if told.height else None


def sliding_scale(*, amount_minor: int, expected: date, as_of: date, yearly_percent: Decimal) -> list[Step]:
    """A dynamic discount: for each of some days before an invoice is expected, what being paid by then is worth at a cost of money.

    returns  the sooner the day, the more is saved; days on which nothing of a cent is saved are left out
    Raises: Invalid (a rate that cannot be).
    """
    ensure(
        0 < yearly_percent <= 1000,
        Invalid("Money costs more than 0 and at most 1,000 % a year.", field="yearly", remedy="Use a rate such as 36."),
    )
    steps = []
    for ahead in DAYS_AHEAD:
        early = (expected - as_of).days - ahead
        less = early_payment.discount_worth(amount_minor=amount_minor, days_early=max(early, 0), yearly_percent=yearly_percent)
        if 0 < less < amount_minor:
            costs = early_payment.cost_of_discount(amount_minor=amount_minor, discount_minor=less, days_early=early)
            steps.append(Step(as_of + timedelta(days=ahead), early, less, amount_minor - less, float(costs)))
    return steps


def _candidates(entity: Entity, as_of: date, pay_by: date, yearly: Decimal, least: Decimal, take: float) -> pl.DataFrame:
    """Invoices that an offer could bring in time: with its discount, how probable they are to come by themselves, and the lift."""
    running = [row["invoice_id"] for row in standing.offers(entity.pk, as_of=as_of) if row["state"] == "running"]
    may = reminders.chaseable(entity_id=entity.pk, as_of=as_of).filter(~pl.col("invoice_id").is_in(running))
    told = timing.forecast(entity_id=entity.pk, as_of=as_of)
    horizon = told.on + timedelta(days=told.pmf.shape[1])
    by_itself = told.invoices.select(
        "invoice_id",
        expected_on=pl.col("p50_on").fill_null(horizon),
        whole_minor="open_minor",
        baseline=pl.Series(told.paid_by(pay_by)).clip(0, 1),
    )
    rows = may.join(by_itself, on="invoice_id").filter(
        (pl.col("open_minor") == pl.col("whole_minor")) & (pl.col("expected_on") > pay_by)
    )
    rows = rows.with_columns(home_minor=_at_home(rows, "open_minor", entity, as_of))
    rows = rows.sort("home_minor", "invoice_id", descending=[True, False]).head(LOOKED_AT)
    rows = priced(rows, pay_by=pay_by, yearly=yearly, least=least, take=take)
    names = market.names(rows["customer_id"].unique().to_list())
    return rows.with_columns(
        customer=pl.Series([names.get(c, "") for c in rows["customer_id"]], dtype=pl.String),
    )


def priced(rows: pl.DataFrame, *, pay_by: date, yearly: Decimal, least: Decimal, take: float) -> pl.DataFrame:
    """What is taken off each invoice so that it comes by a day, what that costs a year, and by how much it raises the chance.

    rows     one per invoice, expected after the day: open_minor, expected_on, baseline (probability to come by the day by itself)
    returns  rows with days_early, amount_minor, discount_minor, lift, yearly_percent, pays_minor; those without a discount left out
    """
    rows = rows.with_columns(days_early=(pl.col("expected_on") - pl.lit(pay_by)).dt.total_days(), amount_minor="open_minor")
    discounts = [
        max(
            early_payment.discount_worth(amount_minor=amount, days_early=days, yearly_percent=yearly),
            int(amount * least / 100),
        )
        for amount, days in rows.select("amount_minor", "days_early").iter_rows()
    ]
    rows = rows.with_columns(discount_minor=pl.Series(discounts, dtype=pl.Int64), lift=(1 - pl.col("baseline")) * take).filter(
        pl.col("discount_minor") > 0
    )
    costs = [
        float(early_payment.cost_of_discount(amount_minor=amount, discount_minor=less, days_early=days))
        for amount, less, days in rows.select("amount_minor", "discount_minor", "days_early").iter_rows()
    ]
    return rows.with_columns(
        yearly_percent=pl.Series(costs, dtype=pl.Float64), pays_minor=pl.col("amount_minor") - pl.col("discount_minor")
    )


def _cheapest(rows: pl.DataFrame, entity: Entity, as_of: date, *, needed_minor: int, by: date) -> pl.DataFrame:
    """The cheapest offers, weighed in the company's currency; what is offered stays in the invoice's own."""
    own = ["amount_minor", "discount_minor", "pays_minor"]
    at_home = [pl.Series(name, _at_home(rows, name, entity, as_of)) for name in own[:2]]
    weighed = rows.drop(*own, "home_minor").with_columns(at_home)
    chosen = early_payment.cheapest_offers(weighed, needed_minor=needed_minor, by=by).drop(own[:2])
    return chosen.join(rows.select("invoice_id", *own), on="invoice_id", how="left", maintain_order="left")


def _at_home(rows: pl.DataFrame, column: str, entity: Entity, as_of: date) -> pl.Series:
    amounts = rows.select("currency", amount_minor=column, on=pl.lit(as_of))
    return rates.convert(amounts, to=entity.currency)["converted_minor"]
