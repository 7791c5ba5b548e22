"""Reads of quotes: what a list shows, one quote with every step of its prices, and what was given off to whom."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import polars as pl
from django.db.models import Q, QuerySet

from topline.engine.proportions import Difference, difference, mean_difference
from topline.kernel import bulk
from topline.kernel.errors import Invalid, ensure
from topline.quotes.models import Quote, QuoteLine, QuotePriceStep, QuotePromotion

FEWEST = 15  # deals on each side before a rate is told
BY = {"rep": "Sales person", "segment": "Segment", "family": "Family", "product": "Product"}
OFFERED, SOLD = "offered", "accepted"
STEPS = ("price_book", "volume", "promotion", "manual", "terms", "fees", "late_payment")
AFTER_NET = ("terms", "fees", "late_payment")  # steps that the customer does not see
GROUP = {
    "rep": "opportunity__rep__name",
    "segment": "segment",
    "family": "lines__product__family",
    "product": "lines__product__name",
}


def quotes(*, entity_id: int, state: str = "", text: str = "", opportunity_id: int | None = None) -> QuerySet[Quote]:
    """Quotes narrowed by state, deal, and the start of a number or a part of a deal's or customer's name. For lists that page."""
    found = Quote.objects.filter(entity_id=entity_id)
    if state:
        found = found.filter(state=state)
    if opportunity_id is not None:
        found = found.filter(opportunity_id=opportunity_id)
    return (
        found.filter(Q(number__istartswith=text) | Q(opportunity__name__icontains=text) | Q(customer__name__icontains=text))
        if text
        else found
    )


def behind(*, entity_id: int, by: str, key: str, state: str, span: tuple[date, date]) -> QuerySet[Quote]:
    """The quotes behind a figure of `realisation`: the same days and state, and of its group. Raises: Invalid."""
    ensure(
        by in GROUP and state in (SOLD, OFFERED),
        Invalid("There is no such figure.", field="by", remedy="Choose one under Prices reached."),
    )
    of_group = Quote.objects.filter(**{GROUP[by]: "" if key == "none" else key})
    return Quote.objects.filter(_reached(state, *span), entity_id=entity_id, pk__in=of_group.values("pk"))


def _reached(state: str, since: date, until: date, path: str = "") -> Q:
    """Which quotes count: accepted ones that were closed in [since, until), or those sent in it of which none newer was sent."""
    if state == SOLD:
        return Q(**{f"{path}state": Quote.State.ACCEPTED, f"{path}closed_on__gte": since, f"{path}closed_on__lt": until})
    sent = Q(**{f"{path}sent_on__gte": since, f"{path}sent_on__lt": until})
    return sent & ~Q(**{f"{path}state": Quote.State.SUPERSEDED})


def steps(quote_id: int) -> dict[int, list[dict[str, Any]]]:
    """The steps of each line's price, in order, by the line's id. One statement."""
    found: dict[int, list[dict[str, Any]]] = {}
    columns = ("line_id", "step", "note", "base_minor", "amount_minor", "running_minor")
    for row in QuotePriceStep.objects.filter(line__quote_id=quote_id).order_by("line__position", "position").values(*columns):
        found.setdefault(row["line_id"], []).append(row)
    return found


def realisation(*, entity_id: int, since: date, until: date, by: str, state: str = SOLD) -> pl.DataFrame:
    """List, net and pocket of what was quoted, by a group of BY and currency: the last sent version of each number.

    state    accepted: closed in [since, until); offered: sent in it, whatever became of it
    returns  key, currency, quotes, list_minor, net_minor, pocket_minor, one column of STEPS each (minor units, reductions negative),
             net_share and pocket_share (of list); the largest list first. Work: two statements.
    """
    lines = _lines(entity_id, since, until, state)
    if lines.is_empty():
        return pl.DataFrame()
    moved = bulk.read(QuotePriceStep.objects.filter(line_id__in=lines["id"].to_list()).values("line_id", "step", "amount_minor"))
    wide = lines.select("id", key=pl.when(pl.col(by) == "").then(pl.lit("none")).otherwise(by), currency="currency", quote="quote_id", **{c: c for c in ("list_minor", "net_minor", "pocket_minor")})  # fmt: skip
    sums = moved.group_by(id="line_id").agg(
        pl.col("amount_minor").filter(pl.col("step") == step).sum().alias(step) for step in STEPS
    )
    whole = wide.join(sums, on="id", how="left").with_columns(pl.col(STEPS).fill_null(0))
    grouped = whole.group_by("key", "currency").agg(
        pl.col("quote").n_unique().alias("quotes"), pl.col("list_minor", "net_minor", "pocket_minor", *STEPS).sum()
    )
    share = {
        f"{kind}_share": pl.when(pl.col("list_minor") > 0).then(pl.col(f"{kind}_minor") / pl.col("list_minor"))
        for kind in ("net", "pocket")
    }
    return grouped.with_columns(**share).sort("currency", "list_minor", "key", descending=[False, True, False])


def _lines(entity_id: int, since: date, until: date, state: str) -> pl.DataFrame:
    rows = QuoteLine.objects.filter(_reached(state, since, until, "quote__"), quote__entity_id=entity_id)
    named = {
        "rep": "quote__opportunity__rep__name",
        "segment": "quote__segment",
        "family": "product__family",
        "product": "product__name",
        "currency": "quote__currency",
    }
    return bulk.read(rows.values("id", "quote_id", "list_minor", "net_minor", "pocket_minor", *named.values())).rename(
        {v: k for k, v in named.items()}
    )


def promotion_effects(*, entity_id: int, as_of: date) -> list[dict[str, Any]]:
    """What each promotion cost and what it went with: won deals among those that ended and were quoted with it, beside the others of the
    same segments that were quoted without any.

    returns  code, name, used (quotes sent), cost_minor (accepted), currency, with_won, with_ended, without_won, without_ended,
             win (Difference of win rates, with less without; None below 15 deals on a side), size_with, size_without (average won, minor),
             size (Difference of these in minor units; None below 15 won deals on a side), taken_minor (cost of what is accepted or may
             still be), budget_minor (None: no limit)
    An association: who gets a promotion is not drawn by lot. Work: three statements.
    """
    sent = bulk.read(
        Quote.objects.filter(entity_id=entity_id, sent_on__lte=as_of).exclude(state=Quote.State.SUPERSEDED).order_by("id").values(
            "id", "opportunity_id", "segment", "state", "net_minor", "currency", "valid_until", "opportunity__state", "opportunity__closed_on"
        )
    ).rename({"opportunity__state": "deal", "opportunity__closed_on": "closed_on"})  # fmt: skip
    uses = bulk.read(
        QuotePromotion.objects.filter(quote__entity_id=entity_id, quote__sent_on__lte=as_of).values(
            "quote_id", "promotion_id", "cost_minor", "promotion__code", "promotion__name", "promotion__budget_minor"
        )
    )
    if uses.is_empty():
        return []
    known = sent.with_columns(deal=pl.when(pl.col("closed_on") <= as_of).then("deal").otherwise(pl.lit("open")))
    plain = known.join(uses, left_on="id", right_on="quote_id", how="anti")
    rows = []
    for (_, code, name), part in uses.partition_by(
        "promotion_id", "promotion__code", "promotion__name", as_dict=True, maintain_order=True
    ).items():
        mine = known.join(part, left_on="id", right_on="quote_id")
        for (currency,), of in mine.partition_by("currency", as_dict=True, maintain_order=True).items():
            others = plain.filter(
                pl.col("currency") == currency,
                pl.col("segment").is_in(of["segment"].unique().implode()),
                ~pl.col("opportunity_id").is_in(of["opportunity_id"].implode()),
            )
            with_, without = _ended(of), _ended(others)
            live = (pl.col("state") == "accepted") | ((pl.col("state") == "sent") & (pl.col("valid_until") >= as_of))
            rows.append(
                {"code": code, "name": name, "currency": currency, "used": of.height, "cost_minor": int(of.filter(pl.col("state") == "accepted")["cost_minor"].sum()), "with_won": with_["won"], "with_ended": with_["ended"],
                 "without_won": without["won"], "without_ended": without["ended"], "win": _effect(with_, without), "size_with": with_["size"], "size_without": without["size"],
                 "size": mean_difference(without["sizes"], with_["sizes"]) if min(with_["won"], without["won"]) >= FEWEST else None, "taken_minor": int(of.filter(live)["cost_minor"].sum()), "budget_minor": of["promotion__budget_minor"][0]}
            )  # fmt: skip
    return rows


def _ended(rows: pl.DataFrame) -> dict[str, Any]:
    """One row a deal: how many ended, were won, and the average of what was won."""
    deals = rows.sort("id").unique("opportunity_id", keep="last").filter(pl.col("deal").is_in(["won", "lost"]))
    won = deals.filter(pl.col("deal") == "won")
    mean: Any = won["net_minor"].mean()
    return {
        "ended": deals.height,
        "won": won.height,
        "size": None if mean is None else round(mean),
        "sizes": won["net_minor"].to_list(),
    }


def _effect(with_: Mapping[str, Any], without: Mapping[str, Any]) -> Difference | None:
    if min(with_["ended"], without["ended"]) < FEWEST:
        return None
    return difference(without["won"], without["ended"], with_["won"], with_["ended"])
