"""Material rights: an option that the customer would not have without the contract is an obligation of its own."""

from __future__ import annotations

import polars as pl

from topline.engine.documents import EXACT, largest_remainder, round_half_away


def right_price(rights: pl.DataFrame) -> pl.DataFrame:
    """The stand-alone price of an option: what it saves over what anyone is offered, weighted by its likely use.

    rights   one row per option: purchase decimal (expected, minor units), discount, general_discount and probability decimal (0.4 = 40 %)
    returns  rights with ssp decimal minor units; zero where the option gives nothing that others do not get
    Source: IFRS 15.B41-B42. Work: O(n).
    """
    more = (pl.col("discount").cast(EXACT) - pl.col("general_discount").cast(EXACT)).clip(0)
    return rights.with_columns(ssp=pl.col("purchase").cast(EXACT) * more * pl.col("probability").cast(EXACT))


def renewals(years: pl.DataFrame) -> pl.DataFrame:
    """Renewal options by the practical alternative: the fees expected over all years, shared by the cost expected in each.

    years    one row per contract and year, in order: contract_id, year i64 (1 first), fee_minor, cost decimal, renewal_rate decimal
    returns  years with expected_fee decimal, weight decimal (expected cost), expected_total_minor (of the contract) and
             allocated_minor (largest remainder); what the first fee exceeds its year's part is deferred
    Source: IFRS 15.B43. Work: O(n).
    """
    stays = pl.col("_stays").cum_prod().over("contract_id")
    first = pl.col("year") == 1
    rows = years.with_columns(_stays=pl.when(first).then(1.0).otherwise(pl.col("renewal_rate").cast(pl.Float64)))
    rows = rows.with_columns(_stays=stays.round(12).cast(EXACT))
    rows = rows.with_columns(
        expected_fee=pl.col("fee_minor").cast(EXACT) * pl.col("_stays"), weight=pl.col("cost").cast(EXACT) * pl.col("_stays")
    )
    whole = pl.col("expected_fee").sum().over("contract_id")
    rows = rows.with_columns(expected_total_minor=round_half_away(whole))
    exact = pl.col("expected_total_minor").cast(EXACT) * pl.col("weight") / pl.col("weight").sum().over("contract_id")
    rows = rows.with_columns(_exact=exact)
    part = largest_remainder(pl.col("_exact"), pl.col("expected_total_minor"), over=["contract_id"])
    return rows.with_columns(allocated_minor=part).drop("_stays", "_exact")


def upfront_fees(fees: pl.DataFrame) -> pl.DataFrame:
    """How long a non-refundable fee is earned: over the contract, or over the customer's life where renewing without it is a right.

    fees     one row per contract: fee_minor, term_months i64, life_months i64, material_right bool
    returns  fees with recognition_months and monthly decimal
    Source: IFRS 15.B48-B51. Work: O(n).
    """
    months = pl.when("material_right").then(pl.max_horizontal("life_months", "term_months")).otherwise("term_months")
    return fees.with_columns(recognition_months=months).with_columns(
        monthly=pl.col("fee_minor").cast(EXACT) / pl.col("recognition_months").cast(EXACT)
    )
