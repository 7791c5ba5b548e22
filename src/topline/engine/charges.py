"""What subscriptions should have been charged, and what is missing of it: desired against persisted.

A charge belongs to an item and a period of its grid. Whatever was agreed, amended or taken back, what should exist is computed anew from the
items as they stand; the difference to what exists is what is billed. Nothing missing means nothing to bill, so a second run does nothing.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from topline.engine import periods, rating
from topline.engine.documents import EXACT, largest_remainder, round_half_away
from topline.engine.rating.proration import days_between
from topline.engine.rating.tiers import bounded

MICRO, NANO = 10**6, 10**9
MOST_MINOR = 10**14  # of a charge: far above any bill, far enough below 64 bits that sums and taxes fit
KEY = ["item_id", "full_start"]
MOVES: dict[str, pl.DataType | type[pl.DataType]] = {"charge_id": pl.Int64, "units": EXACT, "prorated": EXACT}
DUE = pl.when(pl.col("in_advance")).then("start").otherwise("end")
"""The day from which a charge is billed."""


def by_quantity(of: str = "") -> pl.Expr:
    """Quantity x price in exact minor units; null without a price. of: what stands before the names of both columns."""
    return (pl.col(f"{of}quantity_micro").cast(EXACT) / MICRO) * (pl.col(f"{of}unit_price_nano").cast(EXACT) / NANO)


def exact_price() -> pl.Expr:
    """What a whole period costs in exact minor units: as the price model made it (`exact`), else quantity x price."""
    return pl.coalesce("exact", by_quantity())


@bounded
def desired(items: pl.DataFrame, *, as_of: date) -> pl.DataFrame:
    """Every charge that should exist by a day.

    items    one row per item: item_id, start, end (null: none; the first day that is not billed), in_advance bool, the grid (anchor, unit, every,
             day; see `periods.Grid`), quantity_micro, unit_price_nano i64 (of a whole period); or exact decimal minor units of a whole period, where other
             than quantity x price; month_days i64, where a month has that many for parts of a period; by_peak bool and replaces_id, where a period costs the most that was
             agreed in it: an item then adds to the peak of those that it replaces, whole, whatever its days
    returns  one row per item and period: item_id, full_start, full_end, start, end (the billed part), net_minor, days, full_days i64
    A whole period's amount is the difference of two rounded sums from the start of the grid, so that a price with parts of a cent adds up to
    what was agreed; a part of a period is the part of the exact price, rounded once.
    Raises: AmountTooLarge, PeriodInvalid. Work: O(items + periods).
    """
    started = items.filter((pl.col("start") <= as_of) & (pl.col("end").is_null() | (pl.col("end") > pl.col("start"))))
    rows = periods.due_periods(started, as_of=as_of)
    exact = exact_price() if "exact" in items.columns else by_quantity()
    number = pl.col("_n").cast(EXACT)
    whole = round_half_away(pl.col("_exact") * (number + 1)) - round_half_away(pl.col("_exact") * number)
    full = _days("full_start", "full_end", items)
    days = pl.min_horizontal(_days("start", "end", items), full)
    part = round_half_away(pl.col("_exact") * pl.col("days").cast(EXACT) / pl.col("full_days").cast(EXACT))
    peak = round_half_away(pl.col("_exact") * pl.col("_more"))
    stub, by_days = pl.col("is_stub"), pl.col("_more").is_null()
    return (
        _peaks(rows, items)
        .with_columns(_exact=exact, _n=periods.place(pl.col("full_start")), days=days, full_days=full)
        .with_columns(net_minor=pl.when(~by_days).then(peak).when(stub).then(part).otherwise(whole))
        .select(*KEY, "full_end", "start", "end", "net_minor", "days", "full_days")
        .sort(*KEY)
    )


def scheduled(parts: pl.DataFrame, *, as_of: date) -> pl.DataFrame:
    """Every charge of billing schedules that should exist by a day: dated parts whose day has come, and milestones that were accepted.

    parts    one row per part: item_id, anchor date (of the item), position i64 (from 1), amount_minor, bill_on date (null: a milestone that is open)
    returns  as `desired`; a part is a period of its own, a day each from the anchor on, whatever day it is billed: neither another day nor
             an acceptance taken back and given again can bill it twice
    Work: O(parts).
    """
    key = pl.col("anchor") + pl.duration(days=pl.col("position") - 1)
    one = pl.lit(1, dtype=pl.Int64)
    return (
        parts.filter(pl.col("bill_on") <= as_of)
        .select(
            "item_id", full_start=key, full_end=key + pl.duration(days=1), start="bill_on", end=pl.col("bill_on") + pl.duration(days=1),
            net_minor="amount_minor", days=one, full_days=one,
        )
        .sort(*KEY)
    )  # fmt: skip


def _days(start: str, end: str, items: pl.DataFrame) -> pl.Expr:
    """Days by the calendar, or by months of a fixed length where the item has one."""
    by_calendar = days_between(pl.col(start), pl.col(end))
    if "month_days" not in items.columns:
        return by_calendar
    fixed = pl.col("month_days").cast(pl.Int64)
    return pl.when(fixed.is_null()).then(by_calendar).otherwise(days_between(pl.col(start), pl.col(end), month_days=fixed))


DISCOUNTS: dict[str, pl.DataType | type[pl.DataType]] = {
    "discount_id": pl.Int64, "contract_id": pl.Int64, "only_item_ids": pl.List(pl.Int64), "only_product_id": pl.Int64, "name": pl.String, "share_ppm": pl.Int64, "amount_minor": pl.Int64, "anchor": pl.Date,
    "unit": pl.String, "every": pl.Int64, "periods": pl.Int64, "ended_on": pl.Date,
}  # fmt: skip


def discounted(wanted: pl.DataFrame, discounts: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Take discounts off charges, each off what the ones before it left.

    wanted     one row per charge: item_id, full_start, contract_id, product_id, start, due (the day it is billed) dates, net_minor i64
    discounts  in order of application, DISCOUNTS (only_item_ids: an item and what took its place; null: every item): an amount is one for each period of the discount's grid (unit once: one in all, until it is used up), and goes to the
               charges that are due first; those of one day share it by largest remainder
    returns    wanted with net_minor less what was taken, and one row per charge and discount that took something: item_id, full_start, discount_id, name, taken_minor
    Work: one join a place; a contract has few discounts.
    """
    rest = wanted.with_row_index("_row").with_columns(_left=pl.col("net_minor"))
    taken = [
        pl.DataFrame(
            schema={
                "item_id": pl.Int64,
                "full_start": pl.Date,
                "discount_id": pl.Int64,
                "name": pl.String,
                "taken_minor": pl.Int64,
            }
        )
    ]
    placed = discounts.with_columns(
        _place=pl.int_range(pl.len()).over("contract_id"), day=pl.lit(None, dtype=pl.Int64), _unit=pl.col("unit")
    )
    for at in placed["_place"].unique().sort():
        one = placed.filter(pl.col("_place") == at).with_columns(
            unit=pl.when(pl.col("unit") == "once").then(pl.lit("month")).otherwise("unit")
        )
        rows = rest.select("_row", "item_id", "full_start", "contract_id", "product_id", "start", "due", "_left").join(
            one, on="contract_id", maintain_order="left"
        )
        begun = pl.max_horizontal("start", "full_start")
        fits = (
            (pl.col("only_item_ids").is_null() | pl.col("item_id").is_in(pl.col("only_item_ids")).fill_null(value=False)) & (pl.col("only_product_id").is_null() | (pl.col("only_product_id") == pl.col("product_id")).fill_null(value=False))
            & (begun >= pl.col("anchor")) & (pl.col("ended_on").is_null() | (begun < pl.col("ended_on"))) & (pl.col("_left") > 0)
        )  # fmt: skip
        once = pl.col("_unit") == "once"
        rows = rows.filter(fits).with_columns(_n=pl.when(once).then(0).otherwise(periods.place(begun)))
        rows = rows.filter(
            (once | pl.col("periods").is_null() | (pl.col("_n") < pl.col("periods")))
            & (~once | pl.col("share_ppm").is_null() | (pl.col("due") == pl.col("due").min().over("discount_id")))
        )
        group, bill = ["discount_id", "_n"], ["discount_id", "_n", "due"]
        base = pl.col("_left").sum().over(bill)
        bills = (
            rows.group_by(bill)
            .agg(_base=pl.col("_left").sum())
            .sort(bill)
            .with_columns(_before=pl.col("_base").cum_sum().over(group) - pl.col("_base"))
        )
        rows = rows.join(bills, on=bill, maintain_order="left")
        amount = pl.min_horizontal((pl.col("amount_minor") - pl.col("_before")).clip(0), "_base").cast(EXACT)
        share = pl.col("_base").cast(EXACT) * pl.col("share_ppm").cast(EXACT) / 10**6
        whole = pl.when(pl.col("share_ppm").is_null()).then(amount).otherwise(share)
        exact = pl.col("_whole") * pl.col("_left").cast(EXACT) / base.cast(EXACT)
        cut = (
            rows.with_columns(_whole=whole)
            .with_columns(_exact=exact)
            .with_columns(taken_minor=largest_remainder(pl.col("_exact"), round_half_away(pl.col("_whole")), over=bill))
        )
        cut = cut.filter(pl.col("taken_minor") > 0)
        taken.append(cut.select(*taken[0].columns))
        rest = (
            rest.join(cut.select("_row", "taken_minor"), on="_row", how="left", maintain_order="left")
            .with_columns(_left=pl.col("_left") - pl.col("taken_minor").fill_null(0))
            .drop("taken_minor")
        )
    return rest.with_columns(net_minor=pl.col("_left")).drop("_row", "_left"), pl.concat(taken)


