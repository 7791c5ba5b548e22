"""Step three: the transaction price where a part of it depends on what happens; refunds, rebates and financing."""

from __future__ import annotations

import polars as pl

from topline.engine import periods
from topline.engine.documents import EXACT, round_half_away
from topline.engine.recognition.allocation import alone


def estimate(outcomes: pl.DataFrame) -> pl.DataFrame:
    """What a variable element is expected to come to.

    outcomes  one row per possible outcome: contract_id, element_id, method str (expected_value, or most_likely for all or nothing),
              amount decimal minor units, probability decimal (adds up to 1 within an element); optional worst decimal (the worst
              end of the supportable range, where a reversal of the estimate is not highly improbable)
    returns   one row per element: contract_id, element_id, estimate decimal, constrained decimal (never above worst)
    The earlier of two equally likely outcomes counts. Source: IFRS 15.53, 15.56-58. Work: O(n).
    """
    amount, chance = pl.col("amount").cast(EXACT), pl.col("probability").cast(EXACT)
    likely = amount.sort_by(chance, descending=True, maintain_order=True).first()
    mean = (amount * chance).sum()
    worst = pl.col("worst").cast(EXACT).first() if "worst" in outcomes.columns else pl.lit(None, dtype=EXACT)
    found = outcomes.group_by("contract_id", "element_id", maintain_order=True).agg(
        estimate=pl.when(pl.col("method").first() == "most_likely").then(likely).otherwise(mean), _worst=worst
    )
    return found.with_columns(constrained=pl.min_horizontal("estimate", "_worst")).drop("_worst")


def expected_returns(sales: pl.DataFrame) -> pl.DataFrame:
    """Sales with a right of return: what is expected back is a liability, and the goods to come back an asset.

    sales    one row per sale: units, price_minor, cost_minor (a unit), kept_units (expected to be kept)
    returns  sales with revenue_minor, refund_liability_minor, cost_of_sales_minor, return_asset_minor
    Source: IFRS 15.B20-B27. Work: O(n).
    """
    back = pl.col("units") - pl.col("kept_units")
    return sales.with_columns(
        revenue_minor=pl.col("kept_units") * pl.col("price_minor"),
        refund_liability_minor=back * pl.col("price_minor"),
        cost_of_sales_minor=pl.col("kept_units") * pl.col("cost_minor"),
        return_asset_minor=back * pl.col("cost_minor"),
    )


def at_expected_price(sales: pl.DataFrame) -> pl.DataFrame:
    """Sales invoiced at one price and earned at the average that is expected over the contract.

    sales    one row per sale: units decimal, invoiced_price decimal, expected_price decimal (minor units a unit), retrospective bool
             (a rebate pays back what was invoiced; otherwise cheaper units come later)
    returns  sales with receivable_minor, revenue_minor, refund_liability_minor and contract_liability_minor
    Source: IFRS 15.55, 15.B39-B43. Work: O(n).
    """
    units = pl.col("units").cast(EXACT)
    rest = pl.col("receivable_minor") - pl.col("revenue_minor")
    nothing = pl.lit(0, dtype=pl.Int64)
    return sales.with_columns(
        receivable_minor=round_half_away(units * pl.col("invoiced_price").cast(EXACT)),
        revenue_minor=round_half_away(units * pl.col("expected_price").cast(EXACT)),
    ).with_columns(
        refund_liability_minor=pl.when("retrospective").then(rest).otherwise(nothing),
        contract_liability_minor=pl.when("retrospective").then(nothing).otherwise(rest),
    )


def catch_up(progress: pl.DataFrame) -> pl.DataFrame:
    """A changed estimate is caught up at once: revenue to date at the new estimate, less what was recognised.

    progress  one row per period, in order within an obligation: obligation_id, amount decimal minor units (present estimate of the
              whole, or of a unit), done decimal (share done, or units delivered to date)
    returns   progress with to_date_minor and revenue_minor of the period
    Source: IFRS 15.88-89, 15.21(b). Work: O(n).
    """
    to_date = round_half_away(pl.col("amount").cast(EXACT) * pl.col("done").cast(EXACT))
    before = pl.col("to_date_minor").shift(1, fill_value=0).over("obligation_id")
    return progress.with_columns(to_date_minor=to_date).with_columns(revenue_minor=pl.col("to_date_minor") - before)


