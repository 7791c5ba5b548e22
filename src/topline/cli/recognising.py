"""Commands of earned revenue: what contracts earned, one contract, the waterfall, prices alone, what if; estimates, decisions, closing a month."""

from __future__ import annotations

from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import polars as pl
import typer

from topline.books.models import Entity
from topline.catalog.models import Product
from topline.cli import render
from topline.cli.main import app
from topline.cli.options import SHOWN, AsJson, Company, console, day_of, entity_of, print_json
from topline.contracts.models import Contract
from topline.kernel import clock
from topline.kernel.errors import Invalid, NotFound
from topline.kernel.money import exponent, parse_amount
from topline.recognition import actions, queries
from topline.recognition.facts import NOTHING, Assumed
from topline.recognition.models import StandalonePrice, VariableElement
from topline.team.queries import system_actor

revenue = typer.Typer(help="What contracts earned: show says it of a month, close posts it.", no_args_is_help=True)
app.add_typer(revenue, name="revenue")
Through = Annotated[str, typer.Option(help="The last day of a month; default: the month before today's.")]
Number = Annotated[str, typer.Argument(help="Number of a contract, such as CT-1.")]
Outcomes = Annotated[
    list[str], typer.Option("--outcome", help="An amount and its odds, such as '150000 60%'; as often as there are outcomes.")
]
Because = Annotated[str, typer.Option(help="Why.")]


@revenue.command("show")
def revenue_show(company: Company = "", through: Through = "", as_json: AsJson = False) -> None:
    """What contracts were billed and have earned by the end of a month; nothing is posted."""
    entity = entity_of(company)
    month = _month(through, entity)
    told = queries.balances(entity, through=month)
    columns = (
        "billed_minor",
        "earned_minor",
        "liability_minor",
        "liability_later_minor",
        "refund_minor",
        "asset_minor",
        "asset_later_minor",
    )
    sums = told.group_by("currency").agg(pl.col(columns).sum()).sort("currency")
    if as_json:
        print_json(
            {
                "through": month,
                "contracts": told.height,
                "totals": sums.to_dicts(),
                "drafts": queries.waiting_drafts(entity, through=month),
            }
        )
        return
    render.revenue(console, month, told.height, sums)
    if waiting := queries.waiting_drafts(entity, through=month):
        console.print(
            f"{waiting:,} documents for days up to then are drafts: issue or void them before the month is closed.",
            highlight=False,
        )


@revenue.command("close")
def revenue_close(company: Company = "", through: Through = "") -> None:
    """Close a month: post what makes revenue what was earned. Closing again posts only what came since."""
    entity = entity_of(company)
    month = _month(through, entity)
    actions.close_month(actor=_actor(), entity_id=entity.pk, through=month)
    console.print(f"The month to {month} is closed.", highlight=False)


@revenue.command("contract")
def revenue_contract(number: Number, company: Company = "", through: Through = "", as_json: AsJson = False) -> None:
    """One contract: its obligations, amendments with how they are accounted for, variable amounts, what is earned by month."""
    _tell(_contract(number), _month(through, entity_of(company)), NOTHING, as_json=as_json)


@revenue.command("what-if")
def revenue_what_if(
    number: Number,
    alone: Annotated[list[str], typer.Option(help="ITEM=PRICE: what a unit costs alone in a month.")] = [],  # noqa: B006  (typer reads it once)
    amount: Annotated[list[str], typer.Option(help="ELEMENT=AMOUNT: what a variable amount comes to.")] = [],  # noqa: B006
    treat: Annotated[list[str], typer.Option(help="AMENDMENT=separate_contract, prospective or catch_up.")] = [],  # noqa: B006
    company: Company = "",
    through: Through = "",
    as_json: AsJson = False,
) -> None:
    """A contract under other prices alone, estimates or treatments of amendments; nothing is kept or posted."""
    found = _contract(number)
    scale = exponent(found.currency) + 9
    supposed = Assumed(
        item_ssp={key: int(_decimal(text).scaleb(scale)) for key, text in _pairs(alone)},
        estimates={key: parse_amount(text, found.currency) for key, text in _pairs(amount)},
        treatments=dict(_pairs(treat)),
    )
    _tell(found, _month(through, entity_of(company)), supposed, as_json=as_json)