def committed(items: pl.DataFrame, counted: pl.DataFrame, *, as_of: date) -> pl.DataFrame:
    """What is missing of the least amounts of commitments whose periods are over, and what is beyond their most.

    items    one row per commitment: item_id, contract_id, pool str (empty: all items of the contract), start, end (null: none), in_advance (false), the grid, month_days,
             minimum_minor, maximum_minor i64 (null: none)
    counted  one row per charge that counts, before discounts: contract_id, pool, start date, net_minor
    returns  one row per period where something is: the columns of `desired`, used_minor and bound_minor i64; net_minor is below zero where the most was passed
    A charge counts in the period in which it begins. The amounts shrink with the days covered, what is counted does not. Work: O(charges + periods), one join.
    """
    started = items.filter((pl.col("start") <= as_of) & (pl.col("end").is_null() | (pl.col("end") > pl.col("start"))))
    full = _days("full_start", "full_end", items)
    rows = periods.due_periods(started, as_of=as_of).with_columns(_n=periods.place(pl.col("full_start")), full_days=full)
    rows = rows.with_columns(days=pl.min_horizontal(_days("start", "end", items), "full_days"))
    grid = started.select("item_id", "contract_id", "anchor", "unit", "every", "day", only="pool")
    ours = counted.select("contract_id", "net_minor", "pool", at="start").join(grid, on="contract_id")
    ours = ours.filter((pl.col("only") == "") | (pl.col("only") == pl.col("pool"))).with_columns(_n=periods.place(pl.col("at")))
    inside = ours.join(rows.select("item_id", "_n", "start", "end"), on=["item_id", "_n"]).filter(
        (pl.col("at") >= pl.col("start")) & (pl.col("at") < pl.col("end"))
    )
    used = inside.group_by("item_id", "_n").agg(used_minor=pl.col("net_minor").sum())
    part = pl.col("days").cast(EXACT) / pl.col("full_days").cast(EXACT)
    low, high = (round_half_away(pl.col(name).cast(EXACT) * part).cast(pl.Int64) for name in ("minimum_minor", "maximum_minor"))
    bound = pl.max_horizontal(pl.min_horizontal("used_minor", high), low)
    return (
        rows.join(used, on=["item_id", "_n"], how="left", maintain_order="left")
        .with_columns(pl.col("used_minor").fill_null(0))
        .with_columns(bound_minor=bound, net_minor=bound - pl.col("used_minor"))
        .filter(pl.col("net_minor") != 0)
        .select(*KEY, "full_end", "start", "end", "net_minor", "days", "full_days", "used_minor", "bound_minor")
        .sort(*KEY)
    )


