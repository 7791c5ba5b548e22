"""The market as a whole: segments, competitors, prices side by side, and briefs. Drawn here, since other rooms have their word in it."""

from __future__ import annotations

from typing import Any

import polars as pl
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode

from topline.books.company import company, day_asked
from topline.kernel.errors import Invalid
from topline.market import battlecards, briefs, competitors, documents, experience, prices, segments
from topline.ui.access import Asked, page
from topline.ui.charts import dots_chart
from topline.ui.export import export
from topline.ui.format import address_in, day, money, percent
from topline.ui.tables import Column

SEGMENTS = [
    Column("name", "Segment", link="url"), Column("customers", "Customers", "integer"), Column("of_accounts", "of its accounts"), Column("billed_minor", "Billed in a year", "money"),
    Column("of_spend", "of its spend"), Column("index", "Price index", "integer"), Column("rivals", "Competitors"), Column("told", "Size told"),
]  # fmt: skip
RIVALS = [
    Column("name", "Competitor", link="url"), Column("card", "Battlecard", "badge"), Column("reviewed_on", "Reviewed", "date"), Column("owner", "Kept fresh by"),
    Column("segments", "Met in"), Column("products", "Products", "integer"), Column("changed_on", "Last price change", "date"),
]  # fmt: skip
CHANGES = [
    Column("valid_from", "Since", "date"), Column("competitor", "Competitor", link="url"), Column("product", "Product"), Column("price", "Price", "amount"), Column("currency", ""),
    Column("unit", "per"), Column("seen_on", "Seen", "date"),
]  # fmt: skip
POSITIONS = [
    Column("seller", "Seller", link="url"), Column("product", "Product"), Column("code", "Against"), Column("told", "Price", "amount"), Column("currency", ""), Column("unit", "per"),
    Column("here", "Converted", "amount"), Column("rate_on", "Rate of", "date"), Column("valid_from", "Since", "date"), Column("seen_on", "Seen", "date"), Column("source", "Source", "sentence", link="source_url"),
]  # fmt: skip
LATEST = 8  # price changes on the overview
DRAWN = 14  # prices in one chart; the table below has them all


@page("market.view")
def overview(request: Asked) -> HttpResponse:
    """Segments with our share, competitors with their cards, what changed last, what customers say."""
    entity = company(request)
    as_of = day_asked(request, entity)
    views = segments.overview(entity=entity, as_of=as_of)
    fresh = {f.competitor_id: f for f in battlecards.freshness(as_of=as_of)}
    changes = competitors.price_changes().filter(pl.col("valid_from") <= as_of)
    rivals = list(competitors.competitors().order_by("name")[: competitors.MAX_COMPETITORS])
    met = competitors.segments_of([r.pk for r in rivals])
    products = dict(changes.group_by("competitor_id").agg(pl.col("product_id").n_unique()).iter_rows())
    changed = dict(changes.group_by("competitor_id").agg(pl.col("valid_from").max()).iter_rows())
    context = {
        "as_of": as_of, "entity": entity, "segment_columns": SEGMENTS, "rival_columns": RIVALS, "change_columns": CHANGES, "stale": [f for f in fresh.values() if f.is_stale],
        "segments": [_segment(v) for v in views], "described": sum(1 for v in views if v.is_described), "us": experience.experience(as_of=as_of).us, "words": experience.words,
        "rivals": [
            {"name": r.name, "url": reverse("landscape:competitor", args=[r.pk]), "owner": r.owner.name if r.owner else None, "segments": ", ".join(met[r.pk]) or None,
             "products": products.get(r.pk, 0), "changed_on": changed.get(r.pk), "card": _card(fresh.get(r.pk)), "reviewed_on": fresh[r.pk].reviewed_on if r.pk in fresh else None}
            for r in rivals
        ],
        "changes": [
            {**c, "price": prices.unit_price(c["unit_price_nano"], c["currency"]), "url": reverse("landscape:competitor", args=[c["competitor_id"]])}
            for c in changes.head(LATEST).to_dicts()
        ],
    }  # fmt: skip
    return render(request, "web/market.html", context)


@page("market.view")
def segment(request: Asked) -> HttpResponse:
    """One segment: how large, what share is ours, who competes, our largest customers, what they say."""
    entity = company(request)
    as_of = day_asked(request, entity)
    view = segments.segment(request.GET.get("name", ""), entity=entity, as_of=as_of)
    context = {
        "view": view, "as_of": as_of, "sizes": segments.sizes(view.name), "said": experience.experience(as_of=as_of, segment=view.name).us, "words": experience.words,
        "index": briefs.index_words(view.index), "key": f"segment:{view.name}",
        "largest": [{**c, "url": reverse("web:customer", args=[c["id"]]), "currency": entity.currency} for c in segments.customers_of(view.name, entity=entity, as_of=as_of)],
        "columns": [Column("name", "Customer", link="url"), Column("country", "Country"), Column("billed_minor", "Billed in a year", "money"), Column("currency", "")],
    }  # fmt: skip
    return render(request, "web/segment.html", context)