@revenue.command("waterfall")
def revenue_waterfall(
    company: Company = "",
    through: Through = "",
    by: Annotated[str, typer.Option(help="booked or billed")] = "booked",
    as_json: AsJson = False,
) -> None:
    """What was booked, or billed, by month, by the month in which it is earned."""
    entity = entity_of(company)
    told = queries.waterfall(entity, through=_month(through, entity), by=by)
    if as_json:
        print_json({"by": by, "items": told.to_dicts()})
        return
    render.waterfall(console, told.tail(SHOWN), by=by)


@revenue.command("remaining")
def revenue_remaining(company: Company = "", through: Through = "", as_json: AsJson = False) -> None:
    """What contracts with an end still have to earn (remaining performance obligations), the largest first."""
    entity = entity_of(company)
    told = queries.remaining(entity, through=_month(through, entity))
    if as_json:
        print_json({"items": told.to_dicts()})
        return
    shown = told.head(SHOWN)
    known = Contract.objects.filter(pk__in=shown["contract_id"].to_list()).values_list("id", "number", "customer__name")
    render.remaining(console, shown, {pk: (number, name) for pk, number, name in known})


@revenue.command("prices")
def revenue_prices(company: Company = "", as_json: AsJson = False) -> None:
    """What products cost alone as it was said, and what sales of the last year propose."""
    entity = entity_of(company)
    names = ("product__code", "currency", "valid_from", "low_nano", "high_nano", "basis", "because")
    said = list(StandalonePrice.objects.order_by("-id").values(*names)[:SHOWN])
    seen = queries.observed(entity, until=clock.today(entity.time_zone)).head(SHOWN)
    if as_json:
        print_json({"said": said, "observed": seen.to_dicts()})
        return
    render.prices_alone(console, said, seen)


@revenue.command("set-price")
def revenue_set_price(
    code: Annotated[str, typer.Argument(help="Code of a product.")],
    low: Annotated[str, typer.Argument(help="What a unit costs alone, for a month, such as 12.50.")],
    high: Annotated[str, typer.Argument(help="To what it goes; default the same.")] = "",
    valid_from: Annotated[str, typer.Option("--from", help="From which day; default today.")] = "",
    currency: Annotated[str, typer.Option(help="Default: the company's.")] = "",
    basis: Annotated[str, typer.Option(help="observed, market, cost or residual")] = "market",
    because: Because = "",
    company: Company = "",
) -> None:
    """Say what a product costs alone from a day on."""
    entity = entity_of(company)
    product = Product.objects.filter(code__iexact=code).first()
    if product is None:
        raise NotFound(f"There is no product {code!r}.", field="code", remedy="Give a code of the catalog.")
    money = currency.upper() or entity.currency
    ends = [int(_decimal(text).scaleb(exponent(money) + 9)) for text in (low, high or low)]
    actions.set_standalone_price(
        actor=_actor(), product_id=product.pk, currency=money, valid_from=day_of(valid_from, entity), low_nano=ends[0], high_nano=ends[1], basis=basis, because=because
    )  # fmt: skip
    console.print(f"{product.name} costs {low}{f' to {high}' if high else ''} {money} alone.", highlight=False)


@revenue.command("estimate")
def revenue_estimate(
    element: Annotated[int, typer.Argument(help="Id of a variable amount; topline revenue contract tells it.")],
    outcome: Outcomes,
    on: Annotated[str, typer.Option(help="As of which day; default today.")] = "",
    method: Annotated[str, typer.Option(help="expected_value or most_likely")] = "expected_value",
    ceiling: Annotated[str, typer.Option(help="The most that is counted.")] = "",
    because: Because = "",
    company: Company = "",
) -> None:
    """Put a variable amount at something else from a day on; what was delivered by then is caught up."""
    found = VariableElement.objects.select_related("contract").filter(pk=element).first()
    if found is None:
        raise NotFound(f"There is no variable amount {element}.", field="element")
    currency = found.contract.currency
    rows = [text.rsplit(None, 1) for text in outcome]
    outcomes = [
        {"amount_minor": parse_amount(r[0], currency), "probability_ppm": int(_decimal(r[1].removesuffix("%")) * 10_000) if len(r) > 1 else 1_000_000} for r in rows
    ]  # fmt: skip
    actions.estimate_variable_amount(
        actor=_actor(), element_id=element, on=day_of(on, entity_of(company)), outcomes=outcomes, method=method, ceiling_minor=parse_amount(ceiling, currency) if ceiling else None, because=because
    )  # fmt: skip
    console.print(f"{found.what} is estimated.", highlight=False)


