"""Verbs of the catalog: add and change products, open price books, set prices from a day on."""

from __future__ import annotations

from typing import Any

import polars as pl

from topline.catalog.models import Price, PriceBook, Product
from topline.kernel import bulk, clock, money
from topline.kernel.actions import action, changed, changed_many
from topline.kernel.actor import Actor
from topline.kernel.errors import Conflict, Invalid, NotFound, ensure

OPTIONAL = ["family", "description", "unit", "unit_cost_nano", "cost_currency", "import_batch_id"]
CHANGEABLE = {"name", "family", "description", "unit", "is_active", "unit_cost_nano", "cost_currency"}
PRICE = {
    "product_id": pl.Int64,
    "price_book_id": pl.Int64,
    "currency": pl.String,
    "unit_price_nano": pl.Int64,
    "valid_from": pl.Date,
    "valid_to": pl.Date,
}


class ProductCodeTaken(Conflict):
    """Another product has the code."""

    code = "product_code_taken"


class PricesOverlap(Conflict):
    """Two prices of one product would hold on the same day."""

    code = "prices_overlap"


@action("catalog.add_products")
def add_products(*, actor: Actor, products: pl.DataFrame) -> pl.DataFrame:
    """Add a batch of things to sell.

    products  one row per product: code, name; optional family, description, unit, unit_cost_nano (billionths of a minor unit) with cost_currency
    returns   one row per product in the same order: product_id i64, code str
    Work: a fixed number of statements.
    Raises: Invalid (code or name missing, currency, cost without one), ProductCodeTaken.
    """
    if products.is_empty():
        return pl.DataFrame(schema={"product_id": pl.Int64, "code": pl.String})
    for name in ("code", "name"):
        blank = products[name].fill_null("").str.strip_chars() == ""
        ensure(not blank.any(), Invalid(f"A product needs a {name}.", field=name, remedy="Fill it in."))
    _check_costs(products)
    few = {"code__in": products["code"].to_list()} if products.height <= bulk.FEW else {}
    known = bulk.read(Product.objects.filter(**few).values("code"))["code"]
    taken = products.filter(pl.col("code").is_duplicated() | pl.col("code").is_in(known.implode()))["code"]
    if taken.len():
        raise ProductCodeTaken(
            f"There is a product {taken[0]} already.", field="code", remedy="Use the existing product or another code."
        )
    present = [name for name in OPTIONAL if name in products.columns]
    written = bulk.insert(Product, products.select("code", "name", *present, created_at=pl.lit(clock.now())))
    changed_many("product", written["id"])
    return written.select(product_id="id", code="code")


@action("catalog.change_product")
def change_product(*, actor: Actor, product_id: int, changes: dict[str, Any]) -> int:
    """Rename a product, change its family, description, unit or cost, or take it off sale; returns its id. Deals keep what they have.

    Raises: NotFound, Invalid (unknown field, name missing, cost without currency).
    """
    product = Product.objects.select_for_update().filter(pk=product_id).first()
    if product is None:
        raise NotFound(f"There is no product {product_id}.", field="product_id")
    unknown = sorted(set(changes) - CHANGEABLE)
    ensure(not unknown, Invalid(f"{', '.join(unknown)} cannot be changed.", field=unknown[0] if unknown else ""))
    ensure(
        bool(str(changes.get("name", product.name)).strip()),
        Invalid("A product needs a name.", field="name", remedy="Fill it in."),
    )
    before = {name: getattr(product, name) for name in changes}
    for name, value in changes.items():
        setattr(product, name, value)
    costs = {"unit_cost_nano": [product.unit_cost_nano], "cost_currency": [product.cost_currency]}
    _check_costs(pl.DataFrame(costs, schema={"unit_cost_nano": pl.Int64, "cost_currency": pl.String}))
    product.save(update_fields=list(changes))
    changed("product", product_id, before=before, after=changes)
    return product_id


@action("catalog.add_price_book")
def add_price_book(*, actor: Actor, key: str, name: str) -> int:
    """Open a price book, such as one for partners; returns its id. Where it has no price, the list price holds.

    Raises: Invalid (key or name missing), Conflict (key taken).
    """
    ensure(bool(key.strip()) and bool(name.strip()), Invalid("A price book needs a key and a name.", field="name"))
    taken = PriceBook.objects.filter(key=key).exists()
    ensure(not taken, Conflict(f"There is a price book {key} already.", field="key", remedy="Use another key."))
    book = PriceBook.objects.create(key=key, name=name)
    changed("price_book", book.pk, after={"key": key, "name": name})
    return book.pk


