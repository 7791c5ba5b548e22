"""Territories: whose a customer or a lead is, by rules in order. The first rule that fits decides; several owners take turns."""

from __future__ import annotations

from typing import Any

import polars as pl

from topline.kernel import bulk
from topline.kernel.actions import action, changed
from topline.kernel.actor import Actor
from topline.kernel.countries import ensure_countries
from topline.kernel.errors import Invalid, ensure
from topline.market.models import Customer
from topline.pipeline import figures
from topline.pipeline.models import Rep, Territory

MAX_RULES, MAX_REPS = 100, 50
RULES = ("countries", "segments", "sources")


@action("pipeline.set_territories")
def set_territories(*, actor: Actor, territories: list[dict[str, Any]]) -> int:
    """Say all territories in their order; returns how many.

    territories  name; countries, segments, sources (lists of texts; an empty one fits everything); rep_ids: who owns it, in the order of their turns
    Raises: Invalid (no name, a name twice, nobody owns it, an unknown or departed seller, a country that is no code, more than a hundred).
    """
    ensure(len(territories) <= MAX_RULES, Invalid(f"There are at most {MAX_RULES} territories.", field="territories"))
    names = [str(t["name"]).strip() for t in territories]
    ensure(all(names), Invalid("A territory needs a name.", field="name", remedy="Fill in the name."))
    twice = next((n for n in names if names.count(n) > 1), "")
    ensure(not twice, Invalid(f"Two territories are called {twice}.", field="name", remedy="Use another name."))
    sellers = set(Rep.objects.filter(left_on__isnull=True).values_list("id", flat=True))
    rows = []
    for position, (name, said) in enumerate(zip(names, territories, strict=True)):
        owners = list(dict.fromkeys(said["rep_ids"]))
        ensure(0 < len(owners) <= MAX_REPS, Invalid(f"{name}: say who owns it.", field="rep_ids", remedy="Name one sales person or more."))  # fmt: skip
        gone = next((pk for pk in owners if pk not in sellers), None)
        ensure(gone is None, Invalid(f"{name}: there is no sales person {gone}, or they have left.", field="rep_ids"))
        rule = {key: sorted({str(v).strip() for v in said.get(key, []) if str(v).strip()}) for key in RULES}
        rule["countries"] = sorted({c.upper() for c in rule["countries"]})
        ensure_countries(rule["countries"], field="countries", of=f"{name}: ")
        rows.append(Territory(position=position, name=name, rep_ids=owners, **rule))
    before = list(Territory.objects.order_by("position").values_list("name", flat=True))
    Territory.objects.all().delete()
    Territory.objects.bulk_create(rows)
    changed("territories", 0, before={"territories": before}, after={"territories": names})
    return len(rows)


def place(asked: pl.DataFrame, *, turn: int = 0) -> pl.DataFrame:
    """Whose each row is: the first territory that fits.

    asked    country, segment, source str (missing columns fit only rules that ask for none)
    turn     how many were placed before: owners of a territory take turns from there
    returns  one row per row asked, in order: territory str and rep_id i64, null where none fits
    Work: one statement, and one pass a territory.
    """
    owner: pl.Expr = pl.lit(None, dtype=pl.Int64)
    name: pl.Expr = pl.lit(None, dtype=pl.String)
    frame = asked.with_columns(*(pl.lit("").alias(c) for c in ("country", "segment", "source") if c not in asked.columns))
    frame = frame.with_row_index("_n", offset=turn)
    for t in reversed(list(Territory.objects.order_by("position")[:MAX_RULES])):
        fits = pl.lit(True)
        for column, wanted in (("country", t.countries), ("segment", t.segments), ("source", t.sources)):
            fits = fits & pl.col(column).fill_null("").is_in(wanted) if wanted else fits
        mine = (pl.col("_n") % len(t.rep_ids)).replace_strict(dict(enumerate(t.rep_ids)), return_dtype=pl.Int64)
        owner, name = pl.when(fits).then(mine).otherwise(owner), pl.when(fits).then(pl.lit(t.name)).otherwise(name)
    return frame.with_columns(territory=name, rep_id=owner).select("territory", "rep_id")


def overview(*, entity_id: int, as_of: Any) -> list[dict[str, Any]]:
    """Every territory with its customers and open deals, and how many of these somebody outside it holds; what fits none comes last."""
    people = bulk.read(Customer.objects.filter(merged_into__isnull=True).values("id", "country", "segment"))
    placed = people.hstack(place(people).select("territory"))
    open_deals = figures.book(entity_id=entity_id, as_of=as_of).filter(pl.col("state") == "open")
    held = open_deals.join(placed.select("territory", customer_id="id"), on="customer_id")
    names = dict(Rep.objects.values_list("id", "name"))
    rules = list(Territory.objects.order_by("position")[:MAX_RULES])
    rows = []
    for t in [*rules, None]:
        mine = held.filter(pl.col("territory").eq_missing(t.name if t else None))
        outside = mine.filter(~pl.col("rep_id").is_in(t.rep_ids)).height if t else None
        fits = "; ".join(f"{key}: {', '.join(getattr(t, key))}" for key in RULES if getattr(t, key)) if t else ""
        rows.append({
            "name": t.name if t else "none", "fits": (fits or "everybody") if t else "no territory fits", "owners": ", ".join(names[pk] for pk in t.rep_ids) if t else "",
            "customers": placed.filter(pl.col("territory").eq_missing(t.name if t else None)).height, "deals": mine.height, "outside": outside,
        })  # fmt: skip
    return rows
