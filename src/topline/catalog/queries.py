"""Reads of the catalog: products, and what they cost on a day."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
from django.db.models import Count, F, Q, QuerySet

from topline.catalog.models import BundlePart, Price, PriceBook, Product
from topline.kernel import bulk
from topline.kernel.errors import NotFound
from topline.market.names import folded

ASKED = {"product_id": pl.Int64, "currency": pl.String, "on": pl.Date, "price_book_id": pl.Int64}


def prices(asked: pl.DataFrame) -> pl.DataFrame:
    """What each product costs on its day: the price of the named book where it has one, else the list price.

    asked    one row per question: product_id i64, currency str, on date; optional price_book_id i64
    returns  asked in its order with unit_price_nano i64 (billionths of a minor unit), null where no price holds on the day
    Work: one statement and a sorted merge.
    """
    full = asked if "price_book_id" in asked.columns else asked.with_columns(price_book_id=pl.lit(None, dtype=pl.Int64))
    questions = full.with_row_index("_question").select("_question", *(pl.col(c).cast(kind) for c, kind in ASKED.items()))
    ids = questions["product_id"].drop_nulls().unique().to_list()
    near = {"product_id__in": ids} if len(ids) <= bulk.FEW else {}
    known = bulk.read(
        Price.objects.filter(**near).values(
            "product_id", "price_book_id", "currency", "unit_price_nano", "valid_from", "valid_to"
        )
    ).sort("valid_from")
    listed = _holding(
        questions, known.filter(pl.col("price_book_id").is_null()).drop("price_book_id"), ["product_id", "currency"]
    )
    own = _holding(
        questions.drop_nulls("price_book_id"),
        known.drop_nulls("price_book_id"),
        ["product_id", "currency", "price_book_id"],
    ).rename({"unit_price_nano": "_own"})
    answers = listed.join(own, on="_question", how="left").sort("_question")
    return asked.with_columns(unit_price_nano=answers.select(pl.coalesce("_own", "unit_price_nano")).to_series())


def list_price(*, product_id: int, on: date, currency: str) -> int | None:
    """The list price of one unit on a day in billionths of a minor unit; None where there is none. Work: one statement."""
    asked = pl.DataFrame({"product_id": [product_id], "currency": [currency], "on": [on]})
    found: int | None = prices(asked)["unit_price_nano"][0]
    return found


def list_points(on: date) -> pl.DataFrame:
    """The list prices of a day, of products still sold: code, name, currency, unit_price_nano, unit (null: none was told); by code and currency.

    Work: one statement.
    """
    holds = Q(valid_from__lte=on) & (Q(valid_to__isnull=True) | Q(valid_to__gt=on))
    found = Price.objects.filter(holds, price_book__isnull=True, product__is_active=True).order_by("product__code", "currency")
    rows = bulk.read(found.values("product__code", "product__name", "currency", "unit_price_nano", "product__unit"))
    unit = pl.when(pl.col("product__unit") != Product.UNIT).then("product__unit")
    return rows.rename({"product__code": "code", "product__name": "name"}).with_columns(unit=unit).drop("product__unit")


def find(values: pl.Series) -> pl.DataFrame:
    """Which product each text names, by code first, then by name without regard to case and blanks; ambiguous texts find none.

    returns  one row per distinct text: value str, product_id i64 or null
    Work: one statement.
    """
    known = bulk.read(Product.objects.order_by("id").values("id", "code", "name"))
    wanted = pl.DataFrame({"value": values.drop_nulls().unique()}, schema={"value": pl.String})
    by_code = wanted.join(known.select(value="code", _code="id"), on="value", how="left", maintain_order="left")
    names = known.select(_folded=folded(pl.col("name")), _name="id").filter(~pl.col("_folded").is_duplicated())
    found = by_code.with_columns(_folded=folded(pl.col("value"))).join(names, on="_folded", how="left", maintain_order="left")
    return found.select("value", product_id=pl.coalesce("_code", "_name"))


def product(product_id: int) -> Product:
    """One product. Raises: NotFound."""
    found = Product.objects.filter(pk=product_id).first()
    if found is None:
        raise NotFound(f"There is no product {product_id}.", field="product_id", remedy="Look for it in the catalog.")
    return found


def parts_of(product_id: int) -> list[dict[str, Any]]:
    """What a bundle holds, in the order in which it was said: product_id, code, name, quantity_micro."""
    rows = (
        BundlePart.objects.filter(bundle_id=product_id)
        .order_by("id")
        .values("product_id", "quantity_micro", code=F("product__code"), name=F("product__name"))
    )
    return [dict(row) for row in rows[:200]]


def price_books() -> list[PriceBook]:
    """The price books, each with how many prices stand in it today (`prices_now`)."""
    now = Count("prices", filter=Q(prices__valid_to__isnull=True))
    return list(PriceBook.objects.annotate(prices_now=now).order_by("name")[:200])


def search(text: str) -> QuerySet[Product]:
    """Products by part of a name or family, or the start of a code; by name. For lists that page."""
    fits = Q(name__icontains=text) | Q(code__istartswith=text) | Q(family__icontains=text)
    return Product.objects.filter(fits).order_by("name", "id")


def _holding(questions: pl.DataFrame, known: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """_question with the price that began last on or before its day and has not ended by then."""
    met = questions.sort("on").join_asof(
        known.sort("valid_from"), left_on="on", right_on="valid_from", by=by, strategy="backward", check_sortedness=False
    )
    holds = pl.col("valid_to").is_null() | (pl.col("on") < pl.col("valid_to"))
    return met.select("_question", unit_price_nano=pl.when(holds).then("unit_price_nano"))
