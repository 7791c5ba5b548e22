"""Products and prices over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

from ninja import Query
from pydantic import Field

from topline.catalog import actions
from topline.catalog.models import Price, PriceBook, Product
from topline.kernel.errors import NotFound
from topline.ui.wire import (
    MAX_ROWS,
    Asked,
    Body,
    Caller,
    Code,
    Currency,
    Day,
    Flag,
    Id,
    Name,
    Page,
    Ref,
    Room,
    Rows,
    done,
    frame,
    given,
    once,
    page,
    rows,
)

room = Room(tags=["Catalog"])
PRODUCT = ["id", "code", "name", "family", "unit", "is_active", "unit_cost_nano", "cost_currency"]
PRICE = ["id", "product_id", "price_book_id", "currency", "unit_price_nano", "valid_from", "valid_to"]
Nano = Annotated[int, Field(strict=True, ge=0, le=2**62, description="billionths of a minor unit")]


class NewProduct(Body):
    code: Annotated[str, Field(min_length=1, max_length=40)]
    name: Name
    family: Annotated[str, Field(max_length=60)] = ""
    unit: Annotated[str, Field(max_length=20)] = "unit"
    unit_cost_nano: Nano | None = None
    cost_currency: Annotated[str, Field(pattern=r"^([A-Z]{3})?$")] = ""


class NewProducts(Body):
    products: Annotated[list[NewProduct], Field(min_length=1, max_length=MAX_ROWS)]


class ProductChanges(Body):
    name: Name = ""
    family: Annotated[str, Field(max_length=60)] = ""
    unit: Annotated[str, Field(max_length=20)] = "unit"
    is_active: Flag = True
    unit_cost_nano: Nano | None = None
    cost_currency: Annotated[str, Field(pattern=r"^([A-Z]{3})?$")] = ""


class NewBook(Body):
    key: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")]
    name: Annotated[str, Field(min_length=1, max_length=100)]


class NewPrice(Body):
    product_id: Ref
    currency: Currency
    unit_price_nano: Nano
    valid_from: Day
    valid_to: Day | None = None
    price_book_id: Ref | None = None


class NewPrices(Body):
    prices: Annotated[list[NewPrice], Field(min_length=1, max_length=MAX_ROWS)]


class PricesAsked(Asked):
    product_id: Annotated[int, Field(ge=0)] = 0
    currency: Code = ""


@room.reads("/products", "catalog.view", Page)
def list_products(request: Caller, asked: Query[Asked]) -> Any:
    """What we sell."""
    return page(Product.objects.all(), PRODUCT, asked)


@room.reads("/products/{int:product_id}", "catalog.view")
def get_product(request: Caller, product_id: Id) -> Any:
    """One product with all its prices, the newest first."""
    found = Product.objects.filter(pk=product_id).first()
    if found is None:
        raise NotFound(f"There is no product {product_id}.", field="product_id")
    prices = Price.objects.filter(product_id=product_id).order_by("-valid_from", "-id").values(*PRICE)[:200]
    return {**{name: getattr(found, name) for name in PRODUCT}, "prices": list(prices)}


@room.reads("/prices", "catalog.view", Page)
def list_prices(request: Caller, asked: Query[PricesAsked]) -> Any:
    """Prices with the days on which they hold (`valid_to` is the first on which they do not); no price book means the list price."""
    wanted = {name: value for name, value in (("product_id", asked.product_id), ("currency", asked.currency)) if value}
    return page(Price.objects.filter(**wanted), PRICE, asked)


@room.reads("/price-books", "catalog.view", Page)
def list_price_books(request: Caller, asked: Query[Asked]) -> Any:
    """Books of prices for some buyers."""
    return page(PriceBook.objects.all(), ["id", "key", "name"], asked)


@room.does("/products", "catalog.add_products", Rows)
def add_products(request: Caller, body: NewProducts) -> Any:
    """Add products; answers with id and code of each, in order."""
    return rows(actions.add_products(products=frame(body.products), **once(request)))


@room.does("/products/{int:product_id}/change", "catalog.change_product")
def change_product(request: Caller, product_id: Id, body: ProductChanges) -> Any:
    """Change the facts that are sent; answers with the product's id."""
    return done(actions.change_product(product_id=product_id, changes=dict(given(body)), **once(request)))


@room.does("/price-books", "catalog.add_price_book")
def add_price_book(request: Caller, body: NewBook) -> Any:
    """Open a price book; answers with its id."""
    return done(actions.add_price_book(key=body.key, name=body.name, **once(request)))


@room.does("/prices", "catalog.add_prices", Rows)
def add_prices(request: Caller, body: NewPrices) -> Any:
    """Set prices from a day on; a price without end that began earlier ends there. Answers with the id of each, in order."""
    return rows(actions.add_prices(prices=frame(body.prices), **once(request)))