@page("market.view")
def price_position(request: Asked) -> HttpResponse:
    """Prices side by side as of a day, in the company's currency: one chart a unit, the table behind them, and the index."""
    entity = company(request)
    as_of = day_asked(request, entity)
    wanted = request.GET.get("segment", "")
    found = prices.position(as_of=as_of, currency=entity.currency, segment=wanted)
    rows = [
        {**r, "told": prices.unit_price(r["unit_price_nano"], r["currency"]), "here": None if r["price"] is None else f"{r['price']:,.2f} {entity.currency}",
         "url": "" if r["is_ours"] else reverse("landscape:competitor", args=[r["competitor_id"]]), "source_url": address_in(r["source"])}
        for r in found.rows.to_dicts()
    ]  # fmt: skip
    if form := request.GET.get("export", ""):
        if form not in ("csv", "xlsx"):
            raise Invalid(f"{form!r} is no format for export.", field="export", remedy="Use csv or xlsx.")
        return export(rows, POSITIONS, name=f"prices-{as_of}", form=form)
    charts = [
        dots_chart(
            [{"line": f"{r['seller']}: {r['product']}", "price": r["price"], "ours": r["is_ours"], "shown": f"{r['told']} {r['currency']}"} for r in rows if r["unit"] == unit][:DRAWN],
            y="line", x="price", title=f"Prices per {unit}", x_title=f"{entity.currency} per {unit}", marked="ours", shown="shown",
        )
        for unit in dict.fromkeys(r["unit"] for r in rows if not r["is_ours"])  # ours alone have no position
    ]  # fmt: skip
    context = {
        "found": found, "rows": rows, "columns": POSITIONS, "charts": charts, "as_of": as_of, "segment": wanted, "names": segments.choices(), "index": briefs.index_words(found.index),
        "query": urlencode({k: v for k, v in (("segment", wanted), ("as_of", request.GET.get("as_of", ""))) if v}), "has_ours": any(r["is_ours"] for r in rows), "drawn": DRAWN,
    }  # fmt: skip
    return render(request, "web/prices.html", context)


@page("market.view")
def briefs_page(request: Asked) -> HttpResponse:
    """Every brief that can be made, as page and PDF."""
    base = reverse("web:brief")
    rows = [
        {"title": title, "kind": key.partition(":")[0], "url": f"{base}?{urlencode({'key': key})}", "pdf": f"{base}?{urlencode({'key': key, 'form': 'pdf'})}", "form": "PDF"}
        for key, title in briefs.titles().items()
    ]  # fmt: skip
    columns = [Column("title", "Brief", link="url"), Column("kind", "About a"), Column("form", "Print", link="pdf")]
    return render(request, "web/briefs.html", {"rows": rows, "columns": columns})


@page("market.view")
def brief(request: Asked) -> HttpResponse:
    """One page on a segment or a competitor, on the screen or as PDF (`form=pdf`)."""
    entity = company(request)
    as_of = day_asked(request, entity)
    found = briefs.brief(request.GET.get("key", ""), entity=entity, as_of=as_of)
    form = request.GET.get("form", "")
    if form not in ("", "pdf"):
        raise Invalid(f"{form!r} is no form of a brief.", field="form", remedy="Use pdf, or leave it out.")
    if form == "pdf":
        response = HttpResponse(documents.brief_pdf(found, company=entity.name), content_type="application/pdf")
        name = "".join(c if c.isascii() and c.isalnum() else "-" for c in found.title).strip("-").lower() or "brief"
        response["Content-Disposition"] = f'inline; filename="{name}-{as_of}.pdf"'
        return response
    steps = briefs.reading_path(request.actor.member_id)
    step = next((s for s in steps if s.key == found.key), None)
    query = {"key": found.key, "form": "pdf"} | ({"as_of": request.GET["as_of"]} if request.GET.get("as_of") else {})
    context = {"brief": found, "step": step, "steps": len(steps), "pdf": f"{reverse('web:brief')}?{urlencode(query)}"}
    return render(request, "web/brief.html", context)


def _segment(view: segments.SegmentView) -> dict[str, Any]:
    size, told = view.size, "not described"
    if view.is_described:
        told = f"{day(size.on)}, {size.source}" if size else "described, size not known"
    return {
        "name": view.name, "url": f"{reverse('web:segment')}?{urlencode({'name': view.name})}", "customers": view.customers, "billed_minor": view.billed_minor,
        "currency": view.currency, "of_accounts": percent(view.share_of_accounts, 2), "of_spend": percent(view.share_of_spend, 2),
        "index": None if view.index.value is None else round(view.index.value), "rivals": ", ".join(name for _, name in view.competitors) or None, "told": told,
        "size": money(view.spend_minor, view.currency),
    }  # fmt: skip


def _card(fresh: battlecards.Freshness | None) -> str:
    return "no card" if fresh is None else "stale" if fresh.is_stale else "fresh"
