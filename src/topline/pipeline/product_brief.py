"""One page on a product: what it is, its prices, who buys it, who competes. Listed and read among market's briefs."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import polars as pl

from topline.books.models import Entity
from topline.catalog import queries as catalog
from topline.catalog.models import Price, Product
from topline.engine.win_rates import FEWEST
from topline.kernel.errors import NotFound
from topline.kernel.money import format_amount
from topline.market import competitors, prices
from topline.market.briefs import LISTED, Brief, Section
from topline.pipeline import figures, queries
from topline.ui.format import day, percent

YEAR = timedelta(days=365)
MAX_PRODUCTS = 500


def titles() -> dict[str, str]:
    """The products still sold, by code. One statement."""
    return dict(Product.objects.filter(is_active=True).order_by("name", "id").values_list("code", "name")[:MAX_PRODUCTS])


def product_brief(subject: str, *, entity: Entity, as_of: date, ours: pl.DataFrame | None = None) -> Brief:
    """What a product is and costs, what was sold of it in a year and to whom, and what competitors ask for what compares with it.

    subject  the product's code. A deal of several products counts for each of them, with the amount of its line where that is known.
    Raises: NotFound.
    """
    product = Product.objects.filter(code=subject).first()
    if product is None:
        raise NotFound(f"There is no product {subject!r}.", field="brief", remedy="See the list of briefs under Market.")
    sold = _sold(product, entity, as_of)
    points = catalog.list_points(as_of) if ours is None else ours
    listed = [
        f"{prices.unit_price(p['unit_price_nano'], p['currency'])} {p['currency']}"
        for p in points.filter(pl.col("code") == product.code).to_dicts()
    ]
    won = sold.filter(pl.col("state") == "won")
    parts = catalog.parts_of(product.pk)
    of_parts = [] if listed else _of_parts(parts, points, entity.currency)
    facts = [
        ("Code", f"{product.code}, {product.family}" if product.family else product.code),
        *([("Made of", ", ".join(f"{p['quantity_micro'] / 10**6:g} × {p['name']}" for p in parts))] if parts else []),
        ("List price", f"{', '.join(listed or of_parts)} per {product.unit}{', as its parts together' if of_parts else ''}" if listed or of_parts else "none today"),
        ("Cost of a unit", f"{prices.unit_price(product.unit_cost_nano, product.cost_currency)} {product.cost_currency}" if product.unit_cost_nano is not None else "not known"),
        ("Won in a year", f"{won.height:,} of {sold.height:,} deals that ended"),
        ("Win rate", percent(won.height / sold.height, 0) if sold.height >= FEWEST else f"not enough data: it takes {FEWEST} deals that ended"),
    ]  # fmt: skip
    buyers, rivals = _buyers(won), _rivals(product, as_of)
    sections = [
        Section("What it is", [product.description or "Nobody said it yet: change the product in the catalog."]),
        _history(product, as_of),
        Section("Who buys", [] if buyers else ["Nobody did in the last year."], ["Segment", "Deals won", "Sold for"] if buyers else [], buyers),
        Section("Who competes", [] if rivals else ["No product of a competitor is known to compare with it."],
                ["Competitor", "Product", "Price", "per", "Since"] if rivals else [], rivals),
    ]  # fmt: skip
    return Brief(f"product:{product.code}", product.name, "Product", as_of, facts, sections)


def _sold(product: Product, entity: Entity, as_of: date) -> pl.DataFrame:
    """The deals with the product that ended in the year up to the day: state, segment, currency, sold_minor (of its lines, else of the deal)."""
    until = as_of + timedelta(days=1)
    ended = figures.closed_deals(entity_id=entity.pk, since=until - YEAR, until=until)
    lines = queries.lines(entity_id=entity.pk)
    alone = lines.group_by("opportunity_id").agg(products=pl.col("product_id").n_unique())
    mine = (
        lines.filter(pl.col("product_id") == product.pk)
        .group_by("opportunity_id")
        .agg(line_minor=pl.col("amount_minor").sum(), known=pl.col("amount_minor").is_not_null().all())
    )
    joined = ended.join(mine, on="opportunity_id", maintain_order="left").join(alone, on="opportunity_id", maintain_order="left")
    worth = pl.when("known").then("line_minor").when(pl.col("products") == 1).then("amount_minor")
    return joined.select("state", "segment", "currency", sold_minor=worth)


def _of_parts(parts: list[dict[str, Any]], points: pl.DataFrame, currency: str) -> list[str]:
    """What a bundle without a price of its own costs: its parts together, where each has a list price in the currency."""
    each = dict(points.filter(pl.col("currency") == currency).select("code", "unit_price_nano").iter_rows())
    if not parts or any(part["code"] not in each for part in parts):
        return []
    nano = sum(each[part["code"]] * part["quantity_micro"] // 10**6 for part in parts)
    return [f"{prices.unit_price(nano, currency)} {currency}"]


def _buyers(won: pl.DataFrame) -> list[list[str]]:
    grouped = won.group_by("segment", "currency").agg(
        deals=pl.len(), sold_minor=pl.col("sold_minor").sum(), unknown=pl.col("sold_minor").null_count()
    )
    rows: list[dict[str, Any]] = grouped.sort("deals", "segment", descending=[True, False]).head(LISTED).to_dicts()
    return [
        [r["segment"] or "no segment", f"{r['deals']:,}", f"{format_amount(r['sold_minor'], r['currency'])} {r['currency']}" + (f", {r['unknown']} not known" if r["unknown"] else "")]
        for r in rows
    ]  # fmt: skip


def _rivals(product: Product, as_of: date) -> list[list[str]]:
    against = competitors.prices(as_of=as_of).filter(pl.col("compares_with") == product.code).head(LISTED)
    return [
        [r["competitor"], r["product"], f"{prices.unit_price(r['unit_price_nano'], r['currency'])} {r['currency']}", r["unit"], day(r["valid_from"])]
        for r in against.to_dicts()
    ]  # fmt: skip


def _history(product: Product, as_of: date) -> Section:
    known = Price.objects.filter(product=product, price_book__isnull=True, valid_from__lte=as_of).order_by(
        "-valid_from", "currency"
    )
    rows = [[day(p.valid_from), f"{prices.unit_price(p.unit_price_nano, p.currency)} {p.currency}"] for p in known[:LISTED]]
    return Section("List price", [] if rows else ["It has none of its own."], ["Since", "Price of a unit"] if rows else [], rows)
