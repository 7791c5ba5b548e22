"""What customers without a contract are still worth: purchases to come, discounted, with a range, and how well the same method foresaw the last half year."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from topline.books.models import Entity
from topline.engine import customer_value as engine
from topline.kernel import bulk
from topline.kernel.remember import Remembered
from topline.lifecycle import margin, queries
from topline.market.models import Customer
from topline.quotes.pricing import YEARLY_PPM

WEEKS, YEAR = 52, timedelta(days=365)
HELD_BACK = 26  # weeks on which the method is judged


@dataclass(frozen=True)
class Check:
    """How well the method, learned half a year earlier, foresaw that half year: purchases told and seen, mean absolute error a customer, and
    that of the plain answer (as many as in the half year before)."""

    customers: int
    told: float
    seen: int
    error: float
    plain_error: float


@dataclass(frozen=True)
class Value:
    """What customers are still worth over a year.

    rows    customer_id, name, segment, p_alive, purchases (to come), value_minor, p10_minor, p90_minor; the worthiest first; none with too few customers
    margin  share of sales that is earned; None: no costs are known, and the value is of sales
    contracted  customers who are left out, for they buy by a contract
    why     why there is no value; empty where there is
    check   None where there was too little to learn from half a year earlier
    """

    as_of: date
    rows: pl.DataFrame
    margin: float | None
    check: Check | None
    contracted: int = 0
    why: str = ""


_values: Remembered[Value] = Remembered(size=4)


def value(*, entity: Entity, as_of: date) -> Value:
    """What each customer is still worth over the year after a day. Work: some twelve statements and a fit of seconds; one while nothing has changed."""
    return _values.get((entity.pk, as_of), lambda: _value(entity, as_of))


def _value(entity: Entity, as_of: date) -> Value:
    bought = (
        queries.purchases(entity_id=entity.pk, until=as_of).filter(pl.col("amount_minor") > 0).rename({"customer_id": "customer"})
    )
    bound = queries.under_contract(entity_id=entity.pk, on=as_of)
    bought = bought.filter(~pl.col("customer").is_in(bound.implode()))
    earned = margin.overall(entity=entity, since=as_of - YEAR, until=as_of)
    known = engine.summary(bought, until=as_of)
    back = known.filter(pl.col("x") > 0)
    nothing = pl.DataFrame(schema={"customer_id": pl.Int64, "name": pl.String, "segment": pl.String, "p_alive": pl.Float64, "purchases": pl.Float64, "value_minor": pl.Int64, "p10_minor": pl.Int64, "p90_minor": pl.Int64})  # fmt: skip
    if back.height < engine.FEWEST:
        why = f"Not enough data: {back.height} customers bought more than once, and it takes {engine.FEWEST}."
        return Value(as_of, nothing, earned, None, len(bound), why)
    buying = engine.fit_buying(known)
    spending = engine.fit_spending(back["x"].to_numpy().astype(float), back["mean_minor"].to_numpy())
    weekly = (1 + YEARLY_PPM / 1_000_000) ** (1 / WEEKS) - 1
    share = earned if earned is not None and earned > 0 else 1.0
    told = engine.lifetime_value(known, buying, spending, units=WEEKS, discount_per_unit=weekly, margin=share)
    names = bulk.read(Customer.objects.values("id", "name", "segment"))
    rows = told.rename({"customer": "customer_id"}).join(names.rename({"id": "customer_id"}), on="customer_id", how="left")
    return Value(
        as_of,
        rows.select(nothing.columns).sort("value_minor", "customer_id", descending=[True, False]),
        earned,
        _check(bought, as_of),
        len(bound),
    )


def _check(bought: pl.DataFrame, as_of: date) -> Check | None:
    cut = as_of - timedelta(weeks=HELD_BACK)
    known = engine.summary(bought, until=cut)
    if known.height < engine.FEWEST or not (known["x"] > 0).any():
        return None
    buying = engine.fit_buying(known)
    x, t_x, age = (known[c].to_numpy().astype(float) for c in ("x", "t_x", "age"))
    told = known.select("customer").with_columns(told=pl.Series(buying.to_come(x, t_x, age, t=float(HELD_BACK))))
    later = bought.filter(pl.col("on") > cut).group_by("customer").agg(seen=pl.col("on").n_unique())
    before = bought.filter((pl.col("on") <= cut) & (pl.col("on") > cut - timedelta(weeks=HELD_BACK))).group_by("customer").agg(plain=pl.col("on").n_unique())  # fmt: skip
    both = told.join(later, on="customer", how="left").join(before, on="customer", how="left").with_columns(pl.col("seen", "plain").fill_null(0).cast(pl.Int64))  # fmt: skip
    told_sum, seen_sum, error, plain = both.select(
        pl.col("told").sum(), pl.col("seen").sum(), e=(pl.col("told") - pl.col("seen")).abs().mean(), p=(pl.col("plain") - pl.col("seen")).abs().mean()
    ).row(0)  # fmt: skip
    return Check(both.height, float(told_sum), int(seen_sum), float(error), float(plain))