def redeemed(progress: pl.DataFrame) -> pl.DataFrame:
    """Points, vouchers and prepaid units earn as they are used; what will never be used is earned in proportion.

    progress  one row per period, in order within an obligation: obligation_id, allocated_minor, used decimal (to date), expected decimal
              (to be used in all, as estimated now)
    returns   progress with to_date_minor, revenue_minor and liability_minor
    Source: IFRS 15.B44-B47. Work: O(n).
    """
    share = pl.col("allocated_minor").cast(EXACT) * pl.col("used").cast(EXACT) / pl.col("expected").cast(EXACT)
    before = pl.col("to_date_minor").shift(1, fill_value=0).over("obligation_id")
    return progress.with_columns(to_date_minor=round_half_away(share)).with_columns(
        revenue_minor=pl.col("to_date_minor") - before, liability_minor=pl.col("allocated_minor") - pl.col("to_date_minor")
    )


def financing(payments: pl.DataFrame) -> pl.DataFrame:
    """The part of what a customer pays that is interest, where payment and transfer lie far apart.

    payments  one row per payment: obligation_id, amount_minor i64, transfer_on date, pay_on date, annual_rate f64 (effective, the
              customer's own at signing), optional months i64 (between the two; default: days / 365.25 x 12)
    returns   payments with present_minor (revenue at transfer), interest_minor and significant bool: more than a year lies between
    Discounted in double precision and rounded once to the minor unit. Source: IFRS 15.60-65. Work: O(n).
    """
    days = (pl.col("pay_on") - pl.col("transfer_on")).dt.total_days()
    months = pl.coalesce("months", days / 365.25 * 12) if "months" in payments.columns else days / 365.25 * 12
    present = pl.col("amount_minor") / (1 + pl.col("annual_rate")) ** (months / 12)
    return payments.with_columns(
        present_minor=present.round(0, mode="half_away_from_zero").cast(pl.Int64), significant=days.abs() > 366
    ).with_columns(interest_minor=pl.col("amount_minor") - pl.col("present_minor"))


def far_payments(items: pl.DataFrame, prices: pl.DataFrame) -> pl.DataFrame:
    """Items that are paid more than a year before or after they are delivered: where that is meant to be a loan, interest is in the price.

    items    fees, of `contracts.obligations`, with description
    prices   stand-alone selling prices, see `contracts.PRICES`
    returns  item_id, description, months i64 (the longest between the two; below zero: paid ahead), price_minor (of a period), cash_minor (what it costs alone; null: nobody
             said), interest_minor and annual_rate f64 (both null where that is not known)
    What is served over a period is delivered, on average, in its middle. Source: IFRS 15.60-65; the year is the expedient of 15.63. Work: O(items).
    """
    in_months = pl.col("unit").replace_strict(periods.MONTHS, default=0, return_dtype=pl.Int64) * pl.col("every")
    lasts = (pl.col("end") - pl.col("start")).dt.total_days().cast(pl.Float64) / 30.4375
    is_cut = (lasts < in_months - 0.5).fill_null(value=False)
    span = pl.when(is_cut).then(lasts).otherwise(in_months.cast(pl.Float64))
    way = pl.when("in_advance").then(-1).otherwise(1)
    at_once = pl.col("method") == "point"
    rows = alone(items, prices, on=pl.col("term_start")).with_columns(
        _longest=pl.when(at_once & pl.col("in_advance")).then(0.0).otherwise(span * way),
        _mean=pl.when(at_once).then(span).otherwise(span / 2) * way,
    )
    far = rows.filter((pl.col("_longest").abs() > 12) & pl.col("unit_price_nano").is_not_null())
    units = pl.col("quantity_micro").cast(EXACT) / 10**6
    told = far.select(
        "item_id", "description", "_mean", months=pl.col("_longest").round().cast(pl.Int64),
        price_minor=round_half_away(units * (pl.col("unit_price_nano").cast(EXACT) / 10**9)),
        cash_minor=round_half_away(units * ((pl.col("low") + pl.col("high")).cast(EXACT) / (2 * 10**9))),
    )  # fmt: skip
    price, cash = pl.col("price_minor"), pl.col("cash_minor")
    rate = pl.when((cash > 0) & (price > 0)).then((price / cash) ** (12 / pl.col("_mean")) - 1)
    return told.with_columns(interest_minor=price - cash, annual_rate=rate).drop("_mean")


def implicit_rate(prices: pl.DataFrame) -> pl.DataFrame:
    """The annual rate that makes a later payment worth the cash price.

    prices   one row per obligation: amount_minor (paid later), cash_price_minor, months i64
    returns  prices with annual_rate f64, effective
    """
    ratio = pl.col("amount_minor") / pl.col("cash_price_minor")
    return prices.with_columns(annual_rate=ratio ** (12 / pl.col("months")) - 1)