@action("catalog.add_prices")
def add_prices(*, actor: Actor, prices: pl.DataFrame) -> pl.DataFrame:
    """Set prices from a day on. A price without end that began earlier ends where the new one begins; what was charged before stays known.

    prices   one row per price: product_id, currency, unit_price_nano (billionths of a minor unit, >= 0), valid_from; optional
             valid_to (the first day on which it no longer holds), price_book_id (null: the list price)
    returns  one row per price in the same order: price_id i64, product_id i64
    Work: four statements and one sort of all prices of these products.
    Raises: NotFound (product, book), Invalid (price negative, currency, end before start), PricesOverlap.
    """
    if prices.is_empty():
        return pl.DataFrame(schema={"price_id": pl.Int64, "product_id": pl.Int64})
    absent = [name for name in ("price_book_id", "valid_to") if name not in prices.columns]
    new = prices.with_columns(pl.lit(None).alias(name) for name in absent).select(
        pl.col(name).cast(kind) for name, kind in PRICE.items()
    )
    for code in new["currency"].unique().to_list():
        money.ensure_currency(code)
    ensure(
        not (new["unit_price_nano"].fill_null(-1) < 0).any(),
        Invalid("A price is a number of zero or more.", field="unit_price_nano", remedy="Correct the price."),
    )
    ensure(new["valid_from"].null_count() == 0, Invalid("From which day does the price hold?", field="valid_from"))
    ensure(
        new.filter(pl.col("valid_to") <= pl.col("valid_from")).is_empty(),
        Invalid("A price ends after it began.", field="valid_to", remedy="Correct one of the two days."),
    )
    ids = new["product_id"].unique().to_list()
    books = new["price_book_id"].drop_nulls().unique().to_list()
    found = Product.objects.select_for_update().filter(pk__in=ids).order_by("id").values_list("id", flat=True)
    missing = sorted(set(ids) - set(found))
    if missing:
        raise NotFound(f"There is no product {missing[0]}.", field="product_id", remedy="Add the product first.")
    if PriceBook.objects.filter(pk__in=books).count() != len(books):
        raise NotFound("There is no such price book.", field="price_book_id", remedy="Add the price book first.")
    old = bulk.read(Price.objects.filter(product_id__in=ids).values("id", *PRICE))
    ended = _ends(old, new)
    spans = pl.concat([ended, new.with_columns(id=pl.lit(None, dtype=pl.Int64)).select(ended.columns)])
    _ensure_apart(spans)
    closing = ended.join(old.filter(pl.col("valid_to").is_null()).select("id"), on="id").filter(pl.col("valid_to").is_not_null())
    bulk.update(Price, closing.select("id", "valid_to"))
    written = bulk.insert(Price, new.with_columns(recorded_at=pl.lit(clock.now())))
    changed_many("product", written["product_id"], after={"prices": written.height})
    return written.select(price_id="id", product_id="product_id")


def _ends(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """The old prices, those without end closed where the first new one of their kind begins after them."""
    keys = ["product_id", "price_book_id", "currency"]
    first = new.group_by(keys).agg(_begins=pl.col("valid_from").min())
    closes = pl.col("valid_to").is_null() & (pl.col("_begins") > pl.col("valid_from"))
    return (
        old.join(first, on=keys, how="left", nulls_equal=True, maintain_order="left")
        .with_columns(valid_to=pl.when(closes).then("_begins").otherwise("valid_to"))
        .drop("_begins")
    )


def _ensure_apart(spans: pl.DataFrame) -> None:
    """Raises: PricesOverlap when two spans of one product, book and currency share a day."""
    keys = ["product_id", "price_book_id", "currency"]
    ordered = spans.sort(*keys, "valid_from", nulls_last=True)
    following = pl.col("valid_from").shift(-1).over(keys)
    ordered = ordered.with_columns(following=following)
    clash = ordered.filter(following.is_not_null() & (pl.col("valid_to").is_null() | (pl.col("valid_to") > following)))
    if clash.height:
        row = clash.row(0, named=True)
        code = Product.objects.values_list("code", flat=True).get(pk=row["product_id"])
        until = f"until before {row['valid_to']:%-d %b %Y}" if row["valid_to"] else "without end"
        raise PricesOverlap(
            f"{code} would have two prices in {row['currency']} on {row['following']:%-d %b %Y}: one holds from {row['valid_from']:%-d %b %Y} {until}.",
            field="valid_from",
            remedy="Let one end before the other begins.",
        )


def _check_costs(products: pl.DataFrame) -> None:
    if "unit_cost_nano" not in products.columns:
        return
    known = products.filter(pl.col("unit_cost_nano").is_not_null())
    ensure(not (known["unit_cost_nano"] < 0).any(), Invalid("A cost is a number of zero or more.", field="unit_cost_nano"))
    if known.height:
        codes = known["cost_currency"].fill_null("").unique().to_list() if "cost_currency" in known.columns else [""]
        for code in codes:
            money.ensure_currency(code, field="cost_currency")