def _peaks(rows: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Periods with more decimal: the share of its whole price that an item adds to the peak of those before it, where periods cost their peak; null elsewhere.

    Work: one join for each doubling of the longest chain of changes.
    """
    if "by_peak" not in items.columns or not items["by_peak"].any():
        return rows.with_columns(_more=pl.lit(None, dtype=EXACT))
    known = items["item_id"].implode()
    first = pl.when(pl.col("replaces_id").is_in(known)).then("replaces_id").otherwise("item_id")
    roots = items.select("item_id", _root=first)
    while True:
        further = roots.join(roots.select(_root="item_id", _next="_root"), on="_root", how="left", maintain_order="left")
        if (further["_next"] == further["_root"]).all():
            break
        roots = further.select("item_id", _root="_next")
    chained = rows.join(roots, on="item_id", how="left", maintain_order="left").sort("_root", "full_start", "start", "item_id")
    quantity = pl.when("by_peak").then("quantity_micro").otherwise(0)
    before = quantity.cum_max().shift(1, fill_value=0).over("_root", "full_start")
    more = (pl.col("quantity_micro") - before).clip(0).cast(EXACT) / pl.max_horizontal("quantity_micro", 1).cast(EXACT)
    return chained.with_columns(_more=pl.when("by_peak").then(more)).drop("_root")


def reached(wanted: pl.DataFrame, standing: pl.DataFrame, thresholds: pl.DataFrame) -> pl.DataFrame:
    """Charges of open periods, as far as one of their amounts was passed since they were billed last; else they stay as they stand.

    wanted      of `desired`, and is_open bool
    standing    item_id, full_start, net_minor
    thresholds  one row per item: item_id, bill_at list[i64] rising, bill_every i64 (null: none; counts on from the last of bill_at)
    returns     wanted with net_minor
    Work: one join.
    """
    have = standing.select(*KEY, _have="net_minor")
    rows = wanted.join(have, on=KEY, how="left", maintain_order="left").with_columns(pl.col("_have").fill_null(0))
    waiting = rows.filter("is_open").join(thresholds, on="item_id")
    fixed = waiting.explode("bill_at").filter((pl.col("_have") < pl.col("bill_at")) & (pl.col("bill_at") <= pl.col("net_minor")))
    beyond = (pl.col("net_minor", "_have") - pl.col("bill_at").list.max().fill_null(0)).clip(0) // pl.col("bill_every")
    again = waiting.with_columns(beyond.name.prefix("_times_")).filter(pl.col("_times_net_minor") > pl.col("_times__have"))
    due = pl.concat([fixed.select(KEY), again.select(KEY)]).unique().with_columns(_due=pl.lit(value=True))
    is_kept = pl.col("is_open") & pl.col("_due").is_null()
    marked = rows.join(due, on=KEY, how="left", maintain_order="left")
    return marked.with_columns(net_minor=pl.when(is_kept).then("_have").otherwise("net_minor")).select(wanted.columns)


def missing(wanted: pl.DataFrame, standing: pl.DataFrame) -> pl.DataFrame:
    """What has to be charged, or given back, so that what stands is what is wanted.

    wanted    of `desired`
    standing  one row per item and period that was ever charged: item_id, full_start, full_end, start, end, net_minor (of charges that stand; 0
              where all were taken back), charges u32 (ever, also those taken back)
    returns   one row per item and period with a difference: item_id, full_start, full_end, start, end, net_minor (the difference, never 0),
              sequence i64 (charges before it: 0 is the first), days, full_days (0 where nothing is wanted any more), stood_end (the end of what stands of it, null where
             nothing does), is_again (whether something does)
    Work: one join.
    """
    have = standing.rename({c: f"{c}_s" for c in ("full_end", "start", "end", "net_minor")})
    both = wanted.join(have, on=KEY, how="full", coalesce=True)
    difference = pl.col("net_minor").fill_null(0) - pl.col("net_minor_s").fill_null(0)
    return (
        both.with_columns(
            *(pl.coalesce(c, f"{c}_s").alias(c) for c in ("full_end", "start", "end")),
            stood_end=pl.when(pl.col("net_minor_s") != 0).then("end_s"), is_again=(pl.col("net_minor_s") != 0).fill_null(value=False),
            net_minor=difference, sequence=pl.col("charges").fill_null(0).cast(pl.Int64), days=pl.col("days").fill_null(0), full_days=pl.col("full_days").fill_null(0),
        )
        .filter(pl.col("net_minor") != 0)
        .select(*KEY, "full_end", "start", "end", "net_minor", "sequence", "days", "full_days", "stood_end", "is_again")
        .sort(*KEY)
    )  # fmt: skip


@bounded
def priced(
    spans: pl.DataFrame,
    *,
    tiers: pl.DataFrame,
    transactions: pl.DataFrame,
    cells: pl.DataFrame,
    capacities: pl.DataFrame,
    moves: pl.DataFrame,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What quantities cost by the price models of their items.

    spans         one row per quantity: charge_id, item_id, model str, minor i64 (minor units of a major one), quantity decimal, event_minor decimal (what events
                  said themselves), and of the price unit_price_nano, included_micro, package_micro, share_ppm, fee_nano, free_count, free_minor, each_least_minor,
                  each_most_minor i64
    tiers         of tiered items: item_id, lower, upper (null: no end), unit_price, flat_fee decimal minor units, block_size decimal (null: any fraction)
    transactions  of percentages, in order of time: charge_id, value decimal minor units
    cells         of matrices: charge_id, label, quantity, unit_price decimal minor units (null: no row of the matrix fits)
    capacities    of prices by limits: charge_id, label, exact decimal minor units (null: no row's limits hold)
    moves         of levels that count by days, in order of time: charge_id, units decimal (below zero: gone), prorated (for the share of the period that they last)
    returns       charge_id, exact decimal and net_minor i64, one row per span in order (null where no price answers); and how: charge_id, units, unit_price,
                  flat_fee, exact, label, transactions, given (transactions that cost nothing), value, free, share_ppm, most_held (the level at its highest)
    Of a level by days the units for their days are paid, and the most that was held picks the tiers: by volume all units at its tier; graduated, what comes at the tiers
    that it enters, what goes given back at those that it leaves, and the fees of the tiers that were reached.
    Raises: AmountTooLarge. Work: a few hash joins.
    """  # fmt: skip
    held = moves.group_by("charge_id").agg(most_held=pl.col("units").cum_sum().max())
    plain = spans.filter(~pl.col("model").is_in(["percentage", "matrix", "capacity"])).join(
        held, on="charge_id", how="left", maintain_order="left"
    )
    is_held = (pl.col("most_held") > 0).fill_null(value=False)
    by_moves = (pl.col("model") == "graduated") & is_held
    moved, tiers_of_moves = _moved(plain.filter(by_moves), moves, tiers)
    plain = plain.filter(~by_moves)
    prices = plain.unique("item_id", maintain_order=True).select(
        price_id="item_id", model="model", unit_price=pl.col("unit_price_nano").cast(EXACT) / NANO, included_units=pl.col("included_micro").cast(EXACT) / MICRO,
        package_size=pl.col("package_micro").cast(EXACT) / MICRO,
    )  # fmt: skip
    by_most = pl.when((pl.col("model") == "volume") & is_held)
    charges = plain.select(
        "charge_id", quantity=by_most.then("most_held").otherwise("quantity"), billed="quantity", event_amount="event_minor", price_id="item_id"
    )  # fmt: skip
    by_quantity = rating.rate(charges, prices=prices, tiers=tiers.rename({"item_id": "price_id"}) if tiers.height else None)
    shares, steps = _percentages(spans.filter(pl.col("model") == "percentage"), transactions)
    matrix = cells.with_columns(exact=pl.col("quantity") * pl.col("unit_price"))
    sums = matrix.group_by("charge_id").agg(exact=pl.col("exact").sum(), _bare=pl.col("exact").is_null().any())
    none_used = spans.filter(pl.col("model") == "matrix").select("charge_id").join(sums, on="charge_id", how="left")
    of_cells = none_used.select(
        "charge_id", exact=pl.when(~pl.col("_bare").fill_null(value=False)).then(pl.col("exact").fill_null(0))
    )
    exact = pl.concat(
        [by_quantity.lines.select("charge_id", "exact"), moved, shares, of_cells, capacities.select("charge_id", "exact")]
    )
    lines = spans.select("charge_id").join(exact, on="charge_id", how="left", maintain_order="left")
    how = [
        by_quantity.rows.select("charge_id", "units", "unit_price", "flat_fee", "exact", label=pl.when(pl.col("kind") == "dynamic").then(pl.lit("as the events say"))).join(held, on="charge_id", how="left", maintain_order="left"),
        tiers_of_moves, steps, matrix.select("charge_id", "label", "unit_price", "exact", units="quantity"), capacities,
    ]  # fmt: skip
    return lines.with_columns(net_minor=round_half_away(pl.col("exact"))), pl.concat(how, how="diagonal_relaxed")


def _moved(spans: pl.DataFrame, moves: pl.DataFrame, tiers: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Exact amounts of graduated spans of levels by days, and a row a tier that tells how."""
    ours = moves.join(spans.select("charge_id", "most_held", price_id="item_id"), on="charge_id", maintain_order="left")
    found = rating.rate_movements(ours, tiers=tiers.rename({"item_id": "price_id"}))
    steps = (
        found.rows.sort("charge_id", "lower")
        .group_by("charge_id", "lower", maintain_order=True)
        .agg(pl.col("units", "flat_fee", "exact").sum(), pl.col("unit_price").max())
        .drop("lower")
    )
    return found.lines.select("charge_id", "exact"), steps.join(
        spans.select("charge_id", "most_held"), on="charge_id", maintain_order="left"
    )


def _percentages(spans: pl.DataFrame, transactions: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Exact amounts of spans that are priced by a share of their transactions, and one row that tells how."""
    prices = spans.unique("item_id", maintain_order=True).select(
        price_id="item_id", rate=pl.col("share_ppm").cast(EXACT) / 10**6, fixed_fee=pl.col("fee_nano").cast(EXACT) / NANO, free_count=pl.col("free_count").cast(EXACT),
        free_amount=pl.col("free_minor").cast(EXACT), minimum=pl.col("each_least_minor").cast(EXACT), maximum=pl.col("each_most_minor").cast(EXACT),
    )  # fmt: skip
    ours = transactions.join(spans.select("charge_id", "share_ppm", price_id="item_id"), on="charge_id", maintain_order="left")
    found = rating.rate_percentage(ours, prices=prices)
    lines = spans.select("charge_id").join(
        found.lines.select("charge_id", "exact"), on="charge_id", how="left", maintain_order="left"
    )
    steps = found.rows.group_by("charge_id", maintain_order=True).agg(
        pl.col("exact").sum(), pl.col("value").sum(), pl.col("free").sum(), pl.col("share_ppm").first(), transactions=pl.len().cast(pl.Int64), given=pl.col("wholly_free").sum().cast(pl.Int64)
    )  # fmt: skip
    return lines.with_columns(pl.col("exact").fill_null(0)), steps