@revenue.command("treat")
def revenue_treat(
    amendment: Annotated[int, typer.Argument(help="Id of an amendment; topline revenue contract tells it.")],
    treatment: Annotated[str, typer.Argument(help="separate_contract, prospective or catch_up")],
    because: Because,
) -> None:
    """Account for an amendment otherwise than the policy would, and why."""
    actions.treat_amendment(actor=_actor(), amendment_id=amendment, treatment=treatment, because=because)
    console.print(f"The amendment is accounted for as {treatment.replace('_', ' ')}.", highlight=False)


@revenue.command("rule")
def revenue_rule(
    method: Annotated[str, typer.Argument(help="day, month, point, term or milestone")],
    product: Annotated[str, typer.Option(help="Code of the product that is earned so; or name an item.")] = "",
    item: Annotated[int, typer.Option(help="Id of an item of a contract; topline revenue contract tells it.")] = 0,
    life_months: Annotated[int, typer.Option(help="Of a fee: the customer's life.")] = 0,
) -> None:
    """Say how a product, or one item of a contract, is earned."""
    found = Product.objects.filter(code__iexact=product).first() if product else None
    if product and found is None:
        raise NotFound(f"There is no product {product!r}.", field="product", remedy="Give a code of the catalog.")
    actions.set_rule(
        actor=_actor(),
        product_id=found.pk if found else None,
        item_id=item or None,
        method=method,
        life_months=life_months or None,
    )
    console.print("Said; the next close catches up what follows from it.", highlight=False)


@revenue.command("accept")
def revenue_accept(
    item: Annotated[int, typer.Argument(help="Id of an item; topline revenue contract tells it.")],
    percent: Annotated[str, typer.Argument(help="Which part of it was accepted, in per cent.")],
    on: Annotated[str, typer.Option(help="On which day; default today.")] = "",
    note: Annotated[str, typer.Option(help="By whom, and how.")] = "",
    company: Company = "",
) -> None:
    """The customer accepted a part of an item."""
    actions.accept_part(
        actor=_actor(),
        item_id=item,
        on=day_of(on, entity_of(company)),
        share_ppm=int(_decimal(percent.removesuffix("%")) * 10_000),
        note=note,
    )
    console.print("Accepted; the next close earns it.", highlight=False)


@revenue.command("cost")
def revenue_cost(
    number: Number,
    amount: Annotated[str, typer.Argument(help="What it cost, in the company's currency.")],
    until: Annotated[str, typer.Argument(help="The first day after it is written off.")],
    start: Annotated[str, typer.Option("--from", help="Default: the contract's first day.")] = "",
    what: Annotated[str, typer.Option(help="What it was paid for.")] = "Commission",
) -> None:
    """Keep what it cost to win a contract, written off by days."""
    found = _contract(number)
    first = day_of(start, found.entity) if start else found.starts_on
    actions.keep_cost(
        actor=_actor(), contract_id=found.pk, what=what, amount_minor=parse_amount(amount, found.entity.currency), start=first, end=day_of(until, found.entity)
    )  # fmt: skip
    console.print(f"Kept, and written off from {first} until {until}.", highlight=False)


# --- parts ---
def _tell(found: Contract, month: date, supposed: Assumed, *, as_json: bool) -> None:
    told = queries.detail(found.entity, found.pk, through=month, assume=supposed)
    if as_json:
        print_json({"contract": found.number, "currency": found.currency, "through": month, **told})
        return
    render.earned(console, found, month, told)


def _month(through: str, entity: Entity) -> date:
    """The last day of the month asked for, else of the one before today's."""
    if through:
        return queries.ensure_month_end(day_of(through, entity))
    return queries.month_before(clock.today(entity.time_zone))


def _contract(number: str) -> Contract:
    found = Contract.objects.select_related("entity", "customer").filter(number__iexact=number).first()
    if found is None:
        raise NotFound(f"There is no contract {number!r}.", field="number", remedy="Its number stands under Contracts.")
    return found


def _pairs(texts: list[str]) -> list[tuple[int, str]]:
    """ID=VALUE, each. Raises: Invalid."""
    found = [text.partition("=") for text in texts]
    for key, _, value in found:
        if not key.isdigit() or not value:
            raise Invalid(f"{key!r} names nothing.", field="what", remedy="Write the id, =, and what it is: 12=99.00.")
    return [(int(key), value) for key, _, value in found]


def _decimal(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise Invalid(f"{text!r} is no number.", field="what", remedy="Write it as 12.50.") from error
    if not value.is_finite():
        raise Invalid(f"{text!r} is no number.", field="what", remedy="Write it as 12.50.")
    return value


def _actor() -> Any:
    return system_actor("command line")
