"""Products and prices over HTTP."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ninja import Query
from pydantic import Field

from topline.catalog import actions, promotions
from topline.catalog.models import DiscountBand, Price, PriceBook, Product, Promotion
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
    Positive,
    Ref,
    Room,
    Rows,
    Share,
    done,
    frame,
    given,
    once,
    page,
    rows,
)

room = Room(tags=["Catalog"])
PRODUCT = ["id", "code", "name", "family", "description", "unit", "is_active", "unit_cost_nano", "cost_currency"]
PRICE = ["id", "product_id", "price_book_id", "currency", "unit_price_nano", "valid_from", "valid_to"]
Nano = Annotated[int, Field(strict=True, ge=0, le=2**62, description="billionths of a minor unit")]


class NewProduct(Body):
    code: Annotated[str, Field(min_length=1, max_length=40)]
    name: Name
    family: Annotated[str, Field(max_length=60)] = ""
    description: Annotated[str, Field(max_length=1_000)] = ""
    unit: Annotated[str, Field(max_length=20)] = "unit"
    unit_cost_nano: Nano | None = None
    cost_currency: Annotated[str, Field(pattern=r"^([A-Z]{3})?$")] = ""


class NewProducts(Body):
    products: Annotated[list[NewProduct], Field(min_length=1, max_length=MAX_ROWS)]


class ProductChanges(Body):
    name: Name = ""
    family: Annotated[str, Field(max_length=60)] = ""
    description: Annotated[str, Field(max_length=1_000)] = ""
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


PROMOTION = ["id", "code", "name", "kind", "percent_ppm", "fixed_minor", "free_periods", "periods", "currency", "starts_on", "ends_on", "product_id", "segment", "minimum_minor", "budget_minor", "position", "stacks",
             "stopped_on"]  # fmt: skip


class NewPromotion(Body):
    code: Annotated[str, Field(min_length=1, max_length=30)]
    name: Annotated[str, Field(min_length=1, max_length=100)]
    kind: Literal["percent", "fixed", "free_periods"]
    starts_on: Day
    ends_on: Day | None = None
    percent_ppm: Share | None = None
    fixed_minor: Positive | None = None
    free_periods: Annotated[int, Field(strict=True, ge=1, le=1_200)] | None = None
    periods: Annotated[
        int | None, Field(strict=True, ge=1, le=1_200, description="of a percentage: of a line's first periods; null: of all")
    ] = None
    currency: Annotated[str, Field(pattern=r"^([A-Z]{3})?$")] = ""
    product_id: Ref | None = None
    segment: Code = ""
    minimum_minor: Positive | None = None
    budget_minor: Positive | None = None
    stacks: Flag = False


class PromotionStop(Body):
    on: Day


class Band(Body):
    up_to_ppm: Share
    approver: Literal["", "Sales manager", "Owner"] = ""


class Bands(Body):
    bands: Annotated[list[Band], Field(max_length=promotions.MAX_STEPS)]
    family: Annotated[str, Field(max_length=60)] = ""
    description: Annotated[str, Field(max_length=1_000)] = ""


class Step(Body):
    from_micro: Annotated[int, Field(strict=True, ge=1, le=10**14, description="millionths of a unit")]
    discount_ppm: Share


class VolumeSteps(Body):
    steps: Annotated[list[Step], Field(max_length=promotions.MAX_STEPS)]


class BundlePartOf(Body):
    product_id: Ref
    quantity_micro: Annotated[int, Field(strict=True, ge=1, le=10**14, description="millionths of a unit")] = 1_000_000


class BundleParts(Body):
    parts: Annotated[list[BundlePartOf], Field(max_length=promotions.MAX_STEPS)]


@room.reads("/promotions", "catalog.view", Page)
def list_promotions(request: Caller, asked: Query[Asked]) -> Any:
    """Promotions with their terms."""
    return page(Promotion.objects.all(), PROMOTION, asked)


@room.reads("/discount-bands", "catalog.view", Page)
def list_bands(request: Caller, asked: Query[Asked]) -> Any:
    """How far off list a discount by hand may go, by family (empty: all others), and which role must agree."""
    return page(DiscountBand.objects.all(), ["id", "family", "up_to_ppm", "approver"], asked)


@room.does("/promotions", "catalog.add_promotion")
def add_promotion(request: Caller, body: NewPromotion) -> Any:
    """Begin a promotion; answers with its id."""
    return done(promotions.add_promotion(**body.model_dump(), **once(request)))


@room.does("/promotions/{int:promotion_id}/stop", "catalog.stop_promotion")
def stop_promotion(request: Caller, promotion_id: Id, body: PromotionStop) -> Any:
    """End a promotion from a day on; answers with its id."""
    return done(promotions.stop_promotion(promotion_id=promotion_id, on=body.on, **once(request)))


@room.does("/discount-bands", "catalog.set_bands")
def set_bands(request: Caller, body: Bands) -> Any:
    """Replace the bands of a family; answers with how many there are."""
    return done(promotions.set_bands(bands=[(b.up_to_ppm, b.approver) for b in body.bands], family=body.family, **once(request)))


@room.does("/products/{int:product_id}/volume-steps", "catalog.set_volume_steps")
def set_volume_steps(request: Caller, product_id: Id, body: VolumeSteps) -> Any:
    """Replace what comes off from which quantity on; answers with how many steps there are."""
    return done(
        promotions.set_volume_steps(
            product_id=product_id, steps=[(s.from_micro, s.discount_ppm) for s in body.steps], **once(request)
        )
    )


@room.does("/products/{int:product_id}/parts", "catalog.set_parts")
def set_parts(request: Caller, product_id: Id, body: BundleParts) -> Any:
    """Make a product a bundle of others; answers with how many parts it has."""
    return done(
        promotions.set_parts(product_id=product_id, parts=[(p.product_id, p.quantity_micro) for p in body.parts], **once(request))
    )
