"""What contracts earn: their items as obligations, each with an amount, a span and a way of earning; and what that leaves to show.

A contract whose price is known in full is shared over its items by what each costs alone (IFRS 15.73-86). What happens to it later, an amendment or
another estimate of a variable amount, is played in the order in which it became known: what was earned before the day stays, what comes after
is shared anew as `modifications.treatments` says. Contracts without an end earn period by period what each item is sold for: what it is billed, so that
a trial earns nothing and a discount lowers the periods that it is taken off. See `price` for what is free or discounted under an end.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import NamedTuple

import polars as pl

from topline.engine import charges
from topline.engine.documents import EXACT, largest_remainder, round_half_away
from topline.engine.recognition import allocation, price
from topline.engine.recognition.schedules import schedule

Schema = dict[str, pl.DataType | type[pl.DataType]]
PARTS: Schema = {
    "contract_id": pl.Int64,
    "item_id": pl.Int64,
    "amount_minor": pl.Int64,
    "start": pl.Date,
    "end": pl.Date,
    "method": pl.String,
}
DELIVERIES: Schema = {"item_id": pl.Int64, "on": pl.Date, "share_ppm": pl.Int64}
EVENTS: Schema = {
    "contract_id": pl.Int64, "seq": pl.Int64, "kind": pl.String, "on": pl.Date, "treatment": pl.String, "term_before": pl.Date,
    "item_id": pl.Int64, "delta_minor": pl.Int64, "since": pl.Int64,
}  # fmt: skip
CHANGES: Schema = {"contract_id": pl.Int64, "seq": pl.Int64, "item_id": pl.Int64, "until_before": pl.Date, "is_new": pl.Boolean}
PRICES: Schema = {
    "product_id": pl.Int64, "currency": pl.String, "valid_from": pl.Date, "low_nano": pl.Int64, "high_nano": pl.Int64, "is_residual": pl.Boolean,
}  # fmt: skip
BUNDLES: Schema = {"bundle_id": pl.Int64, "product_id": pl.Int64, "currency": pl.String, "together": EXACT}
_STATE = [*PARTS, "full_start", "ssp"]
_SHAPE = [*_STATE, "chain", "group", "since"]
_PLACE = ["contract_id", "key"]
_PART = [*_PLACE, "item_id", "full_start"]
PPM = 1_000_000


class Obligations(NamedTuple):
    """parts: what is earned (columns of PARTS; start null: when somebody accepts it), and ssp, what each costs alone. sold: item_id, sold_minor (by what was agreed).
    bookings: parts with booked date, by what was agreed or changed when: they add up to parts, with the opposite of what a change took away.
    used: what was used less what discounts take off it.
    """

    parts: pl.DataFrame
    sold: pl.DataFrame
    bookings: pl.DataFrame
    used: pl.DataFrame


def obligations(
    items: pl.DataFrame,
    *,
    through: date,
    deliveries: pl.DataFrame | None = None,
    events: pl.DataFrame | None = None,
    changes: pl.DataFrame | None = None,
    prices: pl.DataFrame | None = None,
    bundles: pl.DataFrame | None = None,
    discounts: pl.DataFrame | None = None,
    used: pl.DataFrame | None = None,
    scheduled: pl.DataFrame | None = None,
) -> Obligations:
    """The parts in which items are earned, up to the end of what was agreed; of items without an end, what began by `through`.

    items       one row per item that is sold by periods: contract_id, item_id, replaces_id, product_id, currency, the columns of `charges.desired`, method str (day: by days served; month: in equal months;
                point: on the first day; term: over the contract or, where life_months says so, the customer's life; milestone: as parts are accepted), low_nano, high_nano
                i64 (what a unit costs alone in a month; null: see prices), term_start, term_end date (null: none), life_months i64, booked_on date, is_known bool (false: how it was amended is not known);
                free_until date, where something is free
    deliveries  one row per acceptance: item_id, on date, share_ppm i64 (of the item, in all at most a million)
    events      what happened to a contract, numbered from 1 in the order in which it was told: contract_id, seq, kind str; of an amendment on, treatment, term_before (the contract's end before it);
                of an estimate on, delta_minor (what it adds to the price), item_id (null: the whole contract), since (seq from which it is promised)
    changes     what an amendment did to items: contract_id, seq, item_id, until_before, is_new
    prices      stand-alone selling prices by product, currency and day: see PRICES; residual ones are believed within their range
    bundles     products that are regularly sold together for less: bundle_id, product_id, currency, together (what that costs, as a share of what they cost apart)
    discounts   of contracts, in the order in which they are taken: see `charges.DISCOUNTS`, and `price` for how they are allocated
    used        charges of what was used, with which discounts are shared: the columns of `price.USED`, and others
    scheduled   parts by which items are billed, those without a day as if billed next, dropped ones to be left out: see `price.PARTS`
    A contract's amounts add up to what it is sold for, which is what it is billed, and what is estimated. Work: O((items + periods) x most events of a contract).
    """
    known = _Known(
        *(
            pl.DataFrame(schema=s) if f is None else f
            for f, s in (
                (deliveries, DELIVERIES), (changes, CHANGES), (prices, PRICES), (bundles, BUNDLES), (discounts, charges.DISCOUNTS), (used, price.USED), (scheduled, price.PARTS),
            )
        )
    )  # fmt: skip
    events = pl.DataFrame(schema=EVENTS) if events is None else events
    sold = items.filter(
        pl.col("end").is_null()
        | (pl.col("end") > pl.col("start"))
        | (pl.col("item_id").is_in(known.changes["item_id"].implode()))
    )
    open_ones = known.changes.filter(~pl.col("is_new") & pl.col("until_before").is_null())["contract_id"]
    endless = sold.filter(pl.col("end").is_null() | ~pl.col("is_known"))["contract_id"]
    whole = sold.filter(~pl.col("contract_id").is_in(pl.concat([endless, open_ones]).unique().implode()))
    rest = price.paid(sold.join(whole, on="item_id", how="anti"))
    rest = rest.filter(pl.col("end").is_null() | (pl.col("end") > pl.col("start")))
    ends, endless_ones = rest.filter(pl.col("end").is_not_null()), rest.filter(pl.col("end").is_null())
    spans = [(whole, _last(whole, through)), (ends, _last(ends, through)), (endless_ones, through)]
    taken = _taken(known, known.discounts, spans)
    loose = pl.concat([_pieces(some, known, until, taken=taken) for some, until in spans[1:]])
    state, log, agreed = _played(whole, known, events)
    told = loose.with_columns(amount_minor="sold_minor").select(*_STATE, "sold_minor")
    booked = items.select("item_id", booked="booked_on")
    late = _at_once(
        events.filter(pl.col("kind") == "estimate"),
        pl.concat([state.select("contract_id", "item_id"), log.select("contract_id", "item_id")]),
        items,
    )
    parts = pl.concat([state.select(*PARTS, "ssp"), told.select(*PARTS, "ssp"), late.select(*PARTS, ssp=pl.lit(0, dtype=EXACT))])
    every = pl.concat([
        log.select(*PARTS, "booked"), told.join(booked, on="item_id", how="left", maintain_order="left").select(*PARTS, "booked"), late.select(*PARTS, "booked")
    ])  # fmt: skip
    sums = pl.concat([agreed.select("item_id", "sold_minor"), told.select("item_id", "sold_minor")])
    sums = sums.group_by("item_id").agg(pl.col("sold_minor").sum())
    off = taken.group_by(charges.KEY).agg(_off=pl.col("taken_minor").sum())
    net = known.used.join(off, on=charges.KEY, how="left", maintain_order="left")
    net = net.with_columns(net_minor=pl.col("net_minor") - pl.col("_off").fill_null(0)).drop("_off")
    return Obligations(parts.sort("contract_id", "item_id", "start"), sums.sort("item_id"), every, net)


def months(parts: pl.DataFrame) -> pl.DataFrame:
    """What each part earns in each month: contract_id, item_id, month, amount_minor, and booked where parts have it. Parts without a day are left out."""
    dated = (
        parts.filter(pl.col("start").is_not_null())
        .with_row_index("obligation_id")
        .with_columns(pl.col("obligation_id").cast(pl.Int64))
    )
    way = pl.when(pl.col("method").is_in(["point", "month"])).then("method").otherwise(pl.lit("day"))
    earned = schedule(dated.select("obligation_id", "amount_minor", "start", "end", method=way))
    more = [c for c in ("booked",) if c in parts.columns]
    owner = dated.select("obligation_id", "contract_id", "item_id", *more)
    return earned.join(owner, on="obligation_id", maintain_order="left").select(
        "contract_id", "item_id", "month", "amount_minor", *more
    )


def done_by(*, on: pl.Expr) -> pl.Expr:
    """Which part of each piece is earned before a day, from 0 to 1, exact."""
    start, end, method = pl.col("start"), pl.col("end"), pl.col("method")
    whole = pl.max_horizontal((end - start).dt.total_days(), 1)
    served = (on - start).dt.total_days().clip(0, whole)
    first, last, now = (d.dt.year().cast(pl.Int64) * 12 + d.dt.month().cast(pl.Int64) for d in (start, end, on))
    count = pl.max_horizontal(last - first, 1)
    by_month = (now - first).clip(0, count).cast(EXACT) / count.cast(EXACT)
    at_once = pl.when(start < on).then(pl.lit(1, dtype=EXACT)).otherwise(pl.lit(0, dtype=EXACT))
    return (
        pl.when(start.is_null()).then(pl.lit(0, dtype=EXACT))
        .when(method == "point").then(at_once)
        .when(method == "month").then(by_month)
        .otherwise(served.cast(EXACT) / whole.cast(EXACT))
    )  # fmt: skip


def refunds(parts: pl.DataFrame, estimates: pl.DataFrame, *, through: date) -> pl.DataFrame:
    """What is expected to go back to customers of what was delivered by the end of a month: contract_id, refund_minor.

    parts      of `obligations`
    estimates  of amounts that are paid back, up to the day: contract_id, item_id (null: the whole contract), delta_minor
    Source: IFRS 15.55, B20-B27. Work: O(parts).
    """
    after = through + timedelta(days=1)
    worth = parts.filter(pl.col("ssp") > 0).with_columns(_done=done_by(on=pl.lit(after)) * pl.col("ssp"))
    share = (pl.col("_done").sum() / pl.col("ssp").sum()).alias("_share")
    of_item = worth.group_by("contract_id", "item_id").agg(share)
    of_all = worth.group_by("contract_id").agg(share.alias("_all"))
    told = estimates.join(of_item, on=["contract_id", "item_id"], how="left").join(of_all, on="contract_id", how="left")
    done = pl.when(pl.col("item_id").is_null()).then("_all").otherwise("_share").fill_null(1)
    sums = told.group_by("contract_id").agg(_sum=(pl.col("delta_minor").cast(EXACT) * done).sum())
    return sums.select("contract_id", refund_minor=round_half_away(-pl.col("_sum")).clip(0))


# --- parts ---
class _Known(NamedTuple):
    deliveries: pl.DataFrame
    changes: pl.DataFrame
    prices: pl.DataFrame
    bundles: pl.DataFrame
    discounts: pl.DataFrame
    used: pl.DataFrame
    scheduled: pl.DataFrame


def _taken(known: _Known, discounts: pl.DataFrame, spans: list[tuple[pl.DataFrame, date]]) -> pl.DataFrame:
    """What discounts take off charges of items, each up to a day, and of what was used; and what was dropped of them. See `price.taken`."""
    gone = pl.concat([price.dropped(known.scheduled, items) for items, _ in spans])
    if discounts.is_empty():
        return gone
    ours = [(price.paid(items.join(discounts, on="contract_id", how="semi")), until) for items, until in spans]
    fees = pl.concat([charges.desired(items.with_columns(in_advance=pl.lit(value=True)), as_of=until) for items, until in ours])
    facts = pl.concat([items.select("contract_id", "item_id", pl.col("product_id").cast(pl.Int64), "in_advance", "term_start") for items, _ in ours])  # fmt: skip
    used = known.used.join(discounts, on="contract_id", how="semi")
    return pl.concat([gone, price.taken(fees, facts, discounts, used=used, parts=known.scheduled)])


def _taken_at(items: pl.DataFrame, known: _Known) -> pl.DataFrame:
    """What discounts take off a version of contracts."""
    discounts = known.discounts.join(items, on="contract_id", how="semi", maintain_order="left")
    return _taken(known, discounts, [(items, _last(items, date.min))])


def _last(items: pl.DataFrame, otherwise: date) -> date:
    last = items["end"].max()
    return last if isinstance(last, date) else otherwise


def _pieces(
    items: pl.DataFrame,
    known: _Known,
    until: date,
    *,
    taken: pl.DataFrame,
    chains: pl.DataFrame | None = None,
    on: pl.Expr | None = None,
) -> pl.DataFrame:
    """Every period of items with what it is sold for and costs alone, both less discounts (see `price.less`), and the days over which it is earned: its own, or those of the contract. What is earned
    by milestones is one piece for each acceptance and one for what is left, of an item and all that it replaces. Columns of _STATE with chain, sold_minor; amounts are 0."""
    if items.is_empty():
        return pl.DataFrame(schema=PARTS | {"full_start": pl.Date, "ssp": EXACT, "chain": pl.Int64, "sold_minor": pl.Int64})
    rated = allocation.alone(items, known.prices, on=pl.col("term_start") if on is None else on).with_columns(
        in_advance=pl.lit(value=True)
    )
    sold = made = charges.desired(rated, as_of=until)
    if rated["ssp_nano"].count():  # else all cost alone what they are sold for
        known_alone = pl.col("ssp_nano").is_not_null()
        exact = [pl.when(~known_alone).then("exact").alias("exact")] if "exact" in rated.columns else []
        made = charges.desired(
            rated.with_columns(*exact, unit_price_nano=pl.coalesce("ssp_nano", "unit_price_nano")), as_of=until
        )
    worth = made.select(*charges.KEY, ssp=pl.col("net_minor").cast(EXACT))
    facts = rated.select(
        "contract_id", "item_id", "product_id", "currency", "method", "term_start", "term_end", "life_months", "is_residual",
        _low=pl.col("low").cast(EXACT) / pl.max_horizontal("ssp_nano", 1).cast(EXACT), _high=pl.col("high").cast(EXACT) / pl.max_horizontal("ssp_nano", 1).cast(EXACT),
    )  # fmt: skip
    lives = pl.col("term_start").dt.offset_by(pl.format("{}mo", pl.col("life_months").fill_null(0)))
    until_then = pl.max_horizontal("term_end", pl.when(pl.col("life_months").is_not_null()).then(lives))
    over = (pl.col("method") == "term") & until_then.is_not_null()
    rows = (
        sold.rename({"net_minor": "sold_minor"})
        .join(worth, on=charges.KEY, maintain_order="left")
        .join(facts, on="item_id", maintain_order="left")
        .with_columns(
            start=pl.when(over).then("term_start").otherwise("start"), end=pl.when(over).then(until_then).otherwise("end"),
            amount_minor=pl.lit(0, dtype=pl.Int64),
        )
    )  # fmt: skip
    rows = price.less(
        allocation.believed(allocation.together(rows, known.bundles)), pl.concat([taken, _free(rated, sold, until)])
    )
    line = items.select("item_id", chain="item_id") if chains is None else chains
    return _by_acceptance(
        rows.join(line, on="item_id", maintain_order="left").select(*_STATE, "chain", "sold_minor"), known.deliveries, line
    )


def _free(items: pl.DataFrame, made: pl.DataFrame, until: date) -> pl.DataFrame:
    """What the free days of items would have cost; none are left where items begin when they cost something."""
    if "free_until" not in items.columns or items.filter(trial := pl.col("free_until") > pl.col("start")).is_empty():
        return pl.DataFrame(schema=price.TAKEN)
    some = items.filter(trial)
    return price.free(made.join(some, on="item_id", how="semi"), charges.desired(price.paid(some), as_of=until))


def _by_acceptance(rows: pl.DataFrame, deliveries: pl.DataFrame, chains: pl.DataFrame) -> pl.DataFrame:
    """What is earned by milestones, as one piece for each acceptance and one without a day for what nobody accepted yet."""
    ours = pl.col("method") == "milestone"
    lines = (
        rows.filter(ours)
        .group_by("contract_id", "chain", maintain_order=True)
        .agg(pl.col("item_id").max(), pl.col("full_start").min(), pl.col("ssp", "sold_minor", "amount_minor").sum())
    )
    if lines.is_empty():
        return rows
    taken = deliveries.join(chains, on="item_id").select("chain", start="on", _ppm="share_ppm")
    left = lines.join(taken.group_by("chain").agg(pl.col("_ppm").sum()), on="chain", how="left").select(
        "chain", start=pl.lit(None, dtype=pl.Date), _ppm=PPM - pl.col("_ppm").fill_null(0)
    )
    shares = pl.concat([taken, left]).filter(pl.col("_ppm") != 0).sort("chain", "start", nulls_last=True)
    pieces = shares.join(lines, on="chain", maintain_order="left").with_columns(
        end=pl.col("start"), method=pl.when(pl.col("start").is_null()).then(pl.lit("milestone")).otherwise(pl.lit("point")),
        ssp=pl.col("ssp") * pl.col("_ppm").cast(EXACT) / PPM,
        sold_minor=pl.when(pl.int_range(pl.len()).over("chain") == 0).then("sold_minor").otherwise(0),
    )  # fmt: skip
    return pl.concat([rows.filter(~ours), pieces.select(rows.columns)])


def _played(items: pl.DataFrame, known: _Known, events: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Contracts from their signing through all that happened: the pieces as they stand (_STATE, chain, group, since), every piece that was booked or taken back,
    and what each item is sold for."""
    born = known.changes.filter("is_new").select("item_id", _born="seq")
    items = items.join(born, on="item_id", how="left", maintain_order="left").with_columns(pl.col("_born").fill_null(0))
    first = _version(items, known, events, 0)
    ids = {"group": pl.lit(0, dtype=pl.Int64), "since": pl.lit(0, dtype=pl.Int64)}
    pieces = _pieces(first, known, _last(first, date.min), taken=_taken_at(first, known)).with_columns(
        **ids, key=pl.lit(0, dtype=pl.Int64)
    )
    sold = pieces.group_by("contract_id", "item_id", maintain_order=True).agg(pl.col("sold_minor").sum())
    state = _spread(pieces.group_by(_PLACE, maintain_order=True).agg(pool_minor=pl.col("sold_minor").sum()), pieces).drop(
        "sold_minor", "key"
    )
    booked = items.select("item_id", booked="booked_on")
    log = [state.join(booked, on="item_id", how="left", maintain_order="left")]
    ours = events.join(items, on="contract_id", how="semi")
    chains = items.select("item_id", chain="item_id")
    for step in sorted(ours["seq"].unique()):
        now = ours.filter(pl.col("seq") == step)
        amended, estimated = (now.filter(pl.col("kind") == k) for k in ("amendment", "estimate"))
        for happened, play in ((amended, _amended), (estimated, _estimated)):
            if happened.is_empty():
                continue
            active, rest = state.join(happened, on="contract_id", how="semi"), state.join(happened, on="contract_id", how="anti")
            turn = play(_Turn(active, happened, items, known, events, sold, chains, step))
            sold, chains = turn.sold, turn.chains
            state = pl.concat([rest, turn.state.select(rest.columns)])
            log.append(turn.log)
    return state, pl.concat([rows.select(*PARTS, "booked") for rows in log]), sold


class _Turn(NamedTuple):
    state: pl.DataFrame
    happened: pl.DataFrame
    items: pl.DataFrame
    known: _Known
    events: pl.DataFrame
    sold: pl.DataFrame
    chains: pl.DataFrame
    step: int


class _After(NamedTuple):
    state: pl.DataFrame
    log: pl.DataFrame
    sold: pl.DataFrame
    chains: pl.DataFrame


def _version(items: pl.DataFrame, known: _Known, events: pl.DataFrame, step: int) -> pl.DataFrame:
    """Items as they were agreed after so many events."""
    later = (
        known.changes.filter((pl.col("seq") > step) & ~pl.col("is_new"))
        .sort("seq")
        .unique("item_id", keep="first", maintain_order=True)
    )
    terms = (
        events.filter((pl.col("seq") > step) & (pl.col("kind") == "amendment")).sort("seq").unique("contract_id", keep="first", maintain_order=True)
        .select("contract_id", "term_before", _changed=pl.lit(value=True))
    )  # fmt: skip
    rows = items.filter(pl.col("_born") <= step).join(
        later.select("item_id", "until_before"), on="item_id", how="left", maintain_order="left"
    )
    rows = rows.join(terms, on="contract_id", how="left", maintain_order="left")
    return rows.with_columns(
        end=pl.coalesce("until_before", "end"), term_end=pl.when(pl.col("_changed").fill_null(value=False)).then("term_before").otherwise("term_end")
    ).drop("until_before", "term_before", "_changed").filter(pl.col("end") > pl.col("start"))  # fmt: skip


def _amended(turn: _Turn) -> _After:
    """An amendment: what it touches is priced anew, and shared as its treatment says. See `modifications.treatments`."""
    facts = turn.happened.select("contract_id", "on", "treatment")
    changes = turn.known.changes.filter(pl.col("seq") == turn.step)
    ended, begun = changes.filter(~pl.col("is_new")), changes.filter("is_new")
    follows = (
        turn.items.join(begun, on="item_id", how="semi").select("item_id", "replaces_id").join(ended.select(replaces_id="item_id"), on="replaces_id")
        .join(turn.chains.rename({"item_id": "replaces_id", "chain": "_chain"}), on="replaces_id").select("item_id", "_chain")
    )  # fmt: skip
    chains = turn.chains.join(follows, on="item_id", how="left", maintain_order="left").select(
        "item_id", chain=pl.coalesce("_chain", "chain")
    )
    state = turn.state.join(facts, on="contract_id", maintain_order="left")
    separate = pl.col("treatment") == "separate_contract"
    # an addition alone touches, unless it stands for itself, what is still to be delivered; any other change touches the group of what it ended
    hit = state.join(
        ended.select("item_id", _hit=pl.lit(value=True)), on="item_id", how="left", maintain_order="left"
    ).with_columns(pl.col("_hit").fill_null(value=False), _open=done_by(on=pl.col("on")) < 1)
    any_ended = pl.col("_hit").any().over("contract_id")
    by_chain = pl.col("_hit").any().over("contract_id", "chain")
    by_group = (
        pl.when(any_ended)
        .then(pl.col("_hit").any().over("contract_id", "group"))
        .otherwise(pl.col("_open").any().over("contract_id", "group"))
    )
    hit = hit.with_columns(_in=pl.when(separate).then(by_chain).otherwise(by_group)).with_columns(
        key=pl.when(separate).then("chain").otherwise(0)
    )
    kept, old = hit.filter(~pl.col("_in")), hit.filter("_in")
    group = old.group_by("contract_id").agg(_group=pl.col("group").min())
    touched = pl.concat([old.select("item_id"), begun.select("item_id")]).unique()
    agreed = _version(turn.items.join(facts, on="contract_id", how="semi"), turn.known, turn.events, turn.step)
    taken = _taken_at(agreed, turn.known)
    version = agreed.join(facts, on="contract_id", maintain_order="left").filter(
        pl.col("item_id").is_in(touched["item_id"].implode())
    )
    day = pl.when(pl.col("treatment") == "catch_up").then("term_start").otherwise(pl.max_horizontal("on", "term_start"))
    new = _pieces(version, turn.known, _last(version, date.min), taken=taken, chains=chains, on=day).join(
        facts, on="contract_id", maintain_order="left"
    )
    new = new.join(group, on="contract_id", how="left", maintain_order="left")
    born = turn.items.select("item_id", since="_born")
    alone_now = separate & ~pl.col("chain").is_in(old["chain"].unique().implode())
    new = new.join(born, on="item_id", how="left", maintain_order="left").with_columns(
        key=pl.when(separate).then("chain").otherwise(0), group=pl.when(alone_now).then(turn.step).otherwise(pl.col("_group").fill_null(turn.step)).cast(pl.Int64)
    )  # fmt: skip
    places = pl.concat([old.select(*_PLACE, "item_id"), new.select(*_PLACE, "item_id")]).unique()
    after = new.group_by("contract_id", "item_id").agg(sold_after=pl.col("sold_minor").sum())
    change = (
        places.join(turn.sold, on=["contract_id", "item_id"], how="left").join(after, on=["contract_id", "item_id"], how="left")
        .group_by(_PLACE).agg(change=pl.col("sold_after").fill_null(0).sum() - pl.col("sold_minor").fill_null(0).sum())
    )  # fmt: skip
    pool = old.group_by(_PLACE).agg(before=pl.col("amount_minor").sum()).join(change, on=_PLACE, how="full", coalesce=True)
    moved = _moved(turn, taken, touched)
    pool = pool.join(moved.group_by("contract_id").agg(pl.col("moved").sum()), on="contract_id", how="left")
    first = pl.col("key") == pl.col("key").min().over("contract_id")
    pool = pool.join(facts, on="contract_id").select(
        *_PLACE, "on", "treatment", pool_minor=pl.col("before").fill_null(0) + pl.col("change").fill_null(0) + pl.when(first).then(pl.col("moved").fill_null(0)).otherwise(0)
    )  # fmt: skip
    past, _ = _cut(old)
    catching = pl.col("treatment") == "catch_up"
    forward = _forward(pool.filter(~catching), past, new.filter(~catching))
    caught = _caught_up(pool.filter(catching), past, new.filter(catching))
    made = pl.concat([past.select(_SHAPE), forward.select(_SHAPE), caught.select(_SHAPE)])
    days = facts.select("contract_id", booked="on")
    log = pl.concat([old.with_columns(amount_minor=-pl.col("amount_minor")).select(*PARTS), made.select(*PARTS)]).join(
        days, on="contract_id", maintain_order="left"
    )
    fresh = (
        version.select("contract_id", "item_id").join(after, on=["contract_id", "item_id"]).rename({"sold_after": "sold_minor"})
    )
    gone = pl.concat([touched, fresh.select("item_id")]).unique()
    stays = turn.sold.join(gone, on="item_id", how="anti").join(moved, on=["contract_id", "item_id"], how="left")
    stays = stays.with_columns(sold_minor=pl.col("sold_minor") + pl.col("moved").fill_null(0))
    sold = pl.concat([stays.select(turn.sold.columns), fresh.select(turn.sold.columns)])
    return _After(pl.concat([kept.select(_SHAPE), made]), log, sold, chains)


def _moved(turn: _Turn, taken: pl.DataFrame, touched: pl.DataFrame) -> pl.DataFrame:
    """What an amendment moves of the discounts of items that it does not touch, because they are shared with others now: contract_id, item_id, moved (what is taken less)."""
    if turn.known.discounts.is_empty():
        return pl.DataFrame(schema={"contract_id": pl.Int64, "item_id": pl.Int64, "moved": pl.Int64})
    ours = turn.items.join(turn.happened, on="contract_id", how="semi")
    before = _taken_at(_version(ours, turn.known, turn.events, turn.step - 1), turn.known)
    both = pl.concat([before.select("item_id", moved="taken_minor"), taken.select("item_id", moved=-pl.col("taken_minor"))])
    sums = (
        both.join(touched, on="item_id", how="anti").group_by("item_id").agg(pl.col("moved").sum()).filter(pl.col("moved") != 0)
    )
    return ours.select("contract_id", "item_id").join(sums, on="item_id")


def _forward(pool: pl.DataFrame, past: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """Prospective, and a contract of its own: what was not earned yet and what the change adds, shared over what is still to be delivered (IFRS 15.20, 21a)."""
    earned = past.group_by(_PLACE).agg(earned=pl.col("amount_minor").sum())
    left = pool.join(earned, on=_PLACE, how="left").with_columns(pool_minor=pl.col("pool_minor") - pl.col("earned").fill_null(0))
    _, ahead = _cut(new)
    shared = _spread(left.select(*_PLACE, "pool_minor"), ahead)
    nothing_ahead = left.join(ahead, on=_PLACE, how="anti").filter(pl.col("pool_minor") != 0)
    last = pl.concat(
        [past.select(*_PLACE, "item_id", "chain", "group", "since"), new.select(*_PLACE, "item_id", "chain", "group", "since")]
    ).sort("item_id")
    last = last.unique(_PLACE, keep="last", maintain_order=True)
    return pl.concat([shared.select(_SHAPE), _points(nothing_ahead.join(last, on=_PLACE).rename({"pool_minor": "amount_minor"}))])


def _caught_up(pool: pl.DataFrame, past: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """As if it had been agreed from the beginning: what was earned by the day is computed anew, and the difference booked on it (IFRS 15.21b)."""
    whole = _spread(pool.select(*_PLACE, "pool_minor"), new)
    days = pool.select(*_PLACE, "on").unique()
    before, ahead = _cut(whole.join(days, on=_PLACE, maintain_order="left") if "on" not in whole.columns else whole)
    have = past.join(days, on=_PLACE, how="semi")
    facts = (
        pl.concat([before, have], how="diagonal_relaxed")
        .unique("item_id", keep="first", maintain_order=True)
        .select(*_PLACE, "item_id", "chain", "group", "since")
    )
    want = before.group_by("item_id").agg(want=pl.col("amount_minor").sum())
    had = have.group_by("item_id").agg(had=pl.col("amount_minor").sum())
    gap = facts.join(want, on="item_id", how="left").join(had, on="item_id", how="left").join(days, on=_PLACE)
    gap = gap.with_columns(amount_minor=pl.col("want").fill_null(0) - pl.col("had").fill_null(0)).filter(
        pl.col("amount_minor") != 0
    )
    nowhere = pool.join(new, on=_PLACE, how="anti").join(have.sort("item_id").unique(_PLACE, keep="last"), on=_PLACE, suffix="_p")
    lost = nowhere.join(have.group_by(_PLACE).agg(earned=pl.col("amount_minor").sum()), on=_PLACE).with_columns(
        amount_minor=pl.col("pool_minor") - pl.col("earned")
    )
    gap = gap.join(nowhere, on=_PLACE, how="anti")
    return pl.concat([ahead.select(_SHAPE), _points(gap), _points(lost.filter(pl.col("amount_minor") != 0))])


def _estimated(turn: _Turn) -> _After:
    """A variable amount is promised or estimated anew: the share of what was delivered is booked on the day, the rest over what is still to be delivered (IFRS 15.85-90)."""
    facts = turn.happened.select("contract_id", "on", "delta_minor", _item="item_id", _since="since")
    aim = facts.join(turn.chains.select(_item="item_id", _aim="chain"), on="_item", how="left", nulls_equal=False)
    state = turn.state.join(aim, on="contract_id", maintain_order="left")
    own = (
        pl.when(pl.col("_item").is_null())
        .then(pl.col("since") <= pl.col("_since"))
        .otherwise((pl.col("chain") == pl.col("_aim")).fill_null(value=False))
    )
    mine = state.with_columns(_own=own, key=pl.lit(0, dtype=pl.Int64), sold_minor=pl.lit(0, dtype=pl.Int64))
    touched = mine.filter("_own")
    past, ahead = _cut(touched)
    total = touched.group_by("contract_id").agg(_all=pl.col("ssp").sum(), _count=pl.len())
    nothing_known = pl.col("_all") == 0  # what costs nothing alone shares alike
    share = pl.when(nothing_known).then(pl.lit(1, dtype=EXACT)).otherwise("ssp") / pl.when(nothing_known).then(
        pl.col("_count").cast(EXACT)
    ).otherwise("_all")
    served = past.join(total, on="contract_id", maintain_order="left").with_columns(_share=share)
    by_item = served.group_by("contract_id", "item_id", "chain", "group", "since", "on", "delta_minor", maintain_order=True).agg(
        pl.col("_share").sum()
    )
    now = by_item.with_columns(amount_minor=round_half_away(pl.col("delta_minor").cast(EXACT) * pl.col("_share")))
    sums = now.group_by("contract_id").agg(_now=pl.col("amount_minor").sum())
    groups = touched.select("contract_id", "group").unique()
    _, open_ones = _cut(mine.filter(pl.col("_item").is_null()).join(groups, on=["contract_id", "group"], how="semi"))
    ahead = pl.concat([ahead.filter(pl.col("_item").is_not_null()), open_ones.select(ahead.columns)])
    left = facts.join(touched, on="contract_id", how="semi").join(sums, on="contract_id", how="left")
    pool = left.select(
        "contract_id", "on", key=pl.lit(0, dtype=pl.Int64), pool_minor=pl.col("delta_minor") - pl.col("_now").fill_null(0)
    )
    later = _spread(pool.select(*_PLACE, "pool_minor"), ahead)
    nothing = pool.join(ahead, on=_PLACE, how="anti").join(
        touched.sort("item_id").unique("contract_id", keep="last").drop("on", "key"), on="contract_id"
    )
    made = pl.concat([
        later.select(_SHAPE), _points(now), _points(nothing.with_columns(amount_minor="pool_minor"))
    ]).filter(pl.col("amount_minor") != 0).with_columns(ssp=pl.lit(0, dtype=EXACT))  # fmt: skip
    days = facts.select("contract_id", booked="on")
    return _After(
        pl.concat([turn.state.select(_SHAPE), made]),
        made.select(*PARTS).join(days, on="contract_id", maintain_order="left"),
        turn.sold,
        turn.chains,
    )


def _at_once(estimates: pl.DataFrame, played: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Variable amounts of what is used and of contracts without an end: an estimate is of what was delivered by its day, and is earned on it."""
    whole = estimates.filter(pl.col("item_id").is_null()).join(played, on="contract_id", how="anti")
    single = estimates.filter(pl.col("item_id").is_not_null()).join(played, on=["contract_id", "item_id"], how="anti")
    first = items.group_by("contract_id").agg(_first=pl.col("item_id").min())
    rows = pl.concat([whole, single]).join(first, on="contract_id", how="left", maintain_order="left")
    return rows.select(
        "contract_id",
        pl.coalesce("item_id", "_first").alias("item_id"),
        amount_minor="delta_minor",
        start="on",
        end="on",
        method=pl.lit("point"),
        booked="on",
    )


def _cut(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Pieces before and after each row's day `on`; amount and worth are split by what is done, and add up."""
    told = rows.with_columns(_done=done_by(on=pl.col("on")))
    done = pl.col("_done")
    mid = pl.when(pl.col("method") == "month").then(pl.col("on").dt.truncate("1mo")).otherwise("on")
    between = (done > 0) & (done < 1)
    gone = round_half_away(pl.col("amount_minor").cast(EXACT) * done)
    told = told.with_columns(_gone=gone, _mid=mid, _between=between)
    past = told.filter(done > 0).with_columns(
        end=pl.when("_between").then("_mid").otherwise("end"), amount_minor="_gone", ssp=pl.col("ssp") * done
    )
    ahead = told.filter(done < 1).with_columns(
        start=pl.when("_between").then("_mid").otherwise("start"),
        amount_minor=pl.col("amount_minor") - pl.col("_gone"),
        ssp=pl.col("ssp") * (1 - done),
    )
    extra = ["_done", "_gone", "_mid", "_between"]
    return past.drop(extra), ahead.drop(extra)


def _spread(pool: pl.DataFrame, pieces: pl.DataFrame) -> pl.DataFrame:
    """Share an amount over pieces by what each costs alone, by largest remainder over items' periods; the pieces of a period, in order, by rounding the sums.

    pool  contract_id, key, pool_minor; pieces get amount_minor, all other columns stay
    """
    if pieces.is_empty():
        return pieces
    rows = pieces.sort(*_PART, "start", nulls_last=True, maintain_order=True)
    whole = rows.group_by(_PART, maintain_order=True).agg(_worth=pl.col("ssp").sum())
    whole = whole.join(pool, on=_PLACE, how="left", maintain_order="left").with_columns(pl.col("pool_minor").fill_null(0))
    weight = pl.when(pl.col("_worth").sum().over(_PLACE) > 0).then("_worth").otherwise(pl.lit(1, dtype=EXACT))
    whole = whole.with_columns(_weight=weight).with_columns(
        _exact=pl.col("pool_minor").cast(EXACT) * pl.col("_weight") / pl.col("_weight").sum().over(_PLACE)
    )
    whole = whole.with_columns(_part=largest_remainder(pl.col("_exact"), pl.col("pool_minor"), over=_PLACE))
    rows = rows.join(whole.select(*_PART, "_part", "_worth"), on=_PART, maintain_order="left")
    size = pl.when(pl.col("_worth") > 0).then("ssp").otherwise(pl.lit(1, dtype=EXACT))
    rows = rows.with_columns(_size=size)
    upto, all_of = pl.col("_size").cum_sum().over(_PART), pl.col("_size").sum().over(_PART)
    part = pl.col("_part").cast(EXACT)
    amount = round_half_away(part * upto / all_of) - round_half_away(part * (upto - pl.col("_size")) / all_of)
    return rows.with_columns(amount_minor=amount).drop("_part", "_worth", "_size")


def _points(rows: pl.DataFrame) -> pl.DataFrame:
    """Amounts that are earned on a day: rows with contract_id, item_id, chain, group, since, on and amount_minor."""
    return rows.select(
        "contract_id", "item_id", "amount_minor", start="on", end="on", method=pl.lit("point"), full_start="on", ssp=pl.lit(0, dtype=EXACT),
        chain="chain", group="group", since="since",
    )  # fmt: skip
